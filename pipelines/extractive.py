"""Extractive summaries: the sentences of a text that say most of it, quoted as they stand, with their places.

Sentences are read one by one by an encoder, BERT's or an LSTM's, whatever it was trained for; a sentence's vector is
the mean of its tokens' states. Nothing here is trained. Letters in the shape comments: B batch, S tokens, H width, N
sentences.
"""

import math

import torch

from pipelines import chunks, windows
from pipelines.errors import UserError, unknown
from pipelines.mapreduce import SENTENCES

AUTO = "AutoModel"
# How many sentences a length is, where the caller names no number; of a short text never more than half of them.
LENGTHS = {"short": 1, "medium": 3, "long": SENTENCES}
POSITION = 0.6  # weight of a sentence's place against its centrality
REDUNDANCY = 0.3  # how much of the likeness to a chosen sentence counts against another


def make(task: str, **kwargs) -> "ExtractiveSummarizationPipeline":
    """The pipeline for a Hub task of this shape."""
    return ExtractiveSummarizationPipeline(task=task, **kwargs)


def answer(output) -> str:
    """The text in one output of the pipeline."""
    return (output[0] if isinstance(output, list) else output)["summary_text"]


class ExtractiveSummarizationPipeline(chunks.Parted):
    """Sums texts up in sentences of theirs, in the order of the text.

    A text → [{"summary_text", "sentences": [{"text", "start", "end", "score"}]}]; a list → a list of these records;
    a generator, an iterator or a torch data set → an iterator of records. `text[start:end]` is the sentence;
    summary_text is the sentences with blanks between them. A blank text has none.

    A text may have any length: each sentence is read alone, in batches that mix the sentences of several texts. One
    that is longer than the window is read in parts, split where `pipelines.windows` does, and its vector is their mean
    by tokens.

    Parameters, for all calls or per call:
        length: "short", "medium" (default) or "long", see `LENGTHS`.
        sentences: how many sentences instead; a text that has no more than so many is quoted whole.
        window: the most tokens to read at once; default: the checkpoint's.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def __init__(self, model, **kwargs):
        super().__init__(model=model, **kwargs)
        self._window = chunks.window(self.tokenizer, self.model)

    def _sanitize_parameters(self, window=None, length=None, sentences=None):
        if length is not None and length not in LENGTHS:
            raise unknown("length", str(length), LENGTHS)
        if sentences is not None and not (isinstance(sentences, int) and sentences > 0):
            raise UserError(f"sentences must be a whole number above 0; got {sentences!r}")
        return chunks.given({"window": window}), {}, chunks.given({"length": length, "sentences": sentences})

    def __call__(self, inputs, **kwargs):
        outputs = super().__call__(inputs, **kwargs)
        return [outputs] if isinstance(inputs, str) else outputs

    @chunks.in_turn
    def preprocess(self, text, window=None):
        if not isinstance(text, str):
            raise UserError(f"{self.task} takes texts, not {type(text).__name__}: {str(text)[:60]!r}")
        window = window or self._window
        if window and self._tokens("") >= window:
            raise UserError(f"a window of {window} tokens has no room for a text.")
        spans = _spans(text) or [(0, 0)]
        for start, end in spans:
            sentence = text[start:end]
            parts = [(sentence, "")]
            if window and self._tokens(sentence) > window:
                parts = windows.split(sentence, self._tokens, window)
            for number, (part, _) in enumerate(parts, start=1):
                features = chunks.never_empty(self.tokenizer(part, return_tensors="pt", verbose=False), self.tokenizer)
                last = end == spans[-1][1] and number == len(parts)
                yield features | {"sentence": sentence, "start": start, "is_last": last}

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def _forward(self, features):
        """sums (B, H), the states of each part's real tokens added up, and how many they are, weight (B, 1)."""
        told = {name: features.pop(name) for name in ("sentence", "start", "is_last")}
        model = self.model
        # of a model with a head its encoder alone
        encoder = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
        states = encoder(**features)[0].float()  # (B, S, H)
        real = features["attention_mask"].unsqueeze(-1).to(states.dtype)  # (B, S, 1)
        return {"sums": (states * real).sum(1), "weight": real.sum(1), **told}

    def postprocess(self, parts, length="medium", sentences=None):
        read: dict[int, list] = {}  # where a sentence starts → its parts
        for part in parts:
            read.setdefault(part["start"], []).append(part)
        found = [(start, together[0]["sentence"]) for start, together in read.items() if together[0]["sentence"]]
        if not found:
            return {"summary_text": "", "sentences": []}
        vectors = torch.cat([sum(p["sums"] for p in row) / sum(p["weight"] for p in row) for row in read.values()])
        count = sentences or min(LENGTHS[length], math.ceil(len(found) / 2))
        chosen = rank(vectors, count)
        records = [
            {"text": text, "start": start, "end": start + len(text), "score": chosen[place]}
            for place, (start, text) in enumerate(found)
            if place in chosen
        ]
        return {"summary_text": " ".join(record["text"] for record in records), "sentences": records}


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence of `text` starts and ends."""
    spans, start = [], len(text) - len(text.lstrip())
    for sentence, gap in windows.sentences(text):
        spans.append((start, start + len(sentence)))
        start += len(sentence) + len(gap)
    return spans


def rank(vectors: torch.Tensor, count: int) -> dict[int, float]:
    """The `count` sentences that sum up vectors (N, H): {place: score 0-1}, in the order in which they were chosen.

    The score is the mean, by `POSITION`, of centrality, a sentence's mean cosine to the others scaled to 0-1 within
    the text (degree centrality; Erkan & Radev 2004, LexRank, section 3.1, find PageRank over it no better), and place,
    1 for the first sentence, a half for the second, a third … Chosen is by turns the one with the best score less
    `REDUNDANCY` of its likeness to the nearest chosen one (Carbonell & Goldstein 1998, maximal marginal relevance).
    """
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)  # (N, H)
    alike = unit @ unit.T  # (N, N)
    alike.fill_diagonal_(0.0)
    places = len(vectors)
    if places == 1:
        return {0: 1.0}
    central = _scaled(alike.sum(1) / (places - 1))  # (N,)
    first = 1 / torch.arange(1, places + 1, dtype=torch.double)  # (N,)
    score = POSITION * first + (1 - POSITION) * central  # (N,)
    alike = _scaled(alike.fill_diagonal_(alike.min()))
    chosen: dict[int, float] = {}
    near = torch.zeros_like(score)  # (N,) likeness to the nearest chosen one
    for _ in range(min(count, places)):
        left = (score - REDUNDANCY * near).index_fill(0, torch.tensor(list(chosen), dtype=torch.long), -math.inf)
        best = int(left.argmax())
        chosen[best] = float(score[best])
        near = torch.maximum(near, alike[best])
    return chosen


def _scaled(x: torch.Tensor) -> torch.Tensor:
    """x with its least value at 0 and its greatest at 1; all 1 where they are one."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high - low > 1e-9 else torch.ones_like(x)
