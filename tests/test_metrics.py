"""The metrics against sacrebleu and scikit-learn themselves, figures done by hand, and the statistics on top."""

import math
import random

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import accuracy_score, f1_score

import tasks
from tasks.bootstrap import interval, paired_bootstrap
from tasks.metrics import METRICS, metrics_of

# Ragged on purpose: one to three references, one word to a long sentence, an empty answer, other letters and case.
TRANSLATIONS = [
    ("Je suis heureux.", ["Je suis heureux.", "Je suis contente.", "Je suis content."]),
    ("Un homme est assis sur un banc dans le parc.", ["Un homme est assis sur un banc du parc."]),
    ("", ["Bonjour !", "Salut !"]),
    ("deux chiens courent dans la neige", ["Deux chiens courent dans la neige.", "Deux chiens courent sur la neige."]),
    ("Où est la gare ?", ["Où est la gare ?"]),
    ("Non", ["Oui"]),
    ("Elle a dit qu'elle viendrait demain.", ["Elle a dit qu'elle viendrait demain, s'il fait beau.", "Elle viendra."]),
    ("Le train de 8 h 15 a 20 minutes de retard", ["Le train de 8 h 15 a vingt minutes de retard."]),
    ("東京 est une grande ville.", ["Tokyo est une grande ville.", "東京 est une très grande ville."]),
]
PREDICTIONS, REFERENCES = [p for p, _ in TRANSLATIONS], [r for _, r in TRANSLATIONS]
LABELS = ("negative", "neutral", "positive")


def streams(references):
    """sacrebleu's shape: one list per reference position, None where a row has fewer."""
    return [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]


def labels(count, seed, accuracy=0.8):
    draw = random.Random(seed)
    real = draw.choices(LABELS[::2], k=count)  # "neutral" is never right, as a rare class may be
    guess = [label if draw.random() < accuracy else draw.choice(LABELS) for label in real]
    return guess, real


@pytest.mark.parametrize(
    ("key", "reference"),
    [
        ("bleu", lambda p, r: sacrebleu.corpus_bleu(p, r).score),
        ("bleu_lowercase", lambda p, r: sacrebleu.corpus_bleu(p, r, lowercase=True).score),
        ("chrf", lambda p, r: sacrebleu.corpus_chrf(p, r).score),
    ],
)
def test_text_metrics_are_sacrebleus(key, reference):
    metric = METRICS[key]()
    for rows in (slice(None), slice(0, 1), slice(3, 7)):
        wanted = reference(PREDICTIONS[rows], streams(REFERENCES[rows]))
        statistics = metric.statistics(PREDICTIONS[rows], REFERENCES[rows])
        assert metric.value(statistics.sum(0)) == pytest.approx(wanted, abs=1e-9)
        assert metric.compute(predictions=PREDICTIONS[rows], references=REFERENCES[rows])[key] == pytest.approx(wanted)
    assert METRICS["bleu_lowercase"]().compute(predictions=["OUI OUI OUI OUI"], references=[["oui oui oui oui"]])[
        "bleu_lowercase"
    ] == pytest.approx(100)


def test_label_metrics_are_scikit_learns():
    guess, real = labels(137, seed=1)
    for rows in (slice(None), slice(0, 1), slice(5, 20)):
        p, r = guess[rows], real[rows]
        assert METRICS["accuracy"](LABELS).compute(predictions=p, references=r)["accuracy"] == pytest.approx(
            accuracy_score(r, p)
        )
        wanted = f1_score(r, p, labels=LABELS, average="macro", zero_division=0)
        assert METRICS["f1"](LABELS).compute(predictions=p, references=r)["f1"] == pytest.approx(wanted)


def test_figures_done_by_hand():
    # "the cat sat down" against "the cat sat here": 3/4, 2/3, 1/2 of the 1- to 3-grams, none of the one 4-gram, which
    # exponential smoothing counts as half; lengths are equal, so no brevity penalty
    by_hand = 100 * math.exp((math.log(3 / 4) + math.log(2 / 3) + math.log(1 / 2) + math.log(0.5 / 1)) / 4)
    bleu = METRICS["bleu"]().compute(predictions=["the cat sat down"], references=[["the cat sat here"]])["bleu"]
    assert bleu == pytest.approx(by_hand)
    # half as long as its only reference: all n-grams right, penalty exp(1 - 8/4)
    short = METRICS["bleu"]().compute(predictions=["a b c d"], references=[["a b c d e f g h"]])["bleu"]
    assert short == pytest.approx(100 * math.exp(1 - 8 / 4))
    p = ["positive", "positive", "negative", "positive"]
    r = ["positive", "negative", "negative", "negative"]
    assert METRICS["accuracy"](LABELS[::2]).compute(predictions=p, references=r)["accuracy"] == 0.5
    # positive: 1 right of 3 said and 1 real, F1 1/2; negative: 1 right of 1 said and 3 real, F1 1/2
    assert METRICS["f1"](LABELS[::2]).compute(predictions=p, references=r)["f1"] == pytest.approx(0.5)
    # with a third class that never occurs: (1/2 + 1/2 + 0) / 3
    assert METRICS["f1"](LABELS).compute(predictions=p, references=r)["f1"] == pytest.approx(1 / 3)


def test_the_order_of_rows_does_not_matter():
    order = list(range(len(PREDICTIONS)))
    random.Random(3).shuffle(order)
    for key in ("bleu", "chrf", "bleu_lowercase"):
        metric = METRICS[key]()
        straight = metric.statistics(PREDICTIONS, REFERENCES)
        shuffled = metric.statistics([PREDICTIONS[i] for i in order], [REFERENCES[i] for i in order])
        assert np.array_equal(straight[order], shuffled)  # a row's statistics are its own
        assert metric.value(straight.sum(0)) == metric.value(shuffled.sum(0))


def test_every_task_has_metrics_that_are_told_apart():
    for name in tasks.TASKS:
        task = tasks.load(name)
        keys = [metric.key for metric in metrics_of(task)]
        assert len(set(keys)) == len(keys) == len(task.metrics)  # names in a result file
        assert all(metric.range for metric in metrics_of(task))


# --- intervals and tests ---


def test_interval_holds_the_value_and_narrows_with_rows():
    metric = METRICS["accuracy"](LABELS)
    widths = []
    for count in (50, 800):
        guess, real = labels(count, seed=2)
        found = interval(metric, metric.statistics(guess, real))
        assert found["low"] < found["value"] < found["high"]
        assert found["value"] == pytest.approx(accuracy_score(real, guess))
        spread = 1.96 * math.sqrt(found["value"] * (1 - found["value"]) / count)  # the textbook's interval
        assert found["high"] - found["low"] == pytest.approx(2 * spread, rel=0.15)
        widths.append(found["high"] - found["low"])
    assert widths[1] < widths[0] / 3  # about 1 / sqrt(16)


def test_interval_of_text_scores_holds_the_value():
    for key in ("bleu", "chrf"):
        metric = METRICS[key]()
        found = interval(metric, metric.statistics(PREDICTIONS * 20, REFERENCES * 20))
        assert found["low"] < found["value"] < found["high"]


def test_interval_of_constant_scores_is_a_point():
    accuracy = METRICS["accuracy"](LABELS)
    for answer, value in (("positive", 1.0), ("negative", 0.0)):
        found = interval(accuracy, accuracy.statistics([answer] * 30, ["positive"] * 30))
        assert (found["low"], found["value"], found["high"]) == (value, value, value)
    chrf = METRICS["chrf"]()
    found = interval(chrf, chrf.statistics(["Le chat dort."] * 9, [["Le chat dort ici."]] * 9))
    assert found["low"] == pytest.approx(found["value"]) == pytest.approx(found["high"])
    # one row can only be drawn as itself
    found = interval(chrf, chrf.statistics(PREDICTIONS[1:2], REFERENCES[1:2]))
    assert found["low"] == pytest.approx(found["value"]) == pytest.approx(found["high"])


def test_same_seed_same_interval():
    metric = METRICS["bleu"]()
    statistics = metric.statistics(PREDICTIONS, REFERENCES)
    assert interval(metric, statistics, seed=5) == interval(metric, statistics, seed=5)
    assert interval(metric, statistics, seed=5) != interval(metric, statistics, seed=6)


def test_identical_arms_do_not_differ():
    for metric, statistics in _both_kinds():
        found = paired_bootstrap(metric, statistics, statistics)
        assert (found["metric"], found["delta"], found["p_value"]) == (metric.key, 0, 1)


def _both_kinds():
    chrf, accuracy = METRICS["chrf"](), METRICS["accuracy"](LABELS)
    yield chrf, chrf.statistics(PREDICTIONS, REFERENCES)
    yield accuracy, accuracy.statistics(*labels(60, seed=4))


def test_a_clearly_better_arm_is_told_and_the_sides_are_symmetric():
    chrf = METRICS["chrf"]()
    perfect = chrf.statistics([r[0] for r in REFERENCES], REFERENCES)
    theirs = chrf.statistics(PREDICTIONS, REFERENCES)
    better, worse = paired_bootstrap(chrf, perfect, theirs), paired_bootstrap(chrf, theirs, perfect)
    assert better["delta"] == pytest.approx(100 - chrf.value(theirs.sum(0))) == pytest.approx(-worse["delta"])
    assert better["p_value"] == worse["p_value"] == pytest.approx(1 / 1001)  # the least that 1000 draws can show


def test_pairing_sees_what_two_intervals_hide():
    """One arm is right wherever the other is and on 12 rows more: little beside the spread, but never luck."""
    accuracy = METRICS["accuracy"](LABELS)
    guess, real = labels(400, seed=6, accuracy=0.6)
    wrong = [i for i, (p, r) in enumerate(zip(guess, real, strict=True)) if p != r][:12]
    mended = [real[i] if i in wrong else p for i, p in enumerate(guess)]
    ours, theirs = accuracy.statistics(mended, real), accuracy.statistics(guess, real)
    assert interval(accuracy, ours)["low"] < interval(accuracy, theirs)["high"]
    found = paired_bootstrap(accuracy, ours, theirs)
    assert found["delta"] == pytest.approx(12 / 400) and found["p_value"] < 0.01


def test_equal_arms_are_seldom_called_different():
    """Two arms of the same skill that err on different rows: at 5 %, one pair in twenty or so is called different."""
    accuracy = METRICS["accuracy"](LABELS)
    called = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        arms = [np.stack([draw.random(200) < 0.7, np.ones(200)], axis=1).astype(float) for _ in range(2)]
        called += paired_bootstrap(accuracy, *arms)["p_value"] < 0.05
    assert called <= 8  # 60 pairs, 3 expected; more than 8 has a chance of 0.3 %
