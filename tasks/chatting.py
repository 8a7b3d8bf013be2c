"""How `tasks.chat` asks and shows: single replies, and a conversation line by line.

A `Talking` stands where other tasks have their pipeline. In a conversation replies are shown as they are written; a
line that begins with / is a command (`HELP`). Through a pipe it works the same, a line of input each.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.errors import UserError, unknown
from tasks import Task
from tasks.flags import number, whole

FLAGS = tuple(
    (flag, {"type": kind, "metavar": metavar, "help": help})
    for flag, kind, metavar, help in (
        ("--system", str, "TEXT", "what the talk is about, in a word or two, such as music or films"),
        ("--max-new-tokens", whole, "N", "longest reply, in tokens (default 60)"),
        ("--temperature", number, "X", "how freely words are drawn (default 0.7; 0: always the likeliest)"),
        ("--seed", int, "N", "of the draws (default 13): the same talk with the same seed gets the same replies"),
    )
)
HELP = "write to each other; /reset forgets the talk, /save FILE writes it down as JSON, /quit or Ctrl-D ends"
COMMANDS = ("/reset", "/save", "/quit", "/help")


def add_flags(parser) -> None:
    """The task's own switch, beside `FLAGS`."""
    shown = "a conversation; on a terminal what happens where no TEXT is given"
    parser.add_argument("--interactive", action="store_true", default=None, help=shown)


def interactive(args) -> bool:
    """Whether a conversation is asked for; settles what that implies.

    Raises `UserError` for what doesn't go with it.
    """
    asked = args.options.pop("interactive", None)
    if asked:
        given = [name for name in ("texts", "file", "compare", "json") if getattr(args, name)]
        if given:
            what = "a text" if given[0] == "texts" else "--" + given[0].replace("_", "-")
            raise UserError(f"--interactive reads lines and answers them in turn: leave out {what}.")
    on_a_terminal = sys.stdin is not None and sys.stdin.isatty()
    return bool(asked) or (on_a_terminal and not (args.texts or args.file or args.compare or args.json))


class Talking:
    """Replies to texts, each the beginning of a conversation of its own."""

    def __init__(self, pipe):
        self.pipe, self.model, self.device = pipe, pipe.model, pipe.device

    def __call__(self, texts: list[str], batch_size=1, system=None, **options):
        return [self._tried([*opening(system), {"role": "user", "content": text}], options) for text in texts]

    def _tried(self, messages: list[dict], options: dict):
        try:
            return self.pipe.reply(messages, **options)
        except Exception as error:  # as an output, not raised: the replies before it need not be made again
            return error


def opening(system: str | None) -> list[dict]:
    """The messages that a conversation opens with."""
    return [{"role": "system", "content": " ".join(system.split())}] if system and system.strip() else []


def reader(task, pipe) -> tuple:
    """A `Talking`, and of its outputs: the value for programs, the fields for people, what is printed."""
    return Talking(pipe), lambda output: output, lambda output: [output], lambda output, text, alone: output


def run(task: Task, args) -> int:
    """Talks until the lines end, and returns the exit status."""
    from tasks import cli

    if sys.stdin is None:
        raise UserError("a conversation is read from standard input, and there is none.")
    pipe = cli.load(task, args, args.model[0] if args.model else "transformer").pipe.pipe
    sys.stdin.reconfigure(errors="surrogateescape")  # a byte that is no UTF-8 spoils its own line only
    return 1 if talk(pipe, lambda line: cli.say(task, line), **args.options) else 0


def talk(pipe, say: Callable[[str], None], system: str | None = None, **options) -> int:
    """Answers lines of standard input, and returns how many could not be answered. say: one line of talk about the
    talk; options: those of `stream_reply`."""
    say(HELP)
    messages, left_out, failed = opening(system), 0, 0
    for place, line in enumerate(_lines(), start=1):
        line = line.strip()
        if line.startswith("/"):
            name, rest = (*line.split(maxsplit=1), "")[:2]
            try:
                told = _command(name, rest, messages)
            except UserError as error:
                say(f"line {place}: {error}")
                continue
            if name == "/quit":
                break
            if name == "/reset":
                messages, left_out = opening(system), 0
            say(told)
            continue
        if not line:
            continue
        messages.append({"role": "user", "content": line})
        pieces = []
        try:
            for piece in pipe.stream_reply(messages, **options):
                pieces.append(piece)
                print(piece, end="", flush=True)
        except UserError as error:
            messages.pop()
            failed += 1
            say(f"line {place}: {error}")
            continue
        except KeyboardInterrupt:  # enough of this reply
            pieces.append(" …")
        print(flush=True)
        messages.append({"role": "assistant", "content": "".join(pieces).strip()})
        if pipe.left_out > left_out:
            left_out = pipe.left_out
            say(f"the first {left_out} turns are no longer read: the model's window of {pipe.window} tokens is full")
    return failed


def _command(name: str, rest: str, messages: list[dict]) -> str:
    """Saves the messages where a command says so; what there is to say of it. Raises `UserError` for wrong ones."""
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    if rest and name != "/save":
        raise UserError(f"{name} stands alone: leave out {rest!r}.")
    if name != "/save":
        return {"/reset": "the talk begins anew", "/help": HELP}.get(name, "")
    if not rest:
        raise UserError("/save needs the name of a file: /save talk.json")
    file = Path(rest).expanduser()
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(messages, ensure_ascii=False, indent=1) + "\n")
    except FileExistsError:
        raise UserError(f"{file} is there already: choose another name.") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    return f"{len(messages)} messages are in {file}"


def _lines() -> Iterator[str]:
    """Lines of standard input; on a terminal edited, where `readline` is there."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):  # Windows
        import readline  # noqa: F401  (gives `input` its line editing)
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return
