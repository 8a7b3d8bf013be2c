"""How unfinished text may go on: distinct phrases with their probabilities, from any language model over bytes.

The half-typed word at the end of a prompt is not cut into tokens as it stands: "weath" may be no beginning of the
tokens of "weather". The search goes back to the white space before it and lets only those tokens through whose bytes
agree with what was typed, several in a row where one doesn't reach (called prefix-constrained decoding, or token
healing). Probabilities are renormalised by that of all such beginnings.
"""

import copy
import functools
import inspect
import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

import torch

from pipelines.errors import UserError
from pipelines.lstm.configuration_lstm import CACHE
from pipelines.typing_words import APOSTROPHES, in_word

WORD, BLANK, STOP, UNSURE = range(4)  # what a token's first character does to a word: see `Vocabulary`
STEPS_A_WORD = 8  # tokens
BEAMS = 16
LEAST = 0.01


class Vocabulary:
    """The bytes of each token, and what a token does to the word before it.

    kinds (V, 4), one-hot: WORD goes on with it, BLANK ends it and may begin another, STOP ends the phrase, UNSURE is a
    part of a character, so that only the tokens behind it can tell. closed: some kinds → the tokens of these (V,).
    Raises `UserError` for a tokenizer whose tokens aren't bytes (byte-level BPE's are: GPT-2, Llama 3, Qwen …).
    """

    def __init__(self, tokenizer, size: int):
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or "ByteLevel" not in str(backend.decoder):
            raise UserError(f"suggestions need a byte-level tokenizer, not {type(tokenizer).__name__}.")
        byte_of, special = _byte_of(), set(tokenizer.all_special_ids)
        self.bytes = [b""] * size
        for token, number in tokenizer.get_vocab().items():
            if number < size and number not in special and all(c in byte_of for c in token):
                self.bytes[number] = bytes(byte_of[c] for c in token)
        self.kinds = torch.nn.functional.one_hot(torch.tensor([_kind(b) for b in self.bytes]), 4).float()
        self.closed = {ends: self.kinds[:, ends].any(1) for ends in ((STOP,), (STOP, BLANK))}  # (V,) each
        self._order = sorted((b, number) for number, b in enumerate(self.bytes) if b)
        self.beginning = functools.lru_cache(maxsize=4096)(self._beginning)

    def _beginning(self, rest: bytes) -> tuple[list[int], list[int]]:
        """Tokens that are a part of `rest` from its beginning, and tokens that begin with all of it."""
        parts = [number for i in range(1, len(rest)) for number in self._between(rest[:i], rest[:i] + b"\0")]
        return parts, self._between(rest, rest + b"\xff" * 8)

    def _between(self, low: bytes, high: bytes) -> list[int]:
        first, last = bisect_left(self._order, (low,)), bisect_left(self._order, (high,))
        return [number for _, number in self._order[first:last]]


def _byte_of() -> dict[str, int]:
    """The character that stands for a byte in the vocabularies of byte-level BPE → the byte (Radford et al. 2019)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


def _text(data: bytes) -> tuple[str, bool] | None:
    """The characters of the bytes, and whether the last one is whole; None where they are no beginning of a text."""
    try:
        return data.decode(), True
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        return data[: error.start].decode(), False


def _kind(token: bytes) -> int:
    known = _text(token)
    if not token:
        return STOP
    if known is None or not known[0]:
        return UNSURE
    text, whole = known
    if in_word(text[0]) or text[0] in APOSTROPHES:
        return WORD
    follows = text[1:2]
    return BLANK if text[0] == " " and (in_word(follows) if follows else whole or len(token) > 1) else STOP


class Branches:
    """Probabilities of the next token behind a common beginning and each of several ends.

    The beginning is read once; ends that each go on by one token from ends of the last call are read by that token
    alone. Calls give natural logarithms (N, V) for N tuples of token ids; what was asked before is remembered.
    """

    @torch.inference_mode()
    def __init__(self, model, ids: list[int]):
        """ids: the beginning, not empty."""
        self.model, self._known, self._read = model, {}, len(ids)
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        self._begun, scores = self._next([tuple(ids)], None, 0)
        self._known[()] = scores[0]
        self._rows, self._latest = {}, None  # the ends of the last call → their rows in its cache

    @torch.inference_mode()
    def __call__(self, ends: list[tuple[int, ...]]) -> torch.Tensor:
        new = [end for end in ends if end not in self._known]
        if new:
            places = [self._rows.get(end[:-1]) for end in new]
            if None not in places:
                past, read = self._latest, self._read + len(new[0]) - 1
                unread = [end[-1:] for end in new]
            else:
                past, read, unread = copy.deepcopy(self._begun), self._read, new
                places = [0] * len(new)
            past.reorder_cache(torch.tensor(places, device=self.model.device))
            past, scores = self._next(unread, past, read)
            even = len(set(map(len, new))) == 1
            self._rows, self._latest = ({end: row for row, end in enumerate(new)}, past) if even else ({}, None)
            self._known.update(zip(new, scores, strict=True))
        return torch.stack([self._known[end] for end in ends])

    def _next(self, unread: list[tuple[int, ...]], past, read: int):
        """(cache, log probabilities (N, V)) behind N runs of tokens, with `read` tokens in `past`."""
        width = max(map(len, unread))
        ids = torch.tensor([[*run, *[0] * (width - len(run))] for run in unread], device=self.model.device)  # (N, T)
        # all ones: what stands right of a run can't change it, and the token that pads also begins texts
        mask = ids.new_ones(len(unread), read + width)
        last = self._last if min(map(len, unread)) == width else {}
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=True, **{CACHE: past}, **last)
        places = torch.tensor([-1 if last else len(run) - 1 for run in unread], device=ids.device)
        logits = output.logits[torch.arange(len(unread), device=ids.device), places]  # (N, V)
        return output[CACHE], logits.float().log_softmax(-1)


@dataclass
class _Path:
    tokens: tuple[int, ...] = ()
    score: float = 0.0  # natural logarithm
    data: bytes = b""  # of all its tokens
    words: int = 0  # begun behind what was typed; the half-typed one counts once it has grown
    phrase: str = ""  # behind what was typed
    whole: bool = True  # it doesn't end in the middle of a character
    gap: bool = False  # a blank may come next


def phrases(
    branches: Branches,
    vocabulary: Vocabulary,
    typed: str,
    k: int,
    max_words: int,
    beams: int = BEAMS,
    room: int | None = None,
) -> list[tuple[str, float]]:
    """The `k` most probable ways to go on behind `typed`, best first: (text to append, probability).

    A phrase has `max_words` words, or fewer where punctuation, a line break or the end follows; nothing but these is no
    phrase. The probability is that of the phrase and its end, over all tokens that spell it, given what was typed.
    A beam search, exact where `beams` holds all paths: what falls out of the beam counts for nothing. It ends when no
    path left could displace one of the k, nor add more than a share of `LEAST` to one of them. `room`: the most tokens
    a path may have; a phrase that would need more ends there.
    """
    start, live = typed.encode(), [_Path()]
    finished: Counter[str] = Counter()  # phrase → its probability, times that of what was typed
    total = 0.0 if start else 1.0  # probability of what was typed
    steps = len(start) + STEPS_A_WORD * max_words
    for _ in range(min(steps, room or steps)):
        # in units of the best path: twenty letters of nonsense are less likely than float32 can say
        unit = live[0].score
        scores = branches([path.tokens for path in live]).cpu().float()  # (N, V)
        scores = scores + torch.tensor([path.score - unit for path in live]).unsqueeze(1)
        masses = (scores.exp() @ vocabulary.kinds).tolist()  # (N, 4)
        for path, row, mass in zip(live, scores, masses, strict=True):
            if len(path.data) < len(start):
                total += _hold(row, *vocabulary.beginning(start[len(path.data) :])) * math.exp(unit)
                continue
            ends = (STOP,) if path.gap and path.words < max_words else (STOP, BLANK)
            if path.words and path.whole:
                finished[path.phrase] += sum(mass[kind] for kind in ends) * math.exp(unit)
            row.masked_fill_(vocabulary.closed[ends], -torch.inf)
        best, before, live = scores.flatten().topk(min(beams, scores.numel())), live, []
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if score == -torch.inf:
                break
            path, token = before[place // scores.shape[1]], place % scores.shape[1]
            score += unit
            path = _Path((*path.tokens, token), score, path.data + vocabulary.bytes[token])
            if not _read(path, typed, len(start), max_words):
                live.append(path)
            elif path.words:
                finished[path.phrase] += math.exp(score)
        if _settled(finished.most_common(k), live, k, start):
            break
    else:
        for path in live:  # out of steps
            if path.words:
                finished[path.phrase] += math.exp(path.score)
    ranked = sorted(finished.items(), key=lambda item: (-item[1], item[0]))[:k]
    return [(phrase, min(1.0, mass / total)) for phrase, mass in ranked] if total else []


def _settled(ranked: list[tuple[str, float]], live: list[_Path], k: int, start: bytes) -> bool:
    """Whether no live path, best first, can displace one of the k phrases or add to one of them what matters."""
    if not live:
        return True
    if len(ranked) < k or ranked[-1][1] < math.exp(live[0].score):
        return False
    return not any(
        math.exp(path.score) > LEAST * mass
        and ((start + phrase.encode()).startswith(path.data) or path.phrase == phrase)
        for path in live
        for phrase, mass in ranked
    )


def _hold(row: torch.Tensor, parts: list[int], wholes: list[int]) -> float:
    """Closes row (V,) to all tokens but these; the probability of `wholes`, which reach the end of what was typed."""
    kept = row[parts + wholes]
    row.fill_(-torch.inf)
    row[parts + wholes] = kept
    return float(kept[len(parts) :].exp().sum())


def _read(path: _Path, typed: str, start: int, max_words: int) -> bool:
    """Fills in what the path's bytes spell behind the `start` that were typed; whether the phrase has ended."""
    known = _text(path.data[start:])
    if known is None:
        return True
    text, path.whole = known
    in_a_word = bool(typed) and in_word(typed[-1])
    path.gap = bool(typed) and not typed[-1].isspace()
    end = 0
    for place, character in enumerate(text):
        if in_word(character) or (in_a_word and character in APOSTROPHES):
            path.words += place == 0 or not in_a_word
            in_a_word, path.gap, end = True, True, place + 1
        elif character == " " and path.gap and path.words < max_words:
            in_a_word, path.gap = False, False
        else:
            path.phrase = text[:end]
            return True
    path.phrase = text[:end]
    return False
