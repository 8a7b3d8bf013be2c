"""The curve of `tasks.daily`: the index by day with its band, a panel per ticker, as PNG or as a page."""

import html
import io
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path

from pipelines.errors import UserError
from tasks.daily import Day

MOST = 12  # panels; further tickers, those with the fewest headlines, are left out
SETTINGS = {
    "text.parse_math": False,  # a ticker may be written $AAPL
    "svg.fonttype": "none",
    "svg.hashsalt": "duet",  # the same days give the same bytes
}
SAID = (
    "Index: P(bullish) - P(bearish), the mean over a day's headlines. Band: 95 %, normal; the fewer headlines and the "
    "less sure the model, the wider. It takes headlines as independent and says nothing of prices."
)
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px sans-serif;max-width:60em;margin:2em auto}}svg{{width:100%;height:auto}}
td,th{{padding:.2em .7em;text-align:right}}td:first-child,th:first-child{{text-align:left}}</style>
<h1>{title}</h1>
<p>{said}</p>
{picture}
<table><tr>{head}</tr>
{rows}
</table></html>
"""


def write(days: list[Day], path: Path, source: str) -> int:
    """Draws `days` into `path`, by its ending; returns how many tickers were left out. Raises `UserError` for a path
    that can't be written to."""
    import matplotlib

    tickers = sorted({day.ticker for day in days})
    count = {ticker: sum(day.headlines for day in days if day.ticker == ticker) for ticker in tickers}
    chosen = sorted(sorted(tickers, key=lambda ticker: -count[ticker])[:MOST])
    source = source.encode(errors="replace").decode()  # the bytes of a file's name need not be UTF-8
    title, file = f"Sentiment of {source}, day by day", io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = draw([[day for day in days if day.ticker == ticker] for ticker in chosen], title)
        if path.suffix.lower() == ".png":
            figure.savefig(file, format="png", dpi=120, metadata={"Description": SAID})
        else:
            figure.savefig(file, format="svg", metadata={"Date": None})
    content = file.getvalue()
    if path.suffix.lower() == ".html":
        content = page(days, content.decode(), title).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error
    return len(tickers) - len(chosen)


def draw(panels: list[list[Day]], title: str):
    """A `Figure` with a panel for each ticker's days, on the same axes."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1 + 1.9 * len(panels)), layout="constrained")
    figure.suptitle(title)
    cells = figure.subplots(len(panels), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    numbers = date2num([date.fromisoformat(day.date) for days in panels for day in days])
    margin = (max(numbers) - min(numbers)) / 20 or 1  # days; around a single one there must be some
    # matplotlib's own margins may reach beyond the years 1 to 9999, where it has no dates
    ends = max(min(numbers) - margin, date2num(date.min)), min(max(numbers) + margin, date2num(date.max))
    cells[0].set_xlim(*ends)
    for cell, days in zip(cells, panels, strict=True):
        x = [date.fromisoformat(day.date) for day in days]
        low, high = ([getattr(day, end) for day in days] for end in ("low", "high"))
        cell.axhline(0, color="0.6", linewidth=0.8)
        cell.fill_between(x, low, high, color="#1f4e8c", alpha=0.2, linewidth=0)
        cell.vlines(x, low, high, color="#1f4e8c", alpha=0.4, linewidth=1)  # a lonely day has no area
        cell.plot(x, [day.index for day in days], marker="o", markersize=4, color="#1f4e8c", linewidth=1.2)
        cell.set_ylim(-1.05, 1.05)
        cell.set_ylabel("bearish   bullish", fontsize=8)
        cell.set_title(f"{days[0].ticker} ({sum(day.headlines for day in days)} headlines)", loc="left", fontsize=10)
    locator = AutoDateLocator(minticks=3)
    cells[-1].xaxis.set_major_locator(locator)
    cells[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return figure


def page(days: list[Day], picture: str, title: str) -> str:
    """A page of its own: the picture, and the table for those who can't see it or want the numbers."""
    names = [field.name for field in fields(Day)]
    rows = ["".join(f"<td>{html.escape(str(value))}</td>" for value in asdict(day).values()) for day in days]
    return PAGE.format(
        title=html.escape(title),
        said=html.escape(SAID),
        picture=picture[picture.index("<svg") :],
        head="".join(f"<th>{name}</th>" for name in names),
        rows="\n".join(f"<tr>{row}</tr>" for row in rows),
    )
