"""What the command lines share: a parser whose complaints are one line, and types of flags."""

import argparse
import sys
from collections.abc import Callable

from pipelines.errors import UserError, unknown


class Parser(argparse.ArgumentParser):
    """Wrong use raises `UserError`; of an unknown flag it names the nearest. Flags are never abbreviated."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str):
        raise UserError(message)

    def parse_args(self, args=None, namespace=None):
        found, rest = self.parse_known_args(args, namespace)
        self.refuse(rest)
        return found

    def refuse(self, rest: list[str], hint: str = "") -> None:
        """Raises `UserError` for words that no flag takes."""
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings]
            raise UserError(f"{unknown('flag', rest[0].split('=')[0], flags)}{hint}")


def status(name: str, act: Callable[[], int | None], interrupted: str) -> int:
    """The exit status of a command that does `act`: a user's mistake is one line on stderr, and so is Ctrl-C."""
    try:
        return act() or 0
    except UserError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130


def whole(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def number(text: str) -> float:
    """A finite number, 0 or above."""
    return 0.0 if text.strip("0.") == "" and text.strip(".") else positive(text)


def one_of(what: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """One of a few names."""

    def check(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(str(unknown(what, text, choices)))
        return text

    return check
