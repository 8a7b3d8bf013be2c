"""Result folders as the harness leaves them, made up: for the tests of the report."""

import json
import random
from pathlib import Path

from scripts import results

RANGES = {"bleu": "0-100", "bits_per_byte": "bits", "chrf": "0-100"}
LOWER = ("bits_per_byte",)
FAMILIES = {"lstm": "lstm", "floor": "floor", "transformer": "bert"}


def result(
    task: str = "sentiment", model: str = "lstm", value: float = 0.8, metric: str = "accuracy", **changes
) -> dict:
    """A result file's content. `device`, `source`, `samples`, `p50` and `size_mb` are short for what lies deeper."""
    device = changes.pop("device", "cpu")
    data = {"source": changes.pop("source", "org/set"), "split": "validation", "samples": changes.pop("samples", 100)}
    p50 = changes.pop("p50", 4.0)
    room = 2.0 if RANGES.get(metric) == "0-100" else 0.02
    scores = {"value": value, "low": value - room, "high": value + room, "range": RANGES.get(metric, "0-1")}
    if metric in LOWER:
        scores["lower_is_better"] = True
    test = {"against": "lstm", "metric": metric, "delta": 0.0123, "p_value": 0.004}
    whole = {
        "schema": 1,
        "task": task,
        "model": model,
        "checkpoint": f"checkpoints/{task}-{model}",
        "family": FAMILIES.get(model, "bert"),
        "parameters": 2_100_000,
        "size_mb": 0.0 if model == "floor" else 4.2,
        "data": data,
        "metrics": {metric: scores},
        "latency_ms": {"p50": p50, "p95": 1.5 * p50, "p99": 2 * p50, "mean": p50, "first": 9, "load": 41, "runs": 9},
        "throughput": {"samples_per_s": 310.0, "batch_size": 32},
        "memory_mb": {"peak": 512.0},
        "significance": None if model == "lstm" else test,
        "environment": {
            "device": device, "hardware": f"the {device}", "torch": "2", "transformers": "5", "threads": 2,
            "commit": "abc", "seed": 13,
        },
    }  # fmt: skip
    return whole | changes


def failed(
    task: str = "sentiment", model: str = "org/too-large", error: str = "MemoryError: no room", **changes
) -> dict:
    whole = result(task, model, **changes)
    return {key: whole[key] for key in ("schema", "task", "model", "data", "environment")} | {"error": error}


def write(folder: Path, *found: dict) -> Path:
    for each in found:
        results.write(address(folder, each), each)
    return folder


def address(folder: Path, each: dict) -> Path:
    return results.address(folder, each["task"], each["model"], each["environment"]["device"])


def right_or_wrong(right: list[bool], words: list[int], text: str = "word") -> list[dict]:
    """Predictions of a task that is measured by accuracy: row i has `words[i]` words."""
    return [
        {
            "index": i,
            "input": " ".join([text] * count),
            "references": "positive",
            "prediction": "positive" if good else "negative",
            "score": float(good),
            "statistics": {"accuracy": [int(good), 1]},
        }
        for i, (good, count) in enumerate(zip(right, words, strict=True))
    ]


def write_rows(folder: Path, each: dict, records: list[dict], runs: list[dict] = ()) -> None:
    results.write_lines(address(folder, each).with_suffix(".predictions.jsonl"), records)
    if runs:
        results.write_lines(address(folder, each).with_suffix(".latency.jsonl"), runs)


def pairing(folder: Path, rows: int = 180, seed: int = 5, **changes) -> dict[str, list[dict]]:
    """Writes three arms of `sentiment` with results that agree with their predictions; returns these by model."""
    draw = random.Random(seed)
    words = [draw.randint(1, 30) for _ in range(rows)]
    written = {}
    for model, share in {"transformer": 0.9, "lstm": 0.8, "floor": 0.6}.items():
        records = right_or_wrong([draw.random() < share for _ in range(rows)], words)
        accuracy = sum(record["score"] for record in records) / rows
        each = result(model=model, value=accuracy, samples=rows, p50=8.0 if model == "transformer" else 2.0, **changes)
        runs = [{"measure": "latency", "index": i, "ms": [0.1 * words[i] + 1, 0.2, 99.0]} for i in range(0, rows, 9)]
        write(folder, each)
        write_rows(folder, each, records, runs)
        written[model] = records
    return written


def write_training(folder: Path, task: str = "sentiment", family: str = "lstm", **changes) -> None:
    record = {"task": task, "family": family, "steps": 1234, "tokens_per_s": 8123.4, "minutes": 12.5}
    record["environment"] = {"device": "cpu", "hardware": "some CPU"}
    results.write_text(folder / "training" / f"{task}--{family}--cpu.json", json.dumps(record | changes))
