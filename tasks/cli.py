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
from typing import Any

from pipelines.errors import UserError, unknown
from tasks import Task, asking, completing, inputs, marking

DEVICES = ("auto", "cpu", "cuda", "mps")
ENGINES = ("auto", "torch", "ctranslate2", "onnx")
ARMS = ("transformer", "lstm")
FEW = 3  # inputs that need no progress bar


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
    items = inputs.read(args.texts, args.file, args.column, columns, beside)
    first = next(items, None)
    if first is None:
        raise UserError(f"{args.file or 'standard input'} is empty.")
    items = itertools.chain([first], items)
    if context is not None:
        items = (replace(item, context=context) for item in items)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a letter the terminal lacks must not end the run
    if args.compare:
        from tasks.compare import compare as run
    else:
        run = _answer_all
    # answers that stream onto the terminal are progress enough, and a bar would run through them
    shown = not sys.stdout.isatty() or (args.compare and not args.json)
    count = inputs.count(args.texts, args.file)
    alone = not shown or (count is not None and count <= FEW)  # no bar over the inputs, so one over windows may stand
    with _progress(count, shown) as advance, asking.progress(alone) as reading:
        if task.kind == "question_answering":
            args.options["progress"] = reading
        failed = run(task, args, items, advance)
    sys.stdout.flush()  # here, where a closed pipe is caught
    return 1 if failed else 0


# --- the flags ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(message)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def one_of(what: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """The type of a flag that takes one of a few names, for `parser.add_argument`."""

    def check(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(str(unknown(what, text, choices)))
        return text

    return check


_BEAMS = ("--num-beams", {"type": _whole, "metavar": "N", "help": "beams of the search (1: greedy)"})
_NEW_TOKENS = ("--max-new-tokens", {"type": _whole, "metavar": "N", "help": "longest answer, in tokens"})
_TOP_K = ("--top-k", {"type": _whole, "metavar": "N", "help": "how many labels to show, the best first (default 1)"})
_STRATEGIES = ("none", "simple", "first", "average", "max")
_STRATEGY = (
    "--aggregation-strategy",
    {
        "type": one_of("aggregation strategy", _STRATEGIES),
        "default": "simple",
        "metavar": "S",
        "help": f"how pieces make an entity: {' | '.join(_STRATEGIES)} (default simple)",
    },
)
_ASKING = (
    ("--context", {"metavar": "TEXT", "help": "the text to answer from (default: the file's column context)"}),
    ("--context-file", {"metavar": "F", "help": "file that holds this text, UTF-8"}),
    ("--top-k", {"type": _whole, "metavar": "N", "help": "how many answers to show, the best first (default 1)"}),
    ("--max-answer-len", {"type": _whole, "metavar": "N", "help": "longest answer, in tokens (default 15)"}),
    ("--doc-stride", {"type": _whole, "metavar": "N", "help": "tokens that parts of a long text share (default 128)"}),
    ("--handle-impossible-answer", {"action": "store_true", "help": "let no answer be an answer (default: off)"}),
)
FLAGS = {
    "text2text": (_NEW_TOKENS, _BEAMS),
    "text_classification": (_TOP_K,),
    "token_classification": (_STRATEGY,),
    "question_answering": _ASKING,
    "text_generation": [(flag, {"type": _whole, "metavar": "N", "help": help}) for flag, help in completing.FLAGS],
}


def parser(task: Task) -> argparse.ArgumentParser:
    """The parser of the task's command line. Needs no model and no torch."""
    p = _Parser(
        prog=f"python -m tasks.{task.name}",
        usage="%(prog)s [TEXT ...] [--file F] [--model M] [--compare] [--json] [flags: --help]",
        description=f"{task.title}. Without TEXT and --file, each line of standard input is one text.",
        epilog=f"example: {task.command} --compare",
        allow_abbrev=False,
        add_help=False,  # argparse would read a text such as -hello as -h
    )
    add = p.add_argument
    add("texts", nargs="*", metavar="TEXT", help="a text to answer; one that begins with - goes after --")
    add("--file", metavar="F", help=f"texts of a file: {' '.join(inputs.FORMATS)} (lines or rows)")
    add("--column", metavar="C", help="column of the file that holds the text")
    add(
        "--model",
        action="append",
        metavar="M",
        help=f"transformer ({task.transformer}), lstm, a Hub id[@revision] or a folder (default transformer)",
    )
    add("--compare", action="store_true", help="both arms side by side, with latency; --model (twice) names others")
    add("--json", action="store_true", help="one JSON object per text: input, output, model")
    add("--batch-size", type=_whole, default=16, metavar="N", help="texts computed together (default 16)")
    add("--device", type=one_of("device", DEVICES), default="auto", metavar="D", help=" | ".join(DEVICES))
    add("--engine", type=one_of("engine", ENGINES), default="auto", metavar="E", help=" | ".join(ENGINES))
    for flag, settings in FLAGS.get(task.kind, ()):
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
    if rest:
        flags = [flag for action in p._actions for flag in action.option_strings]
        raise UserError(f"{unknown('flag', rest[0].split('=')[0], flags)} (a text that begins with - goes after --)")
    args.model = args.model or []
    if len(args.model) > 1 and not args.compare:
        raise UserError("more than one --model needs --compare.")
    common = ("texts", "file", "column", "model", "compare", "json", "batch_size", "device", "engine")
    args.options = {key: value for key, value in vars(args).items() if key not in common and value is not None}
    return args


# --- the answers ---


@dataclass
class Arm:
    """A loaded model: its pipeline, the name to show, and how to read an output of the pipeline."""

    pipe: Any
    name: str
    value: Callable  # output → what `--json` prints
    fields: Callable  # output → list of strings for people


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
    pipe = pipelines.pipeline(task.name, model=model, engine=args.engine, device=args.device)
    name = Path(pipe.model.name_or_path).name if model in (*ARMS, task.transformer) else model
    if task.kind == "token_classification":
        return Arm(pipe, name, lambda output: output, marking.fields)
    if task.kind == "question_answering":
        return Arm(pipe, name, asking.value, asking.fields)
    if task.kind == "text_generation":
        return Arm(completing.Typing(pipe), name, lambda output: output, completing.fields)
    if task.kind == "text_classification":
        return Arm(pipe, name, *_label_readers(_label_names(task, pipe), {task.out_of_scope: "out of scope"}))
    answer = pipelines.kind(task.kind).answer
    return Arm(pipe, name, answer, lambda output: [answer(output)])


def _label_readers(names: dict[str, str], spoken: dict[str, str]) -> tuple[Callable, Callable]:
    """`names`: the model's labels → the task's; `spoken`: those → what people read, where it differs."""

    def value(output):
        rows = output if isinstance(output, list) else [output]
        rows = [{"label": names.get(row["label"], row["label"]), "score": row["score"]} for row in rows]
        return rows if isinstance(output, list) else rows[0]

    def fields(output):
        rows = value(output if isinstance(output, list) else [output])
        return [field for row in rows for field in (spoken.get(row["label"], row["label"]), f"{row['score']:.4f}")]

    return value, fields


def _label_names(task: Task, pipe) -> dict[str, str]:
    """The model's labels → the task's (`POSITIVE`, `LABEL_1` → positive); nothing where they are other classes."""
    from tasks.data import label_name

    theirs = list(pipe.model.config.id2label.values())
    try:
        ours = [label_name(task, label) for label in theirs]
    except UserError:
        return {}
    return dict(zip(theirs, ours, strict=True)) if len(set(ours)) == len(task.labels) == len(theirs) else {}


def answer(pipe, texts: list, batch_size: int, options: dict) -> list:
    """One output per text, or question with its context. Where a batch fails they go one by one; one that fails alone
    gives its exception.
    """
    try:
        return _outputs(pipe, texts, batch_size, options)
    except Exception:
        return [alone(pipe, text, options) for text in texts]


def _outputs(pipe, texts: list, batch_size: int, options: dict) -> list:
    outputs = pipe(texts, batch_size=batch_size, **options)
    # a list of one question has a bare answer, as in transformers 4
    return [outputs] if len(texts) == 1 and isinstance(texts[0], dict) else outputs


def alone(pipe, text, options: dict):
    """The output of one text, or the exception it raises."""
    try:
        return _outputs(pipe, [text], 1, options)[0]
    except Exception as error:
        return error


def problem_of(item: inputs.Item, output) -> str:
    """Why an item has no answer; "" where it has one."""
    if item.error or not isinstance(output, Exception):
        return item.error
    if isinstance(output, UserError):
        return str(output)
    return f"{type(output).__name__}: {str(output).strip().splitlines()[0] if str(output).strip() else 'no answer'}"


def print_json(item: inputs.Item, record: dict, problem: str = "") -> None:
    """One object on one line: input, the record, and what went wrong where something did."""
    record = {"input": item.text, **record, **({"error": problem} if problem else {})}
    print(json.dumps(record, ensure_ascii=False))


def _answer_all(task: Task, args: argparse.Namespace, items: Iterable[inputs.Item], advance: Callable) -> int:
    """Prints an answer per item, batch by batch. Returns how many could not be answered."""
    model = args.model[0] if args.model else "transformer"
    arm, failed = None, 0
    for batch in _batches(items, args.batch_size):
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
                print(_plain(task, arm, output, item.text, alone=len(args.texts) == 1))
            elif len(args.texts) != 1:
                print()
            advance()
        sys.stdout.flush()
    return failed


def _plain(task: Task, arm: Arm, output, text: str, alone: bool) -> str:
    """A text as it stands; labels as `label  score`, and where there are several inputs label, score, text by tabs."""
    if task.kind == "token_classification":
        return marking.marked(output, text, alone, sys.stdout.isatty())
    if task.kind == "question_answering":
        return asking.plain(output, text, alone)
    if task.kind == "text_generation":
        return completing.plain(output, alone)
    fields = arm.fields(output)
    if task.kind != "text_classification":
        return fields[0]
    if not alone:
        return "\t".join([*fields, " ".join(text.split())])
    width = max(map(len, fields[::2]))
    return "\n".join(f"{label:{width}}  {score}" for label, score in zip(fields[::2], fields[1::2], strict=True))


def _batches(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


@contextmanager
def _progress(total: int | None, shown: bool) -> Iterator[Callable]:
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
