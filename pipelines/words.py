"""Splits raw text into the words that are labelled, with their exact places. Drops nothing but white space.

The rule, close to the one that CoNLL's news texts were cut by: white space separates words; punctuation at their edges
stands alone, a run of one character together ("...", "--"). Whole stay U.N., e.g., O'Neill, AT&T, U.S.-based, 1,000.50,
26/08/1996, US$, @name, #tag, addresses, an emoji with its modifiers, and the full stop of an initial or a title
("J.", "Mr.", "Inc."). English endings come off ("Ann's" → Ann 's, "didn't" → did n't). Ideographs and kana stand alone.
"""

import re
import unicodedata

Span = tuple[int, int]
_IDEOGRAPH, _SYMBOL, _JOINER = "\x01", "\x02", "\x03"
_WORD = re.compile(
    r"""
      \x01                                                               # ideograph
    | (?:https?://|www\.)[^\x01\x02\s]*[A-Za-z0-9/]                      # address
    | [@#][\w\x03]+
    | (?:[A-Za-z]\.){2,}(?:-?[\w\x03]+)*                                 # U.N., U.S.-based
    | (?:[A-Z]|Mrs?|Ms|Drs?|Profs?|Sr|Jr|St|Gen|Gov|Sen|Reps?|Lt|Col|Capt|Sgt|Rev|Hon|Inc|Ltd|Co|Corp|vs)\.(?=\s+\S)
    | n't(?![\w])|N'T(?![\w])|'(?:s|S|re|RE|m|M|ve|VE|ll|LL|d|D)(?![\w])  # endings
    | [A-Z]{1,3}\$
    | \.\d[\w\x03]*
    | (?:(?!n't(?!\w)|N'T(?!\w))[\w\x03])+                               # letters and digits …
      (?:(?:\.-|[.&/@+_-]|(?<=\d)[,:](?=\d)|'(?!(?:s|S|re|RE|m|M|ve|VE|ll|LL|d|D)(?!\w)))  # … with one mark between
         (?:(?!n't(?!\w)|N'T(?!\w))[\w\x03])+)*
    | \x02[\x02\x03]*                                                    # emoji
    | (\S)\1*
    """,
    re.VERBOSE,
)


def split(text: str) -> list[Span]:
    """(start, end) of each word of `text`, in order, without overlap."""
    return [match.span() for match in _WORD.finditer(text.translate(_SHAPES))]


def joined_spans(tokens: list[str], delimiter: str = " ") -> list[Span]:
    """(start, end) of each word in `delimiter.join(tokens)`."""
    spans, start = [], 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + len(delimiter)
    return spans


class _Shapes(dict):
    """Each character → one ASCII character of its class, so that a regular expression needs no Unicode tables."""

    def __missing__(self, code: int) -> str:
        self[code] = shape = _shape(chr(code))
        return shape


def _shape(c: str) -> str:
    category = unicodedata.category(c)
    if c.isspace():
        return " "
    if c.isascii():
        return c if c > " " else _SYMBOL
    if c in "‍\ufe0e\ufe0f" or "\U0001f3fb" <= c <= "\U0001f3ff":  # zero-width joiner, variation, skin tones
        return _JOINER
    if "\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" or "\uf900" <= c <= "\ufaff" or c >= "\U00020000":
        return _IDEOGRAPH if category[0] == "L" else "x" if category[0] == "M" else _SYMBOL
    if category[0] in "LM" or category == "Cf":
        return "X" if category == "Lu" else "x"
    if category[0] == "N":
        return "0"
    if category == "Pd":
        return "~"
    if category[0] == "P":
        return "'" if c in "’‘" else "!"
    return "$" if category == "Sc" else _SYMBOL


_SHAPES = _Shapes()
