"""A line editor with suggestions: `python -m tasks.complete --interactive`.

A line is answered with numbered suggestions; a number takes one, and writing goes on from there. Tab shows or finishes
suggestions while a line is written, where the terminal's line editing (`readline`) is there. An empty line or Ctrl-D
ends. Through a pipe it works the same, a line of input each.
"""

import sys
from collections.abc import Callable, Iterator

from pipelines.errors import UserError
from tasks import Task, cli

SHOWN = 3  # suggestions
HELP = "write, Tab for suggestions; Enter numbers them, a number takes one; an empty line or Ctrl-D ends"


def run(task: Task, args) -> int:
    """Answers lines until they end, and returns the exit status."""
    pipe = cli.load(task, args, args.model[0] if args.model else "transformer").pipe.pipe
    asked = {"k": args.options.get("suggestions", SHOWN), "max_words": args.options.get("max_words", 3)}
    edit(lambda text: pipe.suggest(text, **asked), lambda line: cli.say(task, line))
    return 0


def edit(suggest: Callable[[str], list[dict]], say: Callable[[str], None]) -> None:
    """Answers lines of standard input. suggest: a text → [{"text", "score"}]; say: one line of talk."""
    say(HELP)
    shown: list[dict] = []
    taken = [""]  # what the next line begins with
    for line in _lines(suggest, taken):
        if not line.strip():
            return
        number = line.strip().removeprefix(taken[0])  # behind what a terminal has written already
        chosen = number.isdecimal() and 1 <= int(number) <= len(shown)
        if chosen:
            line = shown[int(number) - 1]["text"]
            print(line)
        taken[0] = line if chosen else ""
        try:
            shown = suggest(line)
        except UserError as error:
            say(str(error))
            continue
        for place, row in enumerate(shown, start=1):
            print(f"{place}  {row['score']:.4f}  {row['text']}")
        if not shown:
            say("nothing to suggest")
        sys.stdout.flush()


def _lines(suggest: Callable[[str], list[dict]], taken: list[str]) -> Iterator[str]:
    """Lines of standard input; on a terminal edited, with what was taken last already written."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    try:
        import readline
    except ImportError:  # Windows
        readline = None
    if readline:
        readline.set_completer_delims("")  # a suggestion is the whole line
        readline.set_completer(completer(suggest))
        readline.parse_and_bind("tab: complete")
        readline.set_startup_hook(lambda: readline.insert_text(taken[0]))
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


def completer(suggest: Callable[[str], list[dict]]) -> Callable[[str, int], str | None]:
    """What `readline` asks for: (line so far, n) → the n-th suggestion, None behind the last."""
    found: list[str] = []

    def complete(text: str, place: int) -> str | None:
        if place == 0:
            try:
                found[:] = [row["text"] for row in suggest(text)]
            except UserError:
                found.clear()
        return found[place] if place < len(found) else None

    return complete
