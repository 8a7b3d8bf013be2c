"""What counts as right: metrics of the `evaluate` library that need no network, and what chance could do to them.

Every metric here is a function of the *sum* of per-sample statistics (n-gram counts for BLEU, a cell of the confusion
matrix for F1). So one resampling of rows serves all of them: draw rows, add up their statistics, score the sum.
Intervals are percentile bootstrap; `paired_bootstrap` follows Koehn 2004, "Statistical Significance Tests for Machine
Translation Evaluation". References are as `tasks.data.Rows.targets` gives them.
"""

import evaluate
import numpy as np
from datasets import Features, List, Value

RESAMPLES = 1000


class Metric(evaluate.Metric):
    """A corpus metric that is a function of summed per-sample statistics. Needs neither network nor script."""

    key: str
    range: str
    higher_is_better = True
    references = Value("string")
    citation = ""

    def __init__(self, labels: tuple[str, ...] = ()):
        self.labels = labels
        super().__init__(keep_in_memory=True)

    def _info(self):
        features = Features({"predictions": Value("string"), "references": self.references})
        return evaluate.MetricInfo(
            description=type(self).__doc__, citation=self.citation, inputs_description="", features=features
        )

    def _compute(self, predictions, references):
        return {self.key: self.value(self.statistics(predictions, references).sum(0))}

    def statistics(self, predictions: list, references: list) -> np.ndarray:
        """Per-sample statistics, (N, K) float64."""
        raise NotImplementedError

    def value(self, total: np.ndarray) -> float:
        """The score of summed statistics (K,)."""
        raise NotImplementedError


class _Sacrebleu(Metric):
    references = List(Value("string"))

    def scorer(self):
        raise NotImplementedError

    def statistics(self, predictions, references):
        # sacrebleu takes one stream per reference position; None marks a row with fewer references than another
        width = max(map(len, references))
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(width)]
        return np.array(self.scorer()._extract_corpus_statistics(predictions, streams), dtype=np.float64)

    def value(self, total):
        return float(self.scorer()._compute_score_from_stats(total.astype(int).tolist()).score)


class Bleu(_Sacrebleu):
    """Corpus BLEU 0-100, sacrebleu's default: 13a tokens, cased, exponential smoothing."""

    key, range, lowercase = "bleu", "0-100", False
    citation = "Papineni et al. 2002; Post 2018, A Call for Clarity in Reporting BLEU Scores"

    def scorer(self):
        from sacrebleu.metrics import BLEU

        return BLEU(lowercase=self.lowercase)


class BleuLowercase(Bleu):
    """Corpus BLEU 0-100 of lower-cased text (13a tokens), as most Multi30k papers report it."""

    key, lowercase = "bleu_lowercase", True


class Chrf(_Sacrebleu):
    """chrF2, 0-100: F-score of character n-grams up to 6."""

    key, range = "chrf", "0-100"
    citation = "Popović 2015, chrF: character n-gram F-score"

    def scorer(self):
        from sacrebleu.metrics import CHRF

        return CHRF()


class Accuracy(Metric):
    """Share of predictions equal to the reference, 0-1."""

    key, range = "accuracy", "0-1"

    def statistics(self, predictions, references):
        right = np.array([p == r for p, r in zip(predictions, references, strict=True)], dtype=np.float64)
        return np.stack([right, np.ones_like(right)], axis=1)  # (N, 2): right, counted

    def value(self, total):
        return float(total[0] / total[1])


class MacroF1(Metric):
    """Mean over the classes of the F1 of each, 0-1; a class on neither side counts 0, as in scikit-learn."""

    key, range = "f1", "0-1"

    def statistics(self, predictions, references):
        index = {name: i for i, name in enumerate(self.labels)}
        cells = np.zeros((len(predictions), 3, len(index)))  # (N, 3, C): true positive, predicted, real
        for row, (predicted, real) in enumerate(zip(predictions, references, strict=True)):
            cells[row, 0, index[real]] = predicted == real
            cells[row, 1, index[predicted]] += 1
            cells[row, 2, index[real]] += 1
        return cells.reshape(len(predictions), -1)

    def value(self, total):
        right, predicted, real = total.reshape(3, -1)
        return float(np.mean(2 * right / np.maximum(predicted + real, 1)))


METRICS = {metric.key: metric for metric in (Bleu, Chrf, BleuLowercase, Accuracy, MacroF1)}


def metrics_of(task) -> list[Metric]:
    """The task's metrics, the primary one first."""
    return [METRICS[key](task.labels) for key in task.metrics]


def _resampled(metric: Metric, statistics: list[np.ndarray], seed: int) -> np.ndarray:
    """Scores of the same `RESAMPLES` draws of N rows for each (N, K) array given: (len(statistics), RESAMPLES)."""
    rng = np.random.default_rng(seed)
    count = len(statistics[0])
    scores = np.empty((len(statistics), RESAMPLES))
    for draw in range(RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)  # how often each row was drawn, (N,)
        for arm, rows in enumerate(statistics):
            scores[arm, draw] = metric.value(times @ rows)
    return scores


def interval(metric: Metric, statistics: np.ndarray, seed: int = 13) -> dict:
    """{"value", "low", "high", "range"}: the score and its 95 % percentile bootstrap interval over rows."""
    low, high = np.percentile(_resampled(metric, [statistics], seed)[0], [2.5, 97.5])
    value = metric.value(statistics.sum(0))
    return {"value": value, "low": float(low), "high": float(high), "range": metric.range}


def paired_bootstrap(metric: Metric, ours: np.ndarray, theirs: np.ndarray, seed: int = 13) -> dict:
    """{"metric", "delta", "p_value"} of ours - theirs on the same rows, two-sided.

    p is twice the share of resamples in which the difference has the other sign (ties count half), never below
    1 / (RESAMPLES + 1): the resolution that this many draws can show.
    """
    mine, other = _resampled(metric, [ours, theirs], seed)
    difference = mine - other
    tail = min((difference < 0).mean(), (difference > 0).mean()) + (difference == 0).mean() / 2
    delta = metric.value(ours.sum(0)) - metric.value(theirs.sum(0))
    return {"metric": metric.key, "delta": delta, "p_value": float(min(1.0, max(2 * tail, 1 / (RESAMPLES + 1))))}
