"""Verdicts on what is learnt: claims 2 and 3."""

import math

from scripts.experiments.told import shapes
from scripts.experiments.told.claims import CLEARLY, LEARNT, Case, Verdict, interval

HALF = 0.5  # exact match, or share of another's BLEU, below which a task counts as not learnt
VANISHED = 1e-3  # of the gradient one step back: what is left of it at the farthest step, or less

# --- vanishing gradients ---


def gradients(data: dict) -> list[Verdict]:
    profiles = shapes.profiles(data)
    rule = (
        f"at the farthest step that the answer depends on less than {VANISHED:g} is left of the gradient one step "
        f"back; it tells nothing after training that did not get to {LEARNT:g} of the answers"
    )
    found = [
        (arm, f"{arm}, {when}, {task}, {length} steps", each)
        for (task, length, when), arms in profiles.items() for arm, each in arms.items()
    ]  # fmt: skip
    lost = [Case(name, _vanished(each), _left(each)) for arm, name, each in found if shapes.recurrent(arm)]
    kept = [Case(name, _kept(each), _left(each)) for arm, name, each in found if not shapes.recurrent(arm)]
    reach = shapes.distances(data)
    return [
        Verdict(
            "Gradients vanish in recurrent networks.", f"a case holds where {rule}", "the network and its training",
            tuple(lost),
        ),
        Verdict(
            "Gradients do not vanish where attention reads: in a Transformer, or an LSTM with an attention readout.",
            f"a case holds unless {rule}", "training", tuple(kept),
        ),
        Verdict(
            "Recurrent networks do not learn an answer that depends on a token far back.",
            f"a case holds where the median share right, best learning rate, is below {LEARNT:g} at some distance; it "
            "tells nothing where that is so at the shortest",
            "the network", tuple(_reach(arm, by, False) for arm, by in reach.items() if shapes.recurrent(arm)),
        ),
        Verdict(
            "Where attention reads, an answer that depends on a token far back is learnt.",
            f"a case holds where the median share right, best learning rate, is {LEARNT:g} or more at all distances; "
            "it tells nothing where that is not so at the shortest",
            "the network", tuple(_reach(arm, by, True) for arm, by in reach.items() if not shapes.recurrent(arm)),
        ),
        Verdict(
            "In language, an LSTM loses the subject's number where a Transformer keeps it.",
            "a case holds where the LSTM's interval lies below the Transformer's and that above chance, and fails "
            "where the LSTM's lies above chance and reaches the Transformer's; it tells nothing where neither keeps it",
            "what stands between",
            tuple(_agreement(shapes.agreement(data))),
        ),
    ]  # fmt: skip


def _vanished(each: dict) -> bool | None:
    learnt = each["score"] is None or each["score"] >= LEARNT
    return each["far"] < VANISHED if learnt else None


def _kept(each: dict) -> bool | None:
    vanished = _vanished(each)
    return None if vanished is None else not vanished


def _left(each: dict) -> str:
    half = "it does not fall" if math.isinf(each["half_distance"]) else f"half after {each['half_distance']:.3g} steps"
    told = f"{each['per_step']:.3g} a step, {half}; {each['far']:.2g} is left at {each['reach']} steps"
    return told if each["score"] is None else f"{told}; {each['score']:.0%} right"


def _reach(arm: str, by: dict[int, dict], far: bool) -> Case:
    learnt = [k for k, each in by.items() if each["median"] >= LEARNT]
    told = f"learnt at {', '.join(map(str, learnt))} steps" if learnt else "learnt at no distance"
    told += f"; {by[max(by)]['median']:.0%} right at {max(by)}"
    return Case(arm, (len(learnt) == len(by)) == far if min(by) in learnt else None, told)


def _agreement(rows: dict[str, list[dict]]):
    pairs = zip(rows.get("lstm", []), rows.get("transformer", []), strict=False)
    for ours, theirs in pairs:
        between = (
            f"{ours['nouns']} noun{'s' * (ours['nouns'] > 1)} ({ours['sort']})"
            if ours["nouns"]
            else f"{ours['distance']:g} words, no noun"
        )
        told = ", ".join(f"{n} {interval(row['score'])}" for n, row in (("lstm", ours), ("transformer", theirs)))
        yield Case(between, _loses(ours["score"], theirs["score"]), told)


def _loses(ours: dict, theirs: dict, chance: float = 0.5) -> bool | None:
    if ours["high"] < theirs["low"]:
        return True if theirs["low"] > chance else None
    return False if ours["low"] > chance else None


# --- the bottleneck ---


def bottleneck(data: dict) -> list[Verdict]:
    recall, translation = shapes.recall(data), shapes.translation(data)
    return [
        Verdict(
            "One vector is a bottleneck: without attention an LSTM falls off on long inputs.",
            "a case holds where, at the longest inputs (trained lengths, for copy and recall), the interval without "
            "attention lies below the one with it; for BLEU its share of the other's must also be less than at the "
            f"shortest; it tells nothing where exact match is below {HALF:g} with attention, or without it at the "
            f"shortest inputs already, or BLEU without it there below {HALF:g} of that with it",
            "the task and the width", tuple([*_one_vector(recall), *_one_vector_bleu(translation)]),
        ),
        Verdict(
            "Attention removes it: the LSTM with attention is as good as a Transformer on long inputs.",
            "a case holds where, there, the LSTM with attention has the Transformer's figure or more, or misses it by "
            f"less than {CLEARLY - 1:.0%}, and fails where its interval lies below; else it tells nothing, and where "
            f"exact match of both is below {HALF:g}",
            "the task and the width", tuple(_level(recall, translation, "lstm attention", "transformer")),
        ),
        Verdict(
            "Transformers have no bottleneck for long sequences: quality beyond the lengths trained on.",
            f"a case holds where exact match stays at {LEARNT:g} or more at all lengths tested; it tells nothing where "
            "it is less at the longest length trained on", "the task and the width",
            tuple(_beyond(recall)),
        ),
    ]  # fmt: skip


def _at_trained(arm: dict) -> int:
    """The longest tested length that training has shown."""
    return max(n for n in arm["lengths"] if n <= arm["trained_up_to"])


def _one_vector(recall: dict):
    for (task, hidden), arms in recall.items():
        if {"lstm", "lstm attention"} <= arms.keys():
            without, attending = arms["lstm"], arms["lstm attention"]
            n = _at_trained(without)
            ours, theirs = without["lengths"][n], attending["lengths"][n]
            shortest = without["lengths"][min(without["lengths"])]["value"]
            told = (
                f"exact match {interval(ours)} without, {interval(theirs)} with attention; {shortest:.2f} without at "
            )
            told += f"the shortest, {without['steps']:,} and {attending['steps']:,} steps of training"
            known = min(shortest, theirs["value"]) >= HALF
            holds = ours["high"] < theirs["low"] if known else None
            yield Case(f"{task}, length {n}, hidden {hidden}", holds, told)


def _bleu(each: dict, place: int) -> dict:
    return each["bins"][place]["metrics"]["bleu"]


def _one_vector_bleu(translation: dict):
    for hidden, arms in translation.items():
        if {"lstm", "lstm attention"} <= arms.keys():
            without, attending = arms["lstm"], arms["lstm attention"]
            shares = [_bleu(without, i)["value"] / max(_bleu(attending, i)["value"], 1e-9) for i in (0, -1)]
            below = _bleu(without, -1)["high"] < _bleu(attending, -1)["low"]
            told = f"{interval(_bleu(without, -1), 1)} without, {interval(_bleu(attending, -1), 1)} with attention; "
            told += f"{shares[0]:.0%} of its BLEU at the shortest, {shares[1]:.0%} at the longest"
            holds = below and shares[1] < shares[0] if shares[0] >= HALF else None  # else it has learnt too little
            yield Case(f"translation, {_words(without)}, hidden {hidden}", holds, told)


def _words(arm: dict) -> str:
    return "{} to {} words".format(*arm["bins"][-1]["words"])


def _level(recall: dict, translation: dict, one: str, other: str):
    for (task, hidden), arms in recall.items():
        if {one, other} <= arms.keys():
            n = _at_trained(arms[one])
            ours, theirs = arms[one]["lengths"][n], arms[other]["lengths"][n]
            told = f"exact match {interval(ours)}, {other} {interval(theirs)}"
            holds = _as_good(ours, theirs) if max(ours["value"], theirs["value"]) >= HALF else None
            yield Case(f"{task}, length {n}, hidden {hidden}", holds, told)
    for hidden, arms in translation.items():
        if {one, other} <= arms.keys():
            ours, theirs = _bleu(arms[one], -1), _bleu(arms[other], -1)
            told = f"BLEU {interval(ours, 1)}, {other} {interval(theirs, 1)}"
            size = f"hidden {hidden}" if hidden else "bundled pair (trained on single sentences)"
            yield Case(f"translation, {_words(arms[one])}, {size}", _as_good(ours, theirs), told)


def _as_good(ours: dict, theirs: dict) -> bool | None:
    if ours["value"] * CLEARLY >= theirs["value"]:
        return True
    return False if ours["high"] < theirs["low"] else None


def _beyond(recall: dict):
    for (task, hidden), arms in recall.items():
        if arm := arms.get("transformer"):
            known = [n for n in arm["lengths"] if n > arm["trained_up_to"]]
            low = [n for n in known if arm["lengths"][n]["value"] < LEARNT]
            told = ", ".join(f"{arm['lengths'][n]['value']:.2f} at {n}" for n in [_at_trained(arm), *known])
            name = f"{task}, hidden {hidden}, trained up to {arm['trained_up_to']}"
            known_well = arm["lengths"][_at_trained(arm)]["value"] >= LEARNT
            yield Case(name, not low if known_well else None, f"exact match {told}")
