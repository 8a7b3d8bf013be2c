"""Summaries of texts of any length: the parts are summarised, then their summaries, until one is left (map-reduce)."""

import math
import re
from collections.abc import Callable

import torch

from pipelines import chunks
from pipelines.errors import unknown
from pipelines.text2text import Text2TextPipeline

SENTENCES = 8  # the most of a long summary
SHRINKS = 0.9  # a round that leaves more of the tokens than this is the last one
NGRAM = 3
# What a length asks of `generate`, where the caller asks for nothing else; "medium" is what the checkpoint says.
# From the 4th token on an end gets likelier, until after the 14th (1.07^10 is 2) it is likelier than any word: so a
# short summary ends where it can, and is not cut off.
LENGTHS: dict[str, dict] = {
    "short": {
        "min_length": 0,
        "max_new_tokens": 20,
        "length_penalty": -1.0,
        "exponential_decay_length_penalty": (4, 1.07),
    },
    "medium": {},
    "long": {},
}
# Two ways to count words: runs of letters and digits, and what white space leaves. A text repeats where either says so.
_WORDS = re.compile(r"\w+"), re.compile(r"\S+")
_REST = re.compile(r"[^\s.,;:!?…]*")  # of a word that a cut went through
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]」』]*$")


class SummarizationPipeline(Text2TextPipeline):
    """`Text2TextPipeline` for summaries: what it takes and gives is the same, {"summary_text"}.

    The parts of a text longer than the window are summarised in batches, their summaries are put together as
    sentences, and that text is summarised again, in parts again where it is still too long. A round that hardly makes
    it shorter ends this, and the last summaries are the answer, joined. Of several answers (`num_return_sequences`)
    the first of each part goes on into the next round.

    Two parameters more, for all calls or per call:
        no_repeat_words: so many words in a row come only once in a summary, whatever their case and punctuation (see
            `unrepeated`); 0 turns it off. Default: what the checkpoint's `task_specific_params` say, else 3 for a text
            in parts, and 0, the model's own words, for any other. Token ids and streamed text stay as they are.
        length: "short", a headline of about eight words; "medium" (default), what the checkpoint was made for; "long",
            a sentence for each half window of the text, and for more than `SENTENCES` of them the summaries of those.
    """

    TASK = "summarization"

    def __init__(self, model, **kwargs):
        settings = (getattr(model.config, "task_specific_params", None) or {}).get("summarization") or {}
        self._no_repeat_words = settings.get("no_repeat_words")
        super().__init__(model, **kwargs)

    def _sanitize_parameters(self, length=None, no_repeat_words=None, **kwargs):
        steps = super()._sanitize_parameters(**kwargs)
        steps[2].update(chunks.given({"no_repeat_words": no_repeat_words}))
        if length is not None and length not in LENGTHS:
            raise unknown("length", str(length), LENGTHS)
        for parameters in steps:
            parameters.update(chunks.given({"length": length}))
        return steps

    def preprocess_all(self, texts, length="medium", window=None, truncation=None, **reading):
        if length == "long" and not chunks.cuts(truncation):
            window = (window or self._room() or 0) // 2
        return super().preprocess_all(texts, window=window, truncation=truncation, **reading)

    def _forward(self, features, length="medium", **generate):
        own = {**self._generate_kwargs, **generate}
        taken = own.keys() | ({"max_new_tokens"} if "max_length" in own else set())
        asked = {} if "generation_config" in own else LENGTHS[length]
        return super()._forward(features, **{k: v for k, v in asked.items() if k not in taken}, **generate)

    def postprocess(self, parts, length=None, no_repeat_words=None, return_text=None, return_tensors=False, **writing):
        """The draft of each part: its records, one a sequence, always with text."""
        writing |= {"return_text": True, "return_tensors": return_tensors}
        return [super(SummarizationPipeline, self).postprocess([part], **writing) for part in parts]

    def get_iterator(self, inputs, num_workers, batch_size, before, forward, after):
        several = super().get_iterator

        def drafts(texts):
            return several(texts, num_workers, batch_size, before, forward, after)

        stated = after.get("no_repeat_words", self._no_repeat_words)
        tensors = after.get("return_tensors")
        text = after.get("return_text") or not tensors
        most = SENTENCES if after.get("length") == "long" else 1
        for first in drafts(inputs):
            last = self._reduced(first, most, lambda text: next(iter(drafts([text]))))
            size = (NGRAM if len(first) > 1 else 0) if stated is None else stated
            records = []
            for pieces in zip(*last, strict=True):  # the parts' i-th sequences
                record = {}
                if tensors:
                    record["summary_token_ids"] = torch.cat([piece["summary_token_ids"] for piece in pieces])
                if text:
                    texts = [piece["summary_text"] for piece in pieces]
                    record["summary_text"] = unrepeated(texts, size) if size or len(texts) > 1 else texts[0]
                records.append(record)
            yield records

    def _reduced(self, drafts: list, most: int, again: Callable[[str], list]) -> list:
        """Drafts of at most `most` parts, or those of the round that no longer made the text shorter."""
        tokens = math.inf
        while len(drafts) > most:
            text = sentences([draft[0]["summary_text"] for draft in drafts])
            with chunks.READING:
                before, tokens = tokens, len(self.tokenizer(text, verbose=False)["input_ids"])
            if tokens > SHRINKS * before:
                break
            drafts = again(text)
        return drafts


def sentences(texts: list[str]) -> str:
    """Texts as the sentences of one: where there are several, a full stop ends what has no end of its own."""
    texts = [text.strip() for text in texts if text.strip()]
    if len(texts) > 1:
        texts = [text if _ENDED.search(text) else text + "." for text in texts]
    return " ".join(texts)


def unrepeated(texts: list[str], size: int = NGRAM) -> str:
    """The texts as one in which no `size` words in a row come twice, whatever their case; size 0 leaves all as it is.

    Of a stretch of words that a text repeats only the first stays. A text that repeats an earlier one is left out
    whole: half a sentence would say something else.
    """
    kept: list[str] = []
    for text in texts:
        text = _cut(text, size)
        if text.strip() and not (kept and _repeat(sentences([*kept, text]), size)):
            kept.append(text)
    return _cut(sentences(kept), size) if len(kept) > 1 else "".join(kept)


def _cut(text: str, size: int) -> str:
    while found := _repeat(text, size):
        start, end = found
        rest = text[end:]
        text = text[:start].rstrip(" \t\n-–—'’\"“«(") + rest[_REST.match(rest).end() :]
    return text


def _repeat(text: str, size: int) -> tuple[int, int] | None:
    """Where the first stretch of at least `size` words that came before starts and ends; None where none does."""
    for pattern in _WORDS if size else ():
        found = list(pattern.finditer(text))
        words = [word.group().casefold() for word in found]
        seen: dict[tuple, int] = {}
        for second in range(len(words) - size + 1):
            first = seen.setdefault(tuple(words[second : second + size]), second)
            if first < second:
                end = second + size
                while end < len(words) and words[end] == words[end - second + first]:
                    end += 1
                return found[second].start(), found[end - 1].end()
    return None
