"""Scores that can be taken at their word: a classifier's temperature, and the score below which a text is out of scope.

`scripts.calibrate` fits both on validation rows and writes them into the checkpoint's `config.json`, where the pipeline
finds them; a checkpoint without them answers as ever:

    "calibration": {"temperature": 1.31, "out_of_scope": {"label": "oos", "threshold": 0.42, "score": 0.35}}

The temperature divides the logits before the softmax (Guo et al. 2017, "On Calibration of Modern Neural Networks",
section 4.2): it moves the scores and leaves their order.  N: texts, C: classes.
"""

import torch
import torch.nn.functional as F

RANGE = (0.05, 20.0)  # of temperatures: rows that are all answered right would take it to 0, noise to infinity


def logits(pipe, inputs: list, batch_size: int = 32) -> torch.Tensor:
    """What the model says before any softmax, (N, C); of a text in several parts the mean that the pipeline takes."""
    order = sorted(range(len(inputs)), key=lambda i: len(str(inputs[i])), reverse=True)
    place = pipe.model.config.label2id
    found = torch.empty(len(inputs), len(place))
    outputs = pipe((inputs[i] for i in order), batch_size=batch_size, function_to_apply="none", top_k=None)
    for i, records in zip(order, outputs, strict=True):
        for record in records:
            found[i, place[record["label"]]] = record["score"]
    return found


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The temperature under which the targets (N,) are likeliest, given logits (N, C)."""
    logits, log = logits.double(), torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log.exp(), targets)
        value.backward()
        return value

    optimizer.step(loss)
    return min(max(float(log.detach().exp()), RANGE[0]), RANGE[1])


def fit_threshold(scores: torch.Tensor, targets: torch.Tensor, outside: int) -> dict[str, float]:
    """{"threshold", "score"}: the threshold, in hundredths, under which most of all rows are answered right (of equals
    the lowest), and the share of right answers among those that it refuses.

    scores (N, C) after the softmax; `outside` is the class of what is out of scope.  The choice is that of Larson et
    al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction" (oos-threshold), here for a
    model that has a class for it too.
    """
    best, label = scores.max(1)  # (N,), (N,)
    steps = torch.arange(100) / 100
    refused = (best < steps[:, None]) | (label == outside)  # (100, N)
    right = torch.where(refused, targets == outside, targets == label).sum(1)  # (100,)
    chosen = int(right.argmax())  # the first of equals
    by_score = (best < chosen / 100) & (label != outside)  # (N,)
    share = (targets[by_score] == outside).double().mean() if by_score.any() else 0.0
    return {"threshold": chosen / 100, "score": round(float(share), 4)}


def temperature(config) -> float:
    """The checkpoint's temperature; 1 where it has none."""
    return float((getattr(config, "calibration", None) or {}).get("temperature", 1.0))


def threshold(config) -> dict | None:
    """The checkpoint's {"label", "threshold", "score"} for what is out of scope; None where it has none."""
    return (getattr(config, "calibration", None) or {}).get("out_of_scope")


def refuse(records: list[dict], rule: dict) -> list[dict]:
    """All labels with their scores, the best first, and before them the label for out of scope where the best of the
    others falls short of the threshold.

    The score of such an answer is the rule's: how often it was right on validation rows. Where the label for out of
    scope is the best anyway, the model has refused by itself and the scores stay as they are.
    """
    best, label = records[0], rule["label"]
    if best["label"] == label or best["score"] >= rule["threshold"]:
        return records
    return [{"label": label, "score": rule["score"]}, *(r for r in records if r["label"] != label)]
