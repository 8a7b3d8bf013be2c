"""Whether memory stays flat over many inputs: `python -m scripts.benchmark_memory --task sentiment`.

Streams a data set of that many different inputs through the task's pipeline and notes the memory that the process holds
after each tenth of the answers.
"""

import argparse
import json
import sys
from pathlib import Path

import tasks
from tasks.flags import Parser, one_of, status, whole

KINDS = ("text2text", "text_classification")  # whose inputs are plain texts


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("scripts.benchmark_memory", lambda: run(parse(argv)), "interrupted; nothing was written")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    names = [name for name in tasks.TASKS if tasks.load(name).kind in KINDS]
    parser = Parser(prog="python -m scripts.benchmark_memory", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--task", default="sentiment", type=one_of("task", names), help=f"one of {', '.join(names)} (default sentiment)"
    )
    add("--model", default="transformer", metavar="M", help="transformer, lstm, a Hub id or a folder")
    add("--inputs", type=whole, default=100_000, metavar="N", help="how many (default 100000)")
    add("--data", metavar="D", help="data to take inputs from (default: the task's own; samples)")
    add("--output", type=Path, default=Path("results/benchmark"), metavar="DIR", help="where the result file goes")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Measures, writes the result file and prints a line. Raises `UserError`."""
    import psutil
    import transformers

    import pipelines
    from scripts.environment import environment
    from scripts.results import write_text
    from tasks import data

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    task = tasks.load(args.task)
    texts = list(data.read(task, args.data).inputs)
    pipe = pipelines.pipeline(task.name, model=args.model, device="cpu")
    process, held, tenth = psutil.Process(), [], max(1, args.inputs // 10)
    for done, _ in enumerate(pipe(numbered(texts, args.inputs)), 1):
        if done % tenth == 0:
            held.append(process.memory_info().rss / 1e6)
            print(f"benchmark_memory: {done:,} answers, {held[-1]:.0f} MB", file=sys.stderr)
    said = {"schema": 1, "task": task.name, "model": args.model, "inputs": done, "memory_mb": held}
    said |= {"engine": getattr(pipe.model, "engine", "torch"), "environment": environment("cpu", None)}
    args.output.mkdir(parents=True, exist_ok=True)
    write_text(args.output / f"memory--{task.name}--{Path(args.model).name}.json", json.dumps(said, indent=1) + "\n")
    print(
        f"{done:,} inputs; MB held after a tenth: {held[0]:.0f}, at most: {max(held):.0f}, at the end: {held[-1]:.0f}"
    )
    return 0


def numbered(texts: list[str], count: int):
    """A data set of so many different texts: those given, over and over, each with its number."""
    from torch.utils.data import Dataset

    class Numbered(Dataset):
        def __len__(self):
            return count

        def __getitem__(self, i):
            return f"{texts[i % len(texts)]} {i}"

    return Numbered()


if __name__ == "__main__":
    raise SystemExit(main())
