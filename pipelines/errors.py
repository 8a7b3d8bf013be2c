"""The one error that is the user's: a single line that says what is wrong, which choices there are, and the nearest."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong use or unusable input. Command lines print its text as one line; wrong use ends with exit status 2."""


def first_line(error: Exception) -> str:
    """What an error says first, or its name where it says nothing: loaders print pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def unknown(what: str, given: str, choices: Iterable[str]) -> UserError:
    """`UserError` for a name that is not among `choices`: names the mistake, the choices and the nearest one."""
    choices = list(choices)
    near = difflib.get_close_matches(given.lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown {what} {given!r}: choose from {', '.join(choices)}.{hint}")
