"""How fast `scripts.finetune` trains, beside transformers' own loops: `python -m scripts.benchmark_training`.

One run, on the same rows, model, threads and mean number of rows a batch: this project's loop, transformers' `Trainer`
at its defaults and with rows grouped by length, and a loop as in transformers' examples `run_…_no_trainer.py`. Each is
a process of its own (`scripts/peers_training.py`); they take turns, so a machine that slows down does so for all.
Counted are tokens, padding left out. All weights are trained, with AdamW.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from pipelines.errors import UserError
from scripts import recipe as recipes
from scripts.benchmark import Arm, in_turn, ratio, say, spread
from scripts.finetune import choose
from tasks.flags import Parser, status, whole

PAIRS = ("translate:t5", "translate:lstm", "sentiment:bert", "sentiment:lstm", "ner:bert", "ner:lstm")
ARMS = {
    "duet": {"arm": "duet"},
    "Trainer": {"arm": "trainer", "order": "random"},
    "Trainer, grouped by length": {"arm": "trainer", "order": "group_by_length"},
    "no_trainer examples": {"arm": "accelerate"},
}
WARM = 3  # steps that each arm takes before the clock runs


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("scripts.benchmark_training", lambda: run(parse(argv)), "interrupted; what is done is written")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags; `pairs` of a task and a family. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.benchmark_training", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--pairs", default=",".join(PAIRS), metavar="P", help=f"TASK:FAMILY,… (default {','.join(PAIRS)})")
    add("--steps", type=whole, default=20, metavar="N", help="optimizer steps a turn (default 20)")
    add("--rounds", type=whole, default=5, metavar="N", help="turns of each arm (default 5)")
    add("--rows", type=whole, default=10000, metavar="N", help="of each source to train on (default 10000)")
    add("--threads", type=whole, default=os.cpu_count() or 1, metavar="N", help="threads of each arm (default: cores)")
    add("--output", type=Path, default=Path("results/benchmark"), metavar="DIR", help="where training-DEVICE.json goes")
    add("--seed", type=int, default=13, metavar="N", help="of weights and batches (default 13)")
    args = parser.parse_args(argv)
    args.pairs = [choose(*pair.strip().partition(":")[::2]) for pair in args.pairs.split(",") if pair.strip()]
    if not args.pairs:
        raise UserError("--pairs is empty: give some as TASK:FAMILY")
    return args


def run(args: argparse.Namespace) -> int:
    """Measures, writes the result file after each pairing, and prints the table. 1 where a pairing failed."""
    import torch

    from scripts.environment import environment
    from scripts.results import write_text

    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = environment(device, args.seed) | {"threads": args.threads}
    measured: dict[str, dict] = {}
    said = {"schema": 1, "environment": where, "steps": args.steps, "rounds": args.rounds, "pairs": measured}
    args.output.mkdir(parents=True, exist_ok=True)
    for task, family in args.pairs:
        try:
            with tempfile.TemporaryDirectory() as work:
                measured[f"{task.name} {family}"] = figures_of(task, family, Path(work), device, args)
        except UserError as error:
            say(f"{task.name} {family}: {error}")
            continue
        write_text(args.output / f"training-{device}.json", json.dumps(said, indent=1) + "\n")
    print(table(measured))
    return 0 if len(measured) == len(args.pairs) else 1


def figures_of(task, family: str, work: Path, device: str, args: argparse.Namespace) -> dict:
    """The figures of all arms on one pairing's training. Raises `UserError`."""
    recipe = recipes.read(task.name, family, device, None, {"seed": args.seed})
    sources = dict.fromkeys(source.partition(":")[0] for source in recipe.data)
    count = WARM + args.steps * args.rounds
    recipe = dataclasses.replace(
        recipe, data=tuple(f"{source}:{args.rows}" for source in sources), lora=0, compress=0, copy_steps=0,
        optimizer="adamw", learning_rate=min(recipe.learning_rate, 1e-3), max_steps=count + 1,
    )  # fmt: skip
    job = {"task": task.name, "family": family, "recipe": dataclasses.asdict(recipe), "work": str(work)}
    started: list[Arm] = []
    try:
        for name, own in ARMS.items():
            job |= own | {"folder": str(work / name), "threads": args.threads}
            arm = Arm(name, job, [sys.executable, "-u", "-m", "scripts.peers_training"], args.threads)
            started.append(arm)
            arm.rows = arm.said()["rows"]  # one by one: two that load at once slow each other down
            arm.ask(steps=WARM)
        for i in range(args.rounds):
            say(f"{task.name} {family}: round {i + 1} of {args.rounds}")
            for arm in in_turn(started, i):
                told = arm.ask(steps=args.steps)
                arm.whole.append(1000 * told["tokens"] / told["ms"])
    finally:
        for arm in started:
            arm.end()
    return {"rows_per_batch": started[0].rows, "arms": {arm.name: figures(arm, started[0]) for arm in started}}


def figures(arm: Arm, own: Arm) -> dict:
    """Tokens/s of an arm; how many times as many ours trains on, with the least and the most of the rounds."""
    ratios = [mine / theirs for mine, theirs in zip(own.whole, arm.whole, strict=True)]
    return {"tokens_per_s": median(arm.whole), "duet_is_faster": spread(ratios)}


def table(measured: dict) -> str:
    """Markdown: a row for each pairing and arm."""
    lines = ["| training | loop | rows a batch | tokens/s | duet is faster |", "| --- | --- | ---: | ---: | ---: |"]
    for pair, told in measured.items():
        for name, arm in told["arms"].items():
            faster = "–" if name == "duet" else ratio(arm["duet_is_faster"])
            lines.append(f"| {pair} | {name} | {told['rows_per_batch']} | {arm['tokens_per_s']:,.0f} | {faster} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
