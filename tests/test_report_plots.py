"""Pictures of results: marks stand where the files say, arms can be told apart, and nothing is left out unsaid."""

import warnings

import pytest
import report_folders as made

from scripts import looks, plots
from scripts.compared import Bin


@pytest.fixture(autouse=True)
def drawing():
    with looks.settings():
        yield


def drawn(*found: dict, axis=plots.LATENCY):
    """(figure, the texts in it) after a real drawing, in which nothing may warn."""
    figure = plots.quality_against(list(found), axis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        looks.png(figure, "stamp")
    return figure, [text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))]


def marks(cell) -> dict:
    """{marker: (x, y)} of the marks in a panel."""
    return {line.get_marker(): tuple(line.get_xydata()[0]) for line in cell.lines if line.get_marker() != "None"}


def test_marks_and_bars_stand_where_the_files_say():
    found = [made.result(value=0.81, p50=3.5), made.result(model="transformer", value=0.9, p50=12.0)]
    figure, texts = drawn(*found, made.result(model="floor", value=0.75))
    (cell,) = figure.axes
    assert marks(cell) == {"s": (3.5, 0.81), "o": (12.0, 0.9)}
    bars = sorted(tuple(map(tuple, path.vertices.round(6))) for bar in cell.collections for path in bar.get_paths())
    for bar in [((3.5, 0.79), (3.5, 0.83)), ((3.5, 0.81), (5.25, 0.81)), ((12.0, 0.9), (18.0, 0.9))]:
        assert bar in bars
    assert cell.get_xscale() == "log" and not cell.yaxis_inverted()
    low, high = cell.get_xlim()
    assert low < 3.5 and high > 18.0
    assert {"sentiment", "accuracy (0-1)", "latency of one input, ms (log scale)", "floor: needs no model"} <= set(
        texts
    )
    assert {"transformer", "lstm", "95 % interval", "from p50 to p95"} <= set(texts)
    floors = [line for line in cell.lines if set(line.get_ydata()) == {0.75}]
    assert len(floors) == 1 and floors[0].get_linestyle() == "--"


def test_size_on_the_axis():
    figure, texts = drawn(made.result(size_mb=13.0), made.result(model="transformer", size_mb=45.0), axis=plots.SIZE)
    assert {x for x, _ in marks(figure.axes[0]).values()} == {13.0, 45.0}
    assert "size of the weights, MB (log scale)" in texts and "from p50 to p95" not in texts


def test_a_panel_for_each_task_and_data():
    found = [made.result(task) for task in ("ner", "qa", "translate", "sentiment")]
    figure, texts = drawn(*found, made.result("ner", source="org/other"))
    titles = [cell.get_title(loc="left") for cell in figure.axes if cell.axison]
    assert titles == ["translate", "ner", "ner", "qa", "sentiment"] or titles.count("ner") == 2 and len(titles) == 5
    assert any(text.startswith("org/other (validation, 100 rows)") for text in texts)


def test_lower_is_better_is_upside_down_and_says_so():
    figure, texts = drawn(made.result("complete", value=1.6, metric="bits_per_byte"))
    assert figure.axes[0].yaxis_inverted() and any("lower is better" in text for text in texts)


def test_devices_are_told_apart_and_said():
    slow, quick = made.result(p50=9.0), made.result(p50=2.0, device="cuda")
    figure, texts = drawn(slow, quick)
    fills = {line.get_xydata()[0][0]: line.get_fillstyle() for line in figure.axes[0].lines}
    assert fills == {9.0: "full", 2.0: "none"} and {"cpu", "cuda"} <= set(texts)


def test_what_can_not_be_drawn_is_said():
    untimed = made.result(model="org/untimed", latency_ms=None)
    far = made.result(model="floor", value=0.1)
    figure, texts = drawn(made.result(), untimed, far, made.failed())
    (notes,) = [text for text in texts if text.startswith("org/set (")]
    assert "failed: too-large" in notes and "not timed: untimed" in notes
    assert "floor is off the axis: 0.100 [0.080, 0.120]" in notes and figure.axes[0].get_ylim()[0] > 0.5
    alone, _ = drawn(far)  # with no model there is nothing to press together
    assert alone.axes[0].get_ylim()[0] < 0.1
    assert plots.quality_against([made.failed()], plots.LATENCY) is None


def test_arms_can_be_told_apart_without_colour():
    found = [made.result(model=f"org/{word}") for word in "abcdef"] + [made.result(), made.result(model="transformer")]
    arms = looks.Arms(found)
    assert len({arms.mark(row)[0] for row in found}) == len(found)
    greys = [
        sum(w * int(c[i : i + 2], 16) for w, i in ((0.3, 1), (0.59, 3), (0.11, 5))) for _, c in looks.PAIRING.values()
    ]
    assert abs(greys[0] - greys[1]) > 60  # of 255


def test_names_are_short_alike_in_all_tasks_and_never_two_things():
    models = {
        ("ner", "runs/ner-bert-random"): "bert-random",
        ("qa", "runs/qa-bert-random/"): "bert-random",
        ("ner", "google/a"): "google/a",
        ("ner", "other/a"): "other/a",
        ("ner", "runs/lstm"): "runs/lstm",  # not the bundled one
        ("ner", "lstm"): "lstm",
        ("qa", "Helsinki-NLP/opus"): "opus",
    }
    found = [made.result(task, model) for task, model in models]
    assert looks.short_names(found) == models
    arms = looks.Arms(found)
    assert arms.mark(found[0]) == arms.mark(found[1]) and arms.mark(found[4]) != arms.mark(found[5])


@pytest.mark.parametrize("name", ["_hidden", "a $x_1$ b^", "$", "x" * 300, "<b>&amp;<b>", "\\alpha{"])
def test_any_name_can_be_drawn(name):
    _, texts = drawn(made.result(model=name), made.result(model="transformer"))
    assert any(looks.clipped(name) == text for text in texts)
    assert max(map(len, texts)) < 120


@pytest.mark.parametrize("places", [[3.0], [1e-4, 5e3], [10.4, 10.9]])
def test_a_log_axis_has_plain_numbers_on_it(places):
    figure, _ = drawn(*(made.result(model=f"m{i}", p50=p) for i, p in enumerate(places)))
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    low, high = figure.axes[0].get_xlim()
    seen = [float(label) for label in labels if low <= float(label) <= high]
    assert len(seen) >= 2 and high / low > 3.99 and all("$" not in label for label in labels)


def test_quality_and_latency_by_length():
    rows = [made.result(model=model) for model in ("transformer", "lstm", "floor")]
    score = {"low": 0.6, "high": 0.9, "range": "0-1"}

    def bins(floor: float):
        values = {"transformer": 0.8, "lstm": 0.7, "floor": floor}
        return [Bin(low, low + 4, 60, {m: score | {"value": v} for m, v in values.items()}) for low in (1, 5)]

    arms = looks.Arms(rows)
    figure = plots.by_length(rows, bins(0.65), {"lstm": [(2, 1.5), (7, 2.5)]}, arms)
    quality, latency = figure.axes
    assert [list(line.get_ydata()) for line in quality.lines] == [[0.8, 0.8], [0.7, 0.7], [0.65, 0.65]]
    assert [label.get_text() for label in quality.get_xticklabels()] == ["1–5\n(60 rows)", "5–9\n(60 rows)"]
    assert [tuple(map(tuple, line.get_xydata())) for line in latency.lines] == [((2, 1.5), (7, 2.5))]
    assert latency.get_ylabel() == "latency, ms" and latency.get_xlabel() == "length of the input, words"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"transformer", "lstm", "floor"}
    far = plots.by_length(rows, bins(-3.0), {}, arms)
    assert len(far.axes) == 1 and len(far.axes[0].lines) == 2
    assert any("floor is off the axis" in text.get_text() for text in far.axes[0].texts)
    assert plots.by_length(rows, [], {}, arms) is None


def test_a_users_own_settings_change_nothing():
    import matplotlib

    matplotlib.rcParams["font.size"] = 30
    with looks.settings():
        first = looks.png(plots.quality_against([made.result()], plots.LATENCY), "s")
    assert matplotlib.rcParams["font.size"] == 30
    matplotlib.rcParams["font.size"] = 5
    with looks.settings():
        assert looks.png(plots.quality_against([made.result()], plots.LATENCY), "s") == first
