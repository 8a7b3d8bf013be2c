"""The result file, `results/<task>--<model>--<device>.json`: its shape, its address, reading and writing.

DESIGN.md fixes the fields; what was not measured is null there, never left out. Beside it lie, of the same name,
`.predictions.jsonl` (every prediction, with the statistics that its scores are made of) and `.latency.jsonl` (every
timed run). A model that ran but failed leaves a short file with "error", so that its row stays in the table.
"""

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

SCHEMA = 1
NUMBER = (int, float)
SHAPE = {
    "schema": int,
    "task": str,
    "model": str,
    "checkpoint": str,
    "family": str,
    "parameters": int,
    "size_mb": NUMBER,
    "data": {"source": str, "split": str, "samples": int},
    "metrics": dict,
    "latency_ms": {
        "p50": NUMBER,
        "p95": NUMBER,
        "p99": NUMBER,
        "mean": NUMBER,
        "first": (*NUMBER, None),
        "load": (*NUMBER, None),
        "runs": int,
    },
    "throughput": {"samples_per_s": NUMBER, "batch_size": int},
    "memory_mb": {"peak": (*NUMBER, None)},
    "significance": {"against": str, "metric": str, "delta": NUMBER, "p_value": NUMBER},
    "environment": {
        "device": str,
        "torch": str,
        "transformers": str,
        "threads": int,
        "commit": (str, None),
        "seed": int,
    },
}
METRIC = {"value": NUMBER, "low": NUMBER, "high": NUMBER, "range": str}
NULLABLE = ("latency_ms", "throughput", "memory_mb", "significance")  # not measured, or nothing to compare with
FAILED = {key: SHAPE[key] for key in ("schema", "task", "model", "data", "environment")} | {"error": str}


def faults(result: dict) -> list[str]:
    """What keeps `result` from being a result file of schema 1, a line each; [] where nothing does."""
    if "error" in result:
        return _faults(result, FAILED, "")
    found = _faults(result, SHAPE, "")
    metrics = result.get("metrics")
    if isinstance(metrics, dict):
        found += [] if metrics else ["metrics: empty"]
        found += [line for name, metric in metrics.items() for line in _faults(metric, METRIC, f"metrics.{name}.")]
    return found


def _faults(value, shape: dict, where: str) -> list[str]:
    """`shape` maps a key to a type, a tuple of types (None for null), or another such shape. More keys are allowed."""
    if not isinstance(value, dict):
        return [f"{where.rstrip('.')}: not an object"]
    found = []
    for key, wanted in shape.items():
        if key not in value:
            found.append(f"{where}{key}: missing")
        elif value[key] is None and key in NULLABLE:
            continue
        elif isinstance(wanted, dict):
            found += _faults(value[key], wanted, f"{where}{key}.")
        elif not _fits(value[key], wanted if isinstance(wanted, tuple) else (wanted,)):
            found.append(f"{where}{key}: {value[key]!r}")
    return found


def _fits(value, types: tuple) -> bool:
    if value is None or isinstance(value, bool):
        return value is None and None in types
    return isinstance(value, tuple(t for t in types if t)) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


def address(folder: Path, task: str, model: str, device: str) -> Path:
    """Where a model's result lies. An id or a folder becomes one plain word: org/model → org-model."""
    word = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]+", "-", model)).strip("-.") or "model"
    return folder / f"{task}--{word}--{device}.json"


def write(file: Path, result: dict) -> None:
    """Writes a result as a whole or not at all. Raises `ValueError` for one that is not of the schema."""
    wrong = faults(result)
    if wrong:
        raise ValueError(f"not a result of schema {SCHEMA}: {'; '.join(wrong)}")
    write_text(file, json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def write_lines(file: Path, records: Iterable[dict]) -> None:
    """Writes JSON Lines, the whole file or nothing."""
    write_text(file, "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records))


def write_text(file: Path, text: str) -> None:
    """Writes beside `file` and renames, so that a reader or a Ctrl-C never meets half a file."""
    write_bytes(file, text.encode())


def write_bytes(file: Path, content: bytes) -> None:
    """`write_text` for what is no text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def read(folder: Path) -> list[dict]:
    """The results in `folder`, by file name. Raises `ValueError` naming a file that is not of the schema."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            wrong = faults(result) if isinstance(result, dict) else ["not an object"]
        except json.JSONDecodeError as error:
            wrong = [str(error)]
        if wrong:
            raise ValueError(f"{file}: {'; '.join(wrong)}")
        found.append(result)
    return found
