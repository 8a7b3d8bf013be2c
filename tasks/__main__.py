"""Lists the tasks: `python -m tasks`."""

import sys

from pipelines.errors import UserError
from tasks import TASKS, load


def main(argv: list[str]) -> int:
    try:
        if argv and not argv[0].startswith("-"):
            task = load(argv[0])  # an unknown name ends here, with the nearest one
            raise UserError(f"a task is its own command: {task.command}")
    except UserError as error:
        print(f"python -m tasks: error: {error}", file=sys.stderr)
        return 2
    width = max(map(len, TASKS))
    for name in TASKS:
        task = load(name)
        print(f"{name:{width}}  {task.title} ({' | '.join((*task.families, *task.further))}): {task.command}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
