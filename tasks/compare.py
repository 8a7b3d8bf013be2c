"""Models side by side on the same texts, with the latency of each: `python -m tasks.translate "I am happy" --compare`.

Latency is one warm call at batch 1 per text and model, in ms: a look, not a measurement; percentiles, throughput and
significance are `scripts.harness`'s.  The one clock outside `scripts/`, because this is a task's command line.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable

from pipelines.errors import UserError
from tasks import Task, cli, inputs

SHOWN = 300  # letters of a text in the table; its answers are shown whole


def models(asked: list[str]) -> list[str]:
    """The arms to compare: the bundled two; one other `--model` takes the Transformer's place; several stand alone."""
    if not asked or (len(asked) == 1 and asked[0] in cli.ARMS):
        return list(cli.ARMS)
    arms = [*asked, "lstm"] if len(asked) == 1 else list(asked)
    if len(set(arms)) != len(arms):
        raise UserError(f"--compare needs different models, not {' and '.join(arms)}.")
    return arms


def compare(task: Task, args: argparse.Namespace, items: Iterable[inputs.Item], advance: Callable) -> int:
    """Answers every item with every arm and prints a table, or with `--json` an object per item as soon as it is there.

    Returns how many items could not be answered by every arm.
    """
    names = models(args.model)
    arms, rows, failed = [], [], 0
    for number, item in enumerate(items):
        if not arms and not item.error:
            arms = [cli.load(task, args, name) for name in names]
            for arm in arms:
                cli.alone(arm.pipe, item.given, args.options)  # the first call pays for what later ones find ready
        answers = [] if item.error else _answers(arms, item.given, args.options, number)
        problems = [item.error] if item.error else [p for o, _ in answers if (p := cli.problem_of(item, o))]
        if problems:
            failed += 1
            cli.say(task, f"{item.where}: {problems[0]}")
        if args.json:
            both = [
                {"model": arm.name, "output": None if isinstance(o, Exception) else arm.value(o), "latency_ms": ms}
                for arm, (o, ms) in zip(arms, answers, strict=bool(answers))
            ]
            cli.print_json(item, {"answers": both}, problems[0] if problems else "")
            sys.stdout.flush()
        elif not item.error:
            rows.append((item, answers))
        advance()
    if rows:
        _print_table(task, arms, rows)
    return failed


def _answers(arms: list[cli.Arm], text, options: dict, number: int) -> list[tuple]:
    """(output, latency in ms) of each arm. The order turns from text to text, so that no arm always goes first."""
    answers = {}
    for i in sorted(range(len(arms)), key=lambda i: (i + number) % len(arms)):
        start = time.perf_counter()
        output = cli.alone(arms[i].pipe, text, options)  # reads its result back, so a GPU has finished
        answers[i] = (output, round((time.perf_counter() - start) * 1000, 3))
    return [answers[i] for i in range(len(arms))]


def _print_table(task: Task, arms: list[cli.Arm], rows: list[tuple]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # not str: a text may hold what rich takes for markup

    table = Table(show_footer=True, show_lines=len(rows) > 1)
    table.add_column("text", Text(f"total of {len(rows)}"), overflow="fold", ratio=1)
    for i, arm in enumerate(arms):
        total = sum(answers[i][1] for _, answers in rows)
        table.add_column(Text(arm.name), overflow="fold", ratio=1)
        table.add_column("ms", f"{total:.1f}", justify="right", no_wrap=True)
    for item, answers in rows:
        text = item.asked if isinstance(item.asked, str) else "\n".join(item.asked.values())
        text = text if len(text) <= SHOWN else text[:SHOWN] + " …"
        cells = [Text(text)]
        for arm, (output, ms) in zip(arms, answers, strict=True):
            cells.append(Text("–" if isinstance(output, Exception) else _cell(arm.fields(output))))
            cells.append(f"{ms:.1f}")
        table.add_row(*cells)
    # a pipe or file has no width: enough to read, COLUMNS where it is set
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 120))
    Console(width=width).print(table)
    device = arms[0].pipe.device.type
    cli.say(task, f"latency: one warm call per text, batch 1, on {device}; python -m scripts.harness measures properly")


def _cell(fields: list[str]) -> str:
    """A text; or labels and their scores, a pair a line."""
    return "\n".join("  ".join(fields[i : i + 2]) for i in range(0, len(fields), 2))
