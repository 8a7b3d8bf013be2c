"""What single rows say about two arms: where they differ, and how quality and latency go with the length of the input.

Reads `.predictions.jsonl` and `.latency.jsonl` beside the result files. The first hold rows of data sets and are kept
out of git, so they may be missing; nothing here fails then, there is just less.
"""

import json
import math
import random
from pathlib import Path
from statistics import median
from typing import NamedTuple

from scripts import results, tables
from tasks import shown

SEED = 13
FEW = 3  # examples of each sort
ROWS = 50  # the least in a bin of lengths
BINS = 6  # the most bins


class Example(NamedTuple):
    """A row of the data, and what each of the two arms made of it."""

    index: int
    input: object
    references: object
    answers: tuple[tuple[str, object, float], ...]  # (model, prediction, score)


class Bin(NamedTuple):
    """Rows of `low` to `high` words, and the interval of each arm's quality on them."""

    low: int
    high: int
    rows: int
    quality: dict[str, dict]  # model → {"value", "low", "high", "range"}

    @property
    def words(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


def predictions(folder: Path, result: dict) -> list[dict] | None:
    """The rows of a result, by index; None where there are none, or where they are not those it was made from."""
    records = _lines(folder, result, ".predictions.jsonl")
    if records is None or "metrics" not in result or len(records) != result["data"]["samples"]:
        return None
    return sorted(records, key=lambda record: record["index"])


def _lines(folder: Path, result: dict, suffix: str) -> list[dict] | None:
    file = results.address(folder, result["task"], result["model"], result["environment"]["device"]).with_suffix(suffix)
    if not file.is_file():
        return None
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def words(value) -> int:
    """Words of an input: of a text, or of all texts in a list or an object (a question and its context)."""
    if isinstance(value, str):
        return len(value.split())
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(words, parts))


# --- examples ---


def examples(rows: list[dict], found: dict[str, list[dict]], seed: int = SEED) -> list[tuple[str, list[Example]]]:
    """[(what they show, examples)] for the first two models of `rows` that have predictions in `found`; [] where two
    have not.

    The rule, the same for every task: of the rows in which a model's score is the better one, the tenth in which it is
    so by most (all that tie with them too); `FEW` of these are drawn with `seed`. Where both fail: of all rows the
    tenth whose better score is the lowest, less those that are as good as the best. An answer that is right to the
    letter counts as the best, whatever its score.
    """
    arms = [row for row in rows if row["model"] in found and row.get("family") != "floor"][:2]
    if len(arms) < 2:
        return []
    names = [row["model"] for row in arms]
    sign = -1 if tables.primary(arms[0])[1].get("lower_is_better") else 1
    both = list(zip(*(found[name] for name in names), strict=True))
    top = max(sign * record["score"] for records in both for record in records)
    scores = [[top if _exact(record) else sign * record["score"] for record in records] for records in both]  # (N, 2)
    ahead = [a - b for a, b in scores]
    lacking = [top - max(pair) for pair in scores]
    sorts = {
        f"{names[0]} better": _drawn(ahead, sum(d > 0 for d in ahead), seed),
        f"{names[1]} better": _drawn([-d for d in ahead], sum(d < 0 for d in ahead), seed),
        "both fail": _drawn(lacking, len(lacking), seed),
    }
    return [(what, [_example(names, both[i]) for i in places]) for what, places in sorts.items()]


def _exact(record: dict) -> bool:
    return shown.exact(record["prediction"], record["references"])


def _drawn(values: list[float], count: int, seed: int) -> list[int]:
    """Places of `FEW` values above 0, drawn from the highest `count` / 10 and all that tie with them."""
    above = sorted((value for value in values if value > 0), reverse=True)
    if not above:
        return []
    place = max(FEW, math.ceil(count / 10))
    least = above[min(place, len(above)) - 1]
    pool = [i for i, value in enumerate(values) if value >= least]
    return sorted(random.Random(seed).sample(pool, min(FEW, len(pool))))


def _example(names: list[str], records: tuple[dict, ...]) -> Example:
    answers = tuple((name, record["prediction"], record["score"]) for name, record in zip(names, records, strict=True))
    return Example(records[0]["index"], records[0]["input"], records[0]["references"], answers)


# --- length of the input ---


def edges(lengths: list[int], least: int = ROWS, most: int = BINS) -> list[tuple[int, int]]:
    """[(shortest, longest)] of at most `most` bins of nearly equal numbers of rows, `least` rows or more in each, rows
    of one length together; [] where the lengths do not make two bins."""
    if not lengths:
        return []
    wanted = max(least, math.ceil(len(lengths) / most))
    bins: list[list[int]] = [[]]
    for length in sorted(lengths):
        if len(bins[-1]) >= wanted and length != bins[-1][-1]:
            bins.append([])
        bins[-1].append(length)
    if len(bins) > 1 and len(bins[-1]) < least:
        bins[-2:] = [bins[-2] + bins[-1]]
    return [(part[0], part[-1]) for part in bins] if len(bins) > 1 else []


def by_length(metric, found: dict[str, list[dict]], seed: int = SEED) -> list[Bin]:
    """Quality of every model of `found` by words of the input, with 95 % bootstrap intervals over the rows of a bin."""
    import numpy as np

    from tasks.bootstrap import interval

    if not found:
        return []
    lengths = [words(record["input"]) for record in next(iter(found.values()))]
    bins = []
    for low, high in edges(lengths):
        inside = [i for i, length in enumerate(lengths) if low <= length <= high]
        quality = {}
        for model, records in found.items():
            statistics = np.array([records[i]["statistics"][metric.key] for i in inside], dtype=np.float64)  # (N, K)
            quality[model] = interval(metric, statistics, seed)
        bins.append(Bin(low, high, len(inside), quality))
    return bins


def agrees(metric, result: dict, records: list[dict]) -> bool:
    """Whether the records add up to the score of the result file: they may be of an older run."""
    import numpy as np

    total = np.sum([record["statistics"].get(metric.key, [math.nan]) for record in records], axis=0)
    if np.isnan(total).any():
        return False
    return math.isclose(metric.value(total), result["metrics"][metric.key]["value"], rel_tol=1e-6, abs_tol=1e-9)


def timed(folder: Path, result: dict, lengths: list[int]) -> list[tuple[int, float]]:
    """[(words, ms)] of every input that was timed, the median of its runs; `lengths` are the words of each row."""
    runs = [run for run in _lines(folder, result, ".latency.jsonl") or [] if run["measure"] == "latency" and run["ms"]]
    return sorted((lengths[run["index"]], median(run["ms"])) for run in runs if run["index"] < len(lengths))
