"""What question answering adds to the command line: the text to answer from, its flags, and how answers look."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import UserError
from tasks import Task, inputs
from tasks.flags import whole

NO_ANSWER = "(no answer in the text)"
FLAGS = (
    ("--context", {"metavar": "TEXT", "help": "the text to answer from (default: the file's column context)"}),
    ("--context-file", {"metavar": "F", "help": "file that holds this text, UTF-8"}),
    ("--top-k", {"type": whole, "metavar": "N", "help": "how many answers to show, the best first (default 1)"}),
    ("--max-answer-len", {"type": whole, "metavar": "N", "help": "longest answer, in tokens (default 15)"}),
    ("--doc-stride", {"type": whole, "metavar": "N", "help": "tokens that parts of a long text share (default 128)"}),
    ("--handle-impossible-answer", {"action": "store_true", "help": "let no answer be an answer (default: off)"}),
)
FEW = 20  # windows that need no progress bar


def context(args: argparse.Namespace) -> str | None:
    """The text of --context or --context-file, taken out of the pipeline's options; None where neither is given.

    Raises `UserError` for both, for a file that can't be read as text, and for an empty text.
    """
    text, file = args.options.pop("context", None), args.options.pop("context_file", None)
    if text is not None and file is not None:
        raise UserError("give either --context or --context-file, not both.")
    if file is not None:
        text = inputs.whole(Path(file).expanduser())
    if text is not None and not text.strip():
        raise UserError(f"the text to answer from is empty: {file or '--context'}.")
    return text


def columns(task: Task, args: argparse.Namespace, given: str | None) -> tuple[str, ...]:
    """Names of the column that holds a context beside each question; none where one context is given for all.

    Raises `UserError` where the questions come from where there is no such column.
    """
    if given is not None:
        return ()
    if not args.file or Path(args.file).suffix.lower() not in inputs.TABLES:
        raise UserError(
            "a question needs a text to answer it from: --context TEXT, --context-file F, "
            f"or --file with a column {' or '.join(task.columns['context'])}."
        )
    return task.columns["context"]


def reader(task: Task, pipe) -> tuple:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed."""
    return pipe, lambda output: output, fields, plain


def fields(output: dict | list[dict]) -> list[str]:
    """The answer, on one line; where several were asked for, each and its score."""
    if isinstance(output, dict):
        return [_line(output)]
    return [field for record in output for field in (_line(record), f"{record['score']:.4f}")]


def plain(output: dict | list[dict], question: str, alone: bool) -> str:
    """For people: the answer; of several for one question a line each with its score, else all on one line by tabs."""
    shown = fields(output)
    if len(shown) == 1:
        return shown[0]
    if not alone:
        return "\t".join([*shown, " ".join(question.split())])
    return "\n".join(f"{score}  {answer}" for answer, score in zip(shown[::2], shown[1::2], strict=True))


def _line(record: dict) -> str:
    return " ".join(record["answer"].split()) or NO_ANSWER


@contextmanager
def progress(shown: bool) -> Iterator[Callable]:
    """A bar on stderr for a context of many windows, as the pipeline's `progress`: (windows read, windows in all).

    Silent for few windows, where stderr is no terminal, and where not `shown`.
    """
    bars: list = []

    def close() -> None:
        while bars:
            bars.pop().stop()

    def note(read: int, total: int) -> None:
        if not shown or total <= FEW or not sys.stderr.isatty():
            return
        if not bars:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            # transient: it is gone before the answer stands there
            bars.append(Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False))
            bars[0].add_task("", total=total)
            bars[0].start()
        bars[0].update(bars[0].task_ids[0], completed=read, total=total)
        if read == total:
            close()

    try:
        yield note
    finally:
        close()
