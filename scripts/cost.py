"""What the answers of several arms cost: latency, throughput, memory. Fills in `Arm.costs` and `Arm.runs`."""

import itertools
import random
from collections.abc import Callable, Iterator

from scripts import latency, probe
from scripts.arms import FLOOR, Arm, sound

INPUTS = 50  # different inputs that latency is measured on, drawn from the data: ragged as they come
NEW_TOKENS = 32  # every arm writes so many for `per_new_token`
BATCHES = 4  # different batches that throughput is measured on, and its least number of runs


def measure(task, inputs: list, arms: list[Arm], args, bar, tell, say) -> None:
    """Fills in the costs of every sound arm.

    `args` has device, seed, batch_size, runs and seconds, as in the harness; `tell(arm, error)` hears of an arm that
    fails, `say(line)` of the rest.
    """
    draw = random.Random(args.seed)
    places = sorted(draw.sample(range(len(inputs)), min(INPUTS, len(inputs))))
    few = [inputs[i] for i in places]
    batches = _batches(draw.sample(inputs, min(args.batch_size * BATCHES, len(inputs))), args.batch_size)
    fresh = {}
    for arm in sound(arms):
        with bar(f"{task.name} {arm.model}: load, first call, memory"):
            fresh[arm.model] = _fresh(task, arm, few[:1] + batches[0], args, say)

    def timed(label: str, ask: Callable, over: list, runs: int) -> Iterator[tuple[Arm, list[float]]]:
        """Models interleaved, then the floor alone: it would only make the others run more often."""
        for group in ([a for a in sound(arms) if a.family != FLOOR], [a for a in sound(arms) if a.family == FLOOR]):
            calls = {arm.model: call for arm in group if (call := ask(arm))}
            if not calls:
                continue
            with bar(f"{task.name} {', '.join(calls)}: {label}", 1) as show:
                times, failures = latency.interleaved(
                    calls, over, runs=runs, seconds=args.seconds, synchronize=_synchronizer(args.device), progress=show
                )
            for arm in group:
                if arm.model in failures:
                    tell(arm, failures[arm.model])
                elif arm.model in times:
                    yield arm, times[arm.model]

    for arm, times in timed("latency", lambda arm: arm.one, few, args.runs):
        once = fresh[arm.model]
        arm.costs["latency_ms"] = latency.summary(times) | {"first": once["first"], "load": once["load"]}
        arm.costs["memory_mb"] = {"peak": once["peak"], "before_load": once["before_load"]}
        arm.runs += _by_input("latency", places, times)
    for arm, times in timed("ms per new token", _fixed, few, args.runs):
        each = [ms / NEW_TOKENS for ms in times]
        arm.costs["latency_ms"]["per_new_token"] = latency.summary(each) | {"new_tokens": NEW_TOKENS, "num_beams": 1}
        arm.runs += _by_input("per_new_token", places, each)
    for arm, times in timed("throughput", lambda arm: lambda batch: arm.many(batch, args.batch_size), batches, BATCHES):
        rate = 1000 * args.batch_size * len(times) / sum(times)
        arm.costs["throughput"] = {"samples_per_s": rate, "batch_size": args.batch_size}


def _fixed(arm: Arm) -> Callable | None:
    return (lambda text: arm.fixed(text, NEW_TOKENS)) if arm.fixed else None


def _batches(pool: list, size: int) -> list[list]:
    """`BATCHES` full batches of alike lengths, longest first, as `predict_all` makes them; a short pool is repeated."""
    filled = itertools.islice(itertools.cycle(pool), size * BATCHES)
    ordered = sorted(filled, key=lambda value: len(str(value)), reverse=True)
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def _fresh(task, arm: Arm, inputs: list, args, say) -> dict:
    """What a fresh process measures; nulls for a floor, which is no checkpoint to load, and where that failed."""
    nothing = {"first": None, "load": arm.load_ms, "peak": None, "before_load": None}
    if arm.family == FLOOR:
        return nothing
    try:
        return probe.measure(task.name, arm.asked, args.device, inputs, args.batch_size, arm.engine)
    except RuntimeError as error:  # the arm works here: a second copy may just not fit beside it
        say(f"{task.name} {arm.model}: no load time and memory: {error}")
        return nothing


def _by_input(what: str, places: list[int], times: list[float]) -> list[dict]:
    """Timed runs as records, one per input: run r was on input `r % len(places)`."""
    return [
        {"measure": what, "index": index, "ms": [float(f"{ms:.4g}") for ms in times[i :: len(places)]]}
        for i, index in enumerate(places)
    ]


def _synchronizer(device: str) -> Callable[[], object]:
    import torch

    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device == "mps" else lambda: None
