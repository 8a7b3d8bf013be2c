"""Measures what is said about RNNs: python -m scripts.why [sequential|gradients|bottleneck|costs|all|report]

    python -m scripts.why --quick               # everything in five minutes, small: into results/why/quick
    python -m scripts.why sequential            # one claim, in full
    python -m scripts.why gradients --parts agreement
    python -m scripts.why report                # the page anew, from what is measured

Verdicts go to stdout, talk to stderr; results/why/ gets a JSON file for each experiment and device, plots, report.html.
What is measured is kept at once: the same command goes on where a run was stopped.
Exit status: 0; 2 wrong use; 130 interrupted.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

from pipelines.errors import unknown
from scripts.experiments import PARTS
from tasks.flags import Parser, one_of, positive, status

CHOICES = (*PARTS, "all", "report")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("why", lambda: run(parse(argv)), "interrupted; the same command goes on")


def say(line: str) -> None:
    """One line of talk on stderr."""
    print(f"why: {line}", file=sys.stderr, flush=True)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.why", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("experiment", nargs="?", default="all", type=one_of("experiment", CHOICES), metavar="EXPERIMENT",
        help=f"{', '.join(CHOICES)} (default all)")  # fmt: skip
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, mps (default auto)")
    add("--quick", action="store_true", help="small settings, at most 5 minutes for all on 2 cores")
    add("--parts", metavar="P", help=f"only these parts: {', '.join(part for own in PARTS.values() for part in own)}")
    add("--output", type=Path, metavar="DIR", help="where results go (default results/why; results/why/quick)")
    add("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where trainings lie (default runs)")
    add("--results", type=Path, default=Path("results"), metavar="DIR",
        help="what harness and finetune wrote (default results)")  # fmt: skip
    add("--share", type=positive, default=1.0, metavar="X",
        help="of the recipe's epochs, for the translators trained here (default 1)")  # fmt: skip
    add("--max-minutes", type=positive, metavar="M", help="stop after M minutes; the same command goes on")
    add("--seed", type=int, default=13, metavar="N", help="of draws and resampling (default 13)")
    args = parser.parse_args(argv)
    args.chosen = list(PARTS) if args.experiment == "all" else [n for n in PARTS if n == args.experiment]
    args.wanted = _parts(args)
    args.output = args.output or Path("results/why/quick" if args.quick else "results/why")
    return args


def _parts(args) -> list[tuple[str, str]]:
    """(experiment, part) of all that is to be measured. Raises `UserError`."""
    there = [(name, part) for name in args.chosen for part in PARTS[name]]
    if not args.parts:
        return there
    asked = [part.strip() for part in args.parts.split(",")]
    for part in asked:
        if part not in [known for _, known in there]:
            raise unknown("part", part, [known for _, known in there] or ["(report measures nothing)"])
    return [pair for pair in there if pair[1] in asked]


def run(args: argparse.Namespace) -> int:
    """Measures what `args` names, prints the verdicts and writes the page."""
    from scripts import looks
    from scripts.experiments.told import page

    looks.need()  # hours of measuring must not end at a missing library
    try:
        if args.wanted:
            _measure(args)
    finally:  # also of a run that was stopped
        found = page.read(args.output)
        if found:
            written = page.write(args.output)
            say(f"wrote {written[-1]}")
    for data in found:
        if not args.chosen or data["experiment"] in args.chosen:
            print("\n".join(page.lines(data)) + "\n", flush=True)
    if not found:
        say(f"nothing is measured in {args.output} yet")
    return 0


def _measure(args: argparse.Namespace) -> None:
    import transformers

    from pipelines.loading import torch_device
    from scripts.environment import environment
    from scripts.experiments.store import Run, Store, TimeUp

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = str(torch_device(args.device))
    where = environment(device, args.seed)
    work = Run(device=device, seed=args.seed, quick=args.quick, runs=args.runs, results=args.results, share=args.share)
    if args.max_minutes:
        work.deadline = time.monotonic() + 60 * args.max_minutes
    stores: dict[str, Store] = {}
    try:
        for name, part in args.wanted:
            if name not in stores:
                stores[name] = Store(args.output / f"{name}--{where['device']}.json", name, where, args.quick)
            importlib.import_module(f"scripts.experiments.{part}").measure(work, stores[name])
    except TimeUp:
        say("time is up; the same command goes on")


if __name__ == "__main__":
    raise SystemExit(main())
