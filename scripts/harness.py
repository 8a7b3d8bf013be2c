"""Measures every arm of every task: quality (interval, significance, floor) and cost, into results/ and a table.

    python -m scripts.harness                                    # every pairing on its task's own data
    python -m scripts.harness --data samples                     # on the bundled samples
    python -m scripts.harness --tasks translate --models transformer,lstm,floor,google-t5/t5-small --data my.csv

The table goes to stdout, talk to stderr. A model that fails gets a row that says so, and the others go on.
Exit status: 0; 1 where a model failed; 2 wrong use or unusable data; 130 interrupted (finished tasks stay in results/).
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import tasks
from pipelines import engines
from pipelines.errors import UserError
from scripts import latency
from scripts.arms import Arm, labelled, open_arm, sound
from tasks.flags import Parser, one_of, positive, status, whole

AGAINST = "lstm"  # every other arm is tested against this one


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    stopped = "interrupted; results of the tasks that were finished are in the output folder"
    return status("harness", lambda: run(parse(argv)), stopped)


def say(line: str) -> None:
    """One line of talk on stderr."""
    print(f"harness: {line}", file=sys.stderr, flush=True)


# --- the flags ---


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.harness", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default="all", metavar="T", help=f"all, or some of {','.join(tasks.TASKS)}")
    add("--models", default="transformer,lstm,floor", metavar="M", help="transformer,lstm,floor,HUB_ID,DIR …")
    add("--data", metavar="D", help="a .jsonl, .csv or .parquet file, a Hub id, or samples (default: the task's own)")
    add("--split", metavar="S", help="split to measure on (default: the task's own)")
    add("--limit", type=whole, metavar="N", help="at most so many rows, drawn with --seed (default: all)")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, mps (default auto)")
    add("--engine", type=one_of("engine", engines.ENGINES), default="torch", metavar="E", help=_ENGINE)
    add("--output", type=Path, default=Path("results"), metavar="DIR", help="folder of result files (default results)")
    add("--seed", type=int, default=13, metavar="N", help="seed of draws and resampling (default 13)")
    add("--batch-size", type=whole, default=32, metavar="N", help="samples computed together (default 32)")
    add("--cost", action=argparse.BooleanOptionalAction, default=True, help="measure latency, throughput and memory")
    add("--runs", type=whole, default=latency.RUNS, metavar="N", help="least timed runs per arm (default %(default)s)")
    add("--seconds", type=positive, default=latency.SECONDS, metavar="S", help="and least time (default %(default)s s)")
    return parser.parse_args(argv)


_ENGINE = f"{', '.join(engines.ENGINES)} (default torch); results of another than torch bear its name"


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError(f"no name in {text!r}: give one or more, with commas between them.")
    return names


# --- the run ---


def run(args: argparse.Namespace) -> int:
    """Measures what `args` names, prints the table and returns the exit status."""
    chosen = [tasks.load(name) for name in (_with_models() if args.tasks == "all" else _names(args.tasks))]
    models = _names(args.models)
    engines.check(args.engine)
    data = [_rows(task, args) for task in chosen]  # all of it first: an hour of measuring must not end at a column
    import transformers

    from pipelines.loading import torch_device
    from scripts import report
    from scripts.environment import environment

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    args.device = str(torch_device(args.device))  # with its number, "cuda:1"; files and tables name its type
    where = environment(args.device, args.seed)
    left = [name for name in tasks.TASKS if args.tasks == "all" and name not in _with_models()]
    if left:
        say(f"no models are bundled for {', '.join(left)}: left out of all; --tasks names them, --models their own")
    arms, rows = [], []
    with _bars() as bar:
        for task, samples in zip(chosen, data, strict=True):
            if samples.source == "samples" and args.data is None:
                say(f"{task.name}: {task.sources[0]} can't be had here (DUET_DATA, the Hub): the bundled samples serve")
            asked = [Arm(model=labelled(model, args.engine), asked=model) for model in models]
            measured = measure(task, samples, asked, args, where, bar)
            arms += [arm for arm, _ in measured]
            rows += [result for _, result in measured]
    failed = [arm for arm in arms if arm.problem]
    if len(failed) == len(arms) and all(arm.mistake for arm in failed):
        return 2  # nothing but mistakes, and each has been told
    print(report.tables(rows), flush=True)
    say(f"results are in {args.output}")
    return 1 if failed else 0


def _with_models() -> list[str]:
    """The tasks that models are bundled for."""
    from pipelines import hub

    return [name for name in tasks.TASKS if name in hub.bundled()]


def _rows(task, args):
    from tasks import data

    rows = data.read(task, args.data, args.split).take(args.limit, args.seed)
    if not len(rows):
        raise UserError(f"{rows.source}: split {rows.split!r} has no rows.")
    return rows


def measure(task, rows, arms: list[Arm], args, where: dict, bar) -> list[tuple[Arm, dict]]:
    """Every arm and its result on `rows`; the results are also written to `args.output`, but for a mistaken name."""
    from scripts import cost
    from tasks import metrics

    def tell(arm: Arm, error: Exception) -> None:
        arm.fail(error)
        say(f"{task.name} {arm.model}: {arm.problem}")

    scored = metrics.metrics_of(task)
    for place, arm in enumerate(arms):
        try:
            with bar(f"{task.name} {arm.model}: loading"):
                arms[place] = arm = open_arm(task, arm.asked, rows, args.device, args.engine)
            with bar(f"{task.name} {arm.model}: answers", len(rows)) as show:
                arm.predictions = arm.many(rows.inputs, args.batch_size, _counted(show))
            arm.statistics = {m.key: m.statistics(arm.predictions, rows.targets) for m in scored}
        except Exception as error:  # whatever one model does, the others go on
            tell(arm, error)
    if args.cost:
        cost.measure(task, rows.inputs, arms, args, bar, tell, say)
    base = next((arm for arm in sound(arms) if arm.model == AGAINST), None)
    build = partial(_result, task, rows, scored=scored, base=base, where=where)
    measured = [(arm, build(arm)) for arm in arms]
    for arm, result in measured:
        if not arm.mistake:
            _write(args, arm, result, rows, scored)
    return measured


def _counted(show: Callable[[float], None]) -> Callable[[int], None]:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        show(done)

    return progress


def _result(task, rows, arm: Arm, scored: list, base: Arm | None, where: dict) -> dict:
    """The content of an arm's result file."""
    from scripts import results
    from tasks.bootstrap import interval, paired_bootstrap

    seed = where["seed"]
    data = {"source": rows.source, "split": rows.split, "samples": len(rows)}
    head = {"schema": results.SCHEMA, "task": task.name, "task_version": task.version, "model": arm.model}
    if arm.problem:
        return head | {"error": arm.problem, "data": data, "environment": where}
    scores = {}
    for metric in scored:
        scores[metric.key] = interval(metric, arm.statistics[metric.key], seed)
        if not metric.higher_is_better:
            scores[metric.key]["lower_is_better"] = True
    test = None
    if base and base is not arm:
        key = scored[0].key
        test = {"against": base.model} | paired_bootstrap(scored[0], arm.statistics[key], base.statistics[key], seed)
    if arm.engine != "torch":
        head |= {"engine": arm.engine, "precision": arm.precision}
    return head | {
        "checkpoint": arm.checkpoint,
        "family": arm.family,
        "parameters": arm.parameters,
        "size_mb": arm.size_mb,
        "data": data,
        "metrics": scores,
        "latency_ms": arm.costs.get("latency_ms"),
        "throughput": arm.costs.get("throughput"),
        "memory_mb": arm.costs.get("memory_mb"),
        "significance": test,
        "environment": where,
    }


def _write(args, arm: Arm, result: dict, rows, scored: list) -> None:
    from scripts import results

    file = results.address(args.output, result["task"], arm.model, result["environment"]["device"])
    if not arm.problem:
        results.write_lines(file.with_suffix(".predictions.jsonl"), _predictions(arm, rows, scored))
    if arm.runs:
        results.write_lines(file.with_suffix(".latency.jsonl"), arm.runs)
    results.write(file, result)


def _predictions(arm: Arm, rows, scored: list) -> Iterator[dict]:
    """A record per row; `statistics` are what the scores are sums of, so that any two files can be tested later."""
    for index, prediction in enumerate(arm.predictions):
        statistics = {metric.key: arm.statistics[metric.key][index] for metric in scored}
        yield {
            "index": index,
            "input": rows.inputs[index],
            "references": rows.targets[index],
            "prediction": prediction,
            "score": scored[0].value(statistics[scored[0].key]),
            "statistics": {key: [int(x) if x == int(x) else x for x in row] for key, row in statistics.items()},
        }


@contextmanager
def _bars() -> Iterator[Callable]:
    """Gives `bar(label, total)`, a context that gives `show(done)`. Bars go to stderr; where that is no terminal, the
    labels do, but for short work, which has no total."""
    if not sys.stderr.isatty():

        @contextmanager
        def plain(label: str, total: float | None = None):
            if total:
                say(label)
            yield lambda done: None

        yield plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:

        @contextmanager
        def bar(label: str, total: float | None = None):
            work = progress.add_task(label, total=total)
            try:
                yield lambda done: progress.update(work, completed=done)
            finally:
                progress.remove_task(work)

        yield bar


if __name__ == "__main__":
    raise SystemExit(main())
