"""Results as tables: rows of result files → columns → Markdown for the terminal and the README, cells for the page.

One table per task, data and device; the best figure of each column is bold (the floor stays out of that).
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import tasks

ORDER = ("transformer", "lstm")  # first the task's own pairing, then others by name, the floor at the end
DASH = "–"


class Cell(NamedTuple):
    """What stands in a cell, and how: "best" of its column, "failed", or ""."""

    text: str
    style: str = ""


class Column:
    """A column of the table: its header with the unit, a number per row (or None), and how that is written."""

    def __init__(
        self, header: str, number: Callable[[dict], float | None], show: Callable, best: Callable | None = None
    ):
        self.header, self.number, self.show, self.best = header, number, show, best

    def cells(self, rows: list[dict]) -> list[Cell]:
        numbers = [self.number(row) for row in rows]
        rivals = [n for n, row in zip(numbers, rows, strict=True) if n is not None and row.get("family") != "floor"]
        top = self.best(rivals) if self.best and len(rivals) > 1 else None
        return [self._cell(n, row, top) for n, row in zip(numbers, rows, strict=True)]

    def _cell(self, number: float | None, row: dict, top: float | None) -> Cell:
        if number is None:
            return Cell(DASH)
        best = number == top and row.get("family") != "floor"
        failed = self.show in (_checkpoint, _metric) and "error" in row
        return Cell(self.show(number, row), "best" if best else "failed" if failed else "")


def groups(found: Iterable[dict]) -> list[list[dict]]:
    """The results that can be compared, in the order of the tables: of one task, data and device."""
    together: dict[tuple, list[dict]] = {}
    for result in sorted(found, key=_rank):
        together.setdefault((*data_of(result), result["environment"]["device"]), []).append(result)
    return list(together.values())


def data_of(result: dict) -> tuple:
    """What a result was measured on: task, source, split and rows."""
    data = result["data"]
    return result["task"], data["source"], data["split"], data["samples"]


def _rank(result: dict) -> tuple:
    model, task = result["model"], result["task"]
    place = ORDER.index(model) if model in ORDER else len(ORDER) + (model == "floor")
    known = tasks.TASKS.index(task) if task in tasks.TASKS else len(tasks.TASKS)
    return (known, task, result["environment"]["device"], result["data"]["source"], place, model)


def tables(found: Iterable[dict]) -> str:
    """Markdown of all results, a table with a caption for each (task, data, device)."""
    return "\n\n".join(_caption(rows) + "\n\n" + _markdown(columns_of(rows), rows) for rows in groups(found))


def _caption(rows: list[dict]) -> str:
    return f"**{rows[0]['task']}** on {measured_on(rows[0])}; {device_of(rows[0])}."


def measured_on(result: dict) -> str:
    """The data in words: source, split, rows."""
    data = result["data"]
    own = "the samples bundled with this project" if data["source"] == "samples" else data["source"]
    return f"{own} ({data['split']}, {data['samples']:,} rows)"


def device_of(result: dict) -> str:
    """The machine in words: device, name, threads."""
    where = result["environment"]
    threads = f", {where['threads']} thread{'s' * (where['threads'] > 1)}" if where["device"] == "cpu" else ""
    return f"{where['device']}: {where.get('hardware') or where['device']}{threads}"


def columns_of(rows: list[dict]) -> list[Column]:
    """All that is known of the rows of a group; columns without a number are left out."""
    columns = [
        Column("task", _always, _word("task")),
        Column("model", _always, _model),
        Column("checkpoint", _always, _checkpoint),
    ]
    metrics = next((row["metrics"] for row in rows if "metrics" in row), {})
    for place, (name, metric) in enumerate(metrics.items()):
        best = min if metric.get("lower_is_better") else max
        interval = " [95 %]" if place == 0 else ""
        show = with_interval if place == 0 else score
        columns.append(
            Column(f"{name} ({_scale(metric)}){interval}", _at("metrics", name, "value"), _named(show, name), best)
        )
    return _filled(columns + _costs(rows), rows)


def brief_of(rows: list[dict]) -> list[Column]:
    """The columns of the overview, in which each row shows its own task's primary metric."""
    lower = any(primary(row)[1].get("lower_is_better") for row in rows if "metrics" in row)
    costs = {column.header: column for column in _costs(rows, batch=False)}
    return [
        Column("task", _always, _word("task")),
        Column("model", _always, _model),
        Column("device", _always, lambda _, row: row["environment"]["device"]),
        Column("metric", _always, _metric),
        Column("quality [95 %]", _quality, lambda _, row: with_interval(primary(row)[1]), min if lower else max),
        *(costs[header] for header in ("p50 ms", "p95 ms", "samples/s", "file MB", "difference (p)")),
    ]


def _costs(rows: list[dict], batch: bool = True) -> list[Column]:
    return [
        Column("p50 ms", _at("latency_ms", "p50"), plain, min),
        Column("p95 ms", _at("latency_ms", "p95"), plain, min),
        Column("ms per token", _at("latency_ms", "per_new_token", "p50"), plain, min),
        Column(f"samples/s{_batch(rows) if batch else ''}", _at("throughput", "samples_per_s"), plain, max),
        Column("file MB", _at("size_mb"), plain, min),
        Column("parameters M", lambda row: row["parameters"] / 1e6 if "parameters" in row else None, plain, min),
        Column("peak memory MB", _at("memory_mb", "peak"), plain, min),
        Column("difference (p)", _at("significance", "delta"), difference),
    ]


def _filled(columns: list[Column], rows: list[dict]) -> list[Column]:
    return [column for column in columns if any(column.number(row) is not None for row in rows)]


def _markdown(columns: list[Column], rows: list[dict], words: int = 3) -> str:
    """The first `words` columns are words and stand left, numbers stand right."""
    marks = {"best": "**", "failed": "*", "": ""}
    cells = [[f"{marks[c.style]}{c.text}{marks[c.style]}" for c in column.cells(rows)] for column in columns]
    lines = [[column.header for column in columns], ["---" if i < words else "---:" for i in range(len(columns))]]
    lines += [[cell.replace("|", "\\|") for cell in line] for line in zip(*cells, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# --- numbers and words of a row ---


def _at(*path: str) -> Callable[[dict], float | None]:
    def number(row: dict):
        for key in path:
            row = (row or {}).get(key)
        return row

    return number


def primary(row: dict) -> tuple[str, dict]:
    """Name and value of the task's primary metric: the first of the file."""
    return next(iter(row["metrics"].items()))


def _quality(row: dict) -> float | None:
    return primary(row)[1]["value"] if "metrics" in row else None


def _metric(_, row: dict) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    name, metric = primary(row)
    return f"{name} ({_scale(metric)})"


def _scale(metric: dict) -> str:
    return f"{metric['range']}{', lower is better' if metric.get('lower_is_better') else ''}"


def _named(show: Callable, name: str) -> Callable:
    return lambda number, row: show(row["metrics"][name])


def _model(_, row: dict) -> str:
    family = row.get("family")
    return row["model"] if not family or family in row["model"] else f"{row['model']} ({family})"


def _checkpoint(_, row: dict) -> str:
    return f"failed: {row['error']}" if "error" in row else row["checkpoint"]


def score(metric: dict, number: float | None = None) -> str:
    """A value of the metric, or `number` on its scale, with as many digits as tell something."""
    return f"{metric['value'] if number is None else number:.{1 if metric['range'] == '0-100' else 3}f}"


def with_interval(metric: dict) -> str:
    """0.881 [0.872, 0.890]"""
    return f"{score(metric)} [{score(metric, metric['low'])}, {score(metric, metric['high'])}]"


def plain(number: float, row: dict | None = None) -> str:
    """About three figures: 0.123, 4.56, 78.9, 1,234. Past a thousandth and a million only that it is past them."""
    if number >= 1e6 or 0 < number < 1e-3:
        return "> 1,000,000" if number >= 1e6 else "< 0.001"
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}" if number >= 1 or not number else f"{number:.3f}"


def _batch(rows: list[dict]) -> str:
    sizes = {row["throughput"]["batch_size"] for row in rows if row.get("throughput")}
    return f" (batch {sizes.pop()})" if len(sizes) == 1 else ""


def difference(delta: float, row: dict) -> str:
    """+0.020 to lstm (p = 0.001)"""
    test = row["significance"]
    shown = score(row["metrics"][test["metric"]], delta)
    sign = "" if shown.startswith("-") else "+"
    return f"{sign}{shown} to {test['against']} (p {chance(test['p_value'])})"


def chance(p_value: float) -> str:
    """= 0.012, or < 0.001"""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


# --- how the checkpoints were trained ---


def trainings(folder: Path) -> list[dict]:
    """`results/training/*.json` by name, each flat: what its environment says is beside the rest."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return [run.get("environment", {}) | run for run in runs]


def training_columns() -> list[Column]:
    """What a training cost, as far as each file tells."""
    numbers = {"epochs": "epochs", "steps": "steps", "tokens_per_s": "tokens/s", "minutes": "minutes"}
    columns = [Column(word, _always, _word(word)) for word in ("task", "family", "device", "hardware")]
    columns += [Column(header, _at(key), plain) for key, header in numbers.items()]
    return [*columns, Column("peak memory MB", _at("peak_memory_mb"), plain)]


def training(folder: Path) -> str:
    """Markdown of `results/training/*.json`; "" where there are none."""
    runs = trainings(folder)
    return _markdown(training_columns(), runs, words=4) if runs else ""


def sweeps(folder: Path) -> str:
    """Markdown of `results/sweeps/*.json`, a row per sweep: the recipe's score and that of the best change; or ""."""
    lines = ["| task | family | trials | metric | the recipe | best change | with it |"]
    lines += ["| --- | --- | ---: | --- | ---: | --- | ---: |"]
    for file in sorted(folder.glob("*.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        scores = [trial["validation"][said["metric"]] for trial in said["trials"]]
        least = min if said.get("lower_is_better") else max
        best = least(range(1, len(scores)), key=scores.__getitem__)
        changed = ", ".join(f"{key} {value:g}" for key, value in said["trials"][best]["changed"].items())
        head = f"| {said['task']} | {said['family']} | {len(scores)} | {said['metric']} |"
        lines.append(f"{head} {scores[0]:.3f} | {changed} | {scores[best]:.3f} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _word(key: str) -> Callable:
    return lambda _, row: str(row.get(key) or DASH)


def _always(row: dict) -> float:
    return 0.0
