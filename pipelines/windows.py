"""Splits a text that is longer than a model can read, at the best places there are, and drops nothing.

Knows texts and a function that measures them; knows no model and no tokenizer. A part comes with its gap: what stood
between it and the next part.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

Span = tuple[int, int]

# Words whose full stop ends no sentence, English and French.
_ABBREVIATION = re.compile(
    r"mrs?|ms|dr|prof|[sj]r|[ms]t|rev|hon|gen|col|capt|lt|sgt|vs|etc|figs?|nos?|vol|pp?|eds?|inc|ltd|co|corp|dept|est|al"
    r"|e\.g|i\.e|cf|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|[ap]\.m|u\.[sk]|mm?|mmes?|mlles?|mgr|me|p\.ex|av|bd",
    re.IGNORECASE,
)
# The end of a sentence, with closing quotes, and the blank after it where the next character is no small letter.
_STOP = re.compile(r"[.!?…]+(?:\s?»|[\"'”’)\]])*(?P<gap>\s+)(?=[^\s])|[。！？]+[」』”’）]*(?P<none>)")
_LINES, _WORDS = re.compile(r"\s*\n\s*"), re.compile(r"\s+")
_CLAUSES = re.compile(r"(?<=[,;:–—])\s+|(?<=[，、；：])")
_CHARACTERS = re.compile(r"(?<=.)(?=.)", re.DOTALL)


def sentences(text: str) -> list[tuple[str, str]]:
    """(sentence, gap) for each sentence of `text`; a line break always ends one."""
    text = text.strip()
    spans = [
        (start + begin, start + end)
        for start, line_end in _between(text, _gaps(_LINES, text))
        for begin, end in _between(text[start:line_end], _sentence_gaps(text[start:line_end]))
    ]
    return _with_gaps(text, spans)


def split(text: str, length: Callable[[str], int], limit: int) -> list[tuple[str, str]]:
    """(part, gap) for parts of `text` of at most `limit` by `length`; only the white space between them is left out.

    Cut at line breaks where that is enough, else at sentence ends, clauses, words, and at last between characters.
    As many neighbours as fit go into a part. One character stays whole even where it alone exceeds the limit.
    """
    text = text.strip()
    return _with_gaps(text, list(_fit(text, (0, len(text)), length, limit, 0)))


def join(answers: list[str], gaps: list[str]) -> str:
    """The answers to the parts as one text: line breaks stay line breaks, any other gap is a blank."""
    text = answers[0]
    for answer, gap in zip(answers[1:], gaps, strict=False):
        text += ("\n" * gap.count("\n") or " ") + answer
    return text


def _fit(text: str, span: Span, length, limit: int, level: int) -> Iterator[Span]:
    start, end = span
    if end - start <= 1 or length(text[start:end]) <= limit:
        yield span
        return
    units = [(start + a, start + b) for a, b in _between(text[start:end], _LEVELS[level](text[start:end]))]
    first = 0
    while first < len(units):
        begin = units[first][0]

        def size(unit: Span, begin=begin) -> int:
            return length(text[begin : unit[1]])

        # the longest run of units that fits: doubled until it doesn't, then bisected, so that only stretches of about
        # the limit are measured
        run = 1
        while first + run < len(units) and size(units[first + run - 1]) <= limit:
            run *= 2
        after = bisect_right(units, limit, first + run // 2, min(first + run, len(units)), key=size)
        if after > first:
            yield begin, units[after - 1][1]
            first = after
        else:  # not even one: cut it finer
            yield from _fit(text, units[first], length, limit, level + 1)
            first += 1


def _with_gaps(text: str, spans: list[Span]) -> list[tuple[str, str]]:
    starts = [start for start, _ in spans] + [len(text)]
    return [(text[a:b], text[b:after]) for (a, b), after in zip(spans, starts[1:], strict=True)]


def _between(text: str, gaps: Iterator[Span]) -> list[Span]:
    """The stretches that the gaps leave."""
    edges = [0, *(edge for gap in gaps for edge in gap), len(text)]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def _gaps(pattern: re.Pattern, text: str) -> Iterator[Span]:
    return (match.span() for match in pattern.finditer(text))


def _sentence_gaps(text: str) -> Iterator[Span]:
    start = 0  # of the sentence we are in
    for match in _STOP.finditer(text):
        group = "gap" if match.group("gap") else "none"
        if group == "gap" and not _ends(text[start : match.start()], match.group(), text[match.end()]):
            continue
        start = match.end(group)
        yield match.span(group)


def _ends(before: str, stop: str, following: str) -> bool:
    """Whether `stop` ends the sentence that starts with `before`, or belongs to an abbreviation, initial or number."""
    if following.islower():
        return False
    if stop.rstrip() != ".":
        return True
    word = before.split()[-1].lstrip("(\"'“‘«[") if before.split() else ""
    initial = len(word) == 1 and word.isupper() and word != "I"
    heading = word == before.strip() and word.isdigit()  # "1. Wash the rice."
    return not (initial or heading or _ABBREVIATION.fullmatch(word))


_LEVELS: tuple[Callable[[str], Iterator[Span]], ...] = (
    lambda text: _gaps(_LINES, text),
    _sentence_gaps,
    lambda text: _gaps(_CLAUSES, text),
    lambda text: _gaps(_WORDS, text),
    lambda text: _gaps(_CHARACTERS, text),
)
