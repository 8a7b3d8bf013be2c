"""Pictures of results: quality against latency or size, a panel per task; quality and latency by length of the input.

Bars are intervals: upright the 95 % bootstrap interval of the quality, lying from p50 to p95 of the latency. Figures
are to be made inside `looks.settings()`.
"""

from collections.abc import Callable
from typing import NamedTuple

from scripts import tables
from scripts.compared import Bin
from scripts.looks import FLOOR, Arms, clipped, quality_label

COLUMNS = 3  # panels side by side
LYING = {"linestyle": (0, (4, 1)), "linewidth": 1.2}


class Axis(NamedTuple):
    """What lies on the x axis: words, where a mark stands, and how far its bar goes (None: no bar)."""

    title: str
    label: str
    unit: str
    lacking: str  # what an arm without such a figure is not
    place: Callable[[dict], float | None]
    reach: Callable[[dict], float | None]


def _latency(key: str) -> Callable[[dict], float | None]:
    return lambda row: (row.get("latency_ms") or {}).get(key)


LATENCY = Axis(
    title="Quality and latency",
    label="latency of one input, ms (log scale)",
    unit="ms",
    lacking="timed",
    place=_latency("p50"),
    reach=_latency("p95"),
)
SIZE = Axis(
    title="Quality and size",
    label="size of the weights, MB (log scale)",
    unit="MB",
    lacking="sized",
    place=lambda row: row["size_mb"],
    reach=lambda row: None,
)


def panels(found: list[dict]) -> list[list[dict]]:
    """Results by task and data, whatever the device: a panel each."""
    together: dict[tuple, list[dict]] = {}
    for group in tables.groups(found):
        together.setdefault(tables.data_of(group[0]), []).extend(group)
    return list(together.values())


def quality_against(found: list[dict], axis: Axis):
    """A `Figure` with a panel for each task and data, or None where no result has a metric."""
    from matplotlib.figure import Figure

    shown = [rows for rows in panels(found) if any("metrics" in row for row in rows)]
    if not shown:
        return None
    arms = Arms(found)
    across = min(COLUMNS, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(3.7 * across + 0.3, 3.05 * down + 0.8), layout="constrained")
    cells = list(figure.subplots(down, across, squeeze=False).flat)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.06)
    notes = [_panel(cell, rows, axis, arms) for cell, rows in zip(cells, shown, strict=False)]
    for cell, rows, said in zip(cells, shown, notes, strict=False):
        _head(cell, rows[0]["task"], said, max(map(len, notes)))
    for cell in cells[len(shown) :]:
        cell.set_axis_off()
    _legend(figure, [row for rows in shown for row in rows], axis, arms)
    return figure


def _panel(cell, rows: list[dict], axis: Axis, arms: Arms) -> list[str]:
    """Draws the marks and the axes; returns what is to be said above them."""
    scored = [row for row in rows if "metrics" in row]
    models = [row for row in scored if row["family"] != "floor"]
    data = rows[0]["data"]
    notes = [f"{data['source']} ({data['split']}, {data['samples']:,} rows)"]
    notes += [f"failed: {arms.name(row)}" for row in rows if "error" in row]
    places = []
    for row in models:
        x, reach = axis.place(row), axis.reach(row)
        if not x:
            notes.append(f"not {axis.lacking}: {arms.name(row)}")
            continue
        places += [x, reach or x]
        marker, colour = arms.mark(row)
        metric = tables.primary(row)[1]
        cell.vlines(x, metric["low"], metric["high"], color=colour, linewidth=1.6)
        if reach:
            cell.hlines(metric["value"], x, reach, color=colour, **LYING)
        fill = arms.fill(row["environment"]["device"])
        cell.plot(x, metric["value"], marker=marker, color=colour, markersize=7, linestyle="", zorder=3, **fill)
    _floor(cell, scored, models, notes)
    _log(cell, places)
    name, metric = tables.primary(scored[0])
    cell.set_xlabel(axis.label)
    cell.set_ylabel(quality_label(name, metric))
    if metric.get("lower_is_better"):
        cell.invert_yaxis()
    return notes


def _head(cell, title: str, notes: list[str], lines: int) -> None:
    """Title and notes above a panel, in the room of `lines` notes, so that titles stand level."""
    cell.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=5 + 10.5 * lines)
    words = "\n".join([clipped(note, 56) for note in notes] + [""] * (lines - len(notes)))
    cell.text(0, 1.02, words, transform=cell.transAxes, fontsize=7.5, color="0.3", va="bottom")


def _floor(cell, scored: list[dict], models: list[dict], notes: list[str]) -> None:
    """The floor as a grey line, unless that would press the models together: then as a note."""
    metric = next((tables.primary(row)[1] for row in scored if row["family"] == "floor"), None)
    if metric is None:
        return
    if _far([metric], [tables.primary(row)[1] for row in models]):
        notes.append(f"floor is off the axis: {tables.with_interval(metric)}")
        return
    cell.axhspan(metric["low"], metric["high"], color="0.93", zorder=0)
    cell.axhline(metric["value"], color=FLOOR, linestyle="--", linewidth=1.2, zorder=1)


def _far(floor: list[dict], models: list[dict]) -> bool:
    """Whether an axis with the floor on it would press the models into less than 40 % of it."""
    ends = [metric[end] for metric in models for end in ("low", "high")]
    if not ends:
        return False
    room = 1.5 * (max(ends) - min(ends))
    return any(not min(ends) - room <= metric["value"] <= max(ends) + room for metric in floor)


def _log(cell, places: list[float]) -> None:
    """A log axis around `places` with plain numbers on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if not places:
        cell.set_xticks([])
        return
    low, high = min(places) / 1.4, max(places) * 1.4
    spread = max(1.0, (4 / (high / low)) ** 0.5)  # at least a factor of 4 from end to end
    low, high = low / spread, high * spread
    cell.set_xscale("log")
    cell.set_xlim(low, high)
    within = ((10, (1, 1.5, 2, 3, 5, 7)), (200, (1, 2, 5)))
    subs = next((subs for ratio, subs in within if high / low < ratio), (1,))
    cell.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    cell.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    cell.xaxis.set_minor_locator(NullLocator())


def _legend(figure, rows: list[dict], axis: Axis, arms: Arms) -> None:
    from matplotlib.lines import Line2D

    models = [row for row in rows if "metrics" in row and row["family"] != "floor"]
    seen = {arms.name(row): arms.mark(row) for row in models}
    order = list(arms.marks.values())
    entries = [
        (Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7), name)
        for name, (marker, colour) in sorted(seen.items(), key=lambda entry: (order.index(entry[1]), entry[0]))
    ]
    if any(row.get("family") == "floor" for row in rows):
        entries.append((Line2D([], [], color=FLOOR, linestyle="--"), "floor: needs no model"))
    if len(arms.devices) > 1:
        for device in arms.devices:
            mark = Line2D([], [], linestyle="", marker="o", color="0.2", markersize=7, **arms.fill(device))
            entries.append((mark, device))
    entries.append((Line2D([], [], color="0.2", linestyle="", marker="|", markersize=10), "95 % interval"))
    if any(axis.reach(row) for row in models):
        entries.append((Line2D([], [], color="0.2", **LYING), "from p50 to p95"))
    handles, labels = zip(*entries, strict=True)
    width = figure.get_size_inches()[0]
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(len(labels), int(width / 2))))


def in_words(found: list[dict], axis: Axis) -> str:
    """What the picture shows, for those who can't see it."""
    said = []
    for rows in panels(found):
        name, metric = next((tables.primary(row) for row in rows if "metrics" in row), ("no metric", {}))
        several = len({row["environment"]["device"] for row in rows}) > 1
        parts = []
        for row in rows:
            device = f" on {row['environment']['device']}" if several else ""
            what = "failed" if "error" in row else tables.with_interval(tables.primary(row)[1])
            x = axis.place(row) if row.get("family", "floor") != "floor" else None
            parts.append(f"{row['model']}{device} {what}" + (f" at {tables.plain(x)} {axis.unit}" if x else ""))
        lower = ", lower is better" if metric.get("lower_is_better") else ""
        said.append(f"{rows[0]['task']} ({name}{lower}): {', '.join(parts)}")
    return f"{axis.title}. {'; '.join(said)}."


# --- by length ---


def by_length(rows: list[dict], bins: list[Bin], times: dict[str, list[tuple[int, float]]], arms: Arms):
    """A `Figure` of the models of `rows`: quality by words of the input (where there are bins), latency by words
    (where there are times); None where there is neither."""
    from matplotlib.figure import Figure

    parts = bool(bins) + bool(times)
    if not parts:
        return None
    figure = Figure(figsize=(5.6 * parts, 4.1), layout="constrained")
    cells = list(figure.subplots(1, parts, squeeze=False).flat)
    drawn = _quality_by_length(cells[0], rows, bins, arms) if bins else {}
    if times:
        drawn = _latency_by_length(cells[-1], rows, times, arms) | drawn
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=min(4, len(drawn)))
    return figure


def _quality_by_length(cell, rows: list[dict], bins: list[Bin], arms: Arms) -> dict:
    """Draws a line for each model; returns {name: line} for the legend."""
    shown = [row for row in rows if row["model"] in bins[0].quality]
    floors = [row["model"] for row in shown if row["family"] == "floor"]
    models = [quality for part in bins for model, quality in part.quality.items() if model not in floors]
    far = _far([part.quality[model] for part in bins for model in floors], models)
    shown = [row for row in shown if not (far and row["model"] in floors)]
    lines = {}
    for i, row in enumerate(shown):
        marker, colour = arms.mark(row)
        x = [place + 0.5 * (i - (len(shown) - 1) / 2) / len(shown) for place in range(len(bins))]
        values = [part.quality[row["model"]] for part in bins]
        cell.vlines(x, [v["low"] for v in values], [v["high"] for v in values], color=colour, linewidth=1.4)
        style = {"linestyle": "--" if row["model"] in floors else "-", "linewidth": 0.6, "markersize": 6}
        (lines[arms.name(row)],) = cell.plot(x, [v["value"] for v in values], marker=marker, color=colour, **style)
    cell.set_xticks(range(len(bins)), [f"{part.words}\n({part.rows} rows)" for part in bins], fontsize=7.5)
    name, metric = tables.primary(shown[0])
    notes = ["bars: 95 % intervals"] + ["the floor is off the axis"] * far
    _head(cell, "Quality by length", [", ".join(notes)], 1)
    cell.set_xlabel("length of the input, words")
    cell.set_ylabel(quality_label(name, metric))
    if metric.get("lower_is_better"):
        cell.invert_yaxis()
    return lines


def _latency_by_length(cell, rows: list[dict], times: dict[str, list[tuple[int, float]]], arms: Arms) -> dict:
    """Draws a dot for each input and model; returns {name: dots} for the legend."""
    dots = {}
    for row in rows:
        if points := times.get(row["model"]):
            marker, colour = arms.mark(row)
            x, y = zip(*points, strict=True)
            style = {"markersize": 4, "linestyle": "", "alpha": 0.8}
            (dots[arms.name(row)],) = cell.plot(x, y, marker=marker, color=colour, **style)
    _head(cell, "Latency by length", ["a dot is one input, the median of its runs"], 1)
    cell.set_xlabel("length of the input, words")
    cell.set_ylabel("latency, ms")
    cell.set_ylim(bottom=0)
    return dots
