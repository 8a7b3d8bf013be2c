"""Two texts to a number that a T5 writes: "stsb sentence1: … sentence2: …" → "3.8", in steps of 0.2 from 0 to 5.

The form is T5's own (Raffel et al. 2020, section 2.4 and appendix D), so google-t5's checkpoints answer too. Here only
such a number can be written: at each step the best of the tokens that go on with one.
"""

from transformers import GenerationConfig

from pipelines import chunks, text2text
from pipelines.errors import UserError
from pipelines.text2text import collate, count, length, loss
from pipelines.text_similarity import SimilarityPipeline, answer, pair

__all__ = ["AUTO", "WrittenSimilarityPipeline", "answer", "collate", "count", "features", "length", "loss", "make"]

AUTO = "AutoModelForSeq2SeqLM"
PREFIX, BETWEEN = "stsb sentence1: ", " sentence2: "
ANSWERS = tuple(f"{fifths / 5:.1f}" for fifths in range(26))


def make(task: str, **kwargs) -> "WrittenSimilarityPipeline":
    """The pipeline for a Hub task of this shape."""
    return WrittenSimilarityPipeline(task=task, **kwargs)


class WrittenSimilarityPipeline(SimilarityPipeline):
    """`SimilarityPipeline`, same calls and outputs, for a text-to-text model.

    Parameters: `window`, `truncation`. A written number has no logits that a `function_to_apply` could change.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.prefix = self._own.get("prefix", PREFIX)
        both = [(text, self.tokenizer(text_target=text)["input_ids"]) for text in ANSWERS]
        answers = [ids for text, ids in both if self._read(ids) == text]  # a small vocabulary may lack a digit
        if not answers:
            raise UserError(f"{self.model.config.name_or_path} can't write numbers: its vocabulary has none.")
        self._next: dict[tuple, set] = {}  # what has been written → the tokens that may follow
        for ids in answers:
            for place, token in enumerate(ids):
                self._next.setdefault(tuple(ids[:place]), set()).add(token)
        config = self.model.config
        self._generation = GenerationConfig(
            max_new_tokens=max(map(len, answers)),
            decoder_start_token_id=config.decoder_start_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )

    @chunks.in_turn
    def preprocess(self, inputs, window=None, **tokenizer_kwargs):
        given, window, cut = pair(inputs), window or self._window, chunks.cuts(tokenizer_kwargs.get("truncation"))
        whole = self._length(given)
        parts = self._parts(given, window) if window and whole > window and not cut else [given]
        options = {"verbose": False, **({"max_length": window} if cut else {}), **tokenizer_kwargs}
        for i, part in enumerate(parts):
            features = self.tokenizer(joined(part, self.prefix), return_tensors="pt", **options)
            ids = {name: features[name] for name in ("input_ids", "attention_mask")}
            size = ids["input_ids"].shape[1]
            if cut:
                chunks.dropped(self, whole - size, whole, "truncation cuts a pair, which would else be read in parts")
            yield {**ids, "weight": size, "is_last": i == len(parts) - 1}

    def _length(self, part: dict) -> int:
        return len(self.tokenizer(joined(part, self.prefix), verbose=False)["input_ids"])

    def _forward(self, features):
        weight, last = features.pop("weight"), features.pop("is_last")
        end = {self.model.config.eos_token_id}

        def allowed(_, ids) -> list[int]:
            return list(self._next.get(tuple(ids[1:].tolist()), end))

        ids = self.model.generate(
            **features, generation_config=self._generation, prefix_allowed_tokens_fn=allowed
        )  # (B, T)
        return {"ids": ids, "weight": weight, "is_last": last}

    def postprocess(self, parts, function_to_apply=None, top_k=1, _legacy=True):
        scores = [float(self._read(part["ids"][0])) for part in parts]
        weights = [part["weight"] for part in parts]
        total = sum(score * weight for score, weight in zip(scores, weights, strict=True))
        return {"score": self._within(total / sum(weights))}

    def _read(self, ids) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()


def joined(part: dict, prefix: str = PREFIX) -> str:
    """What the model reads of a pair."""
    return f"{prefix}{part['text']}{BETWEEN}{part['text_pair']}"


def nearest(score: float) -> str:
    """The one of `ANSWERS` that is nearest to a score."""
    return ANSWERS[min(max(round(score * 5), 0), 25)]


# --- for training ---


def features(tokenizer, inputs: list[dict], targets: list[float], *, prefix=PREFIX, labels=(), max_length=256) -> dict:
    """As `text2text.features`, of pairs and their scores to the nearest 0.2 (0 to 5)."""
    texts = [joined(row, prefix) for row in inputs]
    return text2text.features(tokenizer, texts, [[nearest(target)] for target in targets], max_length=max_length)
