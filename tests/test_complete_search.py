"""Suggestions against brute force: every way to spell a phrase, over vocabularies small enough to count them all."""

import functools
import itertools
import math
import re

import pytest
import torch
from complete_models import FAMILIES, PIECES, log_probabilities, model, small_tokenizer

from pipelines import typing_words
from pipelines.completion import Branches, Vocabulary, phrases
from pipelines.errors import UserError

MANY = 1500  # beams: what falls out has no share that could be seen


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(small_tokenizer(), len(PIECES))


class Chance:
    """Stands for `Branches`: a distribution for each sequence of tokens, the same whenever it is asked for."""

    def __init__(self, seed: int):
        self.seed, self.seen = seed, {}

    def __call__(self, ends):
        return torch.stack([self.row(end) for end in ends])

    def row(self, tokens: tuple[int, ...]) -> torch.Tensor:
        if tokens not in self.seen:
            number = functools.reduce(lambda n, token: n * 31 + token + 1, tokens, self.seed)
            draw = torch.randn(len(PIECES), generator=torch.Generator().manual_seed(number % 2**62))
            self.seen[tokens] = (2 * draw).double().log_softmax(-1)
        return self.seen[tokens]

    def score(self, tokens: tuple[int, ...]) -> float:
        return sum(float(self.row(tokens[:i])[token]) for i, token in enumerate(tokens))


@pytest.fixture(scope="module", params=[1, 3])
def spelled(request):
    chance = Chance(request.param)
    return chance, chance.score


@pytest.mark.parametrize("family", FAMILIES)
def test_branches_are_plain_calls_of_the_model(family):
    made, prompt = model(family, len(PIECES), positions=64), [0, 1, 5, 2]
    branches = Branches(made, prompt)
    step = [(3, 7), (7, 1), (3, 2), (3, 3)]  # from two of the ends before it, one of them thrice
    for ends in (
        [()],
        [(3,), (4,), (7,)],
        step,
        [(7, 1, 5), (3, 7, 5)],
        [(4, 5, 6), (7, 8)],
        [(4, 5), (7, 1, 5, 9), ()],
    ):
        for got, end in zip(branches(ends), ends, strict=True):
            expected = log_probabilities(made, [*prompt, *end])[-1].float()
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def spellings(data: bytes, pieces: list[bytes]) -> list[tuple[int, ...]]:
    """All ways to spell these bytes."""
    if not data:
        return [()]
    first = [(i, piece) for i, piece in enumerate(pieces) if piece and data.startswith(piece)]
    return [(i, *rest) for i, piece in first for rest in spellings(data[len(piece) :], pieces)]


def covers(data: bytes, pieces: list[bytes]) -> list[tuple[int, ...]]:
    """All shortest token sequences whose bytes begin with these."""
    if not data:
        return [()]
    last = [(i,) for i, piece in enumerate(pieces) if piece.startswith(data)]
    first = [(i, piece) for i, piece in enumerate(pieces) if piece and data.startswith(piece) and piece != data]
    return last + [(i, *rest) for i, piece in first for rest in covers(data[len(piece) :], pieces)]


def ends(behind: str, full: bool) -> bool | None:
    """Whether a phrase ends where this comes behind it; None where more must be known."""
    after = behind[1:] if behind[:1] == " " and not full else behind
    return None if not after else not (after[0].isalpha() or (after[0] == "'" and after is behind))


def brute(phrase: str, typed: str, max_words: int, pieces: list[bytes], score) -> float:
    """The probability that exactly `phrase` comes behind `typed` and then ends, by the words of the documentation."""
    begun = len(re.findall(r"[\w']+", phrase))

    def follow(tokens: tuple[int, ...], data: bytes) -> float:
        try:
            verdict = ends(data.decode(), begun == max_words)
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return 0.0
            verdict = ends(data[: error.start].decode(), begun == max_words)
        if verdict is None:
            return sum(follow((*tokens, i), data + (piece or b"\0")) for i, piece in enumerate(pieces))
        return math.exp(score(tokens)) if verdict else 0.0

    total = sum(follow(tokens, b"") for tokens in spellings((typed + phrase).encode(), pieces))
    return total / sum(math.exp(score(tokens)) for tokens in covers(typed.encode(), pieces))


@pytest.mark.parametrize(("typed", "max_words"), [(" a", 1), ("", 1), (" ", 1), (" é", 1), (",", 1), (" a", 2)])
def test_probabilities_are_those_of_brute_force(spelled, vocabulary, typed, max_words, monkeypatch):
    monkeypatch.setattr("pipelines.completion.LEAST", 1e-4)
    branches, score = spelled
    found = phrases(branches, vocabulary, typed, 4, max_words, MANY)
    assert len(found) == 4 and len({phrase for phrase, _ in found}) == 4
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    letters = [c for c in "abé'" if typed or c != "'"]
    if max_words == 1:  # no other short phrase is likelier than the last of these
        start = [""] if not typed[-1:].isalpha() else ["", " "]
        if typed == ",":
            start = ["", " "]
        shorter = {s + "".join(w) for s in start for n in (1, 2) for w in itertools.product(letters, repeat=n)}
        shorter = {w for w in shorter if w.strip() and not w.lstrip(" ").startswith("'")} - {p for p, _ in found}
        best = max(brute(phrase, typed, 1, vocabulary.bytes, score) for phrase in shorter)
        assert best <= found[-1][1] * 1.0001
    for phrase, probability in found:
        assert probability == pytest.approx(brute(phrase, typed, max_words, vocabulary.bytes, score), rel=2e-3)


def test_the_usual_beam_finds_the_same(spelled, vocabulary):
    branches, _ = spelled
    for typed in (" a", "", " é"):
        exact, usual = (phrases(branches, vocabulary, typed, 3, 1, beams) for beams in (MANY, 16))
        assert [phrase for phrase, _ in usual] == [phrase for phrase, _ in exact]
        assert [p for _, p in usual] == pytest.approx([p for _, p in exact], rel=0.15)


# --- by hand: a table of what follows what ---

WORDS = ["<|endoftext|>", "Ġweather", "Ġwe", "ath", "Ġis", "Ġfine", ".", "Ġ", "er", "Ġw", "Ċ", "ed", "Ġ("]


class Table:
    """Stands for `Branches`: the next token depends on the last one only."""

    def __init__(self, **table):
        self.table, self.asked = table, []

    def __call__(self, ends):
        self.asked += ends
        rows = torch.full((len(ends), len(WORDS)), 1e-12)
        for row, end in zip(rows, ends, strict=True):
            for token, p in self.table.get(WORDS[end[-1]] if end else "start", {}).items():
                row[WORDS.index(token)] = p
        return rows.log()


TABLE = Table(**{
    "start": {"Ġweather": 0.2, "Ġwe": 0.5, "Ġis": 0.3},
    "Ġweather": {"Ġis": 0.5, ".": 0.2, "ed": 0.1, "Ġ(": 0.1, "Ċ": 0.1},
    "Ġwe": {"ath": 0.1, "Ġis": 0.9},
    "ath": {"er": 0.5, "ed": 0.5},
    "er": {"<|endoftext|>": 1.0},
    "ed": {".": 1.0},
    "Ġis": {"Ġfine": 0.75, ".": 0.25},
    "Ġfine": {".": 1.0},
    ".": {"Ġwe": 1.0},
})  # fmt: skip


@pytest.fixture(scope="module")
def words():
    from transformers import GPT2Tokenizer

    return Vocabulary(GPT2Tokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=[]), len(WORDS))


def test_a_half_typed_word_is_not_cut_into_tokens_as_it_stands(words):
    """Greedily, "weath" is " we" + "ath" here; but most texts that begin so have the one token " weather"."""
    (best, p), (second, q), *_ = phrases(TABLE, words, " weath", 3, 1)
    assert (best, second) == ("er", "ed")
    seen = 0.2 + 0.5 * 0.1  # of " weath": as a part of one token, and as two
    assert p == pytest.approx((0.2 * (0.5 + 0.2 + 0.1 + 0.1) + 0.05 * 0.5) / seen, rel=1e-6)
    assert q == pytest.approx(0.05 * 0.5 / seen, rel=1e-6)  # "weathed"; "weathered" is rarer: 0.2 * 0.1
    assert dict(phrases(TABLE, words, " weath", 9, 1))["ered"] == pytest.approx(0.02 / seen, rel=1e-6)


def test_a_phrase_ends_at_punctuation_the_end_and_its_number_of_words(words):
    found = dict(phrases(TABLE, words, " weather", 20, 3))
    seen = 0.2 + 0.5 * 0.1 * 0.5
    assert found[" is fine"] == pytest.approx(0.2 * 0.5 * 0.75 / seen, rel=1e-6)
    assert found[" is"] == pytest.approx(0.2 * 0.5 * 0.25 / seen, rel=1e-6)
    assert "" not in found and not any(re.search(r"[.(\n]", phrase) for phrase in found)
    assert max(len(phrase.split()) for phrase in found) <= 3
    one = dict(phrases(TABLE, words, " weather", 20, 1))
    assert one[" is"] == pytest.approx(0.2 * 0.5 / seen, rel=1e-6)  # whatever comes behind


def test_nonsense_typed_still_has_an_answer(words):
    found = phrases(TABLE, words, " weath" + "ered" * 4, 1, 1, beams=50)
    assert found and 0 < found[0][1] <= 1
    assert phrases(TABLE, words, " zebra", 3, 1) == []  # no token has its letters


def test_a_bound_on_tokens_ends_phrases_there(words):
    before = len(TABLE.asked)
    found = phrases(TABLE, words, "", 3, 5, room=2)
    assert found == [] or max(len(phrase.split()) for phrase, _ in found) <= 2
    assert max(map(len, TABLE.asked[before:])) < 2


# --- what was typed ---


@pytest.mark.parametrize(
    ("prompt", "context", "typed"),
    [
        ("The weath", "The", " weath"),
        ("The weather ", "The weather", " "),
        ("The  ", "The ", " "),
        ("Hello,wor", "", "Hello,wor"),
        ("One.\nTw", "One.", "\nTw"),
        ("", "", ""),
        ("naï", "", "naï"),
        ("x" * 30, "x" * 6, "x" * 24),
        ("a " + "漢" * 30, "a " + "漢" * 6, "漢" * 24),
    ],
)
def test_what_is_typed_begins_at_the_last_white_space(prompt, context, typed):
    assert typing_words.split_typed(prompt) == (context, typed)
    assert context + typed == prompt


def test_only_tokenizers_of_bytes_will_do(word_tokenizer):
    with pytest.raises(UserError, match="byte-level tokenizer, not BertTokenizer"):
        Vocabulary(word_tokenizer, len(word_tokenizer))
