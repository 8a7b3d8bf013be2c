"""Verdicts on time and memory: claim 1, and what training costs."""

import math
from itertools import groupby

from scripts.experiments.told import fits, shapes
from scripts.experiments.told.claims import CLEARLY, Case, Verdict

MEASURES = {
    "train_tokens": "training step, fixed tokens",
    "train_batch": "training step, fixed rows",
    "encode": "reading one text",
    "decode": "writing a token",
}
ROUGHLY = 1.5  # times of trainings that shared a machine: what is closer is level
CONTROLS = {"parameters": "equal parameters", "depth": "equal depth and width"}


def sequential(data: dict) -> list[Verdict]:
    times, sizes = shapes.times(data), shapes.sizes(data)
    training = [(key, arms) for key, arms in times.items() if key[1].startswith("train")]
    writing = [(key, arms) for key, arms in times.items() if key[1] == "decode"]
    slower = (
        "a case holds where the network's lower quartile is above the Transformer's upper one, fails where its upper "
        "one is below the Transformer's lower, and tells nothing where they overlap"
    )
    growth = [
        Case(f"{arm}, {CONTROLS[control]}, {MEASURES[measure]}", _exponential(by), _growth(by))
        for (control, measure), arms in times.items() if measure == "train_batch"
        for arm, by in arms.items() if shapes.recurrent(arm) and len(by) > 2
    ]  # fmt: skip
    return [
        Verdict(
            "Training a recurrent network takes longer than training a Transformer: its steps wait for one another.",
            slower, "the network, length, measure and control",
            tuple(case for item in training for case in _slower(*item)),
        ),
        Verdict(
            "Writing token by token takes a recurrent network longer than a Transformer.",
            slower, "the network and length", tuple(case for item in writing for case in _slower(*item)),
        ),
        Verdict(
            "Longer sequences mean exponentially longer training time for RNNs.",
            "a case holds where, over the longer half of the lengths, a·b^length fits the medians with less than half "
            "the squares of a·length^b (in logarithms), and fails where it is the other way round",
            "the network", tuple(growth), _instead(times),
        ),
        Verdict(
            "Transformers have no bottleneck for long sequences: time and memory.",
            "a case holds where, over the longer half of the lengths, the Transformer's median grows by no more than "
            f"{CLEARLY - 1:.0%} above the LSTM's, and fails where it grows by more even from its upper quartile to its "
            "lower, and the LSTM's the other way round; else it tells nothing. For memory it holds where the exponent "
            "there is no more than 0.1 above the LSTM's",
            "the measure", tuple(_no_bottleneck(times, sizes)), _instead(times),
        ),
    ]  # fmt: skip


def _instead(times: dict) -> str:
    """What the slopes of training say, where they were measured."""
    arms = times.get(("parameters", "train_batch"), {})
    fitted = {arm: shapes.slopes(by, shapes.longer(by)) for arm, by in arms.items() if len(by) > 2}
    told = ", ".join(f"{arm} {with_ends(fit)}" for arm, fit in fitted.items())
    said = "a training step of a fixed number of rows, equal parameters, over the longer half of the lengths"
    return f"Measured instead, for {said}: {told} (1 is linear, 2 quadratic)." if told else ""


def _exponential(by: dict[int, dict]) -> bool | None:
    lengths = list(by)[shapes.longer(by)]  # at short ones the fixed cost of a call hides what grows
    return fits.exponential(lengths, [by[n]["median"] for n in lengths])


def _growth(by: dict[int, dict]) -> str:
    fit = shapes.slopes(by, shapes.longer(by))
    doubled = f"twice the length, {2 ** fit['slope']:.2g} times the time"
    return f"{with_ends(fit)} over the longer half of the lengths: {doubled}"


def with_ends(fit: dict) -> str:
    """A slope with its 95 % interval."""
    return f"slope {fit['slope']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]"


def _slower(key: tuple[str, str], arms: dict[str, dict[int, dict]]) -> list[Case]:
    """Stretches of lengths with the same outcome, a case each, for each recurrent network."""
    control, measure = key
    theirs, cases = arms.get("transformer", {}), []
    for arm in filter(shapes.recurrent, arms):
        ours = arms[arm]
        judged = [(n, _above(ours[n], theirs[n])) for n in ours if n in theirs]
        for holds, stretch in groupby(judged, key=lambda pair: pair[1]):
            lengths = [n for n, _ in stretch]
            ratios = [ours[n]["median"] / theirs[n]["median"] for n in lengths]
            ends = _from_to([f"{ratio:.2g}" for ratio in (min(ratios), max(ratios))])
            name = f"{arm}, {MEASURES[measure]}, {CONTROLS[control]}, {_from_to(lengths)} tokens"
            cases.append(Case(name, holds, f"{ends} times as long"))
    return cases


def _above(ours: dict, theirs: dict) -> bool | None:
    """Whether quartiles lie above others; None where they overlap."""
    if ours["q1"] > theirs["q3"]:
        return True
    return False if ours["q3"] < theirs["q1"] else None


def _from_to(values: list) -> str:
    ends = [f"{value:,}" if isinstance(value, int) else str(value) for value in (values[0], values[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _no_bottleneck(times: dict, sizes: dict):
    for (control, measure), arms in times.items():
        if measure == "train_tokens" or not {"lstm", "transformer"} <= arms.keys():
            continue
        name = f"{MEASURES[measure]}, {CONTROLS[control]}"
        grown = {arm: _growths(arms[arm]) for arm in ("transformer", "lstm")}
        if all(grown.values()):
            ours, theirs = grown["transformer"], grown["lstm"]
            holds = None if ours["least"] <= theirs["most"] else False
            if ours["median"] <= CLEARLY * theirs["median"]:
                holds = True
            fits_ = {arm: shapes.slopes(arms[arm], shapes.longer(arms[arm])) for arm in grown}
            told = ", ".join(
                f"{arm} {grown[arm]['median']:.3g} times the time ({with_ends(fit)})" for arm, fit in fits_.items()
            )
            yield Case(f"time of {name}", holds, told)
    for (control, measure), arms in sizes.items():
        if measure == "train_tokens" or not {"lstm", "transformer"} <= arms.keys():
            continue
        lengths = list(arms["lstm"])[shapes.longer(arms["lstm"])]
        ends = {
            arm: [arms[arm][n].get("kept_mb") for n in (lengths[0], lengths[-1])] for arm in ("transformer", "lstm")
        }
        if len(lengths) > 1 and all(all(values) for values in ends.values()):
            power = {arm: _exponent(lengths, values) for arm, values in ends.items()}
            told = ", ".join(f"{arm} {a:g} → {b:g} MB (exponent {power[arm]:.2f})" for arm, (a, b) in ends.items())
            held = "cache or state" if measure == "decode" else "kept for the backward pass"
            name = f"memory ({held}), {CONTROLS[control]}, {_from_to(lengths)} tokens"
            yield Case(name, power["transformer"] <= power["lstm"] + 0.1, told)


def _growths(by: dict[int, dict]) -> dict[str, float]:
    """By which factor a time grows over the longer half of the lengths: of the medians, and the least and the most
    that the quartiles allow; {} where the lengths are too few."""
    if len(by) < 3:
        return {}
    some = list(by.values())[shapes.longer(by)]
    first, last = some[0], some[-1]
    return {
        "median": last["median"] / first["median"],
        "least": last["q1"] / first["q3"],
        "most": last["q3"] / first["q1"],
    }


def _exponent(lengths: list[int], ends: list[float]) -> float:
    """The power of the length with which something grew from the first of the lengths to the last."""
    return math.log(ends[1] / ends[0]) / math.log(lengths[-1] / lengths[0])


# --- what training costs ---


def costs(data: dict) -> list[Verdict]:
    pairs = shapes.costs(data)
    return [
        Verdict(
            "A Transformer trains on more tokens per second than an LSTM.",
            f"a case holds where it does so by a factor of {ROUGHLY:g} or more, and fails where it is slower by as "
            f"much; else it tells nothing, and where one arm has more than {ROUGHLY:g} times the other's parameters",
            "the task",
            tuple(_rates(task, pair) for task, pair in pairs.items()),
        ),
        Verdict(
            "A Transformer reaches the same quality in less training time than an LSTM.",
            "a case holds where the best level that both reach, of the validation score or of the training loss where "
            f"only that was kept, takes the LSTM {ROUGHLY:g} times as long or more, and fails where it takes the "
            "Transformer as much longer; else it tells nothing",
            "the task", tuple(case for task, pair in pairs.items() if (case := _sooner(task, pair))),
        ),
    ]  # fmt: skip


def families_of(pair: dict) -> tuple[str, str]:
    """The families of a pairing, the Transformer's first."""
    return next(family for family in pair["arms"] if family != "lstm"), "lstm"


def _rates(task: str, pair: dict) -> Case:
    ours, theirs = (pair["arms"][family] for family in families_of(pair))
    rates = [arm["tokens_per_s"] for arm in (ours, theirs)]
    told = f"{families_of(pair)[0]} {rates[0]:,.0f}, lstm {rates[1]:,.0f} tokens/s"
    larger = ours["parameters"] / theirs["parameters"]
    told += f", of {larger:.2g} times the LSTM's parameters"
    return Case(task, _by_far(*rates) if 1 / ROUGHLY <= larger <= ROUGHLY else None, told)


def _by_far(ours: float, theirs: float) -> bool | None:
    """Whether one figure is the larger; None where they are too close for timings of a shared machine."""
    if ours >= ROUGHLY * theirs:
        return True
    return False if theirs >= ROUGHLY * ours else None


def _sooner(task: str, pair: dict) -> Case | None:
    found, what = pair["to_score"], pair["metric"]
    if not found:
        found, what = pair["to_loss"], "training loss"
    if not found:
        return None
    family = families_of(pair)[0]
    ours, theirs = (found["minutes"][name] for name in (family, "lstm"))
    told = f"{what} {found['level']:.4g} after {ours:.3g} ({family}) and {theirs:.3g} (lstm) minutes"
    pretrained = [arm["pretrained"] for arm in pair["arms"].values()]
    told += ", a pretrained encoder against new layers" if len(set(pretrained)) > 1 else ""
    return Case(task, _by_far(theirs, ours), told)
