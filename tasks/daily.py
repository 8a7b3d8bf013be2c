"""Sentiment day by day: `python -m tasks.market --file news.csv --date date --ticker ticker --plot curve.html`.

A headline's index is P(bullish) - P(bearish), from -1 to 1; a day's index is the mean over its headlines. The 95 % band
around it is normal. In it each headline counts as +1, 0 or -1 with the model's probabilities; over a day's n headlines
that has the variance v = mean(P(bullish) + P(bearish)) - index², and the band is index ± 1.96 √(v / n), within -1 to 1.
So a single headline has a band too, as wide as the model is unsure. It takes the probabilities at their word and the
headlines as independent, which copies of one report are not; it says nothing of prices.
"""

import argparse
import importlib.util
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path

from pipelines.errors import UserError, unknown
from tasks import Task, inputs

PLOTS = (".png", ".html")
ALL = "all"  # the one ticker where no column names any
Z = 1.96  # standard deviations on either side of a 95 % band


@dataclass(frozen=True)
class Day:
    """The headlines of a ticker's day: how many, how many of each label, index and band (-1 to 1)."""

    ticker: str
    date: str
    headlines: int
    bearish: int
    neutral: int
    bullish: int
    index: float
    low: float
    high: float


def options(p: argparse.ArgumentParser) -> None:
    """Adds the flags of the table by day."""
    add = p.add_argument
    add("--date", metavar="C", help="column with dates: a table by day of the index, P(bullish) - P(bearish)")
    add("--ticker", metavar="C", help="column with tickers, for a table by ticker and day (default: one for all)")
    add("--date-format", metavar="FMT", help="how dates are written, as %%d/%%m/%%Y (default: ISO, 2024-03-05)")
    add("--plot", metavar="F", help="also draw the index by day with 95 %% bands into F, .png or .html")


def run(task: Task, args: argparse.Namespace) -> int | None:
    """Prints the table by ticker and day and draws the curve, where `--date` asks for it; None where it doesn't.

    Returns the exit status: 1 where a row could not be used. Raises `UserError` for flags that don't go together.
    """
    column, ticker, form, plot = (args.options.pop(name, None) for name in ("date", "ticker", "date_format", "plot"))
    if column is None:
        given = {"--ticker": ticker, "--date-format": form, "--plot": plot}
        lonely = next((flag for flag, value in given.items() if value), None)
        if lonely:
            raise UserError(f"{lonely} needs --date C, the column of the file that holds the dates.")
        return None
    if not args.file or Path(args.file).suffix.lower() not in inputs.TABLES:
        raise UserError(f"--date needs a --file of {', '.join(inputs.TABLES)}.")
    if args.compare or "top_k" in args.options:
        raise UserError(f"{'--compare' if args.compare else '--top-k'} doesn't go with --date.")
    _check(plot)
    more = (column, *([ticker] if ticker else []))
    items = inputs.read(args.texts, args.file, args.column, task.columns["input"], more=more)
    found, failed = _days(task, args, items, form)
    if args.json:
        for day in found:
            print(json.dumps(asdict(day), ensure_ascii=False))
    elif found:
        print(table(found))
    if plot and found:
        from tasks import cli, curve

        left = curve.write(found, Path(plot).expanduser(), Path(args.file).name)
        cli.say(task, f"curve: {plot}" + (f", without the {left} tickers of the fewest headlines" if left else ""))
    return 1 if failed else 0


def _check(plot: str | None) -> None:
    """Raises `UserError` for a picture that can't be drawn, before any model is loaded."""
    if plot is None:
        return
    path = Path(plot).expanduser()
    if path.suffix.lower() not in PLOTS:
        raise unknown("kind of picture", path.suffix or plot, PLOTS)
    if not path.parent.is_dir():
        raise UserError(f"--plot: no such folder: {path.parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib: pip install '.[report]'")


def _days(task: Task, args: argparse.Namespace, items: Iterable[inputs.Item], form: str | None):
    """The days of all items that can be used, a list, and how many can't: each of these is told with its line."""
    from tasks import cli

    rows: dict[tuple[str, date], list[dict[str, float]]] = {}
    arm, failed, keyed = None, 0, ((item, _key(item, form)) for item in items)
    with cli._progress(inputs.count([], args.file), True) as advance:
        while batch := list(itertools.islice(keyed, args.batch_size)):
            texts = [item.text for item, key in batch if isinstance(key, tuple)]
            if texts and arm is None:
                arm = cli.load(task, args, args.model[0] if args.model else "transformer")
            outputs = iter(cli.answer(arm.pipe, texts, args.batch_size, {"top_k": None}) if texts else ())
            for item, key in batch:
                output = next(outputs) if isinstance(key, tuple) else None
                problem = cli.problem_of(item, output) if isinstance(key, tuple) else key
                if problem:
                    failed += 1
                    cli.say(task, f"{item.where}: {problem}")
                else:
                    rows.setdefault(key, []).append(_scores(task, arm, output))
                advance()
    if not rows and not failed:
        raise UserError(f"{args.file} is empty.")
    return [_day(*key, rows[key]) for key in sorted(rows)], failed


def _key(item: inputs.Item, form: str | None) -> tuple[str, date] | str:
    """(ticker, day) of a row, or why it has none."""
    if item.error:
        return item.error
    ticker = ALL if len(item.beside) < 2 else "" if item.beside[1] is None else str(item.beside[1]).strip()
    if not ticker:
        return "no ticker"
    day = day_of(item.beside[0], form)
    if day is None:
        return f"not a date of the form {form or '2024-03-05 (ISO 8601; see --date-format)'}: {str(item.beside[0])!r}"
    return ticker, day


def day_of(value, form: str | None = None) -> date | None:
    """The day of a date or a time, which counts in its own time zone; a text is read by `form`, else as ISO 8601. None
    for what is none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        text = value.strip()
        return (datetime.strptime(text, form) if form else datetime.fromisoformat(text)).date()
    except (AttributeError, ValueError):
        return None


def _scores(task: Task, arm, output: list[dict]) -> dict[str, float]:
    """{label: probability} by the task's names. Raises `UserError` for a model of other labels."""
    scores = {row["label"]: row["score"] for row in arm.value(output)}
    if set(scores) != set(task.labels):
        raise UserError(f"{arm.name} answers {', '.join(scores)}: the index needs {', '.join(task.labels)}.")
    return scores


def _day(ticker: str, day: date, rows: list[dict[str, float]]) -> Day:
    count = len(rows)
    best = [max(row, key=row.get) for row in rows]
    index = math.fsum(row["bullish"] - row["bearish"] for row in rows) / count
    variance = math.fsum(row["bullish"] + row["bearish"] for row in rows) / count - index**2
    reach = Z * math.sqrt(max(variance, 0.0) / count)
    labels = {name: best.count(name) for name in ("bearish", "neutral", "bullish")}
    band = {"index": index, "low": max(index - reach, -1.0), "high": min(index + reach, 1.0)}
    return Day(ticker, day.isoformat(), count, **labels, **{name: round(value, 4) for name, value in band.items()})


def table(days: list[Day]) -> str:
    """The days as aligned columns under their names."""
    rows = [[field.name for field in fields(Day)]]
    for day in days:
        values = asdict(day).values()
        rows.append([f"{value:+.2f}" if isinstance(value, float) else str(value) for value in values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust, str.ljust, *[str.rjust] * (len(widths) - 2)]
    return "\n".join("  ".join(map(lambda side, *cell: side(*cell), sides, row, widths)) for row in rows)
