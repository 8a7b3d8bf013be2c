"""The command line of every task: `python -m tasks.translate "I am happy"`.  Results on stdout, talk on stderr.

`main(TASK)` is all that a task's file needs.  The flags beyond the common ones follow from the task's kind (`FLAGS`)
and from `Task.options`; each becomes a pipeline argument of the same name.  An input that can't be answered is reported
with its place and keeps its line on stdout (empty, or `"output": null`), so that line N answers input N.
Exit status: 0; 1 an input could not be answered; 2 wrong use; 130 interrupted.
"""

import argparse
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines import hub
from pipelines.engines import ENGINES
from pipelines.errors import UserError
from tasks import Task, asking, chatting, comparing, completing, extracting, inputs, labels, marking, writing
from tasks.flags import Parser, one_of, whole

DEVICES = ("auto", "cpu", "cuda", "mps")
ARMS = ("transformer", "lstm")
FEW = 3  # inputs that need no progress bar
FIRST, MOST = 16, 256  # inputs handed to the pipeline at once: first, so that answers show soon, and at most
# what each kind adds to the flags, and how it reads and shows outputs
READERS = {
    "text2text": writing,
    "text_classification": labels,
    "token_classification": marking,
    "question_answering": asking,
    "text_generation": completing,
    "chat": chatting,
    "text_similarity": comparing,
}


def main(task: Task, argv: list[str] | None = None) -> int:
    """Runs the command line of `task` on `argv` (default: the process's own) and returns the exit status."""
    try:
        return _run(task, sys.argv[1:] if argv is None else argv)
    except UserError as error:
        say(task, f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say(task, "interrupted")
        return 130
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains
        return 141


def say(task: Task, line: str) -> None:
    """One line of talk on stderr."""
    print(f"python -m tasks.{task.name}: {line}", file=sys.stderr, flush=True)


def _run(task: Task, argv: list[str]) -> int:
    args = parse(task, argv)
    args.hub_task = extracting.settle(args)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a letter the terminal lacks must not end the run
    if task.kind == "chat" and chatting.interactive(args):
        return chatting.run(task, args)
    if task.run and (status := task.run(task, args)) is not None:
        return status
    if task.kind == "text_generation":
        completing.check(args)
        if args.options.pop("interactive", None):
            from tasks.interactive import run

            return run(task, args)
    if not args.texts and not args.file and (sys.stdin is None or sys.stdin.isatty()):
        print(parser(task).format_usage().strip(), file=sys.stderr)
        raise UserError(f'nothing to do: give a text ("{task.example}"), lines on standard input, or --file.')
    columns = next(names for role, names in task.columns.items() if role != "target")
    context, beside = None, ()
    if task.kind == "question_answering":
        context = asking.context(args)
        beside = asking.columns(task, args, context)
    if args.document and args.texts:
        raise UserError("--document reads --file or standard input: leave out the text, which is one anyway.")
    if task.kind == "text_similarity":
        items = comparing.items(task, args)
    elif args.document:
        items = iter([inputs.document(args.file)])
    else:
        items = inputs.read(args.texts, args.file, args.column, columns, beside)
    first = next(items, None)
    if first is None:
        raise UserError(f"{args.file or 'standard input'} is empty.")
    items = itertools.chain([first], items)
    if context is not None:
        items = (replace(item, context=context) for item in items)
    if args.compare:
        from tasks.compare import compare as run
    else:
        run = _answer_all
    # answers that stream onto the terminal are progress enough, and a bar would run through them
    shown = not sys.stdout.isatty() or (args.compare and not args.json)
    count = 1 if args.document else inputs.count(args.texts, args.file)
    alone = not shown or (count is not None and count <= FEW)  # no bar over the inputs, so one over windows may stand
    with progress(count, shown) as advance, asking.progress(alone) as reading:
        if task.kind == "question_answering":
            args.options["progress"] = reading
        failed = run(task, args, items, advance)
    sys.stdout.flush()  # here, where a closed pipe is caught
    return 1 if failed else 0


# --- the flags ---


def parser(task: Task) -> argparse.ArgumentParser:
    """The parser of the task's command line. Needs no model and no torch."""
    further = [family for family in task.further if family in hub.bundled().get(task.name, {})]
    p = Parser(
        prog=f"python -m tasks.{task.name}",
        usage="%(prog)s [TEXT ...] [--file F] [--model M] [--compare] [--json] [flags: --help]",
        description=f"{task.title}. Without TEXT and --file, each line of standard input is one text.",
        epilog=f"example: {task.command} --compare",
        add_help=False,  # argparse would read a text such as -hello as -h
    )
    add = p.add_argument
    add("texts", nargs="*", metavar="TEXT", help="a text to answer; one that begins with - goes after --")
    add("--file", metavar="F", help=f"texts of a file: {' '.join(inputs.FORMATS)} (lines or rows)")
    add("--column", metavar="C", help="column of the file that holds the text")
    if task.kind in ("text2text", "text_classification", "token_classification"):
        add("--document", action="store_true", help="all of a .txt --file, or of standard input, is one text")
    add(
        "--model",
        action="append",
        metavar="M",
        help=f"{', '.join([f'transformer ({task.transformer})', 'lstm', *further])}, a Hub id[@revision] or a "
        "folder (default transformer)",
    )
    add("--compare", action="store_true", help="both arms side by side, with latency; --model (twice) names others")
    add("--json", action="store_true", help="one JSON object per text: input, output, model")
    add("--batch-size", type=whole, metavar="N", help="texts computed together, as they come (default: by length)")
    add("--device", type=one_of("device", DEVICES), default="auto", metavar="D", help=" | ".join(DEVICES))
    add("--engine", type=one_of("engine", ENGINES), default="auto", metavar="E", help=" | ".join(ENGINES))
    for flag, settings in READERS[task.kind].FLAGS:
        add(flag, **settings)
    if task.options:
        task.options(p)
    add("--help", action="help", help="this help, also -h")
    return p


def parse(task: Task, argv: list[str]) -> argparse.Namespace:
    """The parsed flags; those that are pipeline arguments are together in `options`. Raises `UserError`."""
    p = parser(task)
    # what follows "--" is text; argparse loses some of it when flags and texts are mixed (Python 3.11 to 3.13)
    cut = argv.index("--") if "--" in argv else len(argv)
    args, rest = p.parse_known_intermixed_args(["--help" if given == "-h" else given for given in argv[:cut]])
    args.texts += argv[cut + 1 :]
    p.refuse(rest, " (a text that begins with - goes after --)")
    args.model = args.model or []
    if len(args.model) > 1 and not args.compare:
        raise UserError("more than one --model needs --compare.")
    args.document = getattr(args, "document", False)
    common = ("texts", "file", "column", "document", "model", "compare", "json", "batch_size", "device", "engine")
    args.options = {key: value for key, value in vars(args).items() if key not in common and value is not None}
    return args


# --- the answers ---


@dataclass
class Arm:
    """A loaded model: the name to show, its pipeline, and how to read an output of it."""

    name: str
    pipe: Callable
    value: Callable  # output → what `--json` prints
    fields: Callable  # output → list of strings for people
    plain: Callable  # output, text (or pair), whether it is the only text → what is printed for people


def load(task: Task, args: argparse.Namespace, model: str) -> Arm:
    """The pipeline of one model, with the libraries' own chatter off."""
    import huggingface_hub
    import transformers

    import pipelines

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()  # "Loading weights"; the Hub's download bars go with it
    if sys.stderr.isatty():
        huggingface_hub.utils.enable_progress_bars()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    pipe = pipelines.pipeline(args.hub_task or task.name, model=model, engine=args.engine, device=args.device)
    name = Path(pipe.model.name_or_path).name if model in (*ARMS, task.transformer, *task.further) else model
    return Arm(name, *(extracting if args.hub_task else READERS[task.kind]).reader(task, pipe))


def answer(pipe, texts: list, batch_size: int | None, options: dict) -> list:
    """One output per text, or question with its context. Where several fail they go by halves; one that fails alone
    gives its exception.
    """
    try:
        return _outputs(pipe, texts, batch_size, options)
    except Exception as error:
        if len(texts) == 1:
            return [error]
        half = len(texts) // 2
        return [each for some in (texts[:half], texts[half:]) for each in answer(pipe, some, batch_size, options)]


def _outputs(pipe, texts: list, batch_size: int | None, options: dict) -> list:
    outputs = pipe(texts, batch_size=batch_size, **options)
    # a list of one question has a bare answer, as in transformers 4
    return [outputs] if len(texts) == 1 and isinstance(texts[0], dict) and "question" in texts[0] else outputs


def alone(pipe, text, options: dict):
    """The output of one text, or the exception it raises."""
    return answer(pipe, [text], 1, options)[0]


def problem_of(item: inputs.Item, output) -> str:
    """Why an item has no answer; "" where it has one."""
    if item.error or not isinstance(output, Exception):
        return item.error
    if isinstance(output, UserError):
        return str(output)
    return f"{type(output).__name__}: {str(output).strip().splitlines()[0] if str(output).strip() else 'no answer'}"


def print_json(item: inputs.Item, record: dict, problem: str = "") -> None:
    """One object on one line: input, the record, and what went wrong where something did."""
    record = {"input": item.asked, **record, **({"error": problem} if problem else {})}
    print(json.dumps(record, ensure_ascii=False))


def _answer_all(task: Task, args: argparse.Namespace, items: Iterable[inputs.Item], advance: Callable) -> int:
    """Prints an answer per item, batch by batch. Returns how many could not be answered."""
    model = args.model[0] if args.model else "transformer"
    arm, failed = None, 0
    single = len(args.texts) == 1 or args.document
    waits = not args.texts and not args.file  # standard input may come slowly: answer what is there
    for batch in gathered(items, args.batch_size or FIRST, args.batch_size or (FIRST if waits else MOST)):
        texts = [item.given for item in batch if not item.error]
        if texts and arm is None:
            arm = load(task, args, model)  # only now: an empty text needs no model
        outputs = iter(answer(arm.pipe, texts, args.batch_size, args.options) if texts else ())
        for item in batch:
            output = None if item.error else next(outputs)
            problem = problem_of(item, output)
            if problem:
                failed += 1
                say(task, f"{item.where}: {problem}")
            if args.json:
                value = None if problem else arm.value(output)
                print_json(item, {"output": value, "model": arm.name if arm else model}, problem)
            elif not problem:
                print(arm.plain(output, item.asked, single))
            elif not single:
                print()
            advance()
        sys.stdout.flush()
    return failed


def gathered(items: Iterable, size: int, most: int) -> Iterator[list]:
    """Lists of `size` items, then of twice as many each time up to `most`."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch
        size = min(2 * size, most)


@contextmanager
def progress(total: int | None, shown: bool) -> Iterator[Callable]:
    """A bar on stderr, as a function to call after each input; silent for few inputs or where stderr is no terminal."""
    if not shown or not sys.stderr.isatty() or (total is not None and total <= FEW):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # without redirect_stdout=False rich would send the results to stderr
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        work = bar.add_task("", total=total)
        yield lambda: bar.advance(work)
