"""What a threshold on the score does to out-of-scope texts: `python -m scripts.thresholds`.

For each model every threshold from 0 to 1 is tried, on scores as its calibration softens them: a text whose best
score falls short of it is answered as out of scope. `results/thresholds/<task>.png` shows what is gained there and lost
within scope, with 95 % bootstrap bands; `<task>.json` has the numbers. Dots are the checkpoints' own thresholds.
`scripts.calibrate` sets those. Needs `pip install '.[report]'`.
"""

import argparse
import json
import sys
from pathlib import Path

import tasks
from pipelines.errors import UserError, unknown
from tasks.flags import Parser, status, whole

STEPS = 101  # thresholds
DRAWS = 300  # of the bootstrap
SHARES = {"in_scope_accuracy": "right, of texts in scope", "out_of_scope_recall": "refused, of texts out of scope"}


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("thresholds", lambda: run(parse(argv)), "interrupted; nothing was written")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.thresholds", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", default="intents", metavar="T", help="a task with a label for what is out of scope (default intents)")
    add("--models", default="transformer,lstm", metavar="M", help="transformer,lstm,HUB_ID,DIR …")
    add("--data", metavar="D", help="a file, a Hub id or samples (default: the task's own)")
    add("--split", metavar="S", help="split to measure on (default: the task's own)")
    add("--limit", type=whole, metavar="N", help="at most so many rows (default: all)")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, mps (default auto)")
    add("--output", type=Path, default=Path("results/thresholds"), metavar="DIR", help="default results/thresholds")
    args = parser.parse_args(argv)
    known = [name for name in tasks.TASKS if tasks.load(name).out_of_scope]
    if args.task not in known:
        raise unknown("task with a label for what is out of scope", args.task, known)
    args.models = list(dict.fromkeys(name.strip() for name in args.models.split(",") if name.strip()))
    if not args.models:
        raise UserError("--models names none.")
    return args


def run(args: argparse.Namespace) -> int:
    """Measures, writes the picture and the numbers, prints where they are."""
    from scripts import looks, results
    from tasks import data

    looks.need()
    task = tasks.load(args.task)
    rows = data.read(task, args.data, args.split).take(args.limit)
    outside = sum(target == task.out_of_scope for target in rows.targets)
    if not 0 < outside < len(rows):
        raise UserError(f"{rows.source}: {outside} of {len(rows)} rows are out of scope: there must be some of each.")
    found = {model: measure(task, model, rows, args.device) for model in args.models}
    on = {"source": rows.source, "split": rows.split, "samples": len(rows), "out_of_scope": outside}
    with looks.settings():
        picture = looks.png(drawn(found, f"{task.name}: {rows.source} ({rows.split}, {len(rows):,} rows)"), task.name)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / f"{task.name}.png").write_bytes(picture)
    record = {"task": task.name, "data": on, "models": found}
    results.write_text(args.output / f"{task.name}.json", json.dumps(record) + "\n")
    print(args.output / f"{task.name}.png")
    return 0


def measure(task, model: str, rows, device: str) -> dict:
    """{"checkpoint's": its own threshold or None, "thresholds": […], a share: {"value", "low", "high": […]} each}."""
    import torch
    import transformers

    import pipelines
    from pipelines import calibration
    from scripts.calibrate import classes

    transformers.logging.set_verbosity_error()
    print(f"thresholds: {model}: {len(rows):,} texts", file=sys.stderr, flush=True)
    # the engine on which the thresholds were fitted and the harness measures
    pipe = pipelines.pipeline(task.name, model=model, device=device, engine="torch")
    config = pipe.model.config
    place = classes(task, model, config, rows)
    targets = torch.tensor([place[target] for target in rows.targets])  # (N,)
    logits = calibration.logits(pipe, rows.inputs) / calibration.temperature(config)  # (N, C)
    own = calibration.threshold(config)
    swept = sweep(torch.softmax(logits, 1), targets, place[task.out_of_scope])
    return {"own": own and own["threshold"], "thresholds": [i / (STEPS - 1) for i in range(STEPS)]} | swept


def sweep(scores, targets, outside: int, seed: int = 13) -> dict[str, dict[str, list[float]]]:
    """Both shares of `SHARES` at every threshold, with their bootstrap intervals. scores (N, C) after the softmax,
    targets (N,) the ids of the classes, of which `outside` means out of scope."""
    import torch

    best, label = scores.max(1)  # (N,), (N,)
    steps = torch.linspace(0, 1, STEPS)
    refused = (best < steps[:, None]) | (label == outside)  # (T, N)
    real = targets == outside  # (N,)
    right = ~refused & (label == targets)  # (T, N)
    chance = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(targets), (DRAWS, len(targets)), generator=chance)  # (D, N)
    times = torch.stack([torch.bincount(row, minlength=len(targets)) for row in drawn]).float()  # (D, N)
    found = {}
    for name, counted, good in zip(SHARES, (~real, real), (right, refused), strict=True):
        good = (good & counted).float()  # (T, N)
        spread = (good @ times.T) / (times @ counted.float()).clamp(min=1)  # (T, D)
        low, high = torch.quantile(spread, torch.tensor([0.025, 0.975]), dim=1)  # (T,) each
        value = good.sum(1) / counted.sum()
        found[name] = {
            key: [round(x, 4) for x in part.tolist()] for key, part in (("value", value), ("low", low), ("high", high))
        }
    return found


def drawn(found: dict[str, dict], title: str):
    """A `Figure`: both shares by threshold, and one against the other."""
    from matplotlib.figure import Figure

    from scripts.looks import OTHERS, PAIRING, clipped

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    others = iter(OTHERS * len(found))
    for model, swept in found.items():
        marker, colour = PAIRING.get(model) or next(others)
        inside, outside = (swept[name] for name in SHARES)
        at = None if swept["own"] is None else round(swept["own"] * (STEPS - 1))
        for share, line in ((inside, "-"), (outside, "--")):
            left.plot(swept["thresholds"], share["value"], line, color=colour)
            left.fill_between(swept["thresholds"], share["low"], share["high"], color=colour, alpha=0.15, linewidth=0)
            if at is not None:
                left.plot(swept["thresholds"][at], share["value"][at], marker, color=colour, markersize=7)
        right.plot(outside["value"], inside["value"], color=colour, label=clipped(model))
        if at is not None:
            right.plot(outside["value"][at], inside["value"][at], marker, color=colour, markersize=7)
    for line, said in zip(("-", "--"), SHARES.values(), strict=True):
        left.plot([], [], line, color="0.3", label=said)
    left.set_xlabel("threshold: a best score below it is out of scope")
    left.set_ylabel("share (0-1)")
    right.set_xlabel(SHARES["out_of_scope_recall"])
    right.set_ylabel(SHARES["in_scope_accuracy"])
    left.legend(loc="lower left")
    right.legend(loc="lower left", title="dots: the checkpoints' own thresholds", title_fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
