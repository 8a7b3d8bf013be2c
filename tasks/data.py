"""Reads a task's data: a Hub data set, its local mirror (`DUET_DATA`), a file of the user's own, or the samples.

Knows columns and splits; knows no model.  `DUET_DATA=DIR` makes `DIR/<org>/<name>` win over the Hub. With neither
mirror nor network the bundled samples serve, and `Rows.source` says so.
"""

import glob
import itertools
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines import hub
from pipelines.errors import UserError
from tasks import Task

SAMPLES = Path(__file__).parent / "samples"
FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Rows:
    """A split as two lists of equal length, with where it came from.

    `inputs` are what the task's pipeline takes. `targets` are what its metrics take: for text2text a list of
    reference texts per row, for classification the label's name, for question answering {"text", "answer_start"}, for
    similarity a number.
    """

    inputs: list
    targets: list
    source: str
    split: str

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, limit: int | None, seed: int = 13) -> "Rows":
        """At most `limit` rows, drawn with `seed`, in their own order; all of them where `limit` is None."""
        if limit is None or limit >= len(self):
            return self
        keep = sorted(random.Random(seed).sample(range(len(self)), limit))
        return replace(self, inputs=[self.inputs[i] for i in keep], targets=[self.targets[i] for i in keep])


def read(task: Task, source: str | None = None, split: str | None = None, limit: int | None = None) -> Rows:
    """The rows of one split of `source` (default: the task's first source), ready for the task's pipeline and metrics.

    `source` is a file (.jsonl, .json, .csv, .parquet), a folder in the Hub's layout, a Hub id (with `:N` at the end
    for N rows of it) or "samples".
    Raises `UserError` for a missing file or split, an unreadable file, missing columns (it lists what is there) and
    labels the task does not know.
    """
    named, source, split = source is not None, source or task.sources[0], split or task.split
    if task.read:
        return task.read(source, split).take(limit)
    source, some = limited(source)
    if source == "samples":
        table, origin = _samples(task, split), "samples"
    else:
        table, origin = _table(task, source, split, fall_back=not named)
    if origin == "samples" and split != "train":
        split = "validation"
    return _rows(task, table, origin, split).take(some).take(limit)


def read_all(task: Task, sources: list[str], split: str, limit: int | None = None) -> Rows:
    """The rows of several sources, one after the other; a source named twice counts twice."""
    parts = [read(task, source, split) for source in sources]
    return joined(parts, " + ".join(part.source for part in parts), split).take(limit)


def joined(parts: list[Rows], source: str, split: str) -> Rows:
    """The rows of all parts, one after the other."""
    inputs, targets = (sum((getattr(part, side) for part in parts), []) for side in ("inputs", "targets"))
    return Rows(inputs, targets, source, split)


def bare(source: str) -> str:
    """A source without the `:N` that takes N rows of it."""
    return limited(source)[0]


def limited(source: str) -> tuple[str, int | None]:
    """Name and number of "name:N"; None where there is no number."""
    head, _, tail = source.rpartition(":")
    return (head, int(tail)) if head and tail.isdecimal() else (source, None)


def _samples(task: Task, split: str):
    file = SAMPLES / f"{task.name}.jsonl"
    table = _load("json", [str(file)], str(file))
    wanted = "train" if split == "train" else "validation"
    return table.filter(lambda part: part == wanted, input_columns="split")


def _table(task: Task, source: str, split: str, fall_back: bool):
    """The raw table of a split, and the origin to report. Order: file, folder, mirror, Hub, samples."""
    path = Path(source).expanduser()
    if path.suffix in FORMATS or path.is_file():
        return _file(path), str(path)
    mirror = os.environ.get("DUET_DATA")
    for folder in ([path] if path.is_dir() else []) + ([Path(mirror) / source] if mirror else []):
        if folder.is_dir():
            return _folder(folder, split), source
    try:
        return _hub(source, split), source
    except Exception as error:  # the Hub client has a dozen ways to say "not reachable"
        if fall_back:
            return _samples(task, split), "samples"
        raise UserError(
            f"data {source!r} is no file or folder here, not in DUET_DATA={mirror or '(unset)'}, and the Hub gave: "
            f"{str(error).splitlines()[0]}. The task's own: {', '.join((*task.sources, 'samples'))}."
        ) from error


def _hub(source: str, split: str):
    """`datasets`' own route. Where the Hub is out of reach it is told so for this once, and serves what it has cached;
    left alone it would try again and again, half a minute a data set."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if hub.offline():
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        name, config = (source.rsplit("/", 1) + [None])[:2] if source.count("/") > 1 else (source, None)
        return datasets.load_dataset(name, config, split=split)
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _file(path: Path):
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: can't tell the format; choose from {', '.join(FORMATS)}.")
    return _load(FORMATS[path.suffix], [str(path)], str(path))


def _folder(folder: Path, split: str):
    """A split of a folder in the Hub's layout. The files are named one by one because `datasets` mixes up two local
    folders of the same last name in its cache."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in FORMATS)
    there = sorted({p.stem.split("-")[0] for p in files})
    chosen = [p for p in files if p.stem.split("-")[0] == split]
    if not chosen:
        raise UserError(f"{folder} has no split {split!r}: choose from {', '.join(there) or '(no data files)'}.")
    return _load(FORMATS[chosen[0].suffix], [str(p) for p in chosen], str(folder))


def _load(builder: str, files: list[str], name: str):
    import datasets

    datasets.disable_progress_bars()
    # of CSV cells only an empty one is missing: "NA" and "None" are words
    options = {"keep_default_na": False, "na_values": [""]} if builder == "csv" else {}
    try:
        if not any(os.path.getsize(file) for file in files):
            raise ValueError("the file is empty")
        named = [glob.escape(file) for file in files]  # `datasets` takes patterns; a file may be called "mine [1].csv"
        return datasets.load_dataset(builder, data_files=named, split="train", **options)
    except Exception as error:
        cause = str(error.__cause__ or error).strip() or type(error).__name__
        if "corresponds to no data" in cause:  # how `datasets` says that a table has a header only
            cause = "there are no rows"
        raise UserError(f"{name}: can't be read as {builder}: {cause.splitlines()[0]}") from error


def _rows(task: Task, table, origin: str, split: str) -> Rows:
    if task.kind == "chat":
        from tasks import dialogues

        return Rows(*dialogues.read(table, _column(task, table, "input", origin)), origin, split)
    picked = {}
    for role in task.columns:
        picked[role] = table[_column(task, table, role, origin)][:]
    targets = _targets(task, table, _recoded(task, picked.pop("target"), origin), origin)
    if task.kind == "text_generation":  # some data sets keep the blank lines between their texts
        targets = picked["input"] = [text for text in targets if text is None or text.strip()]
    if set(picked) == {"input"}:
        inputs = picked["input"]
    else:
        inputs = [dict(zip(picked, values, strict=True)) for values in zip(*picked.values(), strict=True)]
    nothing = (None, [None]) if task.kind == "token_classification" else (None, [], [None])  # a text may name nobody
    empty = [i for i, (x, y) in enumerate(zip(inputs, targets, strict=True)) if _gap(x) or y in nothing]
    if empty:
        raise UserError(f"{origin}: row {empty[0] + 1} has an empty field ({len(empty)} such rows).")
    return Rows(inputs, targets, origin, split)


def _column(task: Task, table, role: str, origin: str) -> str:
    """The column that a role has in a table. Raises `UserError` where there is none."""
    for name in task.columns[role]:
        if name in table.column_names:
            return name
    wanted, there = " or ".join(task.columns[role]), ", ".join(table.column_names)
    raise UserError(f"{origin}: {task.name} needs a column {wanted}; there are: {there}.")


def _gap(value) -> bool:
    """Whether an input is missing, or one of its parts."""
    return value is None or (isinstance(value, dict) and None in value.values())


def _targets(task: Task, table, values: list, origin: str) -> list:
    if task.kind == "text2text":
        return [value if isinstance(value, list) or value is None else [value] for value in values]
    if task.kind == "question_answering":
        contexts = table[next(name for name in task.columns["context"] if name in table.column_names)]
        return [_answers(value, context) for value, context in zip(values, contexts, strict=True)]
    if task.kind == "token_classification":
        from tasks import entities

        tokens, tags = (next(n for n in task.columns[role] if n in table.column_names) for role in ("tokens", "target"))
        return entities.from_table(task, table, table[tokens][:], values, tags, origin)
    if task.kind == "text_similarity":
        return [_score(value, f"{origin}: row {i + 1}") for i, value in enumerate(values)]
    if task.labels:
        return [label_name(task, value, f"{origin}: row {i + 1}") for i, value in enumerate(values)]
    return values


def _recoded(task: Task, values: list, origin: str) -> list:
    """Targets of a data set with ids or a scale of its own as ours; it is known by its id, also within a path."""
    pairs = map("/".join, itertools.pairwise(Path(origin).parts))
    recode = next((task.recode[pair] for pair in pairs if pair in task.recode), None)
    return values if recode is None else [_recode(recode, value) for value in values]


def _recode(recode: Callable, value):
    """A target as ours; as it is where it has no code, as a label in words: what reads it next knows it or says so."""
    try:
        return None if value is None else recode(value)
    except (IndexError, TypeError):
        return value


def _score(value, where: str) -> float | None:
    """A number. Raises `UserError` for what is none."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise UserError(f"{where}: not a number: {value!r}.")
    return number


def _answers(value, context: str) -> dict | None:
    """Annotated answers as SQuAD has them, {"text": […], "answer_start": […]}, the starts in characters.

    One text or a list of texts is looked up in the context; the start of one that isn't there is -1.
    """
    if value is None or isinstance(value, dict):
        return value
    texts = value if isinstance(value, list) else [value]
    return {"text": texts, "answer_start": [(context or "").find(text) for text in texts]}


def label_name(task: Task, label: str | int, where: str = "") -> str:
    """The task's own name of a label that came as a number, in another case, as `LABEL_1` or by an alias.

    Raises `UserError` for a label the task does not know, `where` in front.
    """
    text = str(label).strip()
    number = text.removeprefix("LABEL_")
    if number.isdecimal() and int(number) < len(task.labels):
        return task.labels[int(number)]
    for name in task.labels:
        if name.casefold() == text.casefold():
            return name
    if text.casefold() in task.aliases:
        return task.aliases[text.casefold()]
    raise UserError(f"{where + ': ' if where else ''}unknown label {label!r}: choose from {', '.join(task.labels)}.")
