"""Batches of `scripts.batches`: every row once, within the budget, the same for the same seed, with little padding."""

import random

import pytest

from scripts.batches import batches, steps

CHANCE = random.Random(7)
RAGGED = [1 + int(CHANCE.lognormvariate(2.5, 0.8)) for _ in range(3001)]  # like sentences: most short, a few very long
BUDGET = 400


def cost(rows: list[int], lengths: list[int]) -> int:
    return len(rows) * max(lengths[row] for row in rows)


@pytest.mark.parametrize("lengths", [RAGGED, RAGGED[:17], [5] * 100, [9], [1, 500, 2, 401, 400, 3]])
@pytest.mark.parametrize("epoch", [0, 3])
def test_every_row_is_in_one_batch_and_the_budget_holds(lengths, epoch):
    found = batches(lengths, BUDGET, seed=13, epoch=epoch)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    assert all(rows for rows in found)
    for rows in found:
        assert cost(rows, lengths) <= BUDGET or len(rows) == 1


def test_a_row_longer_than_the_budget_is_alone():
    lengths = [1, 500, 2, 401, 400, 3]
    found = batches(lengths, BUDGET, seed=13, epoch=0)
    assert [1] in found and [3] in found


def test_the_seed_and_the_epoch_alone_decide():
    drawn = {
        (seed, epoch): [batches(RAGGED, BUDGET, seed, epoch) for _ in range(2)] for seed in (1, 2) for epoch in (0, 1)
    }
    assert all(first == second for first, second in drawn.values())
    whole = [first for first, _ in drawn.values()]
    assert all(whole[i] != whole[j] for i in range(4) for j in range(i))
    neighbours = [{frozenset(rows) for rows in found if len(rows) > 1} for found in whole]
    assert len(neighbours[0] & neighbours[1]) < 0.1 * len(neighbours[0])  # not the same batches in another order


def test_little_is_padding_although_lengths_are_ragged():
    found = batches(RAGGED, BUDGET, seed=13, epoch=0)
    real = sum(RAGGED)
    padded = sum(cost(rows, RAGGED) for rows in found)
    unsorted = sum(cost(list(range(i, min(i + 16, len(RAGGED)))), RAGGED) for i in range(0, len(RAGGED), 16))
    assert real / padded > 0.9 and real / unsorted < 0.6
    assert len(found) < 1.35 * real / BUDGET  # the budget is used, too


def test_lengths_come_in_no_order():
    means = [sum(RAGGED[row] for row in rows) / len(rows) for rows in batches(RAGGED, BUDGET, seed=13, epoch=0)]
    rises = sum(after > before for before, after in zip(means, means[1:], strict=False))
    assert 0.35 < rises / len(means) < 0.65


def test_steps_group_batches_and_leave_out_what_fills_no_group():
    found = [[i] for i in range(11)]
    assert steps(found, 1) == [[rows] for rows in found]
    assert steps(found, 3) == [found[0:3], found[3:6], found[6:9]]
    assert steps(found, 11) == [found]


def test_steps_repeat_batches_where_there_are_too_few_for_one():
    assert steps([[0], [1, 2]], 5) == [[[0], [1, 2], [0], [1, 2], [0]]]
