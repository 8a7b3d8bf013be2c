"""What training costs, for both arms of each pairing: read from what trainings left, nothing is timed here.

- `results/training/<task>--<family>--<device>.json`, the records of the bundled checkpoints: tokens per second, real
  tokens per padded token, minutes, the score on the validation rows.
- `runs/<task>-<family>/training/log.jsonl`, where it is there: the training loss by step. A step's time is the
  training's, evenly spread. And `validation.jsonl` beside it, where it is there: scores by step and seconds.

Tokens are those that batches are filled with: of both sides for text to text, of the text for all others. Target tokens
are those that have a loss: tokens that are written, tags, or one label a text.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from scripts.experiments.store import Run, Store

PART = "costs"
ALIKE = ("text2text", "text_generation", "text_classification")  # kinds whose two arms have the same loss
POINTS = 60  # of a curve that are kept


@dataclass(frozen=True, kw_only=True)
class Settings:
    smoothed: int = 10  # points of the log that a point of the curve is the mean of


FULL = QUICK = Settings()


def measure(run: Run, store: Store) -> None:
    """Fills in the units (task) with {"arms": {family: figures}, "metric", "higher_is_better", "to_loss", "to_score"}.
    They are read anew each time, since reading costs nothing; but logs are no part of the repository, so curves that
    were read from them once stay where the logs are gone and the records are the same."""
    store.begin(PART, FULL)
    records: dict[str, dict] = {}
    for file in sorted((run.results / "training").glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["environment"]["device"] == run.device.partition(":")[0]:
            records.setdefault(record["task"], {})[record["family"]] = record
    pairs = {task: both for task, both in records.items() if "lstm" in both and len(both) == 2}
    if not pairs:
        run.say(f"{PART}: no task has records of both arms in {run.results / 'training'}: nothing to compare")
    for task, both in pairs.items():
        unit = {"part": PART, "task": task}
        store.add(unit, compared(task, both, run.runs, (store.get(unit) or {}).get("arms", {})))


def compared(task: str, records: dict[str, dict], runs: Path, before: dict[str, dict]) -> dict:
    """The figures of both arms, and how long each took to the best level that both reached. `before`: the arms as they
    were read the last time."""
    import tasks
    from tasks.metrics import metrics_of

    loaded = tasks.load(task)
    first = metrics_of(loaded)[0]
    told: dict = {"metric": first.key, "higher_is_better": first.higher_is_better, "arms": {}}
    for family, record in records.items():
        folder = runs / f"{task}-{family}" / "training"
        told["arms"][family] = {
            "parameters": record["parameters"],
            "tokens_per_s": record["tokens_per_s"],
            "target_tokens_per_s": record.get("target_tokens_per_s"),
            "real_tokens_per_padded": record["real_tokens_per_padded"],
            "minutes": record["minutes"],
            "minutes_to_best": record["minutes"] * record["best_step"] / record["steps"],
            "score": record["validation"].get(first.key),
            "hardware": record["environment"].get("hardware"),
            "pretrained": bool(record["recipe"].get("init")),
            "scores": _scores(folder, first, record),
            "losses": _losses(folder, record) if loaded.kind in ALIKE else [],
        }
        _keep_curves(told["arms"][family], before.get(family, {}))
    told["to_loss"] = _to_level({f: arm["losses"] for f, arm in told["arms"].items()}, lower=True)
    told["to_score"] = _to_level({f: arm["scores"] for f, arm in told["arms"].items()}, not first.higher_is_better)
    return told


def _keep_curves(arm: dict, was: dict) -> None:
    if all(arm[key] == was.get(key) for key in ("parameters", "minutes", "tokens_per_s", "score")):
        for key in ("scores", "losses"):
            arm[key] = arm[key] or was[key]


def _losses(folder: Path, record: dict) -> list[list[float]]:
    """[[minutes, mean loss of a token since the point before], …]; [] without a log, or with that of another run.

    Steps that copied sources are left out: theirs is the loss of another task.
    """
    entries = [entry for entry in _lines(folder / "log.jsonl") if "loss" in entry]
    if not entries or entries[-1]["step"] != record["steps"]:
        return []
    entries = [entry for entry in entries if entry["step"] > record["recipe"].get("copy_steps", 0)]
    size = max(FULL.smoothed, -(-len(entries) // POINTS))
    each = record["minutes"] / record["steps"]
    curve = []
    for i in range(0, len(entries) - size + 1, size):
        some = entries[i : i + size]
        loss = sum(entry["loss"] for entry in some) / size
        curve.append([float(f"{some[-1]['step'] * each:.4g}"), float(f"{loss:.5g}")])
    return curve


def _scores(folder: Path, metric, record: dict) -> list[list[float]]:
    """[[minutes, score on the validation rows], …]; [] where they were not kept, or are those of another run: a
    training evaluates at its last step, and its record has the best score."""
    key = metric.key
    entries = [entry for entry in _lines(folder / "validation.jsonl") if key in entry]
    if not entries or entries[-1]["step"] != record["steps"]:
        return []
    best = (max if metric.higher_is_better else min)(entry[key] for entry in entries)
    if not math.isclose(best, record["validation"].get(key, math.nan), rel_tol=1e-3):
        return []
    return [[float(f"{entry['seconds'] / 60:.4g}"), float(f"{entry[key]:.5g}")] for entry in entries]


def _lines(file: Path) -> list[dict]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def _to_level(curves: dict[str, list[list[float]]], lower: bool) -> dict | None:
    """{"level": the best value that all curves reach, "minutes": {family: when it first did}}; None without curves."""
    if len(curves) < 2 or not all(curves.values()):
        return None
    sign = -1 if lower else 1
    level = min(max(sign * value for _, value in curve) for curve in curves.values())
    minutes = {f: next(m for m, value in curve if sign * value >= level) for f, curve in curves.items()}
    return {"level": sign * level, "minutes": minutes}
