"""Two texts to a number: how alike they are in meaning. BERT reads both at once, our siamese BiLSTM each alone.

transformers' text classification of a pair, with one output and no label. A T5 writes the number instead:
`pipelines.written_similarity`.
"""

import math

import torch
import torch.nn.functional as F

from pipelines.errors import UserError
from pipelines.text2text import pad
from pipelines.text_classification import WindowedTextClassificationPipeline

AUTO = "AutoModelForSequenceClassification"
HEAD = {"num_labels": 1, "problem_type": "regression"}  # of every model of this shape
WRITTEN = "written_similarity"  # the shape of an encoder-decoder that does the same


def make(task: str, **kwargs) -> "SimilarityPipeline":
    """The pipeline for a Hub task of this shape. Raises `UserError` for a model that chooses among classes."""
    config = kwargs["model"].config
    if config.num_labels != 1:
        raise UserError(f"{config.name_or_path} chooses among {config.num_labels} labels: {task} needs one number.")
    return SimilarityPipeline(task=task, **kwargs)


def answer(output) -> float:
    """The score in an output of the pipeline."""
    return output["score"]


class SimilarityPipeline(WindowedTextClassificationPipeline):
    """Pairs of texts → {"score": float}, the higher the more alike.

    A pair is {"text": …, "text_pair": …} or a tuple of two texts, neither of them empty; a list or an iterator of pairs
    has a list or an iterator of answers, and in it a pair may be a list of two as well. The scale is the model's: that
    of the bundled ones is 0 (unrelated) to 5 (the same), the "range" that the checkpoint's `task_specific_params` give
    for the task, within which scores stay. Of a pair that is too long for the model the longer text is split, and the
    score is the mean over its parts by tokens.

    Parameters: `window`, `truncation`, `function_to_apply` as for `WindowedTextClassificationPipeline`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._own = (getattr(self.model.config, "task_specific_params", None) or {}).get(self.task) or {}
        self._range = self._own.get("range", (-math.inf, math.inf))

    def __call__(self, inputs, **kwargs):
        alone = isinstance(inputs, tuple | str)
        return super().__call__(pair(inputs) if alone else inputs, **kwargs)

    def preprocess(self, inputs, **parameters):
        return super().preprocess(pair(inputs), **parameters)

    def postprocess(self, parts, function_to_apply=None, top_k=1, _legacy=True):
        return {"score": self._within(super().postprocess(parts, function_to_apply)["score"])}

    def _within(self, score: float) -> float:
        return min(max(score, self._range[0]), self._range[1])


def pair(given) -> dict[str, str]:
    """{"text", "text_pair"} from any form of a pair. Raises `UserError` for what is none."""
    if isinstance(given, tuple | list) and len(given) == 2:
        given = dict(zip(("text", "text_pair"), given, strict=True))
    texts = [given.get(name) for name in ("text", "text_pair")] if isinstance(given, dict) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f'similarity takes two texts, {{"text": …, "text_pair": …}} or (…, …), not {str(given)[:60]!r}')
    if not all(text.strip() for text in texts):  # a model gives nothing a score, another one on either side
        raise UserError(f"similarity takes two texts, and the {'second' if texts[0].strip() else 'first'} is empty.")
    return given


# --- for training ---


def features(tokenizer, inputs: list[dict], targets: list[float], *, prefix="", labels=(), max_length=512) -> dict:
    """Token ids and types of each pair, and its score: {"input_ids": [[…]], "token_type_ids": [[…]], "labels": […]}.

    A training pair of more than `max_length` tokens is cut, the longer text first.
    """
    first, second = ([row[name] for row in inputs] for name in ("text", "text_pair"))
    found = tokenizer(first, second, truncation=True, max_length=max_length, return_token_type_ids=True)
    return {"input_ids": found["input_ids"], "token_type_ids": found["token_type_ids"], "labels": list(targets)}


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A padded batch: input_ids, attention_mask, token_type_ids (B, S); labels (B,) float."""
    ids, mask = pad([row["input_ids"] for row in rows], config.pad_token_id)
    types, _ = pad([row["token_type_ids"] for row in rows], 0)
    labels = torch.tensor([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "labels": labels}


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """Squared error summed over the rows of a batch (a scalar). Numbers have no labels to smooth."""
    labels = batch.pop("labels")  # (B,)
    scores = model(**batch).logits.float().squeeze(-1)  # (B,)
    return F.mse_loss(scores, labels, reduction="sum")


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return 1


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"])
