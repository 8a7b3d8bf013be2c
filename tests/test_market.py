"""Market sentiment: two data sets' labels as ours, and the table and the curve by ticker and day."""

import importlib.util
import json
import math
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
from conftest import seeded

from pipelines import UserError, scratch
from tasks import cli, curve, daily, data, inputs, load
from tasks.metrics import metrics_of

MARKET = load("market")
EXAMPLE = Path(__file__).parent.parent / "examples" / "headlines.csv"
DATED = ("--date", "date", "--ticker", "ticker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, word_tokenizer):
    """A tiny LSTM with the labels that most models of others use."""
    torch.manual_seed(0)
    sizes = {"d_model": 16, "hidden_size": 16}
    labels = ("Positive", "Negative", "Neutral")
    model = seeded(scratch.new_model("text_classification", "lstm", word_tokenizer, sizes, labels=labels), scale=8.0)
    path = tmp_path_factory.mktemp("models") / "tiny-market"
    model.save_pretrained(path)
    word_tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def canned(monkeypatch):
    """Answers that are known: a headline is "bearish neutral bullish" in hundredths."""

    def outputs(texts, batch_size, top_k):
        shares = [[int(part) / 100 for part in text.split()] for text in texts]
        both = [zip(MARKET.labels, row, strict=True) for row in shares]
        return [[{"label": label, "score": score} for label, score in row] for row in both]

    arm = cli.Arm("canned", outputs, lambda output: output, None, None)
    monkeypatch.setattr(cli, "load", lambda *_: arm)


def csv_of(path, rows: list[str], header: str = "date,ticker,headline"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# --- labels ---


def test_both_data_sets_have_our_labels(tmp_path, monkeypatch):
    ids = {"takala/financial_phrasebank": "sentence", "zeroshot/twitter-financial-news-sentiment": "text"}
    for name, column in ids.items():
        (tmp_path / name).mkdir(parents=True)
        rows = [{column: f"row {i}", "label": i} for i in range(3)]
        (tmp_path / name / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("DUET_DATA", str(tmp_path))
    phrases, tweets = MARKET.sources
    assert data.read(MARKET).targets == ["bearish", "neutral", "bullish"]
    assert data.read(MARKET, tweets).targets == ["bearish", "bullish", "neutral"]
    assert data.read(MARKET, str(tmp_path / tweets)).targets == ["bearish", "bullish", "neutral"]
    assert data.read(MARKET, str(tmp_path / tweets / "validation.jsonl")).targets == ["bearish", "bullish", "neutral"]
    mixed = data.read_all(MARKET, [phrases, f"{tweets}:3"], "validation")
    assert mixed.targets == ["bearish", "neutral", "bullish", "bearish", "bullish", "neutral"]


def test_a_data_sets_own_ids_are_known_wherever_its_name_stands_in_a_path(tmp_path):
    folder = tmp_path / MARKET.sources[1] / "data"
    folder.mkdir(parents=True)
    file = folder / "mine.jsonl"
    file.write_text("".join(json.dumps({"text": f"row {i}", "label": i}) + "\n" for i in range(3)))
    for source in (file, folder, folder.parent):
        assert data.read(MARKET, str(source), "mine").targets == ["bearish", "bullish", "neutral"]
    for label, says in (("up", "'up'"), (7, "7")):
        file.write_text(json.dumps({"text": "a", "label": label}))
        with pytest.raises(UserError, match=f"row 1: unknown label {says}: choose from bearish"):
            data.read(MARKET, str(file))
    file.write_text(json.dumps({"text": "a", "label": "bullish"}))
    assert data.read(MARKET, str(file)).targets == ["bullish"]


def test_labels_of_other_models_are_ours():
    given = ["positive", "Negative", "NEUTRAL", "Bullish", "LABEL_0", 1]
    found = [data.label_name(MARKET, label) for label in given]
    assert found == ["bullish", "bearish", "neutral", "bullish", "bearish", "neutral"]
    with pytest.raises(UserError, match="unknown label 'up': choose from bearish, neutral, bullish"):
        data.label_name(MARKET, "up")
    with pytest.raises(UserError):  # no alias of another task
        data.label_name(load("sentiment"), "bullish")
    assert [metric.key for metric in metrics_of(MARKET)] == ["accuracy", "f1", "ece"]


def test_without_a_date_it_classifies(folder, run):
    status, lines, err = run(MARKET, "--model", folder, "--top-k", "3", "I am happy.")
    assert (status, err) == (0, "") and {line.split()[0] for line in lines} == set(MARKET.labels)


# --- the table ---


def test_a_days_index_and_band_by_hand(canned, run, tmp_path):
    rows = ["2024-03-05,A,0 40 60", "2024-03-04,B,0 0 100", "2024-03-05,A,30 50 20", "2024-03-04,A,100 0 0"]
    status, lines, err = run(MARKET, "--file", csv_of(tmp_path / "a.csv", rows), *DATED, "--json")
    found = [json.loads(line) for line in lines]
    assert (status, err) == (0, "")
    assert [(day["ticker"], day["date"]) for day in found] == [
        ("A", "2024-03-04"), ("A", "2024-03-05"), ("B", "2024-03-04"),
    ]  # fmt: skip
    index = (0.6 - 0.1) / 2
    reach = 1.96 * math.sqrt(((0.6 + 0.5) / 2 - index**2) / 2)  # each headline counts as +1, 0 or -1
    wanted = {"ticker": "A", "date": "2024-03-05", "headlines": 2, "bearish": 0, "neutral": 1, "bullish": 1}
    band = {"index": index, "low": index - reach, "high": min(1, index + reach)}
    assert found[1] == wanted | {key: pytest.approx(value, abs=1e-4) for key, value in band.items()}
    sure = {key: found[0][key] for key in ("index", "low", "high")}
    assert sure == {"index": -1, "low": -1, "high": -1}  # no doubt, no band


def test_the_band_narrows_with_headlines_and_stays_on_the_scale():
    row = {"bearish": 0.1, "neutral": 0.2, "bullish": 0.7}
    bands = [daily._day("A", date(2024, 3, 4), [row] * count) for count in (1, 4, 400)]
    widths = [day.high - day.low for day in bands]
    assert bands[0].high == 1 and widths[1] > widths[2] > 0
    assert bands[1].index - bands[1].low == pytest.approx(10 * (bands[2].index - bands[2].low), abs=1e-3)


def test_a_simulated_mean_falls_into_the_band_as_often_as_it_should():
    chance = torch.Generator().manual_seed(3)
    row = {"bearish": 0.2, "neutral": 0.3, "bullish": 0.5}
    day = daily._day("A", date(2024, 3, 4), [row] * 50)
    draws = torch.multinomial(torch.tensor(list(row.values())), 50 * 2000, replacement=True, generator=chance) - 1
    means = draws.view(2000, 50).double().mean(1)
    assert ((means >= day.low) & (means <= day.high)).double().mean() == pytest.approx(0.95, abs=0.02)


def test_rows_that_cannot_be_used_are_told_and_the_rest_goes_through(canned, run, tmp_path):
    rows = ["2024-03-04,A,0 0 100", "yesterday,A,0 0 100", ",A,0 0 100", "2024-03-05,,0 0 100", "2024-03-05,A,"]
    rows += ["2024-13-01,A,0 0 100", "2024-03-05T23:30:00+09:00,A,100 0 0"]
    for size in ("1", "16"):
        command = ("--file", csv_of(tmp_path / "a.csv", rows), *DATED, "--batch-size", size)
        status, lines, err = run(MARKET, *command)
        assert status == 1 and [line.split()[:3] for line in lines[1:]] == [
            ["A", "2024-03-04", "1"],
            ["A", "2024-03-05", "1"],
        ]
        told = {line.split("line ")[1].split(":")[0]: line for line in err.splitlines()}
        assert list(told) == ["3", "4", "5", "6", "7"]
        assert "not a date of the form 2024-03-05" in told["3"] and "'yesterday'" in told["3"]
        assert "no ticker" in told["5"] and "empty text" in told["6"] and "2024-13-01" in told["7"]


def test_a_file_without_any_usable_row(canned, run, tmp_path):
    command = ("--file", csv_of(tmp_path / "a.csv", ["x,A,0 0 100"]), *DATED, "--plot", tmp_path / "c.png")
    status, lines, _ = run(MARKET, *command)
    assert (status, lines) == (1, []) and not (tmp_path / "c.png").exists()
    status, _, err = run(MARKET, "--file", csv_of(tmp_path / "b.csv", []), *DATED)
    assert status == 2 and "is empty" in err


def test_dates_as_texts_days_and_times(canned, run, tmp_path):
    east = timezone(timedelta(hours=9))
    assert daily.day_of(datetime(2024, 3, 5, 23, 30, tzinfo=east)) == daily.day_of(date(2024, 3, 5)) == date(2024, 3, 5)
    assert daily.day_of(" 2024-03-05 ") == daily.day_of("05/03/2024", "%d/%m/%Y") == date(2024, 3, 5)
    assert daily.day_of(20240305) is daily.day_of(None) is daily.day_of("05/03/2024") is None
    import datasets

    rows = [{"text": "0 0 100", "when": datetime(2024, 3, 5, 12)}, {"text": "100 0 0", "when": None}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    status, lines, err = run(MARKET, "--file", tmp_path / "a.parquet", "--date", "when")
    assert status == 1 and lines[1].split()[:2] == ["all", "2024-03-05"] and "row 2" in err
    (tmp_path / "a.jsonl").write_text('{"title": "0 0 100", "when": "05.03.2024"}\n"no object"\n')
    command = ("--file", tmp_path / "a.jsonl", "--date", "when", "--date-format", "%d.%m.%Y")
    status, lines, err = run(MARKET, *command)
    assert status == 1 and lines[1].split()[:2] == ["all", "2024-03-05"] and "line 2" in err


def test_the_example_of_the_readme(folder, run, tmp_path):
    command = ("--model", folder, "--file", EXAMPLE, *DATED, "--plot", tmp_path / "curve.html")
    status, lines, err = run(MARKET, *command)
    assert status == 0 and len(lines) == 11 and lines[0].split() == list(daily.Day.__dataclass_fields__)
    assert sum(int(line.split()[2]) for line in lines[1:]) == len(EXAMPLE.read_text().splitlines()) - 1
    assert err.endswith(f"curve: {tmp_path / 'curve.html'}\n") and "<svg" in (tmp_path / "curve.html").read_text()


# --- the curve ---


def days(tickers: int, count: int = 3) -> list[daily.Day]:
    row = {"bearish": 0.1, "neutral": 0.4, "bullish": 0.5}
    return [
        daily._day(f"<b>$T{t:02}$", date(2024, 3, 1) + timedelta(days=d), [row] * (t + 1))
        for t in range(tickers)
        for d in range(count)
    ]


def test_the_picture_and_the_page(tmp_path):
    assert curve.write(days(2), tmp_path / "a.png", "news.csv") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (
        curve.write(days(2), tmp_path / "a.html", "<news>.csv")
        == curve.write(days(2), tmp_path / "b.html", "<news>.csv")
        == 0
    )
    page = (tmp_path / "a.html").read_text()
    assert page == (tmp_path / "b.html").read_text()
    assert page.startswith("<!doctype html>") and page.count("<svg") == 1 and page.count("<tr>") == 1 + 6
    assert "<b>" not in page and "&lt;b&gt;$T01$" in page and "<news>" not in page
    assert "says nothing of prices" in page and "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")


def test_the_curve_shows_index_and_band():
    figure = curve.draw([days(1)], "t")
    (cell,) = figure.axes
    line = next(line for line in cell.lines if len(line.get_xdata()) == 3)
    assert list(line.get_ydata()) == [day.index for day in days(1)]
    (band,) = [c for c in cell.collections if type(c).__name__ in ("PolyCollection", "FillBetweenPolyCollection")]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(days(1)[0].low) and heights.max() == pytest.approx(days(1)[0].high)


def test_more_tickers_than_panels_are_told(canned, run, tmp_path):
    rows = [f"2024-03-04,T{t:02},0 0 100" for t in range(14) for _ in range(1 + (t > 1))]
    command = ("--file", csv_of(tmp_path / "a.csv", rows), *DATED, "--plot", tmp_path / "c.html")
    status, lines, err = run(MARKET, *command)
    assert status == 0 and len(lines) == 15 and "without the 2 tickers of the fewest headlines" in err
    picture = (tmp_path / "c.html").read_text().split("<table>")[0]
    assert "T00" not in picture and "T01" not in picture and "T02" in picture and "T13" in picture


# --- wrong use ---


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        (("--ticker", "ticker"), "--ticker needs --date"),
        (("--plot", "c.png"), "--plot needs --date"),
        (("--date", "when", "--plot", "c.gif"), "choose from .png, .html"),
        (("--date", "date", "--plot", "no/such/c.png"), "no such folder: no/such"),
        (("--date", "when"), "unknown column 'when': choose from date, ticker, headline"),
        (("--date", "date", "--ticker", "tickers"), "Did you mean 'ticker'?"),
        (("--date", "date", "--compare"), "--compare doesn't go with --date"),
        (("--date", "date", "--top-k", "2"), "--top-k doesn't go with --date"),
    ),
)
def test_wrong_use_is_one_line(run, flags, says):
    status, lines, err = run(MARKET, "--file", EXAMPLE, *flags)
    assert (status, lines) == (2, []) and says in err and err.count("\n") == 1


def test_a_date_needs_a_table(run, tmp_path):
    (tmp_path / "a.txt").write_text("x\n")
    for where in (("some text",), ("--file", tmp_path / "a.txt")):
        status, _, err = run(MARKET, *where, "--date", "date")
        assert status == 2 and "--date needs a --file of .jsonl, .csv, .parquet" in err
    assert "give either texts or --file" in run(MARKET, "x", "--file", EXAMPLE, "--date", "date")[2]


def test_a_missing_extra_is_told_before_anything_is_loaded(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(cli, "load", None)
    status, _, err = run(MARKET, "--file", EXAMPLE, *DATED, "--plot", "c.png")
    assert status == 2 and err.endswith("--plot needs matplotlib: pip install '.[report]'\n")


def test_a_model_of_other_labels_is_refused(run, tiny_bert):
    status, _, err = run(MARKET, "--model", tiny_bert, "--file", EXAMPLE, *DATED)
    assert status == 2 and "the index needs bearish, neutral, bullish" in err


def test_values_beside_a_text_come_as_they_are(tmp_path):
    file = csv_of(tmp_path / "a.csv", ["2024-03-04,A,x", "2024-03-04,A,"])
    items = list(inputs.read([], str(file), None, ("headline",), more=("date", "ticker")))
    assert [item.beside for item in items] == [("2024-03-04", "A")] * 2
    assert [item.error for item in items] == ["", "empty text"] and items[0].given == "x"
