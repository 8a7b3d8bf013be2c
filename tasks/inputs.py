"""Texts for a command line: arguments, lines of standard input, or a file's, one by one and each with its place.

What is wrong with the whole source raises `UserError`; what is wrong with one text comes along as its `Item.error`, so
that the others still go through.  Sources are read as they are needed; `tasks.data` is for whole splits with targets.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.errors import UserError, unknown

TABLES = (".jsonl", ".csv", ".parquet")
FORMATS = (".txt", *TABLES)
HEAD = 8192  # bytes looked at to tell text from binary


@dataclass(frozen=True)
class Item:
    """One text and where it stands ("line 3"); `error` says why it can't be used, "" where it can.

    `context` is what stood beside it: the text that a question is to be answered from, or the other one of a pair.
    `roles` are what the task's pipeline calls the two. `beside` holds further values of its row, as they stood there.
    """

    where: str
    text: str = ""
    error: str = ""
    context: str | None = None
    roles: tuple[str, str] = ("question", "context")
    beside: tuple = ()

    @property
    def given(self) -> str | dict:
        """What the task's pipeline takes."""
        return self.text if self.context is None else dict(zip(self.roles, (self.text, self.context), strict=True))

    @property
    def asked(self) -> str | dict:
        """What stands for it beside its answer: the text, or both of a pair."""
        return self.given if "text_pair" in self.roles else self.text


def document(file: str | None) -> Item:
    """All of a text file, else of standard input, as one text. Raises `UserError` where it can't be read as such."""
    if file and Path(file).suffix.lower() in TABLES:
        raise UserError(f"--document reads a file as one text, and {file} is a table.")
    name = file or "standard input"
    text = whole(Path(file).expanduser()) if file else _decode(sys.stdin.buffer.read(), name)
    if not text.strip():
        raise UserError(f"{name} is empty.")
    return _item(name, text)


def whole(path: Path) -> str:
    """The text of a file. Raises `UserError` for one that is missing or no UTF-8 text."""
    if not path.is_file():
        raise UserError(f"not a file: {path}" if path.exists() else f"no such file: {path}")
    try:
        return _decode(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def _decode(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8 text") from error
    if "\0" in text:
        raise UserError(f"{name} is binary, not UTF-8 text.")
    return text


def read(
    texts: list[str],
    file: str | None,
    column: str | None,
    columns: tuple[str, ...],
    beside: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> Iterator[Item]:
    """The items of `texts`, else of `file`, else of standard input.

    `columns` are the names the task looks for in a table where `column` is None, `beside` those of the column that
    holds each text's context, for tasks that need one, and `more` further columns, for `Item.beside`; both are for
    tables only.
    Raises `UserError` for a file that is missing, binary or of no known format, and for a column that is not there.
    """
    if column and not (file and Path(file).suffix.lower() in TABLES):
        raise UserError(f"--column goes with a --file of {', '.join(TABLES)}.")
    if texts and file:
        raise UserError("give either texts or --file, not both.")
    if texts:
        return (_item(f"text {n}", text) for n, text in enumerate(texts, start=1))
    if file:
        wanted = [(column,) if column else columns, *([beside] if beside else []), *((name,) for name in more)]
        found = _file(Path(file).expanduser(), wanted)
        if not beside:
            return found
        return (item if item.error else paired(item.where, item.text, item.beside[0]) for item in found)
    return _stdin()


def count(texts: list[str], file: str | None) -> int | None:
    """How many items `read` will give, where that is cheap to tell: for a progress bar."""
    if file and Path(file).suffix.lower() in (".txt", ".jsonl"):
        with open(Path(file).expanduser(), "rb") as stream:
            return sum(1 for _ in stream)
    return len(texts) or None


def paired(where: str, text, context) -> Item:
    """A text with its context, or the other text of a pair."""
    item, other = _item(where, text), _item(where, context)
    if item.error or other.error:
        return Item(where, item.text, item.error or f"{other.error} as context")
    return Item(where, item.text, context=other.text)


def _item(where: str, text) -> Item:
    if isinstance(text, list) and text and all(isinstance(word, str) for word in text):
        text = " ".join(text)  # a text that comes split into words
    if text is None or (isinstance(text, str) and not text.strip()):
        return Item(where, error="empty text")
    if not isinstance(text, str):
        return Item(where, error=f"not a text: {str(text)[:40]}")
    try:
        text.encode()  # a byte that was no UTF-8 is here a lone surrogate (PEP 383)
    except UnicodeEncodeError:
        return Item(where, error="not valid UTF-8")
    return Item(where, text)


def _stdin() -> Iterator[Item]:
    _refuse_binary(sys.stdin.buffer, "standard input")
    yield from _lines(sys.stdin.buffer, "line")


def _file(path: Path, columns: list[tuple[str, ...]]) -> Iterator[Item]:
    if not path.is_file():
        raise UserError(f"not a file: {path}" if path.exists() else f"no such file: {path}")
    suffix, where = path.suffix.lower(), f"{path}, line"
    try:
        if suffix == ".parquet":
            yield from _parquet(path, columns)
            return
        with path.open("rb") as stream:
            _refuse_binary(stream, str(path))
            if suffix == ".txt":
                yield from _lines(stream, where)
            elif suffix in FORMATS:
                yield from (_jsonl if suffix == ".jsonl" else _csv)(stream, where, columns)
            else:
                raise UserError(f"{path}: can't tell the format; choose from {', '.join(FORMATS)}.")
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _refuse_binary(stream, name: str) -> None:
    if b"\0" in stream.peek(HEAD):
        raise UserError(f"{name} is binary, not UTF-8 text.")


def _decoded(stream) -> Iterator[str]:
    """Lines without their end, bytes that are no UTF-8 as lone surrogates; a byte order mark is dropped."""
    for number, line in enumerate(stream):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape").rstrip("\r\n")


def _lines(stream, where: str) -> Iterator[Item]:
    for number, line in enumerate(_decoded(stream), start=1):
        yield _item(f"{where} {number}", line)


def _made(where: str, values) -> Item:
    """The item of a row's values in the chosen columns: the text and what stands beside it."""
    return replace(_item(where, values[0]), beside=tuple(values[1:]))


def _jsonl(stream, where: str, columns: list[tuple[str, ...]]) -> Iterator[Item]:
    """Objects with one of each of `columns`, or plain strings. The first object that has one decides which.

    An object may lack a column that others have, and is told as such. Where none has it the flag or the file is wrong:
    so from the first that lacks one, items wait until each column has been seen.
    """
    chosen: list[str | None] = [None] * len(columns)
    waiting: list[Item] = []
    first = None  # object, with its place
    for number, line in enumerate(_decoded(stream), start=1):
        item = row = None
        place = f"{where} {number}"
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            item = Item(place, error=f"not JSON: {error}")
        if isinstance(row, dict):
            first = first or (list(row), place)
            chosen = [name or _first(names, row) for name, names in zip(chosen, columns, strict=True)]
            lacking = [name or " or ".join(names) for name, names in zip(chosen, columns, strict=True)]
            lacking = [name for name in lacking if name not in row]
            if lacking:
                item = Item(place, error=f"no column {lacking[0]!r}; there are: {', '.join(row) or '(none)'}")
            else:
                item = _made(place, [row[name] for name in chosen])
        waiting.append(item or _made(place, [row] + [None] * (len(columns) - 1)))
        if not first or None not in chosen:
            yield from waiting
            waiting.clear()
    if first:
        for name, names in zip(chosen, columns, strict=True):
            if name is None:
                _choose(names, *first)


def _csv(stream, where: str, columns: list[tuple[str, ...]]) -> Iterator[Item]:
    csv.field_size_limit(sys.maxsize)  # the default refuses a field of 131,072 characters
    reader = csv.reader(line + "\n" for line in _decoded(stream))
    header = next(reader, None)
    if header is None:
        return
    indices = [header.index(_choose(names, header, f"{where} 1")) for names in columns]
    number = reader.line_num
    for row in reader:
        place, number = f"{where} {number + 1}", reader.line_num  # a quoted field may span lines: name the first
        if row and len(row) != len(header):  # an unquoted comma: taking the field would cut the text silently
            yield Item(place, error=f"{len(row)} fields, but the header has {len(header)}; quote texts with commas")
        else:
            yield _made(place, [row[index] if row else "" for index in indices])


def _parquet(path: Path, columns: list[tuple[str, ...]]) -> Iterator[Item]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            chosen = [_choose(names, table.schema_arrow.names, str(path)) for names in columns]
            number = 0
            for batch in table.iter_batches(batch_size=1024, columns=chosen):
                for values in zip(*(batch.column(name).to_pylist() for name in chosen), strict=True):
                    number += 1
                    yield _made(f"{path}, row {number}", values)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: can't be read as parquet: {str(error).splitlines()[0]}") from error


def _choose(wanted: tuple[str, ...], there: list[str], place: str) -> str:
    found = _first(wanted, there)
    if found is None:
        raise UserError(f"{place}: {unknown('column', ' or '.join(wanted), there)}")
    if there.count(found) > 1:
        raise UserError(f"{place}: {there.count(found)} columns are called {found!r}: rename all but one.")
    return found


def _first(wanted: tuple[str, ...], there) -> str | None:
    return next((name for name in wanted if name in there), None)
