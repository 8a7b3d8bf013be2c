"""How long calls take. Knows callables and a clock; knows no model, no text and no result file.

Several arms are timed interleaved, run by run over the same inputs, so that a machine that slows down or speeds up
meanwhile does so for every arm alike. Warm-up runs come first and are not counted. All times are in milliseconds.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

RUNS = 50  # at least so many timed runs per arm ...
SECONDS = 3.0  # ... and at least so much time in them
LONGEST = 30.0  # an arm that has both does not run on for longer than this while quicker arms still need theirs
MOST = 10_000  # so many runs are enough in whatever time: more runs of 0.1 ms would tell no more
WARM_UP = 3


def interleaved(
    arms: dict[str, Callable[[Any], Any]],
    inputs: Sequence,
    *,
    runs: int = RUNS,
    seconds: float = SECONDS,
    warm_up: int = WARM_UP,
    synchronize: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[float], Any] = lambda share: None,
) -> tuple[dict[str, list[float]], dict[str, Exception]]:
    """({arm: milliseconds of every timed run}, {arm: what it raised}); an arm that raises is only in the second.

    Time goes by in passes. In a pass every arm answers every input once: input by input, and for each input arm after
    arm, a different one first each time. So run r of any arm was on input `r % len(inputs)`, and all saw the same mix
    of lengths. Passes go on until every arm has `runs` runs and `seconds` of its own time; till then all stay, since
    an arm that ran on alone would have the caches to itself. Only one with more than `LONGEST` seconds leaves early.
    `synchronize` waits for a device to finish; it is called before each reading of the `clock`.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    spent = dict.fromkeys(arms, 0.0)  # milliseconds in timed runs
    failures: dict[str, Exception] = {}
    waiting = dict(arms)

    def call(name: str, value: Any, counted: bool) -> None:
        try:
            synchronize()
            start = clock()
            arms[name](value)
            synchronize()
            elapsed = (clock() - start) * 1000
            if counted:
                times[name].append(elapsed)
                spent[name] += elapsed
        except Exception as error:
            failures[name] = error
            del waiting[name], times[name]

    def share(name: str) -> float:
        """How much of the runs and of the seconds an arm has behind it: 1 = both in full."""
        if len(times[name]) >= MOST:
            return 1.0
        return min(1.0, len(times[name]) / runs, spent[name] / (1000 * seconds) if seconds else 1.0)

    for turn in range(warm_up):
        for name in list(waiting):
            call(name, inputs[turn % len(inputs)], counted=False)
    while waiting:
        for turn, value in enumerate(inputs):
            for name in _rotated(list(waiting), turn):
                call(name, value, counted=True)
            progress(min((share(name) for name in waiting), default=1.0))
        if all(share(name) == 1 for name in waiting):
            break
        for name in [name for name in waiting if share(name) == 1 and spent[name] > 1000 * LONGEST]:
            del waiting[name]
    return times, failures


def _rotated(names: list[str], turn: int) -> list[str]:
    first = turn % len(names) if names else 0
    return names[first:] + names[:first]


def once(work: Callable[[], Any], synchronize=lambda: None, clock=time.perf_counter) -> tuple[float, Any]:
    """Milliseconds of a single call, and what it returned: for what happens once, as loading or a first call."""
    start = clock()
    value = work()
    synchronize()
    return (clock() - start) * 1000, value


def summary(times: Sequence[float]) -> dict[str, float]:
    """{"p50", "p95", "p99", "mean"} in milliseconds, and the number of "runs"."""
    import numpy as np

    p50, p95, p99 = (float(p) for p in np.percentile(times, [50, 95, 99]))
    return {"p50": p50, "p95": p95, "p99": p99, "mean": float(np.mean(times)), "runs": len(times)}
