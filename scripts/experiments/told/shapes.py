"""What was measured, in the shapes that tables, plots and verdicts need: from the content of result files."""

import statistics
from collections import defaultdict

from scripts.experiments.told import fits

RECURRENT = ("rnn", "gru", "lstm")  # how the names of recurrent arms begin


def units(data: dict, part: str) -> list[dict]:
    """The units of a part that were measured; those that failed are left out."""
    return [each for each in data["units"] if each["unit"]["part"] == part and "error" not in each]


def errors(data: dict) -> list[str]:
    """What failed, in words."""
    told = []
    for each in data["units"]:
        name = " ".join(str(value) for value in each["unit"].values())
        told += [f"{name}: {each['error']}"] if "error" in each else []
        told += [f"{name} {arm}: {why}" for arm, why in each.get("failed", {}).items()]
    return told


def recurrent(arm: str) -> bool:
    """Whether all that an arm knows of earlier steps has passed through its state; attention is a way around it."""
    return arm.startswith(RECURRENT) and "attention" not in arm


def times(data: dict) -> dict[tuple[str, str], dict[str, dict[int, dict]]]:
    """(control, measure) → arm → length → quartiles of the milliseconds, over all rounds."""
    found: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for each in units(data, "sequential"):
        unit = each["unit"]
        for arm, ms in each["ms"].items():
            found[unit["control"], unit["measure"]][arm][unit["length"]] += ms
    return {
        key: {arm: {n: fits.quartiles(ms) for n, ms in sorted(by.items())} for arm, by in arms.items()}
        for key, arms in found.items()
    }


def sizes(data: dict) -> dict[tuple[str, str], dict[str, dict[int, dict]]]:
    """(control, measure) → arm → length → what was counted."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for each in units(data, "sizes"):
        unit = each["unit"]
        for arm, counted in each["arms"].items():
            found[unit["control"], unit["measure"]][arm][unit["length"]] = counted
    return {key: dict(arms) for key, arms in found.items()}


def slopes(by_length: dict[int, dict], part: slice = slice(None)) -> dict[str, float]:
    """The log-log slope of the medians, with its interval."""
    lengths = list(by_length)[part]
    return fits.slope(lengths, [by_length[n]["median"] for n in lengths])


def longer(by_length: dict) -> slice:
    """The longer half of the lengths, where a slope says most about still longer ones."""
    return slice(fits.upper(list(by_length)), None)


def profiles(data: dict) -> dict[tuple[str, int, str], dict[str, dict]]:
    """(task, length, "untrained" or "trained") → arm → {"distances", name: {"median", "low", "high"} of each distance,
    "reach", "per_step", "half_distance", "far", "score"}. The middle and the range are over seeds; names are "hidden",
    "input", "cell".

    "per_step" and "half_distance" are fitted to each seed's "hidden", and "far" is the norm at "reach", the farthest
    step that the answer depends on, over that at one step; of all three the median. "score" is the median share right
    after training, None before.
    """
    runs: dict = defaultdict(lambda: defaultdict(list))
    for each in units(data, "profile"):
        unit = each["unit"]
        for when, name in (("before", "untrained"), ("after", "trained")):
            if when in each:
                score = each["score"] if when == "after" else None
                runs[unit["task"], unit["length"], name][unit["arm"]].append(each[when] | {"score": score})
    return {key: {arm: _profile(some) for arm, some in arms.items()} for key, arms in runs.items()}


def _profile(runs: list[dict]) -> dict:
    distances, reach = runs[0]["distances"], runs[0]["reach"]
    told: dict = {"distances": distances, "reach": reach, "seeds": len(runs)}
    for name in ("hidden", "input", "cell"):
        if name in runs[0]:
            columns = list(zip(*(run[name] for run in runs), strict=True))
            told[name] = {
                "median": [statistics.median(column) for column in columns],
                "low": [min(column) for column in columns],
                "high": [max(column) for column in columns],
            }
    far = distances.index(reach)
    decays = [fits.decay(distances[1 : far + 1], run["hidden"][1 : far + 1]) for run in runs]
    for key in ("per_step", "half_distance"):
        known = [float("inf") if each[key] is None else each[key] for each in decays]
        told[key] = statistics.median(known)
    told["far"] = statistics.median(run["hidden"][far] / run["hidden"][1] if run["hidden"][1] else 0.0 for run in runs)
    scores = [run["score"] for run in runs if run["score"] is not None]
    told["score"] = statistics.median(scores) if scores else None
    zeros = [run["float32_zero_from"] for run in runs if run["float32_zero_from"] is not None]
    told["float32_zero_from"] = min(zeros, default=None)
    return told


def distances(data: dict) -> dict[str, dict[int, dict]]:
    """arm → distance → {"median", "low", "high"} of the share right over seeds, and the "rate" that was best."""
    runs: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for each in units(data, "distance"):
        unit = each["unit"]
        runs[unit["arm"]][unit["distance"]][unit["rate"]].append((unit["seed"], each["score"]))
    return {arm: {k: _best(rates) for k, rates in sorted(by.items())} for arm, by in runs.items()}


def _best(rates: dict[float, list[tuple[int, float]]]) -> dict:
    rate = max(rates, key=lambda rate: (len(rates[rate]), dict(rates[rate]).get(0, -1.0)))  # the one with all seeds
    scores = [score for _, score in rates[rate]]
    return {"median": statistics.median(scores), "low": min(scores), "high": max(scores), "rate": rate}


def agreement(data: dict) -> dict[str, list[dict]]:
    """model → rows, as the experiment wrote them."""
    return {each["unit"]["model"]: each["rows"] for each in units(data, "agreement")}


def recall(data: dict) -> dict[tuple[str, int], dict[str, dict]]:
    """(task, hidden) → arm → {"lengths": {length: {"value", "low", "high"}}, "trained_up_to", "parameters", "rate"}.

    Of the best learning rate; the mean over seeds, and from the least to the greatest end of their intervals. "steps"
    are the most that a seed took.
    """
    runs: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for each in units(data, "recall"):
        unit = each["unit"]
        runs[unit["task"], unit["hidden"]][unit["arm"]][unit["rate"]].append(each)
    return {key: {arm: _recalled(rates) for arm, rates in arms.items()} for key, arms in runs.items()}


def _recalled(rates: dict[float, list[dict]]) -> dict:
    def known(some: list[dict]) -> float:
        first = some[0]
        return sum(score["value"] for length, score in first["exact_match"] if length <= first["trained_up_to"])

    rate = max(rates, key=lambda rate: (len(rates[rate]), known(rates[rate])))
    some = rates[rate]
    lengths = {
        length: {
            "value": statistics.mean(dict(_pairs(each))[length]["value"] for each in some),
            "low": min(dict(_pairs(each))[length]["low"] for each in some),
            "high": max(dict(_pairs(each))[length]["high"] for each in some),
        }
        for length, _ in some[0]["exact_match"]
    }
    kept = {key: some[0][key] for key in ("trained_up_to", "parameters")}
    return {"lengths": lengths, "rate": rate, "seeds": len(some), "steps": max(e["steps_taken"] for e in some)} | kept


def _pairs(each: dict) -> list[tuple[int, dict]]:
    return [(length, score) for length, score in each["exact_match"]]


def translation(data: dict) -> dict[int, dict[str, dict]]:
    """hidden → arm → {"bins", "parameters", …} as the experiment wrote them; hidden 0 is the bundled pair."""
    found: dict = defaultdict(dict)
    for each in units(data, "translation"):
        found[each["unit"]["hidden"]][each["unit"]["arm"]] = each
    return dict(sorted(found.items()))


def attention(data: dict) -> dict[str, dict[str, dict]]:
    """text → model → {"source", "target", "weights"}."""
    found: dict = defaultdict(dict)
    for each in units(data, "attention"):
        found[each["unit"]["text"]][each["unit"]["model"]] = each
    return dict(found)


def costs(data: dict) -> dict[str, dict]:
    """task → figures of both arms."""
    return {each["unit"]["task"]: each for each in units(data, "costs")}
