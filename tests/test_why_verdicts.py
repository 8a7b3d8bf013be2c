"""Verdicts follow from figures by their rules, whichever side the figures favour."""

import itertools

import pytest
import why_results as made

from scripts.experiments.told import shapes, verdicts
from scripts.experiments.told.claims import Case, Verdict


def words(data: dict) -> list[str]:
    return [verdict.word for verdict in verdicts.of(data)]


def claim(data: dict, begin: str) -> Verdict:
    (found,) = [verdict for verdict in verdicts.of(data) if verdict.claim.startswith(begin)]
    return found


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        ([True, True], "supported"),
        ([False, None], "not supported"),
        ([True, None], "supported"),
        ([True, False], "depends on the weather"),
        ([None, None], "undecided"),
        ([], "not measured"),
    ],
)
def test_a_verdict_is_counted_from_its_cases(holds, word):
    verdict = Verdict("It rains.", "a rule", "the weather", tuple(Case(str(i), h, "") for i, h in enumerate(holds)))
    assert verdict.word == word
    assert len(verdict.supports) + len(verdict.against) + len(verdict.silent) == len(holds)


# --- 1 ---


def linear(arm, measure, n):
    return n * (0.5 if arm == "transformer" else 1.0)


def quadratic_attention(arm, measure, n):
    """Level at 256 tokens."""
    return n * n / 256 if arm == "transformer" else float(n)


def test_a_slower_lstm_supports_the_claim_and_a_quicker_one_does_not():
    assert claim(made.sequential(linear), "Training a recurrent").word == "supported"
    assert claim(made.sequential(lambda *a: 1 / linear(*a)), "Training a recurrent").word == "not supported"
    level = claim(made.sequential(lambda arm, measure, n: float(n)), "Training a recurrent")
    assert level.word == "undecided" and "1 times as long" in str(level.silent[0])


def test_a_crossing_makes_it_depend_and_says_where():
    verdict = claim(made.sequential(quadratic_attention), "Training a recurrent")
    assert verdict.word == "depends on the network, length, measure and control"
    assert "rnn, training step, fixed tokens, equal parameters, 16 to 64 tokens: 4 to 16 times" in str(
        verdict.supports[0]
    )
    assert "256 tokens: 1 times" in str(verdict.silent[0]) and "1,024 to 4,096 tokens" in str(verdict.against[0])


def test_linear_growth_is_not_exponential():
    verdict = claim(made.sequential(linear), "Longer sequences")
    assert verdict.word == "not supported" and len(verdict.cases) == 6  # three networks, two controls
    assert "slope 1.00 [1.00, 1.00]" in str(verdict.cases[0]) and "twice the length, 2 times" in str(verdict.cases[0])
    grows = made.sequential(lambda arm, measure, n: 1.01**n)
    assert claim(grows, "Longer sequences").word == "supported"
    assert all(not case.name.startswith("transformer") for case in verdict.cases)
    squared = claim(made.sequential(quadratic_attention), "Longer sequences")
    assert "lstm slope 1.00 [1.00, 1.00], transformer slope 2.00 [2.00, 2.00] (1 is linear" in squared.instead


def test_no_bottleneck_is_judged_by_slopes_and_memory():
    cache = {"transformer": lambda n: n / 100, "lstm": lambda n: 0.5}

    def memory(arm, n):
        return cache.get(arm, cache["lstm"])(n)

    squared = claim(made.sequential(quadratic_attention, memory), "Transformers have no bottleneck")
    assert squared.word == "not supported"
    first = str(squared.against[0])
    assert "transformer 256 times the time (slope 2.00" in first and "lstm 16 times the time (slope 1.00" in first
    kept = [str(case) for case in squared.against if case.name.startswith("memory")]
    assert "transformer 2.56 → 40.96 MB (exponent 1.00), lstm 0.5 → 0.5 MB (exponent 0.00)" in kept[0]
    assert claim(made.sequential(linear), "Transformers have no bottleneck").word == "supported"
    assert claim(made.sequential(linear, memory), "Transformers have no").word == "depends on the measure"


def test_a_time_that_doubles_is_no_flat_one_and_noise_tells_nothing():
    def doubles(arm, measure, n):
        return 2.0 if arm == "transformer" and n == 4096 else 1.0

    spread = itertools.cycle([0.9, 1.0, 1.1])  # of the three runs of each arm

    def nearly(arm, measure, n):
        return next(spread) * (1.1 if arm == "transformer" and n == 4096 else 1.0)

    found = [claim(made.sequential(time, lambda arm, n: 0.0), "Transformers have no") for time in (doubles, nearly)]
    assert [verdict.word for verdict in found] == ["not supported", "undecided"]
    assert len(found[1].silent) == 6


def test_writing_has_a_verdict_of_its_own():
    def time(arm, measure, n):
        return linear(arm, measure, n) if measure != "decode" else 1 / linear(arm, measure, n)

    assert words(made.sequential(time))[:2] == ["supported", "not supported"]


def test_too_few_lengths_say_nothing_of_growth():
    assert claim(made.sequential(linear, lengths=(16, 64)), "Longer sequences").word == "not measured"


# --- 2 ---


def test_gradients_vanish_or_not():
    gone = [made.profile(arm, 0.8) for arm in ("rnn", "gru", "lstm forget 0")]
    data = made.gradients([*gone, made.profile("transformer", 0.999)])
    assert words(data)[:2] == ["supported", "supported"]
    assert "0.8 a step, half after 3.11 steps" in str(verdicts.of(data)[0].cases[0])
    mended = [made.profile("lstm attention", 0.99), made.profile("rnn", 0.8)]  # attention is a way around the states
    assert words(made.gradients(mended))[:2] == ["supported", "supported"]
    data = made.gradients([*gone, made.profile("lstm forget 3", 0.99), made.profile("transformer", 0.8)])
    assert words(data)[:2] == ["depends on the network and its training", "not supported"]
    kept = made.gradients([made.profile("rnn orthogonal", 1.0)])
    assert words(kept)[:2] == ["not supported", "not measured"]
    assert "it does not fall" in str(verdicts.of(kept)[0].against[0])


def test_training_can_change_it_and_seeds_are_medians():
    units = [made.profile("rnn", factor, trained=1.0, seed=i) for i, factor in enumerate((0.5, 0.5, 1.0))]
    verdict = verdicts.of(made.gradients(units))[0]
    assert [(case.name, case.holds) for case in verdict.cases] == [
        ("rnn, untrained, adding, 65 steps", True),
        ("rnn, trained, adding, 65 steps", False),
    ]
    unlearnt = [
        made.profile("rnn", 0.5, trained=0.5, right=0.1),
        made.profile("transformer", 1.0, trained=1.0, right=0.1),
    ]
    for verdict in verdicts.of(made.gradients(unlearnt))[:2]:
        assert [case.holds for case in verdict.cases] == [True, None] and "10% right" in str(verdict.silent[0])
    hidden = shapes.profiles(made.gradients(units))["adding", 65, "untrained"]["rnn"]["hidden"]
    assert (hidden["low"][2], hidden["median"][2], hidden["high"][2]) == (0.25, 0.25, 1.0)


def test_reach_needs_the_shortest_distance_learnt():
    def judged(*units):
        return [(v.word, [c.holds for c in v.cases]) for v in verdicts.of(made.gradients(sum(units, [])))[2:4]]

    short, far = {4: 1.0, 64: 0.2}, {4: 1.0, 64: 0.95}
    assert judged(made.reached("rnn", short), made.reached("transformer", far)) == [
        ("supported", [True]), ("supported", [True]),
    ]  # fmt: skip
    assert judged(made.reached("rnn", far), made.reached("transformer", short)) == [
        ("not supported", [False]), ("not supported", [False]),
    ]  # fmt: skip
    never = {4: 0.3, 64: 0.1}
    assert judged(made.reached("rnn", never), made.reached("transformer", never))[0] == ("undecided", [None])


def test_the_best_learning_rate_counts_with_all_its_seeds():
    units = made.reached("gru", {4: 0.2}, rate=1e-4) + made.reached("gru", {4: 1.0}, rate=1e-3)
    units += made.reached("gru", {4: 0.9}, rate=1e-3, seed=1) + made.reached("gru", {4: 0.5}, rate=1e-3, seed=2)
    assert shapes.distances(made.gradients(units)) == {
        "gru": {4: {"median": 0.9, "low": 0.5, "high": 1.0, "rate": 1e-3}}
    }
    alone = made.reached("gru", {4: 0.2}, rate=1e-4) + made.reached("gru", {4: 0.7}, rate=1e-3)
    assert shapes.distances(made.gradients(alone))["gru"][4]["rate"] == 1e-3


def test_agreement_both_ways():
    def judged(lstm, transformer):
        data = made.gradients([made.agreement("transformer", transformer), made.agreement("lstm", lstm)])
        return verdicts.of(data)[4].word

    assert judged({1: 0.7, 3: 0.5}, {1: 0.9, 3: 0.8}) == "supported"
    assert judged({1: 0.9, 3: 0.8}, {1: 0.7, 3: 0.5}) == "not supported"
    assert judged({1: 0.9, 3: 0.5}, {1: 0.9, 3: 0.8}) == "depends on what stands between"
    assert judged({1: 0.3, 3: 0.5}, {1: 0.45, 3: 0.5}) == "undecided"  # neither keeps the number
    assert verdicts.of(made.gradients([made.agreement("lstm", {1: 0.9})]))[4].word == "not measured"


# --- 3 ---


def test_one_vector_is_a_bottleneck_or_not():
    short, both = {10: 0.9, 20: 0.2}, {10: 1.0, 20: 0.95}
    never = made.bottleneck([made.recalled("lstm", {10: 0.1, 20: 0.0}), made.recalled("lstm attention", both)])
    assert words(never)[0] == "undecided"  # it did not learn the short ones either
    data = made.bottleneck([made.recalled("lstm", short), made.recalled("lstm attention", both)])
    assert words(data)[0] == "supported" and "0.20 [0.18, 0.22] without" in str(verdicts.of(data)[0].cases[0])
    data = made.bottleneck([made.recalled("lstm", both), made.recalled("lstm attention", both)])
    assert words(data)[0] == "not supported"
    unlearnt = made.bottleneck([made.recalled("lstm", {20: 0.0}), made.recalled("lstm attention", {20: 0.1})])
    assert words(unlearnt)[0] == "undecided"


def test_bleu_must_fall_and_fall_further():
    def judged(without, attending):
        units = [made.translated("lstm", without), made.translated("lstm attention", attending)]
        return words(made.bottleneck(units))[0]

    assert judged([38.0, 10.0], [40.0, 30.0]) == "supported"
    assert judged([20.0, 20.0], [40.0, 30.0]) == "not supported"  # worse, but not by more on long sources
    assert judged([40.0, 29.5], [40.0, 30.0]) == "not supported"  # intervals overlap
    assert judged([19.0, 1.0], [40.0, 30.0]) == "undecided"  # it did not learn the short ones either


def test_attention_and_transformer_are_compared_at_trained_lengths():
    units = [made.recalled("lstm attention", {20: 0.95, 40: 0.1}), made.recalled("transformer", {20: 0.95, 40: 0.9})]
    assert words(made.bottleneck(units))[1] == "supported"
    units = [made.recalled("lstm attention", {20: 0.6}), made.recalled("transformer", {20: 0.95})]
    assert words(made.bottleneck(units))[1] == "not supported"
    near = [made.recalled("lstm attention", {20: 0.70}), made.recalled("transformer", {20: 0.737})]
    assert words(made.bottleneck(near))[1] == "undecided"  # lower by more than 5 %, and the intervals overlap
    pair = [made.translated("lstm attention", [40.0], hidden=0), made.translated("transformer", [44.0], hidden=0)]
    (case,) = verdicts.of(made.bottleneck(pair))[1].cases
    assert (case.holds, case.name) == (False, "translation, 1 to 10 words, bundled pair (trained on single sentences)")


def test_longer_inputs_than_in_training():
    holds = made.bottleneck([made.recalled("transformer", {20: 0.99, 40: 0.95})])
    falls = made.bottleneck([made.recalled("transformer", {20: 0.99, 40: 0.2})])
    never = made.bottleneck([made.recalled("transformer", {20: 0.5, 40: 0.0})])
    assert [words(data)[2] for data in (holds, falls, never)] == ["supported", "not supported", "undecided"]


# --- 4 ---


def test_costs_both_ways():
    quick = made.costs([made.cost("translate", (200.0, 100.0), (3.0, 5.0))])
    slow = made.costs([made.cost("translate", (100.0, 200.0), (5.0, 3.0))])
    level = made.costs([made.cost("qa", (100.0, 99.0), (3.0, 4.0))])
    assert words(quick) == ["supported", "supported"] and words(slow) == ["not supported", "not supported"]
    assert words(level) == ["undecided", "undecided"]
    both = made.costs([made.cost("a", (200.0, 100.0), (3.0, 5.0)), made.cost("b", (100.0, 200.0), (5.0, 3.0))])
    assert words(both) == ["depends on the task"] * 2


def test_what_failed_is_told_and_left_out():
    units = [{"unit": {"part": "distance", "arm": "rnn", "distance": 4, "rate": 0.1, "seed": 0}, "error": "no room"}]
    data = made.gradients(units)
    assert shapes.distances(data) == {} and shapes.errors(data) == ["distance rnn 4 0.1 0: no room"]
