"""What chance could do to a score: percentile bootstrap over rows, and the paired test of two models.

The test follows Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation".
"""

import numpy as np

from tasks.metric import Metric

RESAMPLES = 1000


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
