"""The report as people get it: what the page says is what the files say, it is safe to open, and `--check` means it."""

import html.parser
import json
import shutil
import sys

import pytest
import report_folders as made

from scripts import page, report, results, tables

MARKERS = "# Head\n<!-- results -->\n<!-- /results -->\ntail\n"


class Reader(html.parser.HTMLParser):
    """The texts, the tags with their attributes and the table cells of a page, as a browser would have them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.texts, self.rows = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append(("", (dict(attributes).get("class") or "").split()))

    def handle_data(self, text):
        self.texts.append(text)
        if self.rows and self.rows[-1] and self.tags[-1][0] in ("td", "th"):
            cell, style = self.rows[-1][-1]
            self.rows[-1][-1] = (cell + text, style)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def cells(self, *begin: str) -> list[str]:
        """The one row that starts with these cells."""
        (row,) = [row for row in self.rows if tuple(cell for cell, _ in row[: len(begin)]) == begin]
        return [cell for cell, _ in row]

    def pictures(self) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def written(folder, **options) -> Reader:
    page.write(folder, folder / "report.html", **options)
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


# --- what it says ---


def test_the_numbers_are_those_of_the_files(folder):
    made.pairing(folder)
    made.write(
        folder, made.result("ner", "transformer", 0.9123, "f1"), made.result("ner", "lstm", 0.8765, "f1", p50=3.2)
    )
    made.write_training(folder)
    got = written(folder)
    for each in results.read(folder):
        name = each["model"] if each["family"] in each["model"] else f"{each['model']} ({each['family']})"
        (key, metric), *_ = each["metrics"].items()
        row, shown = got.cells(each["task"], name, "cpu", f"{key} (0-1)"), tables.with_interval(metric)
        assert row[4] == shown and row[5] == tables.plain(each["latency_ms"]["p50"])
        assert row[6] == tables.plain(each["latency_ms"]["p95"]) and row[8] == tables.plain(each["size_mb"])
        first = got.pictures()[0]["alt"]
        assert f"{each['model']} {shown}" in first
    assert "0.876 [0.856, 0.896] at 3.20 ms" in first  # not only our own function against itself
    assert got.cells("sentiment", "lstm", "cpu", "some CPU")[5:8] == ["1,234", "8,123", "12.5"]
    assert [tag for tag, _ in got.tags].count("section") == 2
    assert "the transformer is better by 0.012 accuracy (p = 0.004); the lstm answers 4.0 times as fast" in got.text


def test_other_data_stands_apart_from_the_task_s_own(folder):
    made.pairing(folder)
    made.write(folder / "zero-shot", made.result("ner", "lstm", 0.4321, "f1"))
    own, words, other = report.block(folder).partition("not trained on:")
    assert words and "0.432" in other and "0.432" not in own and "0.432" not in written(folder).text


def test_quality_by_length_is_that_of_the_rows(folder):
    records = made.pairing(folder)["lstm"]
    got = written(folder)
    lengths = [len(record["input"].split()) for record in records]
    bins = [row for row in got.rows if len(row) == 5 and "–" in row[0][0]]
    assert len(bins) == 3 and sum(int(row[1][0]) for row in bins) == len(records)
    for row in bins:
        low, high = map(int, row[0][0].split("–"))
        right = [record["score"] for record, length in zip(records, lengths, strict=True) if low <= length <= high]
        assert len(right) == int(row[1][0]) and row[3][0].startswith(f"{sum(right) / len(right):.3f} [")
    assert len(got.pictures()) == 3 and "words: transformer 0." in got.pictures()[2]["alt"]


def test_the_best_is_bold_where_lower_is_better(folder):
    low, high = (made.result("complete", m, v, "bits_per_byte") for m, v in (("transformer", 1.6), ("lstm", 1.7)))
    made.write(folder, low, high, made.result("complete", "floor", 1.2, "bits_per_byte"))
    got = written(folder)
    bold = [cell for row in got.rows for cell, style in row if "best" in style and "[" in cell]
    assert bold == ["1.600 [1.580, 1.620]"] * 2  # in the overview and in the task's table; never the floor
    assert "bits_per_byte (bits, lower is better)" in got.text and "lower is better): transformer" in str(
        got.pictures()
    )
    low["significance"]["delta"] = -0.1
    assert "the transformer is better by 0.100 bits_per_byte" in page.verdict([low, high])
    low["significance"] |= {"delta": 0.1}
    assert "the lstm is better by 0.100" in page.verdict([low, high])
    low["significance"] |= {"p_value": 0.3}
    assert "neither is shown to be better" in page.verdict([low, high])


def test_a_failed_arm_is_shown_as_failed(folder):
    made.write(folder, made.result(), made.failed(error="MemoryError: <no> room"))
    got = written(folder)
    assert got.cells("sentiment", "org/too-large")[3:5] == ["failed: MemoryError: <no> room", "–"]
    assert "org/too-large failed" in got.pictures()[0]["alt"]
    assert "| *failed: MemoryError: <no> room* |" in report.block(folder)


def test_nothing_but_failures_and_nothing_at_all(folder):
    folder.mkdir()
    assert "No results yet" in written(folder).text
    made.write(folder, made.failed())
    got = written(folder)
    assert got.pictures() == [] and "MemoryError" in got.text and not list(folder.glob("*.png"))
    assert page.stale(folder, folder / "report.html", False) == []
    assert "![" not in report.block(folder, ".")


def test_a_task_and_a_metric_of_another_version(folder):
    records = made.pairing(folder)
    for model, rows in records.items():
        each = made.result("yodel", model, 0.5, "beauty", samples=len(rows))
        made.write(folder, each)
        made.write_rows(folder, each, rows)
    assert "transformer (not those of this result), lstm" in written(folder).text


def test_two_devices_answer_alike_so_examples_come_once(folder):
    made.pairing(folder, source="samples")
    made.pairing(folder, source="samples", device="cuda")
    got = written(folder)
    assert got.text.count("Where the arms differ") == 1 and len(got.pictures()) == 4
    assert "lstm on cuda 0." in got.pictures()[0]["alt"]


# --- rows of data sets ---


def test_predictions_that_are_missing_or_of_another_run(folder):
    made.pairing(folder)
    names = {model: made.address(folder, made.result(model=model)) for model in ("transformer", "lstm", "floor")}
    names["transformer"].with_suffix(".predictions.jsonl").unlink()
    changed = json.loads(names["lstm"].read_text()) | {
        "metrics": {"accuracy": made.result(value=0.5)["metrics"]["accuracy"]}
    }
    results.write(names["lstm"], changed)
    got = written(folder, examples=True)
    assert "without the predictions of transformer (not here), lstm (not those of this result)" in got.text
    assert "Where the arms differ" not in got.text and "floor 0." in got.pictures()[2]["alt"]


@pytest.mark.parametrize(
    ("source", "examples", "shown"), [("org/set", False, False), ("org/set", True, True), ("samples", False, True)]
)
def test_rows_are_shown_of_the_samples_only_or_on_demand(folder, source, examples, shown):
    for model, rows in made.pairing(folder, source=source).items():
        rows = [row | {"input": row["input"].replace("word", "secretword")} for row in rows]
        made.write_rows(folder, made.result(model=model), rows)
    got = written(folder, examples=examples)
    assert ("secretword" in (folder / "report.html").read_text()) == shown == ("transformer better" in got.text)
    assert ("not ours to give on" in got.text) != shown


# --- safe, whole, the same ---


def test_no_text_becomes_markup(folder):
    bad = '<script>alert("1")</script><img src=x onerror=alert(2)>'
    for model, rows in made.pairing(folder, source="samples").items():
        rows = [row | {"input": f"{bad} {row['input']}", "prediction": {"a": bad}} for row in rows]
        each = made.result(model=model)
        whole = json.loads(made.address(folder, each).read_text()) | {"checkpoint": bad}
        whole["environment"]["hardware"] = whole["environment"]["commit"] = bad
        made.write(folder, whole)
        made.write_rows(folder, each, rows)
    named = made.result(model=f"x/{bad} $\\frac{{1}}$", samples=180, source="samples")
    made.write(folder, named, made.failed(task="ner", error=bad))
    made.write_training(folder, family=bad.replace("/", ""), hardware=bad)
    got = written(folder)
    assert not {"script", "iframe", "object", "link", "form"} & {tag for tag, _ in got.tags}
    assert not any(key.startswith("on") for _, attributes in got.tags for key in attributes)
    assert got.text.count(bad) > 12 and got.cells("sentiment", f"{named['model']} (bert)")  # said, not dropped


def test_the_page_needs_no_other_file(folder):
    made.pairing(folder)
    got = written(folder)
    policy = next(a["content"] for tag, a in got.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert all(picture["src"].startswith("data:image/svg+xml;base64,") and picture["alt"] for picture in got.pictures())
    names = {a["id"] for _, a in got.tags if "id" in a}
    links = [a["href"] for tag, a in got.tags if tag == "a"]
    assert links and all(link[0] == "#" and link[1:] in names for link in links)


def test_twice_is_the_same_and_small(folder, tmp_path):
    for task in ("translate", "summarize", "ner", "qa", "sentiment", "complete", "classify", "intents"):
        models = ("transformer", "lstm", "floor", f"runs/{task}-bert-random")
        made.write(folder, *(made.result(task, model, 0.7 + 0.05 * i) for i, model in enumerate(models)))
    again = shutil.copytree(folder, tmp_path / "again")
    for each in (folder, again):
        page.write(each, each / "report.html")
    for name in ("report.html", "quality_latency.png", "quality_size.png"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
        assert name.endswith("html") or (folder / name).stat().st_size < 150_000


# --- the command line ---


def test_check_tells_a_stale_file(folder, tmp_path, capsys, monkeypatch):
    made.pairing(folder)
    readme = tmp_path / "README.md"
    readme.write_text(MARKERS)
    flags = ["--results", str(folder), "--readme", str(readme)]
    assert report.main([*flags, "--check"]) == 1
    late = capsys.readouterr().err
    assert all(word in late for word in ("report.html", "quality_latency.png", "README.md"))
    assert not (folder / "report.html").exists() and readme.read_text() == MARKERS  # it only looked
    assert report.main(flags) == 0
    assert "](results/quality_latency.png)\n" in readme.read_text()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)  # checking draws nothing
        assert report.main([*flags, "--check"]) == 0
        for name in ("report.html", "quality_size.png"):
            kept = (folder / name).rename(tmp_path / name)
            assert report.main([*flags, "--check"]) == 1 and name in capsys.readouterr().err
            kept.rename(folder / name)
        assert report.main([*flags, "--check", "--examples"]) == 1  # it was made without
        made.write_training(folder)
        assert report.main([*flags, "--check"]) == 1
        late = capsys.readouterr().err
        assert late.count("\n") == 2 and "quality_size.png" in late and "report.html" in late


def test_a_page_of_ones_own_leaves_the_readme_alone(folder, tmp_path, monkeypatch):
    made.pairing(folder)
    (tmp_path / "README.md").write_text(MARKERS)
    monkeypatch.chdir(tmp_path)
    flags = ["--results", str(folder), "--html", "mine/page.html", "--examples"]
    assert report.main(flags) == 0 == report.main([*flags, "--check"])
    assert (tmp_path / "README.md").read_text() == MARKERS and not (folder / "report.html").exists()
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == [
        "page.html",
        "quality_latency.png",
        "quality_size.png",
    ]


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_one_line(folder, tmp_path, capsys, monkeypatch, library):
    made.pairing(folder)
    (tmp_path / "README.md").write_text(MARKERS)
    monkeypatch.setitem(sys.modules, library, None)
    before = sorted(folder.iterdir())
    assert report.main(["--results", str(folder), "--readme", str(tmp_path / "README.md")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and library in said and "pip install '.[report]'" in said
    assert sorted(folder.iterdir()) == before and (tmp_path / "README.md").read_text() == MARKERS


def test_wrong_use_is_one_line(folder, tmp_path, capsys):
    assert report.main(["--results", str(folder), "--html", str(tmp_path / "x.html")]) == 2
    assert "scripts.harness" in capsys.readouterr().err
    made.write(folder, made.result())
    (folder / "broken.json").write_text("{")
    assert report.main(["--results", str(folder), "--html", str(tmp_path / "x.html")]) == 2
    said = capsys.readouterr().err
    assert "broken.json" in said and said.count("\n") == 1
