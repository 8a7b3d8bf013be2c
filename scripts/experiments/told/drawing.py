"""What the plots share: the look of each arm, panels, log axes, the legend. To be used inside `looks.settings()`."""

from typing import NamedTuple

from scripts.looks import OTHERS, PAIRING

STYLES = {  # marker, colour, dash: any two differ in more than their colour
    "transformer": (*PAIRING["transformer"], "-"),
    "lstm": (*PAIRING["lstm"], "-"),
    "rnn": (*OTHERS[0], ":"),
    "gru": (*OTHERS[1], "--"),
    "rnn orthogonal": (*OTHERS[2], "-."),
    "lstm forget 0": (*OTHERS[3], ":"),
    "lstm forget 1": (*PAIRING["lstm"], "-"),
    "lstm forget 3": (*OTHERS[4], "--"),
    "lstm attention": (*OTHERS[5], "-."),
}


class Picture(NamedTuple):
    """A figure with its file's name, a heading and what a reader must know to read it."""

    name: str
    title: str
    caption: str
    figure: object


def panels(across: int, down: int = 1, width: float = 4.6, height: float = 3.5):
    """A figure and its cells, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * across + 0.4, height * down + 0.7), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.06)
    return figure, list(figure.subplots(down, across, squeeze=False).flat)


def style(arm: str, place: int = 0) -> dict:
    """The look of an arm; one that is not known gets that of its place."""
    marker, colour, dash = STYLES.get(arm) or (*OTHERS[place % len(OTHERS)], ("-", "--", "-.", ":")[place % 4])
    return {"marker": marker, "color": colour, "linestyle": dash, "markersize": 4.5, "linewidth": 1.4}


def curve(cell, arm: str, x: list, y: list, low: list, high: list, place: int = 0, **more) -> None:
    """A line with a band around it."""
    look = style(arm, place) | more
    cell.plot(x, y, label=arm, **look)
    cell.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)


def bars(cell, arm: str, x: list, scores: list[dict], place: int = 0, count: int = 1) -> None:
    """A line through scores, with their intervals as upright bars; arms stand side by side."""
    look = style(arm, place)
    moved = [value + 0.12 * (place - (count - 1) / 2) for value in x]
    cell.vlines(moved, [s["low"] for s in scores], [s["high"] for s in scores], color=look["color"], linewidth=1.3)
    cell.plot(moved, [s["value"] for s in scores], label=arm, **look)


def head(cell, title: str, x: str, y: str) -> None:
    cell.set_title(title, loc="left", fontweight="bold", fontsize=9.5)
    cell.set_xlabel(x)
    cell.set_ylabel(y)


def log(axis) -> None:
    """Makes an axis logarithmic, with plain numbers on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def by_length(cell, lengths: list[int]) -> None:
    """A log axis with the lengths themselves on it."""
    from matplotlib.ticker import NullLocator

    cell.set_xscale("log")
    cell.set_xticks(lengths, [f"{n:,}" for n in lengths], fontsize=7.5, rotation=45 if len(lengths) > 6 else 0)
    cell.xaxis.set_minor_locator(NullLocator())


def legend(figure, cells: list, named: dict[str, str] | None = None) -> None:
    """One legend for all panels, under them; `named` has other words for arms."""
    found = {}
    for cell in cells:
        for handle, label in zip(*cell.get_legend_handles_labels(), strict=True):
            found.setdefault((named or {}).get(label, label), handle)
    if found:
        columns = max(1, min(len(found), int(figure.get_size_inches()[0] / 1.7)))
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)
