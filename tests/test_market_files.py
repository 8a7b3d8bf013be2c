"""The table by ticker and day over files as people have them: sparse rows, numbers for dates, stray bytes, far days."""

import json
import math
from datetime import date

import pyarrow
import pyarrow.parquet
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tasks import cli, curve, daily, load

MARKET = load("market")
DATED = ("--date", "date", "--ticker", "ticker")


@pytest.fixture
def batches(monkeypatch):
    """How many texts came at a time to a model that finds each neutral."""
    sizes = []

    def outputs(texts, batch_size, top_k):
        sizes.append(len(texts))
        return [[{"label": label, "score": float(label == "neutral")} for label in MARKET.labels] for _ in texts]

    arm = cli.Arm("canned", outputs, lambda output: output, None, None)
    monkeypatch.setattr(cli, "load", lambda *_: arm)
    return sizes


def of(tmp_path, rows: list[dict], name: str = "a.jsonl"):
    """A file of rows."""
    file = tmp_path / name
    if file.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def found(lines: list[str]) -> list[list[str]]:
    """Ticker, date and count of the table's rows."""
    return [line.split()[:3] for line in lines[1:]]


# --- the file ---


@pytest.mark.parametrize("suffix", (".jsonl", ".csv", ".parquet"))
def test_a_missing_and_an_empty_file(batches, run, tmp_path, suffix):
    status, lines, err = run(MARKET, "--file", tmp_path / f"a{suffix}", *DATED)
    assert (status, lines) == (2, []) and "no such file" in err and err.count("\n") == 1
    if suffix != ".parquet":
        (tmp_path / f"a{suffix}").touch()
        status, lines, err = run(MARKET, "--file", tmp_path / f"a{suffix}", *DATED)
        assert (status, lines) == (2, []) and "is empty" in err and err.count("\n") == 1


def test_rows_come_in_batches_that_grow(batches, run, tmp_path):
    file = of(tmp_path, [{"headline": "x", "date": "2024-03-05"}] * 1000)
    assert found(run(MARKET, "--file", file, "--date", "date")[1]) == [["all", "2024-03-05", "1000"]]
    assert batches == [16, 32, 64, 128, 256, 256, 248]
    batches.clear()
    run(MARKET, "--file", file, "--date", "date", "--batch-size", "400")
    assert batches == [400, 400, 200]


def test_a_row_without_a_date_is_told_wherever_it_stands(batches, run, tmp_path):
    rows = [{"headline": "x"}, {"date": "2024-03-05", "headline": "x"}, {"date": "2024-03-05"}]
    status, lines, err = run(MARKET, "--file", of(tmp_path, rows), "--date", "date")
    assert status == 1 and found(lines) == [["all", "2024-03-05", "1"]]
    first, third = err.splitlines()
    assert first.endswith("a.jsonl, line 1: no column 'date'; there are: headline")
    assert third.endswith("a.jsonl, line 3: no column 'headline'; there are: date")
    status, lines, err = run(MARKET, "--file", of(tmp_path, rows), "--date", "dat")
    assert (status, lines) == (2, []) and err.count("\n") == 1 and "unknown column 'dat': choose from headline" in err


# --- dates ---


@pytest.mark.parametrize(
    "form", ["%d/%d/%Y", "%Q", "%d/%m", "%m/%Y", "", "day", "%d.%m.%Y %", "%Y-%m-%d\0", "%Y-%m-%d\udce9"]
)
def test_a_format_that_gives_no_day_is_wrong_use(batches, run, tmp_path, form):
    file = of(tmp_path, [{"headline": "x", "date": "05/03"}])
    status, lines, err = run(MARKET, "--file", file, "--date", "date", "--date-format", form)
    assert (status, lines, batches) == (2, [], [])
    assert f"--date-format {form!r} gives no day" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("form", "text"),
    (
        ("%d/%m/%y", "05/03/24"),
        ("%A, %d %B %Y", "Tuesday, 05 March 2024"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-03-05T09:00:00+0900"),
        ("%I:%M %p %d.%m.%Y", "11:59 PM 05.03.2024"),
        ("%j %Y", "065 2024"),
        ("%G-W%V-%u", "2024-W10-2"),
    ),
)
def test_formats_that_give_a_day(form, text):
    daily._check_format(form)
    assert daily.day_of(text, form) == date(2024, 3, 5)


@pytest.mark.parametrize("suffix", (".jsonl", ".parquet"))
def test_dates_and_tickers_that_are_numbers(batches, run, tmp_path, suffix):
    rows = [
        {"headline": "x", "date": 20240305, "ticker": 7203.0},
        {"headline": "x", "date": 20240305, "ticker": math.nan},
        {"headline": "x", "date": 20241305, "ticker": 1.5},
        {"headline": "x", "date": None, "ticker": 1.5},
        {"headline": "x", "date": 20240306, "ticker": 1.5},
    ]
    command = ("--file", of(tmp_path, rows, f"a{suffix}"), *DATED, "--date-format", "%Y%m%d")
    status, lines, err = run(MARKET, *command)
    assert status == 1 and found(lines) == [["1.5", "2024-03-06", "1"], ["7203", "2024-03-05", "1"]]
    told = err.splitlines()
    assert len(told) == 3 and told[0].endswith("2: no ticker")
    assert "not a date" in told[1] and "20241305" in told[1].replace(".0", "") and "not a date" in told[2]


def test_a_number_that_lost_its_first_zero_is_no_other_day():
    assert daily.day_of(1112024, "%d%m%Y") == date(2024, 11, 1)  # from its left it would be 11 January
    assert daily.day_of(90305, "%y%m%d") == date(2009, 3, 5)
    for value in (20240305, True, math.nan):
        assert daily.day_of(value) is None
    for value in (True, math.nan, None, [5], -5):
        assert daily.day_of(value, "%Y%m%d") is None


# --- the picture ---


def test_a_ticker_that_is_no_utf_8_is_told_and_the_rest_is_drawn(batches, run, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("date,ticker,headline\n2024-03-05,Société,x\n2024-03-05,A,x\n".encode("latin-1"))
    status, lines, err = run(MARKET, "--file", file, *DATED, "--plot", tmp_path / "c.html")
    assert status == 1 and found(lines) == [["A", "2024-03-05", "1"]]
    assert "line 2: the ticker is not valid UTF-8" in err and "<svg" in (tmp_path / "c.html").read_text()


def test_a_files_name_need_not_be_utf_8(tmp_path):
    (day,) = [daily._day("A", date(2024, 3, 5), [dict.fromkeys(MARKET.labels, 1 / 3)])]
    curve.write([day], tmp_path / "c.html", "Soci\udce9.csv")
    assert "Soci?.csv" in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize("others", ([], [date(2024, 3, 5), date(2024, 3, 6)]))
@pytest.mark.parametrize("far", (date.min, date.max))
def test_the_first_and_the_last_day_there_are_can_be_drawn(tmp_path, far, others):
    row = dict.fromkeys(MARKET.labels, 1 / 3)
    days = sorted([far, *others])
    assert curve.write([daily._day("A", day, [row]) for day in days], tmp_path / "c.png", "news.csv") == 0
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_document_has_no_days(batches, run, tmp_path):
    file = of(tmp_path, [{"headline": "x", "date": "2024-03-05"}])
    status, lines, err = run(MARKET, "--file", file, "--date", "date", "--document")
    assert (status, lines) == (2, []) and err.endswith("--document doesn't go with --date.\n")


# --- the model ---


def test_a_model_of_another_shape_is_one_line(run, tiny_t5):
    for name in ("market", "classify", "intents"):  # tasks that the Hub has no name for
        status, lines, err = run(load(name), "--model", tiny_t5, "x")
        assert (status, lines) == (2, []) and err.count("\n") == 1
        assert f"is a model for text2text-generation, not for {name}. Bundled for {name}: transformer" in err


def test_a_model_that_gives_a_number_is_one_line(run, tiny_bert, tmp_path):
    regression = {"num_labels": 1, "ignore_mismatched_sizes": True}
    AutoModelForSequenceClassification.from_pretrained(tiny_bert, **regression).save_pretrained(tmp_path / "m")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "m")
    status, lines, err = run(MARKET, "--model", tmp_path / "m", "x")
    assert (status, lines) == (2, []) and "gives a number and no labels: not for market." in err
