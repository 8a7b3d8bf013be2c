"""Results as Markdown: the table that the harness prints, and the README's results block.

    python -m scripts.report                  # results/*.json → the block between the markers in README.md
    python -m scripts.report --check          # exit status 1 where README.md shows something else than the files

One table per task, data and device; the best figure of each column is bold (the floor stays out of that).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.errors import UserError
from scripts import results

BEGIN, END = "<!-- results -->", "<!-- /results -->"
ORDER = ("transformer", "lstm")  # first the task's own pairing, then others by name, the floor at the end
DASH = "–"


def tables(found: Iterable[dict]) -> str:
    """Markdown of all results, a table with a caption for each (task, data, device)."""
    groups: dict[tuple, list[dict]] = {}
    for result in sorted(found, key=_rank):
        data = result["data"]
        group = (result["task"], data["source"], data["split"], data["samples"], result["environment"]["device"])
        groups.setdefault(group, []).append(result)
    return "\n\n".join(_caption(rows) + "\n\n" + _table(_columns(rows), rows) for rows in groups.values())


def _rank(result: dict) -> tuple:
    model = result["model"]
    place = ORDER.index(model) if model in ORDER else len(ORDER) + (model == "floor")
    return (result["task"], result["environment"]["device"], result["data"]["source"], place, model)


def _caption(rows: list[dict]) -> str:
    data, where = rows[0]["data"], rows[0]["environment"]
    hardware = where.get("hardware") or where["device"]
    threads = f", {where['threads']} thread{'s' * (where['threads'] > 1)}" if where["device"] == "cpu" else ""
    size = f"{data['samples']:,} rows"
    own = "the samples bundled with this project" if data["source"] == "samples" else data["source"]
    return f"**{rows[0]['task']}** on {own} ({data['split']}, {size}); {where['device']}: {hardware}{threads}."


class Column:
    """A column of the table: its header with the unit, a number per row (or None), and how that is written."""

    def __init__(
        self, header: str, number: Callable[[dict], float | None], show: Callable, best: Callable | None = None
    ):
        self.header, self.number, self.show, self.best = header, number, show, best

    def cells(self, rows: list[dict]) -> list[str]:
        numbers = [self.number(row) for row in rows]
        rivals = [n for n, row in zip(numbers, rows, strict=True) if n is not None and row.get("family") != "floor"]
        top = self.best(rivals) if self.best and len(rivals) > 1 else None
        texts = [DASH if n is None else self.show(n, row) for n, row in zip(numbers, rows, strict=True)]
        bold = [
            n is not None and n == top and row.get("family") != "floor" for n, row in zip(numbers, rows, strict=True)
        ]
        return [f"**{text}**" if b else text for text, b in zip(texts, bold, strict=True)]


def _columns(rows: list[dict]) -> list[Column]:
    columns = [
        Column("task", _always, _word("task")),
        Column("model", _always, _model),
        Column("checkpoint", _always, _checkpoint),
    ]
    metrics = next((row["metrics"] for row in rows if "metrics" in row), {})
    for place, (name, metric) in enumerate(metrics.items()):
        best = min if metric.get("lower_is_better") else max
        interval = " [95 %]" if place == 0 else ""
        show = _with_interval if place == 0 else _score
        columns.append(
            Column(f"{name} ({metric['range']}){interval}", _at("metrics", name, "value"), _named(show, name), best)
        )
    columns += [
        Column("p50 ms", _at("latency_ms", "p50"), _plain, min),
        Column("p95 ms", _at("latency_ms", "p95"), _plain, min),
        Column("ms per token", _at("latency_ms", "per_new_token", "p50"), _plain, min),
        Column(f"samples/s{_batch(rows)}", _at("throughput", "samples_per_s"), _plain, max),
        Column("file MB", _at("size_mb"), _plain, min),
        Column("parameters M", lambda row: row["parameters"] / 1e6 if "parameters" in row else None, _plain, min),
        Column("peak memory MB", _at("memory_mb", "peak"), _plain, min),
        Column("difference (p)", _at("significance", "delta"), _difference),
    ]
    return [column for column in columns if any(column.number(row) is not None for row in rows)]


def _table(columns: list[Column], rows: list[dict], words: int = 3) -> str:
    """The first `words` columns are words and stand left, numbers stand right."""
    cells = [column.cells(rows) for column in columns]
    lines = [[column.header for column in columns], ["---" if i < words else "---:" for i in range(len(columns))]]
    lines += [[cell.replace("|", "\\|") for cell in line] for line in zip(*cells, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _at(*path: str) -> Callable[[dict], float | None]:
    def number(row: dict):
        for key in path:
            row = (row or {}).get(key)
        return row

    return number


def _named(show: Callable, name: str) -> Callable:
    return lambda number, row: show(row["metrics"][name])


def _model(_, row: dict) -> str:
    family = row.get("family")
    return row["model"] if not family or family in row["model"] else f"{row['model']} ({family})"


def _checkpoint(_, row: dict) -> str:
    return f"*failed: {row['error']}*" if "error" in row else row["checkpoint"]


def _score(metric: dict, number: float | None = None) -> str:
    return f"{metric['value'] if number is None else number:.{1 if metric['range'] == '0-100' else 3}f}"


def _with_interval(metric: dict) -> str:
    return f"{_score(metric)} [{_score(metric, metric['low'])}, {_score(metric, metric['high'])}]"


def _plain(number: float, row: dict | None = None) -> str:
    """About three figures: 0.123, 4.56, 78.9, 1,234. Past a thousandth and a million only that it is past them."""
    if number >= 1e6 or 0 < number < 1e-3:
        return "> 1,000,000" if number >= 1e6 else "< 0.001"
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}" if number >= 1 or not number else f"{number:.3f}"


def _batch(rows: list[dict]) -> str:
    sizes = {row["throughput"]["batch_size"] for row in rows if row.get("throughput")}
    return f" (batch {sizes.pop()})" if len(sizes) == 1 else ""


def _difference(delta: float, row: dict) -> str:
    test = row["significance"]
    shown = _score(row["metrics"][test["metric"]], delta)
    sign = "" if shown.startswith("-") else "+"
    chance = "< 0.001" if test["p_value"] < 0.001 else f"= {test['p_value']:.3f}"
    return f"{sign}{shown} to {test['against']} (p {chance})"


def training(folder: Path) -> str:
    """Markdown of `results/training/*.json`, as far as each file tells; "" where there are none."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    runs = [run.get("environment", {}) | run for run in runs]
    numbers = {"epochs": "epochs", "steps": "steps", "tokens_per_s": "tokens/s", "minutes": "minutes"}
    columns = [Column(word, _always, _word(word)) for word in ("task", "family", "device", "hardware")]
    columns += [Column(header, _at(key), _plain) for key, header in numbers.items()]
    columns.append(Column("peak memory MB", _at("peak_memory_mb"), _plain))
    return _table(columns, runs, words=4) if runs else ""


def _word(key: str) -> Callable:
    return lambda _, row: str(row.get(key) or DASH)


def _always(row: dict) -> float:
    return 0.0


def block(folder: Path) -> str:
    """All that stands between the README's markers."""
    found = results.read(folder)
    parts = [tables(found) or "No results yet: `python -m scripts.harness` makes them."]
    runs = training(folder / "training")
    if runs:
        parts.append("How the bundled checkpoints were trained:\n\n" + runs)
    return "\n\n".join(parts)


def refreshed(readme: str, folder: Path) -> str:
    """The README's text with its results block made anew. Raises `UserError` where the markers are missing."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise UserError(f"the README has no {BEGIN} … {END}: add the two markers where the table should stand.")
    return f"{head}{BEGIN}\n{block(folder)}\n{END}{tail}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts.report", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of result files (default: results)"
    )
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="file with the markers")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where the file is out of date"
    )
    args = parser.parse_args(argv)
    try:
        old = args.readme.read_text(encoding="utf-8")
        new = refreshed(old, args.results)
    except (UserError, ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    if args.check:
        if old != new:
            print(f"report: {args.readme} is out of date: run python -m scripts.report", file=sys.stderr)
        return int(old != new)
    if old != new:
        results.write_text(args.readme, new)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
