"""What similarity adds to the command line: pairs of texts, and scores from 0 to 5."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.errors import UserError
from tasks import Task, inputs

FLAGS = (("--pair-column", {"metavar": "C", "help": "column of the file that holds the other text of each pair"}),)
ROLES = ("text", "text_pair")


def items(task: Task, args: argparse.Namespace) -> Iterator[inputs.Item]:
    """The pairs: the first TEXT with each of the others, lines of two texts with a tab between, or rows of a table.

    Of the texts in `args` only the others stay: as many as there are answers. Raises `UserError` for a single text.
    """
    other, columns = args.options.pop("pair_column", None), task.columns
    table = bool(args.file) and Path(args.file).suffix.lower() in inputs.TABLES
    if other and not table:
        raise UserError(f"--pair-column goes with a --file of {', '.join(inputs.TABLES)}.")
    if len(args.texts) == 1 and not args.file:
        raise UserError(f"a pair is two texts, as in: {task.command}")
    beside = ((other,) if other else columns["text_pair"]) if table else ()
    found = inputs.read(args.texts, args.file, args.column, columns["text"], beside)
    if args.texts:
        first, args.texts = next(found), args.texts[1:]
        if first.error:  # then no pair has an answer, and each of them says that it is for this
            found = (first for _ in found)
        else:
            found = (item if item.error else inputs.paired(item.where, first.text, item.text) for item in found)
    elif not table:
        found = map(_line, found)
    return (replace(item, roles=ROLES, error=item.error.replace("as context", "as the other text")) for item in found)


def _line(item: inputs.Item) -> inputs.Item:
    texts = item.text.split("\t")
    if item.error or len(texts) != 2:
        return replace(item, error=item.error or "a line is two texts with a tab between them")
    return inputs.paired(item.where, *texts)


def reader(task: Task, pipe) -> tuple:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed."""
    return pipe, lambda output: output, fields, plain


def fields(output: dict) -> list[str]:
    """The score, with two decimals."""
    return [f"{output['score']:.2f}"]


def plain(output: dict, pair: dict, alone: bool) -> str:
    """For people: the score; of several pairs the score and both texts, by tabs."""
    texts = [] if alone else [" ".join(text.split()) for text in pair.values()]
    return "\t".join([*fields(output), *texts])
