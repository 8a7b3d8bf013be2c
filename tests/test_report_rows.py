"""What single rows tell: bins of lengths, examples by a rule, and files that do not belong together."""

import random

import pytest
import report_folders as made

from scripts import compared
from scripts.page import _metrics, clipped
from tasks import shown
from tasks.metrics import Accuracy, AnswerF1, EntityF1, MacroF1


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("Two  words", 2),
        ("", 0),
        ({"question": "Who is it?", "context": "No one  at all."}, 7),
        (["New", "York", "is big"], 4),
        ({"turns": ["a b", {"text": "c"}], "id": 3}, 3),
    ],
)
def test_words_of_any_input(value, count):
    assert compared.words(value) == count


@pytest.mark.parametrize("count", [0, 1, 99, 100, 120, 872, 3000])
@pytest.mark.parametrize("longest", [1, 3, 40])
def test_bins_hold_every_row_once_and_enough_of_them(count, longest):
    draw = random.Random(count + longest)
    lengths = [draw.randint(1, longest) for _ in range(count)]
    bins = compared.edges(lengths)
    sizes = [sum(low <= length <= high for length in lengths) for low, high in bins]
    assert len(bins) != 1 and len(bins) <= compared.BINS
    if bins:
        assert sum(sizes) == count and min(sizes) >= compared.ROWS
        assert all(a[1] < b[0] for a, b in zip(bins, bins[1:], strict=False))
    else:
        assert count < 3 * compared.ROWS or longest == 1  # what whole lengths can be parted into
    if count == 3000 and longest == 40:
        assert len(bins) >= 5 and max(sizes) < 2 * min(sizes)


def test_quality_of_a_bin_is_that_of_its_rows():
    words = [3] * 60 + [9] * 70
    right = [True] * 45 + [False] * 15 + [True] * 7 + [False] * 63
    bins = compared.by_length(Accuracy(), {"lstm": made.right_or_wrong(right, words)})
    assert [(part.low, part.high, part.rows) for part in bins] == [(3, 3, 60), (9, 9, 70)]
    quality = [part.quality["lstm"] for part in bins]
    assert [q["value"] for q in quality] == [0.75, 0.1]
    assert all(q["low"] < q["value"] < q["high"] for q in quality)
    assert 0.05 < quality[0]["high"] - 0.75 < 0.15  # 1.96 standard errors are 0.11


def arms(first: list[float], second: list[float]) -> dict[str, list[dict]]:
    def records(scores):
        return [
            {"index": i, "input": f"text {i}", "references": "r", "prediction": str(score), "score": score}
            for i, score in enumerate(scores)
        ]

    return {"transformer": records(first), "lstm": records(second)}


def chosen(found: dict, **changes) -> dict[str, list[int]]:
    metric = changes.pop("metric", "accuracy")
    rows = [made.result(model=model, metric=metric) for model in ("transformer", "lstm", "floor")]
    return {what: [e.index for e in some] for what, some in compared.examples(rows, found, **changes)}


def test_examples_of_right_and_wrong():
    draw = random.Random(2)
    first, second = ([float(draw.random() < share) for _ in range(400)] for share in (0.9, 0.8))
    got = chosen(arms(first, second))
    assert list(got) == ["transformer better", "lstm better", "both fail"]
    wanted = {"transformer better": (1.0, 0.0), "lstm better": (0.0, 1.0), "both fail": (0.0, 0.0)}
    for what, places in got.items():
        assert len(places) == compared.FEW == len(set(places)) and places == sorted(places)
        assert {(first[i], second[i]) for i in places} == {wanted[what]}
    assert got == chosen(arms(first, second)) != chosen(arms(first, second), seed=14)


def test_examples_of_graded_scores_come_from_the_extreme_tenth():
    draw = random.Random(3)
    first, second = ([draw.uniform(0, 100) for _ in range(400)] for _ in range(2))
    got = chosen(arms(first, second), metric="bleu")
    ahead = [a - b for a, b in zip(first, second, strict=True)]
    by_most = sorted((d for d in ahead if d > 0), reverse=True)
    assert all(ahead[i] >= by_most[-(-len(by_most) // 10) - 1] for i in got["transformer better"])
    assert all(ahead[i] < 0 for i in got["lstm better"])
    best = list(map(max, first, second))
    assert all(best[i] <= sorted(best)[39] for i in got["both fail"])


def test_examples_where_lower_is_better():
    got = chosen(arms([1.0, 2.0, 1.5, 9.0], [2.0, 1.0, 1.5, 9.0]), metric="bits_per_byte")
    assert got["transformer better"] == [0] and got["lstm better"] == [1] and 3 in got["both fail"]


def test_no_examples_where_there_are_none():
    assert chosen(arms([1.0] * 5, [1.0] * 5)) == {"transformer better": [], "lstm better": [], "both fail": []}
    assert chosen({"lstm": arms([1.0], [0.0])["lstm"]}) == {}  # nothing to hold it against
    whole = arms([1.0], [0.0])
    assert chosen({"floor": whole["transformer"], "lstm": whole["lstm"]}) == {}  # a floor is no arm


def test_predictions_must_be_those_of_the_result(tmp_path):
    records = made.right_or_wrong([True, False, True, True], [3, 1, 4, 1])
    each = made.result(value=0.75, samples=4)
    assert compared.predictions(tmp_path, each) is None
    made.write_rows(tmp_path, each, records[::-1])
    assert compared.predictions(tmp_path, each) == records  # by index, whatever the order of the file
    assert compared.agrees(Accuracy(), each, records)
    assert not compared.agrees(Accuracy(), made.result(value=0.76, samples=4), records)
    assert not compared.agrees(Accuracy(), each, [record | {"statistics": {"f1": [1, 2]}} for record in records])
    assert compared.predictions(tmp_path, made.result(samples=5)) is None
    assert compared.predictions(tmp_path, made.failed()) is None


def test_times_are_medians_by_words(tmp_path):
    runs = [
        {"measure": "latency", "index": 2, "ms": [5.0, 1.0, 900.0]},
        {"measure": "latency", "index": 0, "ms": [2.0]},
        {"measure": "per_new_token", "index": 0, "ms": [7.0]},
        {"measure": "latency", "index": 8, "ms": [7.0]},  # of a larger set: not of these rows
        {"measure": "latency", "index": 1, "ms": []},
    ]
    assert compared.timed(tmp_path, made.result(), [10, 20, 30]) == []
    made.write_rows(tmp_path, made.result(), [], runs)
    assert compared.timed(tmp_path, made.result(), [10, 20, 30]) == [(10, 2.0), (30, 5.0)]


def test_an_answer_to_the_letter_never_fails_whatever_its_score():
    """BLEU of two right words is 0, as is the F1 of a text without entities; both would look like the worst rows."""
    found = arms([0.0, 0.0, 0.0, 50.0], [0.0, 0.0, 0.0, 40.0])
    found["transformer"][0]["prediction"] = found["lstm"][0]["prediction"] = "r"
    found["transformer"][1]["prediction"] = {"label": "r", "score": 0.4}
    got = chosen(found, metric="bleu")
    assert 0 not in sum(got.values(), []) and got["transformer better"] == [1, 3] and got["both fail"] == [2]


@pytest.mark.parametrize(
    ("prediction", "references", "right"),
    [
        ("a", "a", True),
        ("a", ["b", "a"], True),
        ("a", ["ab"], False),
        ([], [], True),
        ([], [["PER", 0, 3]], False),
        ([["PER", 0, 3]], [["PER", 0, 3]], True),
        ({"label": "oos", "score": 0.2}, "oos", True),
        ({"bits": 3.0}, "text", False),
    ],
)
def test_right_to_the_letter(prediction, references, right):
    assert shown.exact(prediction, references) is right


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (["one", "two", "one"], "one | two"),
        ({"question": "Who?", "context": "She."}, "question: Who?\ncontext: She."),
        ({"tokens": ["Zoë", "sat", "."]}, "Zoë sat ."),
        ({"tokens": ["Zoë"], "lang": "fr"}, "tokens: Zoë\nlang: fr"),
        ([["PER", 0, 3], ["LOC", 8, 12]], "Zoë (PER), Rome (LOC)"),
        ([], "none"),
        ({"label": "World", "score": 0.8712}, "World (0.87)"),
        ({"text": ["42", "42", "forty-two"], "answer_start": [1, 1, 9]}, "42 | forty-two"),
        ({"text": [], "answer_start": []}, "none"),
        ({"bits": 312.456, "bytes": 80}, "bits 312.5, bytes 80"),
        ([{"word": "Zoë", "start": 0}], '[{"word": "Zoë", "start": 0}]'),
        ({}, ""),
        (None, "null"),
    ],
)
def test_values_as_people_read_them(value, text):
    assert shown.text(value, "Zoë saw Rome.") == text


def test_what_is_very_long_says_that_it_is_cut():
    assert clipped("x" * 1200) == "x" * 1200
    assert clipped("x" * 2300) == "x" * 1200 + "… (1,100 characters more)"


def test_a_metric_is_the_tasks_own_where_several_have_one_key():
    kinds = {task: type(_metrics(task)["f1"]) for task in ("ner", "qa", "sentiment")}
    assert kinds == {"ner": EntityF1, "qa": AnswerF1, "sentiment": MacroF1}
    assert _metrics("yodel") == {}
