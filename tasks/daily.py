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
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
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
    others = {"--compare": args.compare, "--document": args.document, "--top-k": "top_k" in args.options}
    other = next((flag for flag, given in others.items() if given), None)
    if other:
        raise UserError(f"{other} doesn't go with --date.")
    _check_format(form)
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


def _check_format(form: str | None) -> None:
    """Raises `UserError` for a format that dates can't be read by, or not the whole of a day: `%d/%m` has no year."""
    if form is None:
        return
    day = datetime(2024, 3, 5, 12, tzinfo=UTC)
    try:
        whole = datetime.strptime(day.strftime(form), form).date() == day.date()
    except (ValueError, re.error):  # the latter for a part that comes twice
        whole = False
    if not whole:
        raise UserError(f"--date-format {form!r} gives no day: it needs day, month and year once each, as %d/%m/%Y.")


def _days(task: Task, args: argparse.Namespace, items: Iterator[inputs.Item], form: str | None):
    """The days of all items that can be used, a list, and how many can't: each of these is told with its line."""
    from tasks import cli

    first = next(items, None)  # this opens the file, and says what is wrong with it
    if first is None:
        raise UserError(f"{args.file} is empty.")
    rows: dict[tuple[str, date], list[dict[str, float]]] = {}
    arm, failed, keyed = None, 0, ((item, _key(item, form)) for item in itertools.chain([first], items))
    with cli.progress(inputs.count([], args.file), True) as advance:
        for batch in cli.gathered(keyed, args.batch_size or cli.FIRST, args.batch_size or cli.MOST):
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
    return [_day(*key, rows[key]) for key in sorted(rows)], failed


def _key(item: inputs.Item, form: str | None) -> tuple[str, date] | str:
    """(ticker, day) of a row, or why it has none."""
    if item.error:
        return item.error
    ticker = ALL if len(item.beside) < 2 else _cell(item.beside[1])
    if not ticker:
        return "no ticker"
    try:
        ticker.encode()  # as of a text: a byte that was no UTF-8 is here a lone surrogate
    except UnicodeEncodeError:
        return "the ticker is not valid UTF-8"
    day = day_of(item.beside[0], form)
    if day is None:
        return f"not a date of the form {form or '2024-03-05 (ISO 8601; see --date-format)'}: {str(item.beside[0])!r}"
    return ticker, day


def day_of(value, form: str | None = None) -> date | None:
    """The day of a date or a time, which counts in its own time zone; a text is read by `form`, else as ISO 8601, and
    so is a number where there is a `form`, 20240305 by `%Y%m%d`. None for what is none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        if not form:
            return datetime.fromisoformat(value.strip()).date()
        text = _cell(value)
        if not isinstance(value, str):
            text = text.zfill(len(date(2024, 3, 5).strftime(form)))  # a number has lost its first zeros
        return datetime.strptime(text, form).date()
    except (AttributeError, ValueError):
        return None


def _cell(value) -> str:
    """A cell as text, "" for an empty one. A column of numbers with gaps comes as floats: 7203.0 is 7203, NaN none."""
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


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
