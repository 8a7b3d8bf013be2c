"""Text to one label: sentiment, topics, intents. BERT, DistilBERT …, and our BiLSTM.

transformers' own pipeline, which a text beyond the model's window would break: here such a text is read in parts.
"""

import torch
import torch.nn.functional as F
from transformers import TextClassificationPipeline
from transformers.pipelines.text_classification import ClassificationFunction

from pipelines import calibration, chunks, windows
from pipelines.errors import UserError
from pipelines.text2text import pad

AUTO = "AutoModelForSequenceClassification"


def make(task: str, **kwargs) -> "WindowedTextClassificationPipeline":
    """The pipeline for a Hub task of this shape."""
    return WindowedTextClassificationPipeline(task=task, **kwargs)


def answer(output) -> dict:
    """The best label in one output of the pipeline, with its score: {"label", "score"}."""
    return output[0] if isinstance(output, list) else output


class WindowedTextClassificationPipeline(TextClassificationPipeline, chunks.Parted):
    """transformers' `TextClassificationPipeline`, same calls and outputs, for texts of any length.

    A text longer than the window is split, at sentence ends where possible; the scores are the mean of the parts'
    scores, weighted by their tokens. It is cut only where `truncation` asks for it. Of a text pair the longer one is
    split and the other goes with each part.

    Where the checkpoint's configuration has a `calibration`, softmax scores are calibrated, and a text may be answered
    as out of scope: see `pipelines.calibration`. Other functions (`function_to_apply`) give the model's own figures.

    One parameter more than transformers', here or per call:
        window: the most tokens to read at once, special tokens included; default: the checkpoint's.
    """

    dropped_tokens = 0  # by `truncation`, since the pipeline was made

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._window = chunks.window(self.tokenizer, self.model)

    def _sanitize_parameters(self, window=None, **kwargs):
        before, forward, after = super()._sanitize_parameters(**kwargs)
        return before | chunks.given({"window": window}), forward, after

    @chunks.in_turn
    def preprocess(self, inputs, window=None, **tokenizer_kwargs):
        window = window or self._window
        cut = chunks.cuts(tokenizer_kwargs.get("truncation"))
        options = {"verbose": False, **({"max_length": window} if cut else {}), **tokenizer_kwargs}
        whole = super().preprocess(inputs, **options)
        size = whole["input_ids"].shape[1]
        if cut and size >= (options["max_length"] or 0):
            length = self._length(_pair(inputs))
            chunks.dropped(self, length - size, length, "truncation cuts a text, which would else be read in parts")
        if cut or not window or size <= window:
            yield {**chunks.never_empty(whole, self.tokenizer), "weight": size, "is_last": True}
            return
        parts = self._parts(inputs, window)
        for i, part in enumerate(parts):
            features = super().preprocess(part, **options)
            yield {**features, "weight": features["input_ids"].shape[1], "is_last": i == len(parts) - 1}

    def _parts(self, inputs, window: int) -> list[dict]:
        """The input as parts of at most `window` tokens: {"text": …} or {"text": …, "text_pair": …}."""
        pair = _pair(inputs)
        long = max(pair, key=lambda side: len(pair[side] or ""))
        if self._length({**pair, long: ""}) > window // 2:
            raise UserError(f"both texts of a pair are too long for {window} tokens: pass truncation=True to cut them.")
        split = windows.split(pair[long], lambda text: self._length({**pair, long: text}), window)
        return [{**pair, long: text} for text, _ in split]

    def _length(self, part: dict) -> int:
        return len(self.tokenizer(**part, verbose=False)["input_ids"])

    def _forward(self, features):
        weight, last = features.pop("weight"), features.pop("is_last")
        return {"logits": super()._forward(features)["logits"], "weight": weight, "is_last": last}

    def postprocess(self, parts, function_to_apply=None, top_k=1, _legacy=True):
        config, rule = self.model.config, None
        if function_to_apply in (None, ClassificationFunction.SOFTMAX):
            rule, temperature = calibration.threshold(config), calibration.temperature(config)
            if temperature != 1:
                parts = [{**part, "logits": part["logits"] / temperature} for part in parts]
        theirs = super().postprocess
        if len(parts) == 1 and not rule:
            return theirs(parts[0], function_to_apply, top_k, _legacy)
        # all labels of each part, in the order of their ids
        each = [theirs(part, function_to_apply, None, True) for part in parts]
        total = sum(part["weight"] for part in parts)
        mean = [
            {
                "label": column[0]["label"],
                "score": sum(cell["score"] * part["weight"] for cell, part in zip(column, parts, strict=True)) / total,
            }
            for column in zip(*each, strict=True)
        ]
        mean.sort(key=lambda record: record["score"], reverse=True)
        mean = calibration.refuse(mean, rule) if rule else mean
        return mean[0] if top_k == 1 and _legacy else mean[:top_k]


def _pair(inputs) -> dict:
    """{"text": …} or {"text": …, "text_pair": …}, whichever form the input came in."""
    if isinstance(inputs, list):  # [[text, pair]], the old form of a pair
        inputs = dict(zip(("text", "text_pair"), inputs[0], strict=True))
    return {"text": inputs} if isinstance(inputs, str) else inputs


# --- for training ---


def features(tokenizer, inputs: list[str], targets: list[str], *, prefix="", labels=(), max_length=512) -> dict:
    """Token ids and class ids: {"input_ids": [[…]], "labels": […]}. A training text is cut at `max_length` tokens."""
    source = tokenizer([prefix + text for text in inputs], truncation=True, max_length=max_length)["input_ids"]
    return {"input_ids": source, "labels": [labels.index(target) for target in targets]}


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A padded batch: input_ids, attention_mask (B, S); labels (B,)."""
    ids, mask = pad([row["input_ids"] for row in rows], config.pad_token_id)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy summed over the rows of a batch (a scalar)."""
    labels = batch.pop("labels")  # (B,)
    logits = model(**batch).logits.float()  # (B, C)
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return 1


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"])
