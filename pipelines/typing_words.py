"""What a word is to somebody who types, and a simulation of typing with suggestions. Knows characters; no tensor.

A word is a run of letters, marks, digits, underscores and inner apostrophes: "don't" is one, "well-known" are two.
"""

import functools
import random
import re
import unicodedata
from collections.abc import Callable

APOSTROPHES = "'’"
SHOWN = 3  # suggestions on a keyboard
SAMPLED = 1  # words of a text that are typed
SEED = 13
_WORDS = re.compile(r"(?<=\s)\w[\w'’]*")


@functools.cache
def in_word(character: str) -> bool:
    """Whether a word may hold this character at any place."""
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def split_typed(prompt: str, longest: int = 24) -> tuple[str, str]:
    """(context, typed): what is settled, and the unfinished end that suggestions may read anew.

    The end begins at the last white space, which it keeps: from there on tokens depend on what follows. Of a run
    without white space only the last `longest` characters count as typed.
    """
    start = len(prompt)
    while start and not prompt[start - 1].isspace() and len(prompt) - start < longest:
        start -= 1
    if start and prompt[start - 1].isspace():
        start -= 1
    return prompt[:start], prompt[start:]


def sampled_words(text: str, count: int) -> list[tuple[int, str]]:
    """(place, word) of at most `count` words of a text behind white space, in order; the same for the same text."""
    found = [(match.start(), match.group()) for match in _WORDS.finditer(text)]
    return sorted(random.Random(f"{SEED}/{text}").sample(found, min(count, len(found))))


def simulate(text: str, count: int, suggest: Callable[[str], list[str]]) -> dict[str, int]:
    """Types `count` words of a text, letter by letter, and takes a word as soon as it is suggested.

    suggest: a prompt → the whole words, best first, that its end may become; after white space the next words. The
    first `SHOWN` are seen. A word costs its letters and the blank behind it; taking a suggestion costs one keystroke
    and gives the rest of the word and the blank.

    Returns sums: words, top1 and top3 (the word was the first, was among those shown, before any letter), typed
    (keystrokes without help) and saved.
    """
    sums = dict.fromkeys(("words", "top1", "top3", "typed", "saved"), 0)
    for place, word in sampled_words(text, count):
        sums["words"] += 1
        sums["typed"] += len(word) + 1
        for letters in range(len(word)):
            shown = suggest(text[: place + letters])[:SHOWN]
            if letters == 0:
                sums["top1"] += word in shown[:1]
                sums["top3"] += word in shown
            if word in shown:
                sums["saved"] += len(word) - letters
                break
    return sums
