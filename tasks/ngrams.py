"""The floor of `tasks.complete`: the most frequent trigram continuation, with back-off; and what it makes of a byte.

A text is cut, without loss, into pieces: a word or a run of punctuation, each with the blank before it, or one white
space. Counts are of pieces, of all train texts; texts are begun by two marks.
"""

import functools
import math
import re

import numpy as np

from pipelines import typing_words

PIECES = re.compile(r" ?\w[\w'’]*| ?[^\w\s]+|\s")
START = 0  # the number of the mark before a text
ENDS = 256  # the byte model's sign for the end of a piece


class Trigrams:
    """Counts of pieces and their pairs and triples, and a byte model for pieces never seen.

    Suggestions: pieces that begin with what was typed, the most frequent after the two pieces before it, then after
    the one, then of all. Probabilities: Witten-Bell interpolation (Witten & Bell 1991; Chen & Goodman 1998, section
    2.5) of triples, pairs, single pieces and bytes. The bytes of a piece and its end come from counts of byte pairs in
    the distinct pieces, one added to each of the 257, so that each level is a distribution over all pieces.
    """

    def __init__(self, texts: list[str]):
        self.number, rows = {"": START}, []
        for text in texts:
            pieces = PIECES.findall(text)
            rows.append(np.array([START, START, *(self.number.setdefault(p, len(self.number)) for p in pieces)]))
        self.pieces = list(self.number)
        ids = np.concatenate([*rows, [START, START]]).astype(np.int64)
        size = len(self.pieces)
        whole = ids[2:] != START
        self.levels = [
            _Level(np.zeros(whole.sum(), np.int64), ids[2:][whole]),
            _Level(ids[1:-1][whole], ids[2:][whole]),
            _Level((ids[:-2] * size + ids[1:-1])[whole], ids[2:][whole]),
        ]
        pairs = np.ones((ENDS + 1, ENDS + 1))  # row ENDS: the first byte of a piece
        for piece in self.pieces[1:]:
            signs = [ENDS, *piece.encode(), ENDS]
            np.add.at(pairs, (signs[:-1], signs[1:]), 1)
        self.byte_bits = -np.log2(pairs / pairs.sum(1, keepdims=True))

    def _contexts(self, before: list[str]) -> list[int | None]:
        """The keys of the three levels for the pieces before a place; None where never seen."""
        first, second = ([START, START] + [self.number.get(p) for p in before[-2:]])[-2:]
        known = first is not None and second is not None
        return [0, second, first * len(self.pieces) + second if known else None]

    def bits(self, text: str) -> float:
        """-log2 of the probability of the text's pieces."""
        pieces = PIECES.findall(text)
        total = 0.0
        for place, piece in enumerate(pieces):
            signs = [ENDS, *piece.encode(), ENDS]
            probability = 2.0 ** -self.byte_bits[signs[:-1], signs[1:]].sum()
            number = self.number.get(piece)
            for level, key in zip(self.levels, self._contexts(pieces[max(0, place - 2) : place]), strict=True):
                probability = level.interpolated(key, number, probability)
            total -= math.log2(probability)
        return total

    def suggest(self, prompt: str, k: int = typing_words.SHOWN) -> list[str]:
        """The `k` likeliest words, best first, that the end of the prompt may become."""
        pieces = PIECES.findall(prompt[-1000:])
        typed = ""
        if pieces and (pieces[-1].isspace() or typing_words.in_word(pieces[-1][-1])):
            typed = pieces.pop()
        found: dict[str, None] = {}
        for level, key in reversed(list(zip(self.levels, self._contexts(pieces), strict=True))):
            for number in level.ranked(key) if key is not None else ():
                piece = self.pieces[number]
                if piece.startswith(typed) and typing_words.in_word(piece[-1]):
                    found.setdefault(piece.lstrip())
                    if len(found) == k:
                        return list(found)
        return list(found)


class _Level:
    """What follows each context, and how often."""

    def __init__(self, contexts: np.ndarray, followers: np.ndarray):
        order = np.lexsort((followers, contexts))
        contexts, followers = contexts[order], followers[order]
        new = np.ones(len(contexts), dtype=bool)
        new[1:] = (contexts[1:] != contexts[:-1]) | (followers[1:] != followers[:-1])
        starts = np.flatnonzero(new)
        self.contexts, self.followers = contexts[starts], followers[starts]
        self.counts = np.diff(np.append(starts, len(contexts)))
        self.ranked = functools.lru_cache(maxsize=1000)(self._ranked)

    def _span(self, key: int | None) -> tuple[int, int]:
        if key is None:
            return 0, 0
        return tuple(int(np.searchsorted(self.contexts, key, side)) for side in ("left", "right"))

    def _ranked(self, key: int) -> list[int]:
        first, last = self._span(key)
        return self.followers[first:last][np.argsort(-self.counts[first:last], kind="stable")].tolist()

    def interpolated(self, key: int | None, follower: int | None, lower: float) -> float:
        """P(follower | key) = (count + kinds * lower) / (all + kinds); `lower` where the context was never seen."""
        first, last = self._span(key)
        if first == last:
            return lower
        place = first + int(np.searchsorted(self.followers[first:last], -1 if follower is None else follower))
        seen = self.counts[place] if place < last and self.followers[place] == follower else 0
        kinds = last - first
        return float((seen + kinds * lower) / (self._all(first, last) + kinds))

    def _all(self, first: int, last: int) -> int:
        if not hasattr(self, "_sums"):
            self._sums = np.append(0, np.cumsum(self.counts))
        return int(self._sums[last] - self._sums[first])
