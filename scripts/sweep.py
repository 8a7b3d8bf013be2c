"""Tries settings around a recipe: `python -m scripts.sweep --task ner --family lstm`.

One setting is changed at a time (learning rate, dropout, width; or what --vary names), each trial trains for a share
of the recipe's epochs with the same seed, and the validation score decides. It is how the bundled LSTM arms were tuned:
the tables are in results/sweeps/. A trial that is finished isn't done again, one that was interrupted goes on.
"""

import dataclasses
import json
import sys
from pathlib import Path

from pipelines.errors import UserError
from scripts import finetune
from scripts import recipe as recipes
from tasks import TASKS
from tasks.flags import Parser, status

FACTORS = {"learning_rate": (0.5, 2.0), "hidden_size": (0.5, 1.5)}  # of the recipe's own value
DROPOUT = (-0.2, 0.2)  # added to the recipe's own


def parser() -> Parser:
    p = Parser(prog="scripts.sweep", description=__doc__.split("\n")[0])
    add = p.add_argument
    add("--task", required=True, help=f"what to train: {', '.join(TASKS)}")
    add("--family", default="lstm", help="which arm (default lstm)")
    add("--recipe", metavar="FILE", help="settings as TOML (default: the bundled recipe of the task)")
    add("--vary", action="append", metavar="KEY=A,B", help="values to try (default: learning rate, dropout, width)")
    add("--share", type=float, default=0.3, metavar="X", help="of the recipe's epochs, a trial (default 0.3)")
    add(
        "--runs", type=Path, default=Path("runs/sweeps"), metavar="DIR", help="where trials train (default runs/sweeps)"
    )
    add("--results", default=Path("results"), type=Path, metavar="DIR", help="where sweeps/<task>--<family>.json goes")
    return p


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("scripts.sweep", lambda: run(parser().parse_args(argv)), "stopped; the same command goes on")


def run(args) -> int:
    """Trains what isn't trained yet, writes the table and prints it. Raises `UserError`."""
    from tasks import metrics

    if not 0 < args.share <= 1:
        raise UserError(f"--share must be above 0 and at most 1; got {args.share:g}")
    task, family = finetune.choose(args.task, args.family)
    recipe = recipes.read(task.name, family, "cpu", args.recipe, {})
    done = []
    plan = trials(recipe, args.vary)
    for i, changed in enumerate(plan, 1):
        name = ",".join(f"{key}={value:g}" for key, value in changed.items()) or "recipe"
        print(f"trial {i} of {len(plan)}: {name}", file=sys.stderr)
        record = _trial(task.name, family, recipe, changed, args, args.runs / f"{task.name}-{family}" / name)
        kept = ("validation", "steps", "minutes", "tokens_per_s", "parameters")
        done.append({"changed": changed} | {key: record[key] for key in kept})
    metric = next(iter(done[0]["validation"]))
    said = {"task": task.name, "family": family, "metric": metric, "share_of_epochs": args.share}
    if not metrics.METRICS[task.metrics[0]].higher_is_better:
        said["lower_is_better"] = True
    said |= {"environment": record["environment"], "recipe": dataclasses.asdict(recipe), "trials": done}
    file = args.results / "sweeps" / f"{task.name}--{family}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(table(said))
    return 0


def trials(recipe, vary: list[str] | None) -> list[dict[str, float]]:
    """What each trial changes of the recipe; the first changes nothing."""
    if vary:
        asked = [item.partition("=") for item in vary]
        try:
            values = {key.strip(): [float(v) for v in text.split(",")] for key, _, text in asked}
        except ValueError as error:
            raise UserError(f"--vary takes KEY=A,B with numbers: {error}") from error
    else:
        own = {"learning_rate": recipe.learning_rate, "hidden_size": recipe.sizes.get("hidden_size")}
        values = {key: [own[key] * by for by in FACTORS[key]] for key in FACTORS if own[key]}
        if "dropout" in recipe.sizes:
            values["dropout"] = [max(0.0, round(recipe.sizes["dropout"] + by, 2)) for by in DROPOUT]
    found = [{}]
    for key, tried in values.items():
        before = recipe.sizes.get(key, getattr(recipe, key, None))
        if not isinstance(before, int | float) or isinstance(before, bool):
            raise UserError(f"--vary {key}: the recipe has no such number, neither itself nor in its sizes")
        found += [{key: type(before)(value)} for value in tried if value != before]
    return found


def _trial(task: str, family: str, recipe, changed: dict, args, folder: Path) -> dict:
    """The record of one training, from its folder where it is done."""
    written = folder / "training" / f"{task}--{family}.json"
    if written.is_file():
        return json.loads(written.read_text(encoding="utf-8"))
    command = ["--output-dir", str(folder), "--results", str(folder)]
    if (folder / "training" / "run.json").is_file():
        command.append("--resume")
    else:
        sizes = recipe.sizes | {key: value for key, value in changed.items() if key in recipe.sizes}
        settings = {key: value for key, value in changed.items() if key not in recipe.sizes}
        settings |= {"epochs": round(recipe.epochs * args.share, 3)}
        inline = ", ".join(f"{key} = {json.dumps(value)}" for key, value in sizes.items())
        command += ["--task", task, "--family", family, *(["--recipe", args.recipe] if args.recipe else [])]
        command += [f"--set={key}={value}" for key, value in settings.items()]
        command += [f"--set=sizes={{{inline}}}"] if sizes else []
    status = finetune.main(command)
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise UserError("the trial above could not be trained; the same command goes on")
    next((folder / "training").glob(f"{task}--{family}--*.json")).replace(written)
    return json.loads(written.read_text(encoding="utf-8"))


def table(said: dict) -> str:
    """Markdown of a sweep's file."""
    lines = [f"| {said['task']} {said['family']}: changed | {said['metric']} | minutes |", "| --- | ---: | ---: |"]
    for trial in said["trials"]:
        changed = ", ".join(f"{key} {value:g}" for key, value in trial["changed"].items()) or "nothing (the recipe)"
        lines.append(f"| {changed} | {trial['validation'][said['metric']]:.4f} | {trial['minutes']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
