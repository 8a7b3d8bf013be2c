"""Result files of the experiments, made up: for the tests of the verdicts, the plots and the page."""

import json
from pathlib import Path

WHERE = {
    "device": "cpu", "hardware": "the CPU", "torch": "2", "transformers": "5", "python": "3.11", "threads": 2,
    "commit": "abcdef1234", "seed": 13,
}  # fmt: skip
LENGTHS = (16, 64, 256, 1024, 4096)


def data(experiment: str, settings: dict, units: list[dict], quick: bool = False, **where) -> dict:
    made = [each | {"seconds": 1.0, "commit": "abcdef1"} for each in units]
    head = {"schema": 1, "experiment": experiment, "quick": quick, "settings": settings}
    return head | {"environment": WHERE | where, "units": made}


def write(folder: Path, content: dict) -> Path:
    file = folder / f"{content['experiment']}--{content['environment']['device']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def score(value: float, room: float = 0.02) -> dict:
    return {"value": value, "low": value - room, "high": value + room, "range": "0-1"}


def sequential(time, memory=lambda arm, n: n / 1000, lengths=LENGTHS, **more) -> dict:
    """`time(arm, measure, length)` in ms, `memory(arm, length)` in MB."""
    units = []
    for control in ("parameters", "depth"):
        for measure in ("train_tokens", "train_batch", "encode", "decode"):
            for n in lengths:
                key = {"control": control, "measure": measure, "length": n}
                counted = {"parameters": 1000, "steps": n}
                arms = {a: counted | {"kept_mb": memory(a, n)} for a in ("rnn", "gru", "lstm", "transformer")}
                units.append({"unit": {"part": "sizes", **key}, "arms": arms})
                for turn in range(2):
                    ms = {a: [time(a, measure, n) * (1 + 0.01 * run) for run in range(3)] for a in arms}
                    units.append({"unit": {"part": "sequential", **key, "round": turn}, "ms": ms})
    settings = {"lengths": list(lengths), "rounds": 2, "runs": 3, "tokens": 64, "batch": 2, "width": 8, "layers": 2,
                "depth": 2}  # fmt: skip
    return data("sequential", {"sequential": settings, "sizes": settings}, units, **more)


def profile(arm: str, per_step: float, task="adding", length=65, seed=0, trained=None, right=1.0) -> dict:
    def norms(factor: float) -> dict:
        distances = [0, 1, 2, 4, 8, 16, 32, 64]
        hidden = [factor**d for d in distances]
        return {"distances": distances, "reach": 64, "hidden": hidden, "input": hidden, "float32_zero_from": None}

    unit = {"part": "profile", "arm": arm, "task": task, "length": length, "steps": 9 if trained else 0, "seed": seed}
    told = {"unit": unit, "parameters": 10, "before": norms(per_step)}
    return told | ({"after": norms(trained), "score": right, "steps_taken": 9} if trained else {})


def reached(arm: str, right: dict[int, float], rate=1e-3, seed=0) -> list[dict]:
    return [
        {"unit": {"part": "distance", "arm": arm, "distance": k, "rate": rate, "seed": seed}, "score": share,
         "steps_taken": 10, "parameters": 10}
        for k, share in right.items()
    ]  # fmt: skip


def agreement(model: str, shares: dict[int, float]) -> dict:
    rows = [
        {"sort": sort, "nouns": n if sort != "no noun" else 0, "attractors": n if sort == "attractors" else 0,
         "distance": 3.0 * n, "sentences": 100, "score": score(share, 0.03)}
        for sort in ("attractors", "same number", "no noun") for n, share in shares.items()
    ]  # fmt: skip
    return {"unit": {"part": "agreement", "model": model}, "rows": rows, "single_token_forms": 1.0, "parameters": 9}


def gradients(units: list[dict], **more) -> dict:
    settings = {
        "profile": {"seeds": 1, "length": 65, "long": 65, "steps": 9, "layers": 2, "width": 8},
        "distance": {"distances": [4, 64], "rates": [0.001], "seeds": 1, "steps": 10, "batch": 4},
        "agreement": {"sentences": 100},
    }
    return data("gradients", settings, units, **more)


def recalled(arm: str, shares: dict[int, float], task="copy", hidden=128, trained=20, rate=1e-3, seed=0) -> dict:
    unit = {"part": "recall", "task": task, "arm": arm, "hidden": hidden, "rate": rate, "seed": seed}
    return {"unit": unit, "parameters": 10, "trained_up_to": trained, "steps_taken": 9, "teacher_forced": 0.5,
            "exact_match": [[n, score(share)] for n, share in shares.items()]}  # fmt: skip


def translated(arm: str, bleu: list[float], hidden=128) -> dict:
    bins = [
        {"words": [10 * i + 1, 10 * i + 10], "mean_words": 5.0, "mean_joined": 1.0, "rows": 100, "length_ratio": 1.0,
         "metrics": {"bleu": score(value, 1.0), "chrf": score(value + 10, 1.0)}}
        for i, value in enumerate(bleu)
    ]  # fmt: skip
    record = {"parameters": 10, "steps": 5, "epochs": 4, "tokens_per_s": 1234.5, "minutes": 2.0, "validation": {}}
    unit = {"part": "translation", "arm": arm, "hidden": hidden, "share": 1}
    return {"unit": unit, "bins": bins, "parameters": 10, "training": record}


def attended(model: str, text: str = "I am happy") -> dict:
    return {"unit": {"part": "attention", "model": model, "text": text}, "source": ["I", "am", "<b>", "$x$"],
            "target": ["Je", "suis"], "weights": [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]]}  # fmt: skip


def bottleneck(units: list[dict], **more) -> dict:
    settings = {
        "recall": {"trained": {"copy": 20}, "steps": 9, "batch": 4, "rates": {"lstm": [0.001]}, "seeds": 1,
                   "tested": 100},
        "translation": {"hidden": [128], "joined": 4, "rows": 100, "vocabulary": 500, "tokens": 90, "dropout": 0.1},
    }  # fmt: skip
    return data("bottleneck", settings, units, **more)


def cost(task: str, rates: tuple[float, float], minutes: tuple[float, float] | None = None) -> dict:
    """Rates and minutes of the Transformer and of the LSTM."""
    arms = {}
    for i, family in enumerate(("t5", "lstm")):
        losses = [[minutes[i] / 2, 3.0], [minutes[i], 2.0]] if minutes else []
        arms[family] = {"parameters": 10, "tokens_per_s": rates[i], "target_tokens_per_s": None, "minutes": 9.0,
                        "real_tokens_per_padded": 0.9, "minutes_to_best": 8.0, "score": 40.0, "hardware": "x",
                        "pretrained": False, "scores": [], "losses": losses}  # fmt: skip
    level = {"level": 2.0, "minutes": {"t5": minutes[0], "lstm": minutes[1]}} if minutes else None
    return {"unit": {"part": "costs", "task": task}, "metric": "bleu", "higher_is_better": True, "arms": arms,
            "to_loss": level, "to_score": None}  # fmt: skip


def costs(units: list[dict], **more) -> dict:
    return data("costs", {"costs": {"smoothed": 10}}, units, **more)


def everything(**more) -> list[dict]:
    """A small result of each experiment, with all parts."""
    curves = [profile(arm, x, trained=x) for arm, x in (("rnn", 0.5), ("lstm forget 3", 0.99), ("transformer", 1.0))]
    curves += [profile("transformer", 1.0), profile("rnn", 0.5)]
    reach = [*reached("rnn", {4: 1.0, 64: 0.1}), *reached("transformer", {4: 1.0, 64: 1.0})]
    spoken = [agreement("transformer", {0: 1.0, 2: 0.9}), agreement("lstm", {0: 1.0, 2: 0.6})]
    arms = ("lstm", "lstm attention", "transformer")
    kept = [recalled(arm, {10: 1.0, 20: 0.9 - 0.5 * (arm == "lstm"), 40: 0.1}) for arm in arms]
    written = [translated(arm, [40.0, 30.0 - 20 * (arm == "lstm")]) for arm in arms]
    seen = [attended(model) for model in ("transformer", "lstm")]
    return [
        sequential(lambda arm, measure, n: n / (2 if arm == "transformer" else 1), **more),
        gradients([*curves, *reach, *spoken], **more),
        bottleneck([*kept, *written, *seen], **more),
        costs([cost("translate", (100.0, 200.0), (5.0, 3.0)), cost("qa", (100.0, 200.0))], **more),
    ]
