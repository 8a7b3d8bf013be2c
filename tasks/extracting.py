"""What `--extractive` makes of `tasks.summarize`: sentences of the text itself, with their places."""

from pipelines.errors import UserError
from tasks.flags import whole

HUB_TASK = "extractive-summarization"
# rows of the harness beside the task's own two: one sentence each, as its floor gives the first one
ARMS = {
    "extractive": {"task": HUB_TASK, "model": "transformer", "sentences": 1},
    "extractive-lstm": {"task": HUB_TASK, "model": "lstm", "sentences": 1},
}


def add_flags(parser) -> None:
    """`--extractive` and `--sentences`."""
    shown = "quote the text's most telling sentences, with their places in --json; --model: whose encoder reads them"
    parser.add_argument("--extractive", action="store_true", default=None, help=shown)
    shown = "how many of them (default by --length: 1, 3 or 8, but of a short text no more than half)"
    parser.add_argument("--sentences", type=whole, metavar="N", help=shown)


def settle(args) -> str | None:
    """The Hub task to ask for where `--extractive` is given, which is taken out of the pipeline's options, else None.

    Raises `UserError` for flags that don't go together.
    """
    options = args.options
    if not options.pop("extractive", None):
        if "sentences" in options:
            raise UserError("--sentences needs --extractive.")
        return None
    for name in ("max_new_tokens", "num_beams"):
        if name in options:
            raise UserError(f"--extractive and --{name.replace('_', '-')} don't go together: nothing is written.")
    return HUB_TASK


def reader(task, pipe) -> tuple:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed."""
    from pipelines.extractive import answer

    return pipe, lambda output: output, lambda output: [answer(output)], lambda output, text, alone: answer(output)
