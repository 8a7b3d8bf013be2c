"""How `tasks.complete` asks and shows: completions and suggestions on the command line.

A `Typing` stands where other tasks have their pipeline; its outputs are a text, or with `suggestions` a list of
{"text", "score"}.
"""

import sys

from pipelines.errors import UserError
from tasks.flags import whole

FLAGS = tuple(
    (flag, {"type": whole, "metavar": "N", "help": help})
    for flag, help in (
        ("--suggestions", "show so many ways to go on, with their probabilities (default: the best one, without)"),
        ("--max-words", "longest suggestion, in words (default 3)"),
        ("--max-new-tokens", "write on for so many tokens, to the end of the paragraph (default: a few words)"),
    )
)


def add_flags(parser) -> None:
    """The task's own switches, beside `FLAGS`."""
    parser.add_argument("--stream", action="store_true", default=None, help="write on, and show it as it is written")
    parser.add_argument("--interactive", action="store_true", default=None, help="a line editor with suggestions")


def check(args) -> None:
    """Raises `UserError` for flags that don't go together; settles what they imply."""
    options = args.options
    for one, other in (
        ("suggestions", "max_new_tokens"), ("suggestions", "stream"),
        ("max_words", "max_new_tokens"), ("max_words", "stream"),
    ):  # fmt: skip
        if options.get(one) and options.get(other):
            raise UserError(f"--{one.replace('_', '-')} and --{other.replace('_', '-')} don't go together.")
    for name, given in (("json", args.json), ("compare", args.compare)):
        if options.get("stream") and given:
            raise UserError(f"--stream and --{name} don't go together.")
    if options.get("stream"):
        args.batch_size = 1  # each text gets its end of line before the next one begins
    if options.get("interactive"):
        given = [name for name in ("texts", "file", "compare", "json") if getattr(args, name)]
        given += [name for name in ("stream", "max_new_tokens") if options.get(name)]
        if given:
            what = "a text" if given[0] == "texts" else "--" + given[0].replace("_", "-")
            raise UserError(f"--interactive reads lines and answers with suggestions: leave out {what}.")


class Typing:
    """Answers prompts with completions, one after the other."""

    def __init__(self, pipe):
        self.pipe, self.model, self.device = pipe, pipe.model, pipe.device

    def __call__(
        self, texts: list[str], batch_size=None, suggestions=None, max_words=3, max_new_tokens=None, stream=None
    ):
        return [self._tried(text, suggestions, max_words, max_new_tokens, stream) for text in texts]

    def _tried(self, *asked):
        try:
            return self._one(*asked)
        except Exception as error:  # as an output, not raised: the rest of a stream would be written twice
            return error

    def _one(self, text: str, suggestions, max_words, max_new_tokens, stream):
        if suggestions:
            return self.pipe.suggest(text, k=suggestions, max_words=max_words)
        longest = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        if stream:
            sys.stdout.write(text)
            for piece in self.pipe.stream(text, **longest):
                sys.stdout.write(piece)
                sys.stdout.flush()
            return ""  # the end of a line is all that is left to print
        if longest:
            return self.pipe.complete(text, **longest)
        found = self.pipe.suggest(text, k=1, max_words=max_words)
        return found[0]["text"] if found else text


def reader(task, pipe) -> tuple:
    """A `Typing`, and of its outputs: the value for programs, the fields for people, what is printed."""
    return Typing(pipe), lambda output: output, fields, plain


def fields(output) -> list[str]:
    """An output as strings: a text; or texts and their probabilities, by turns."""
    if isinstance(output, str):
        return [output]
    return [field for row in output for field in (row["text"], f"{row['score']:.4f}")]


def plain(output, text: str, alone: bool) -> str:
    """A text as it stands; suggestions a line each, and where there are several inputs by tabs on one line."""
    parts = fields(output)
    if isinstance(output, str) or not alone:
        return "\t".join(parts)
    return "\n".join(f"{score}  {text}" for text, score in zip(parts[::2], parts[1::2], strict=True))
