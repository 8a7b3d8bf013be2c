"""Trains one arm of a task: `accelerate launch -m scripts.finetune --task translate --family lstm --output-dir runs/a`.

One loop for every task and family. It knows steps, optimizers and clocks; what a row looks like as tensors and what its
loss is come from the task's kind in `pipelines`, what counts as right from `tasks`. The folder it writes is a Hub-style
checkpoint with a model card; `OUTPUT/training/` holds the log, the best weights so far and the state to resume from.
"""

import dataclasses
import json
import math
import shlex
import signal
import sys
from pathlib import Path

from pipelines import memory
from pipelines.errors import UserError, unknown
from scripts import processes
from scripts import recipe as recipes
from tasks import TASKS, load
from tasks.flags import Parser, status


def parser() -> Parser:
    p = Parser(prog="scripts.finetune", description=__doc__.split("\n")[0])
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
    """Runs the command line and returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    return status("scripts.finetune", lambda: run(argv), "stopped at once; --resume goes on from the last state")


def run(argv: list[str]) -> int:
    """Trains, here or in processes of its own where several are asked for. Raises `UserError`."""
    args = parser().parse_args(argv)
    _check(args)
    count = processes.missing()
    return processes.start(count, argv) if count else _train(args)


def given_settings(args) -> dict:
    """What the command line says of the recipe's settings; only what was said."""
    import tomllib

    given = {
        key: value for key in ("data", "init", "lora", "max_steps", "seed") if (value := getattr(args, key)) is not None
    }
    flags = set(given)
    for item in args.set:
        key, equals, value = item.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE; got {item!r}")
        if key in flags:
            raise UserError(f"--{key.replace('_', '-')} and --set {item}: say it once")
        try:
            given[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            given[key] = value
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
        if args.recipe:
            file_says = recipes.read(task.name, family, device, args.recipe, given_settings(args))
            now = dataclasses.asdict(file_says) | now
        was = dataclasses.asdict(settings) | {"task": task.name, "family": family}
        for key, value in now.items():
            if key not in was:
                raise unknown("setting", key, was)
            if was[key] != (tuple(value) if isinstance(value, list) else value):
                raise UserError(f"--resume can't change {key} from {was[key]!r} to {value!r}: start in another folder")
        return task, family, settings
    if not args.task or not args.family:
        raise UserError("--task and --family are needed (only --resume on a folder with a state goes without)")
    task, family = choose(args.task, args.family)
    return task, family, recipes.read(task.name, family, device, args.recipe, given_settings(args))


def choose(name: str, family: str):
    """The task and the family of one of its arms; "transformer" is the task's own. Raises `UserError`."""
    task = load(name)
    family = task.transformer if family == "transformer" else family
    if family not in (*task.families, *task.further):
        raise unknown(f"family for {task.name}", family, ("transformer", *task.families, *task.further))
    return task, family


def _check(args) -> None:
    """Tells a slip at once, before torch takes its seconds, and a folder that can't be written before hours have."""
    _chosen(args, "cpu")
    if args.max_minutes is not None and not args.max_minutes > 0:
        raise UserError(f"--max-minutes must be above 0; got {args.max_minutes:g}")
    folder, results = Path(args.output_dir), Path(args.results)
    if not args.resume and (folder / "training" / "run.json").is_file():
        raise UserError(f"{folder} holds a training already: go on with --resume, or choose another --output-dir")
    for needed in (folder / "training", results / "training"):
        try:
            needed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"can't write to {needed}: {error.strerror}") from error


def _train(args) -> int:
    memory.keep()
    import torch
    from accelerate import Accelerator

    from scripts import ending
    from scripts.training import Training

    cuda = torch.cuda.is_available()
    precision = args.mixed_precision or ("bf16" if cuda and torch.cuda.is_bf16_supported() else "no")
    try:
        accelerator = Accelerator(
            mixed_precision=precision,
            log_with=args.tracker,
            project_dir=str(Path(args.output_dir) / "training" / "tensorboard") if args.tracker else None,
        )
    except ValueError as error:  # fp16 without a GPU
        raise UserError(f"--mixed-precision {precision}: {error}") from error
    task, family, settings = _chosen(args, accelerator.device.type)
    training = Training(accelerator, task, family, settings, Path(args.output_dir))
    stop = _interruptible()
    ended = training.run(minutes=args.max_minutes or math.inf, stop=stop)
    if ended == "finished":
        ending.write(training, Path(args.results))
        return 0
    if accelerator.is_main_process:
        again = _again(args, accelerator)
        print(f"stopped at step {training.progress['step']} ({ended}); go on with: {again}", file=sys.stderr)
    return 130 if ended == "interrupted" else 0


def _again(args, accelerator) -> str:
    """The command that goes on with this run; the rest of what it needs is in its folder."""
    count = accelerator.num_processes
    several = ["--num_processes", str(count)] if count > 1 else []
    cpu = ["--cpu"] if several and accelerator.device.type == "cpu" else []
    given = [("--results", args.results if args.results != "results" else None)]
    given += [("--mixed-precision", args.mixed_precision), ("--tracker", args.tracker)]
    flags = [word for flag, value in given if value for word in (flag, value)]
    command = ["accelerate", "launch", *several, *cpu, "-m", "scripts.finetune", "--output-dir", args.output_dir]
    return shlex.join([*command, "--resume", *flags])


def _interruptible():
    """Ctrl-C asks the loop to stop after its step; a second one stops at once."""
    asked = []

    def ask(*_):
        if asked:
            raise KeyboardInterrupt
        asked.append(True)
        print("\nstopping soon (Ctrl-C again: at once, losing what came since the last state)", file=sys.stderr)

    signal.signal(signal.SIGINT, ask)
    return lambda: bool(asked)


if __name__ == "__main__":
    raise SystemExit(main())
