"""Trains one arm of a task: `accelerate launch -m scripts.finetune --task translate --family lstm --output-dir runs/a`.

One loop for every task and family. It knows steps, optimizers and clocks; what a row looks like as tensors and what its
loss is come from the task's kind in `pipelines`, what counts as right from `tasks`. The folder it writes is a Hub-style
checkpoint with a model card; `OUTPUT/training/` holds the log, the best weights so far and the state to resume from.
"""

import argparse
import dataclasses
import json
import math
import signal
import sys
import time
from pathlib import Path

from pipelines.errors import UserError, unknown
from scripts import recipe as recipes
from tasks import TASKS, load


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="scripts.finetune", description=__doc__.split("\n")[0], allow_abbrev=False)
    add = p.add_argument
    add("--task", help=f"what to train: {', '.join(TASKS)}")
    add("--family", help="which arm: transformer (the task's own), t5, bert, gpt2 or lstm")
    add("--output-dir", required=True, metavar="DIR", help="folder for the checkpoint, its card and its states")
    add("--recipe", metavar="FILE", help="settings as TOML (default: the bundled recipe of the task)")
    add("--data", action="append", metavar="SOURCE", help="Hub id, folder or file; :N for N rows; may be repeated")
    add("--init", metavar="MODEL", help="Hub id or folder to start from ('' for random weights)")
    add("--lora", type=int, nargs="?", const=16, metavar="RANK", help="train LoRA adapters (default rank 16) and merge")
    add("--max-steps", type=int, metavar="N", help="optimizer steps (default: the recipe's epochs)")
    add("--max-minutes", type=float, metavar="M", help="stop after M minutes with a state to resume from")
    add("--resume", action="store_true", help="go on from the newest state in the output folder")
    add("--mixed-precision", choices=("no", "bf16", "fp16"), help="default: bf16 on a GPU that has it, else no")
    add("--seed", type=int, metavar="N", help="of weights, batches and dropout (default 13)")
    add("--tracker", choices=("tensorboard",), help="also log to TensorBoard under OUTPUT/training/tensorboard")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of the recipe, as TOML")
    add("--results", default="results", metavar="DIR", help="where training/<task>--<family>--<device>.json goes")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return _train(args)
    except UserError as error:
        print(f"scripts.finetune: {error}", file=sys.stderr)
        return 2


def given_settings(args) -> dict:
    """What the command line says of the recipe's settings; only what was said."""
    import tomllib

    given = {
        key: value
        for key in ("data", "init", "lora", "max_steps", "seed")
        if (value := getattr(args, key)) is not None
    }
    for item in args.set:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE; got {item!r}")
        try:
            given[key.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            given[key.strip().replace("-", "_")] = value
    return given


def _chosen(args, device: str):
    """The task, family and recipe of this run. A resumed run takes them from its folder and must not contradict it."""
    file = Path(args.output_dir) / "training" / "run.json"
    if args.resume and file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        task, family = load(before["task"]), before["family"]
        settings = recipes.Recipe(**(before["recipe"] | {"data": tuple(before["recipe"]["data"])}))
        now = given_settings(args) | {k: v for k, v in (("task", args.task), ("family", args.family)) if v}
        now["family"] = task.transformer if now.get("family") == "transformer" else now.get("family", family)
        was = dataclasses.asdict(settings) | {"task": task.name, "family": family}
        for key, value in now.items():
            if key in was and was[key] != (tuple(value) if key == "data" else value):
                raise UserError(f"--resume can't change {key} from {was[key]!r} to {value!r}: start in another folder")
        return task, family, settings
    if not args.task or not args.family:
        raise UserError("--task and --family are needed (only --resume on a folder with a state goes without)")
    task = load(args.task)
    family = task.transformer if args.family == "transformer" else args.family
    if family not in task.families:
        raise unknown(f"family for {task.name}", args.family, ("transformer", *task.families))
    return task, family, recipes.read(task.name, family, device, args.recipe, given_settings(args))


def _train(args) -> int:
    import torch
    from accelerate import Accelerator

    from scripts.training import Training

    cuda = torch.cuda.is_available()
    precision = args.mixed_precision or ("bf16" if cuda and torch.cuda.is_bf16_supported() else "no")
    accelerator = Accelerator(
        mixed_precision=precision,
        log_with=args.tracker,
        project_dir=str(Path(args.output_dir) / "training" / "tensorboard") if args.tracker else None,
    )
    task, family, settings = _chosen(args, accelerator.device.type)
    folder = Path(args.output_dir)
    if not args.resume and (folder / "training" / "run.json").is_file():
        raise UserError(f"{folder} holds a training already: go on with --resume, or choose another --output-dir")
    training = Training(accelerator, task, family, settings, folder)
    stop = _interruptible(training)
    ended = training.run(minutes=args.max_minutes or math.inf, stop=stop)
    if ended == "finished":
        training.finish(Path(args.results))
        return 0
    if accelerator.is_main_process:
        again = f"accelerate launch -m scripts.finetune --output-dir {folder} --resume"
        print(f"stopped at step {training.progress['step']} ({ended}); go on with: {again}", file=sys.stderr)
    return 130 if ended == "interrupted" else 0


def _interruptible(training):
    """Ctrl-C asks the loop to stop after its step; a second one stops at once."""
    asked = {"at": 0.0}

    def ask(*_):
        if asked["at"]:
            raise KeyboardInterrupt
        asked["at"] = time.time()
        print("\nstopping after this step (Ctrl-C again stops at once, losing what came since the last state)", file=sys.stderr)

    signal.signal(signal.SIGINT, ask)
    return lambda: bool(asked["at"])


if __name__ == "__main__":
    raise SystemExit(main())
