"""`python -m scripts.why` as people use it: results, verdicts, a page on its own, wrong use in one line."""

import dataclasses
import html.parser
import json
import re
import sys

import pytest
import why_results as made

from scripts import looks, why
from scripts.experiments import distance, profile, sequential
from scripts.experiments.told import page, plots, words


class Reader(html.parser.HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.texts.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a small result of each experiment, its files, and the page."""
    folder = tmp_path_factory.mktemp("why")
    for content in made.everything():
        made.write(folder, content)
    files = page.write(folder)
    return folder, files, Reader((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def tiny(monkeypatch):
    """Quick settings that take a second."""
    settings = dataclasses.replace(
        sequential.QUICK, lengths=(4, 8, 16), rounds=1, runs=1, tokens=16, batch=1, width=64, layers=1, depth=1
    )
    monkeypatch.setattr(sequential, "QUICK", settings)
    monkeypatch.setattr(profile, "QUICK", dataclasses.replace(profile.QUICK, seeds=1, length=12, long=16, steps=1))
    monkeypatch.setattr(distance, "QUICK", dataclasses.replace(distance.QUICK, distances=(2, 3), steps=2))


# --- the page ---


def test_the_page_needs_no_other_file(written):
    _, _, got = written
    policy = next(a["content"] for tag, a in got.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    pictures = [attributes for tag, attributes in got.tags if tag == "img"]
    assert len(pictures) == 11
    assert all(p["src"].startswith("data:image/svg+xml;base64,") and p["alt"] for p in pictures)
    assert not {"script", "iframe", "object", "link", "form"} & {tag for tag, _ in got.tags}
    names = {a["id"] for _, a in got.tags if "id" in a}
    links = [a["href"] for tag, a in got.tags if tag == "a"]
    assert links and all(link[0] == "#" and link[1:] in names for link in links)


def test_every_experiment_has_setting_figures_both_sides_and_limits(written):
    _, _, got = written
    assert [a["id"] for tag, a in got.tags if tag == "h2"] == ["sequential", "gradients", "bottleneck", "costs"]
    assert got.text.count("Setting") == got.text.count("Limits") == 4
    for name in words.TITLES:
        assert all(line in got.text for line in words.LIMITS[name])
    assert "depends on what stands between" in got.text.lower() and "Rule: a case holds where" in got.text
    assert "Longer sequences mean exponentially longer training time for RNNs. Not supported." in got.text
    assert "slope 1.00 [1.00, 1.00]" in got.text and "Bahdanau et al. 2015" in got.text and "RNMT+" in got.text
    assert "Quick settings" not in got.text


def test_no_text_becomes_markup(written):
    assert "<b>" not in (written[0] / "report.html").read_text()  # a token of the made-up attention


def test_plots_come_as_png_and_svg_with_titled_axes(written):
    folder, files, _ = written
    names = {file.name for file in files}
    assert {"time_parameters--cpu.png", "gradients--cpu.svg", "translation--cpu.png", "training_time--cpu.svg"} <= names
    for file in files[:-1]:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml") and file.parent.name == "plots"
    times = (folder / "plots" / "time_parameters--cpu.svg").read_text()
    for label in ("length, tokens (log scale)", "time per step, ms (log scale)", "lstm", "4,096"):
        assert label in times
    assert "mathdefault" not in "".join(f.read_text() for f in files if f.suffix == ".svg")


def test_lines_differ_in_more_than_colour():
    from scripts.experiments.told.drawing import STYLES

    names = profile.ARMS
    shapes = [(STYLES[name][0], STYLES[name][2]) for name in names]
    assert len(set(shapes)) == len(names) == 8


def test_a_column_a_device_and_what_is_quick_is_said(tmp_path):
    made.write(tmp_path, made.costs([made.cost("qa", (200.0, 100.0))]))
    other = made.costs([made.cost("qa", (100.0, 200.0))], device="cuda", hardware="G", quick=True)
    made.write(tmp_path, other)
    page.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    got = Reader(text)
    heads = re.findall(r'<th class="word" scope="col">([^<]*)</th>', text)
    assert heads[:3] == ["claim", "cpu", "cuda"]
    assert re.findall(r'<td class="word verdict">([^<]*)</td>', text)[:2] == ["supported", "not supported"]
    assert "Quick settings. What training costs was measured with" in got.text
    assert "Verdicts, cuda, quick settings" in got.text and "Verdicts, cpu" in got.text
    assert (tmp_path / "plots" / "training_speed--cuda.png").is_file()


def test_the_readme_gets_claims_with_their_verdicts(tmp_path):
    assert page.markdown(tmp_path) == ""
    for content in (made.costs([made.cost("qa", (200.0, 100.0))]), made.sequential(lambda arm, measure, n: float(n))):
        made.write(tmp_path, content)
    rows = page.markdown(tmp_path).splitlines()
    assert rows[:2] == ["| claim | cpu |", "| --- | --- |"] and len(rows) == 2 + 6
    assert "| Longer sequences mean exponentially longer training time for RNNs. | not supported |" in rows
    assert "| A Transformer trains on more tokens per second than an LSTM. | supported |" in rows


def test_the_same_results_give_the_same_bytes(written, tmp_path):
    made.write(tmp_path, made.everything()[-1])
    pictures = page.write(tmp_path)[:-1]
    assert len(pictures) == 4
    for file in pictures:
        assert file.read_bytes() == (written[0] / file.relative_to(tmp_path)).read_bytes(), file.name


def test_figures_of_one_part_alone_make_a_page():
    for content in made.everything():
        for part in {each["unit"]["part"] for each in content["units"]}:
            own = content | {"units": [each for each in content["units"] if each["unit"]["part"] == part]}
            assert page.rendered([own], {}).count("<section>") == 1 and page.lines(own)
            with looks.settings():
                assert plots.of(own), part


# --- the command line ---


def test_a_run_measures_once_writes_and_tells(tiny, tmp_path, capsys, monkeypatch):
    command = ["gradients", "--quick", "--device", "cpu", "--output", str(tmp_path), "--parts", "profile,distance"]
    assert why.main(command) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Vanishing gradients (cpu, quick)") and "Gradients vanish in recurrent networks.\n  → " in out
    assert "why: profile 1/24:" in err and "report.html" in err
    content = json.loads((tmp_path / "gradients--cpu.json").read_text())
    assert content["quick"] is True and set(content["settings"]) == {"profile", "distance"}
    assert len(content["units"]) == 24 + 16 and content["environment"]["device"] == "cpu"
    monkeypatch.setattr(profile, "profile", None)  # would fail if anything were measured again
    assert why.main(command) == 0
    assert json.loads((tmp_path / "gradients--cpu.json").read_text()) == content


def test_a_run_of_the_timings(tiny, tmp_path, capsys):
    command = ["sequential", "--quick", "--device", "cpu", "--output", str(tmp_path)]
    assert why.main(command) == 0
    assert "Longer sequences mean exponentially longer training time" in capsys.readouterr().out
    units = json.loads((tmp_path / "sequential--cpu.json").read_text())["units"]
    timed = [unit for unit in units if unit["unit"]["part"] == "sequential"]
    assert len(timed) == 2 * 4 * 3 and all(set(unit["ms"]) == set(sequential.ARMS) for unit in timed)


def test_time_that_is_up_keeps_what_is_done(tiny, tmp_path, capsys):
    command = ["gradients", "--quick", "--device", "cpu", "--output", str(tmp_path), "--parts", "distance"]
    assert why.main([*command, "--max-minutes", "0.0001"]) == 0
    assert "time is up; the same command goes on" in capsys.readouterr().err


def test_models_that_are_not_there_are_left_out_in_a_line_each(tmp_path, capsys, bundled):
    command = ["gradients", "--quick", "--device", "cpu", "--output", str(tmp_path), "--parts", "agreement"]
    assert why.main(command) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(said) == 2 and all(line.startswith("why: agreement: left out for ") for line in said)


def test_report_alone_makes_the_page_anew(tmp_path, capsys):
    assert why.main(["report", "--output", str(tmp_path)]) == 0
    assert "nothing is measured" in capsys.readouterr().err
    made.write(tmp_path, made.costs([made.cost("qa", (1.0, 2.0))]))
    assert why.main(["report", "--output", str(tmp_path)]) == 0
    assert "What training costs (cpu)" in capsys.readouterr().out and (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sequental"], "unknown experiment 'sequental'", ),
        (["--quik"], "Did you mean '--quick'?"),
        (["gradients", "--parts", "recall"], "unknown part 'recall': choose from profile, distance, agreement"),
        (["report", "--parts", "recall"], "unknown part 'recall'"),
        (["--max-minutes", "0"], "not a number above 0"),
        (["costs", "--device", "tpu"], "unknown device 'tpu'"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(tmp_path, capsys, command, said):
    assert why.main([*command, "--output", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("why: ") and said in lines[0]


def test_without_matplotlib_it_says_so_before_it_measures(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert why.main(["costs", "--output", str(tmp_path)]) == 2
    assert "pip install '.[report]'" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_results_of_the_harness_are_not_taken_for_ours(tmp_path, capsys):
    (tmp_path / "ner--lstm--cpu.json").write_text('{"schema": 1, "task": "ner"}')
    assert why.main(["report", "--output", str(tmp_path)]) == 2
    assert "no result of an experiment" in capsys.readouterr().err


def test_quick_results_lie_apart():
    assert str(why.parse(["--quick"]).output) == "results/why/quick" and str(why.parse([]).output) == "results/why"
