"""What a few measured points say: slopes with intervals, crossings, the kind of growth, decay per step.

Knows numbers only. Times may be in any unit.
"""

import math
from collections.abc import Sequence

import numpy as np


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """{"median", "q1", "q3", "runs"}: the middle and the interquartile range."""
    q1, median, q3 = (float(q) for q in np.percentile(values, [25, 50, 75]))
    return {"median": median, "q1": q1, "q3": q3, "runs": len(values)}


def slope(lengths: Sequence[float], times: Sequence[float]) -> dict[str, float]:
    """{"slope", "low", "high"} of log(time) on log(length): 1 is linear, 2 quadratic.

    Least squares; the 95 % interval is Student's, from the residuals, so a curve that bends has a wide one. It needs
    three points or more; with fewer all three are NaN.
    """
    if len(lengths) < 3:
        return dict.fromkeys(("slope", "low", "high"), math.nan)
    from scipy import stats

    fit = stats.linregress(np.log(lengths), np.log(times))
    reach = float(stats.t.ppf(0.975, len(lengths) - 2) * fit.stderr)
    return {"slope": float(fit.slope), "low": float(fit.slope) - reach, "high": float(fit.slope) + reach}


def upper(lengths: Sequence[float]) -> int:
    """The index from which on the longer half of the lengths lies, three of them at least."""
    return max(0, min(len(lengths) // 2, len(lengths) - 3))


def exponential(lengths: Sequence[float], times: Sequence[float]) -> bool | None:
    """Whether log(time) is a line in the length, time = a·b^length, rather than in log(length), time = a·length^b.

    Both lines have two parameters, so sums of squares decide: one must be less than half of the other, else None.
    """
    y = np.log(times)
    misses = []
    for x in (np.asarray(lengths, dtype=float), np.log(lengths)):
        misses.append(float(np.sum((np.polyval(np.polyfit(x, y, 1), x) - y) ** 2)))
    if max(misses) <= 2 * min(misses):
        return None
    return misses[0] < misses[1]


def crossings(lengths: Sequence[float], ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The lengths at which the two curves cross, straight lines between points on log-log axes; [] where none does."""
    gaps = np.log(ours) - np.log(theirs)
    x, found = np.log(lengths), []
    for i in range(len(gaps) - 1):
        if gaps[i] * gaps[i + 1] < 0:
            share = gaps[i] / (gaps[i] - gaps[i + 1])
            found.append(float(np.exp(x[i] + share * (x[i + 1] - x[i]))))
    return found


def decay(distances: Sequence[int], norms: Sequence[float]) -> dict[str, float | None]:
    """{"per_step", "half_distance"}: the factor of a norm from one step to the next, by least squares of log(norm) on
    the distance, and the steps in which it halves (None where it doesn't fall). Norms of 0 (underflow) are left out.
    """
    kept = [(d, math.log(n)) for d, n in zip(distances, norms, strict=True) if n > 0]
    if len(kept) < 2:
        return {"per_step": None, "half_distance": None}
    rate = float(np.polyfit(*zip(*kept, strict=True), 1)[0])
    return {"per_step": math.exp(rate), "half_distance": math.log(2) / -rate if rate < -1e-12 else None}
