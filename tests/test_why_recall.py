"""Copying and recalling: what is asked, what counts as right, and that padding changes no answer."""

import random

import pytest
import torch

from scripts.experiments import recall
from scripts.experiments.recall import ASK, END, FIRST, KEYS


def test_a_copy_of_the_input_scores_exact_match_1():
    for length in (1, 7, 40):
        sources, targets = recall.rows("copy", length, 30, random.Random(length))
        assert recall.exact_match(lambda some: some, sources, targets) == [True] * 30


def test_one_wrong_token_or_a_missing_end_is_no_match():
    sources, targets = recall.rows("copy", 5, 4, random.Random(0))
    slips = [
        lambda source: source,
        lambda source: [source[0] + 1, *source[1:]],
        lambda source: source[:-1],
        lambda source: source[:-2] + source[-1:],
    ]
    by_row = {tuple(source): slip for source, slip in zip(sources, slips, strict=True)}
    right = recall.exact_match(lambda some: [by_row[tuple(row)](row) for row in some], sources, targets, size=3)
    assert right == [True, False, False, False]


def test_recall_by_hand():
    sources, targets = recall.rows("recall", 6, 20, random.Random(0), known=10)
    for source, target in zip(sources, targets, strict=True):
        middle = source.index(ASK)
        pairs = dict(zip(source[0:middle:2], source[1:middle:2], strict=True))
        asked = source[middle + 1 : -1]
        assert source[-1] == target[-1] == END and len(pairs) == len(asked) == 6
        assert asked == target[0:-1:2] and [pairs[key] for key in asked] == target[1::2]
        assert all(FIRST <= key < FIRST + 10 for key in pairs)
        assert all(FIRST + KEYS <= value < FIRST + KEYS + 10 for value in pairs.values())
    assert any(list(row[: row.index(ASK) : 2]) != row[row.index(ASK) + 1 : -1] for row in sources)  # another order


def test_test_rows_are_the_same_each_time_and_differ_by_row():
    one, two = (recall.rows("copy", 8, 9, random.Random("x"))[0] for _ in range(2))
    assert one == two and len(set(map(tuple, one))) == 9


@pytest.mark.parametrize("arm", recall.ARMS)
def test_answers_do_not_depend_on_the_batch(arm):
    model = recall.built(arm, 16 if arm != "transformer" else 64, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)  # so that answers differ from source to source
    sources = [row for n in (1, 9, 4) for row in recall.rows("copy", n, 2, random.Random(n))[0]]
    together = recall.answers(model, sources)
    for source, answer in zip(sources, together, strict=True):
        alone = recall.answers(model, [source])[0]
        assert answer[: len(alone)] == alone  # alone there is less room
    assert len(set(map(tuple, together))) > 1


def test_learning_moves_every_parameter_and_stops_when_known():
    settings = recall.Settings(
        hidden=(32,), lengths={"copy": (1,)}, trained={"copy": 1}, steps=200, seeds=1, rates={}, tested=20, batch=16,
        keys=2,
    )  # fmt: skip
    model = recall.built("lstm attention", 32, seed=0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    told = recall.learn(model, "copy", settings, rate=5e-3, seed=0, every=20)
    assert not [name for name, value in model.named_parameters() if torch.equal(before[name], value)]
    assert told["steps_taken"] < 200 and told["teacher_forced"] >= 0.99
    ((length, score),) = recall._by_length(model, "copy", settings, seed=0)
    assert length == 1 and score["value"] == 1.0


def test_the_better_rate_is_the_one_that_does_better_on_trained_lengths():
    def done(values):
        return {"trained_up_to": 2, "exact_match": [[n, {"value": value}] for n, value in enumerate(values, 1)]}

    assert recall.known(done([1.0, 0.5, 0.0])) > recall.known(done([0.9, 0.5, 1.0]))
    assert recall.known({"error": "no room"}) < 0
