"""Text to labelled words: named entities and the like. BERT, RoBERTa …, and our BiLSTM-CRF.

transformers' own pipeline, with exact offsets, valid IOB2 and long texts in overlapping windows. Two ways to decide:

- By word, for the checkpoints trained here (`word_level` in their `task_specific_params`) and every LSTM: a text is
  split into words (`pipelines.words`, or as given), each gets one label, and the labels are the best sequence that IOB2
  allows. An LSTM's comes from its CRF, a score is the posterior marginal; a Transformer's from Viterbi over the
  probabilities at a word's pieces, a score is the probability there. An entity's score is the mean of its words'.
- By piece, as transformers does it, for all others. Departures: `word` is the text at the offsets, which leave out
  outer white space and take in a letter's combining accents; an I-X that goes on from nothing is B-X with "none".
"""

import unicodedata

import torch
from transformers import TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy

from pipelines import chunks, words
from pipelines.errors import UserError, unknown
from pipelines.lstm.crf import best_iob2
from pipelines.lstm.modeling_tagger import char_ids, word_mask
from pipelines.tagging import capitals, case_types, collate, count, features, length, loss, settings

__all__ = ["AUTO", "EntityPipeline", "answer", "collate", "count", "features", "length", "loss", "make"]

AUTO = "AutoModelForTokenClassification"
STRATEGIES = tuple(strategy.value for strategy in AggregationStrategy)


def make(task: str, **kwargs) -> "EntityPipeline":
    """The pipeline for a Hub task of this shape."""
    return EntityPipeline(task=task, **kwargs)


def answer(output: list[dict]) -> list[list]:
    """The entities in one output of the pipeline, [[type, start, end], …]; single words and pieces are grouped."""
    found: list[list] = []
    last = None  # the index of the piece before, where the output is one of pieces
    for part in output:
        if "entity_group" in part:
            found.append([part["entity_group"], part["start"], part["end"]])
            continue
        kind = part["entity"][2:] if part["entity"][:2] in ("B-", "I-") else part["entity"]
        if not part["entity"].startswith("B-") and last == part["index"] - 1 and found[-1][0] == kind:
            found[-1][2] = part["end"]
        else:
            found.append([kind, part["start"], part["end"]])
        last = part["index"]
    return found


class EntityPipeline(TokenClassificationPipeline, chunks.Parted):
    """transformers' `TokenClassificationPipeline`, same calls and outputs, for texts of any length.

    A text → [{"entity_group", "score", "word", "start", "end"}, …], or with the strategy "none" [{"entity", "score",
    "index", "word", "start", "end"}, …]. `word` is `text[start:end]`. Words that are split already go in as
    {"tokens": [word, …]}, or as a list with `is_split_into_words`; their text is `" ".join(words)`.

    Parameters as in transformers, except that:
        aggregation_strategy: default: what the checkpoint's `task_specific_params` say, else "none". Decided by word,
            the unit of all strategies is the word, its label is never split: "simple" and "first" look at a word's
            first piece, "average" and "max" at all of them, "none" gives the words one by one. An LSTM has one score
            a word, the same for all.
        stride: how many pieces (of an LSTM: words) two windows share; default: a quarter of the window. Each piece is
            labelled by the window that shows most of its surroundings, with any strategy.
        window: the most pieces (of an LSTM: words) to read at once, special tokens included; default: the checkpoint's.
    """

    def __init__(self, task="token-classification", **kwargs):
        config = kwargs["model"].config
        self._own = settings(config, task)
        self._lstm = config.model_type == "lstm"
        self._by_word = self._lstm or self._own.get("word_level", False)
        self._labels = tuple(config.id2label[i] for i in range(config.num_labels))
        if "aggregation_strategy" in self._own:
            kwargs = {"aggregation_strategy": self._own["aggregation_strategy"]} | kwargs
        super().__init__(task=task, **kwargs)
        self._window = chunks.window(self.tokenizer, self.model)
        if self._by_word and not self.tokenizer.is_fast:
            raise UserError(f"labelling words needs a fast tokenizer, not {type(self.tokenizer).__name__}.")

    def _sanitize_parameters(
        self,
        aggregation_strategy=None,
        ignore_labels=None,
        stride=None,
        window=None,
        is_split_into_words=None,
        delimiter=None,
        offset_mapping=None,
    ):
        if isinstance(aggregation_strategy, str):
            if aggregation_strategy.lower() not in STRATEGIES:
                raise unknown("aggregation_strategy", aggregation_strategy, STRATEGIES)
            aggregation_strategy = AggregationStrategy(aggregation_strategy.lower())
        for name, value, least in (("window", window, 1), ("stride", stride, 0)):
            if value is not None and (not isinstance(value, int) or value < least):
                raise UserError(f"{name} must be a whole number from {least} on; got {value!r}")
        before = {"window": window, "stride": stride, "delimiter": delimiter, "offset_mapping": offset_mapping}
        return (
            chunks.given(before | {"is_split_into_words": is_split_into_words}),
            {},
            chunks.given({"aggregation_strategy": aggregation_strategy, "ignore_labels": ignore_labels}),
        )

    def __call__(self, inputs, **kwargs):
        inputs = chunks.normal(inputs)
        split = kwargs.get("is_split_into_words", self._preprocess_params.get("is_split_into_words"))
        if split and isinstance(inputs, list) and not all(isinstance(item, list) for item in inputs):
            inputs = [inputs]
        return super(TokenClassificationPipeline, self).__call__(inputs, **kwargs)  # its own only checks the above

    # --- a text → windows ---

    @chunks.in_turn
    def preprocess(
        self, inputs, window=None, stride=None, is_split_into_words=False, delimiter=" ", offset_mapping=None
    ):
        text, spans = _read(inputs, is_split_into_words, delimiter, self._by_word)
        window = window or self._window
        room = window - self.tokenizer.num_special_tokens_to_add() if window else None
        if room is not None and room <= (stride or 0):
            raise UserError(
                f"a window of {window}, special tokens included, has no room for a stride of {stride or 0}."
            )
        stride = stride if stride is not None else (room or 0) // 4
        if self._lstm:
            parts = self._windows_of_words(text, spans, room, stride)
        else:
            parts = self._windows_of_pieces(text, spans, window, stride, offset_mapping)
        head = {"sentence": text, "spans": spans}
        for i, part in enumerate(parts):
            yield part | (head if i == 0 else dict.fromkeys(head)) | {"is_last": i == len(parts) - 1}

    def _windows_of_words(self, text: str, spans: list, size: int | None, stride: int) -> list[dict]:
        tokens = [text[start:end] for start, end in spans] or [""]
        size = size or len(tokens)
        parts = []
        for begin in range(0, max(1, len(tokens) - stride), size - stride):
            some = tokens[begin : begin + size]
            encoded = self.tokenizer(some, is_split_into_words=True, return_tensors="pt", verbose=False)
            units = torch.tensor([[0 if i is None else i + 1 for i in encoded.word_ids(0)]])  # (1, S)
            last = begin + size >= len(tokens)
            kept = slice(stride // 2 if begin else 0, len(some) if last else len(some) - (stride - stride // 2))
            tensors = {name: encoded[name] for name in ("input_ids", "attention_mask")}
            parts.append(tensors | {"units": units, "words": some, "kept": kept})
        return parts

    def _windows_of_pieces(self, text: str, spans: list | None, window: int | None, stride: int, mapping) -> list[dict]:
        tokens = text if spans is None else [text[start:end] for start, end in spans] or [""]
        fast = self.tokenizer.is_fast
        cut = {"truncation": True, "max_length": window, "stride": stride, "return_overflowing_tokens": True}
        encoded = self.tokenizer(
            tokens,
            is_split_into_words=spans is not None,
            return_special_tokens_mask=True,
            return_offsets_mapping=fast,
            verbose=False,
            **(cut if window and fast else {}),
        )
        encoded.pop("overflow_to_sample_mapping", None)
        rows = encoded if window and fast else {name: [value] for name, value in encoded.items()}
        count = len(rows["input_ids"])
        if not fast and window and len(rows["input_ids"][0]) > window:
            raise UserError(f"a text of more than {window} tokens needs a fast tokenizer.")
        parts = []
        for i in range(count):
            part = {name: torch.tensor(value[i]).unsqueeze(0) for name, value in rows.items()}
            ids = encoded.word_ids(i) if fast else []
            part["units"] = torch.tensor([[0 if u is None else u + 1 for u in ids]]).long()  # (1, S), 0: of no word
            real = (part["special_tokens_mask"][0] == 0).nonzero().flatten().tolist() if count > 1 else []
            size = part["input_ids"].shape[1]
            begin = real[stride // 2] if i > 0 else 0
            end = real[-1 - (stride - stride // 2)] + 1 if i < count - 1 else size
            part["kept"] = torch.zeros(1, size, dtype=torch.long)
            part["kept"][0, begin:end] = 1
            if mapping is not None:
                part["offset_mapping"] = torch.tensor(mapping if isinstance(mapping[0], list) else [mapping])
            if self._by_word:
                if case_types(self.model.config):
                    part["token_type_ids"] = torch.tensor([capitals(tokens, ids, rows["offset_mapping"][i])])
                del part["special_tokens_mask"], part["offset_mapping"]
            parts.append(part)
        return parts

    # --- windows → scores → entities ---

    def _forward(self, features):
        names = ("units", "kept", "words", "sentence", "spans", "is_last", "special_tokens_mask", "offset_mapping")
        rest = {name: features.pop(name) for name in names if name in features}
        if not self._lstm:
            return rest | {"input_ids": features["input_ids"], "logits": self.model(**features).logits}
        texts = rest.pop("words")
        texts = [texts] if isinstance(texts[0], str) else texts  # a batch, or a single text
        characters = char_ids(texts, self.model.config).to(features["input_ids"].device)  # (B, W, C)
        logits = self.model(**features, word_ids=rest.pop("units") - 1, char_ids=characters).logits  # (B, W, K)
        path, scores = self.model.decode(logits, word_mask(characters))  # (B, W) each
        return rest | {"logits": logits, "path": path, "scores": scores}

    def postprocess(self, parts, aggregation_strategy=AggregationStrategy.NONE, ignore_labels=None):
        text, spans = parts[0]["sentence"], parts[0]["spans"]
        if not self._by_word:
            found = super().postprocess([_joined(parts, spans)], aggregation_strategy, ignore_labels)
            return self._exact(found, text)
        ignored = ["O"] if ignore_labels is None else ignore_labels
        if not spans:
            return []
        path, scores, units = (self._lstm_words if self._lstm else self._words)(parts, aggregation_strategy)
        entities = [
            {"entity": self._labels[k], "score": p, "index": i, "word": "", "start": spans[u][0], "end": spans[u][1]}
            for i, (k, p, u) in enumerate(zip(path, scores, units, strict=True), start=1)
        ]
        if aggregation_strategy != AggregationStrategy.NONE:
            entities = self.group_entities(entities)
        names = ("entity", "entity_group")
        return self._exact([e for e in entities if not any(e.get(name) in ignored for name in names)], text)

    def _lstm_words(self, parts: list[dict], _) -> tuple[list, list, range]:
        """Label ids, their probabilities and numbers of the words."""
        if len(parts) == 1:
            count = parts[0]["kept"].stop  # without padding
            path, scores = parts[0]["path"][0, :count], parts[0]["scores"][0, :count]
        else:
            logits = torch.cat([part["logits"][0, part["kept"]] for part in parts]).unsqueeze(0)  # (1, W, K)
            mask = torch.ones(logits.shape[:2], dtype=torch.bool)
            crf = self.model.crf
            path, scores = (x[0] for x in self.model.decode(logits.to(crf.start.device), mask.to(crf.start.device)))
        return path.tolist(), scores.tolist(), range(len(path))

    def _words(self, parts: list[dict], strategy) -> tuple[list, list, list]:
        """Label ids, their probabilities and numbers of the words; those of no piece are left out."""
        chosen = [part["kept"][0].bool() & (part["units"][0] > 0) for part in parts]  # (S,)
        logits, units = (
            torch.cat([part[name][0][keep] for part, keep in zip(parts, chosen, strict=True)])
            for name in ("logits", "units")
        )  # (N, K), (N,)
        if not len(units):
            return [], [], []
        scores = logits.float().softmax(-1)  # (N, K)
        numbers, which, sizes = units.unique_consecutive(return_inverse=True, return_counts=True)  # (W,), (N,), (W,)
        if strategy == AggregationStrategy.AVERAGE:
            scores = torch.zeros(len(numbers), scores.shape[1]).index_add(0, which, scores) / sizes.unsqueeze(1)
        elif strategy == AggregationStrategy.MAX:
            surest = [int(group.amax(1).argmax()) for group in scores.split(sizes.tolist())]
            scores = scores[torch.tensor(surest) + sizes.cumsum(0) - sizes]  # (W, K)
        else:
            scores = scores[sizes.cumsum(0) - sizes]  # (W, K)
        path = best_iob2(scores, self._labels)
        return path.tolist(), scores.gather(1, path.unsqueeze(1)).squeeze(1).tolist(), (numbers - 1).tolist()

    def group_sub_entities(self, entities: list[dict]) -> dict:
        """transformers' own, less the decoding of `word`, which `_exact` reads from the text."""
        if entities[0]["start"] is None:  # a tokenizer that knows no places
            return super().group_sub_entities(entities)
        return {
            "entity_group": entities[0]["entity"].split("-", 1)[-1],
            "score": sum(entity["score"] for entity in entities) / len(entities),
            "word": "",
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }

    def _exact(self, found: list[dict], text: str) -> list[dict]:
        """The entities with spans that hold whole letters and no outer white space, `word` the text there."""
        before = None
        for entity in found:
            start, end = entity["start"], entity["end"]
            if start is not None:
                while start < end and text[start].isspace():
                    start += 1
                while end < len(text) and unicodedata.combining(text[end]):
                    end += 1
                entity |= {"start": start, "end": end, "word": text[start:end]}
            entity["score"] = float(entity["score"])
            if "entity" in entity:
                entity["entity"] = self._opened(entity, before)
                before = entity
        return found

    def _opened(self, piece: dict, before: dict | None) -> str:
        """The piece's label; B-X in the place of an I-X that goes on from nothing (as grouping reads it too)."""
        label, opening = piece["entity"], "B-" + piece["entity"][2:]
        if not label.startswith("I-") or opening not in self._labels:
            return label
        goes_on = before and before["index"] == piece["index"] - 1 and before["entity"] in (label, opening)
        return label if goes_on else opening


def _read(inputs, split: bool, delimiter: str, by_word: bool) -> tuple[str, list | None]:
    """The text and the spans of its words; None where the pieces alone decide."""
    if isinstance(inputs, dict):
        if "tokens" not in inputs:
            raise UserError(f'an input is a text or {{"tokens": [word, …]}}; this has: {", ".join(map(str, inputs))}')
        inputs, split = inputs["tokens"], True
    if not split:
        if not isinstance(inputs, str):
            raise UserError(f"an input is a text, not {type(inputs).__name__}: {str(inputs)[:60]!r}")
        return inputs, words.split(inputs) if by_word else None
    if isinstance(inputs, str) or not all(isinstance(word, str) for word in inputs):
        raise UserError(f"the words of a text must be a list of texts: {str(inputs)[:60]!r}")
    return delimiter.join(inputs), words.joined_spans(inputs, delimiter)


def _joined(parts: list[dict], spans: list | None) -> dict:
    """The windows' kept pieces as one output of the model, as transformers' own `postprocess` takes it."""
    names = ("logits", "input_ids", "special_tokens_mask", "units", "offset_mapping")
    keep = [part["kept"][0].bool() for part in parts]
    joined = {
        name: torch.cat([part[name][0][kept] for part, kept in zip(parts, keep, strict=True)]).unsqueeze(0)
        for name in names
        if name in parts[0] and parts[0][name].shape[1] == parts[0]["kept"].shape[1]
    }
    given = {"sentence": parts[0]["sentence"], "offset_mapping": joined.pop("offset_mapping", None)}
    if spans is None:
        return joined | given
    units = joined["units"][0].tolist()
    return joined | given | {"word_ids": [u - 1 if u else None for u in units], "word_to_chars_map": spans}
