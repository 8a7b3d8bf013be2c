"""Words and their labels as training rows, batches and a loss: the half of `token_classification` that trains.

Also what both halves must agree on: a checkpoint's settings, and the capitals that a lower-casing tokenizer hides.
"""

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.errors import UserError
from pipelines.lstm.modeling_tagger import char_ids
from pipelines.text2text import pad
from pipelines.words import joined_spans

IGNORED = -100  # the target of pieces that no label is for


def settings(config, task: str = "ner") -> dict:
    """What the checkpoint's configuration says of the task, by any of its names."""
    said = getattr(config, "task_specific_params", None) or {}
    return next((dict(said[name]) for name in (task, "ner", "token-classification") if name in said), {})


def case_types(config) -> bool:
    """Whether token type 1 marks pieces with a capital letter: news of them for a tokenizer that lowers its texts.

    A checkpoint's settings say so; it takes a model with two types, of which single texts would use one.
    """
    return bool(settings(config).get("case_types")) and getattr(config, "type_vocab_size", 0) > 1


def capitals(tokens: list[str], units: list[int | None], offsets: list[tuple[int, int]]) -> list[int]:
    """1 for each piece of which a letter is upper case."""
    marks = (0 if u is None else tokens[u][a:b] for u, (a, b) in zip(units, offsets, strict=True))
    return [int(bool(piece) and piece != piece.lower()) for piece in marks]


def features(tokenizer, inputs: list[dict], targets: list[list], *, prefix="", labels=(), max_length=512) -> dict:
    """Rows of words with IOB2 label ids: {"input_ids", "units" (a piece's word, -1 for special tokens), "capitals",
    "words", "labels" (an id a word)}.

    `inputs` are {"tokens": [word, …]}, `targets` entities [type, start, end] by characters of `" ".join(tokens)`. A
    text beyond `max_length` pieces becomes several rows, parted between words outside of entities where there are any.
    """
    columns: dict[str, list] = {name: [] for name in ("input_ids", "units", "capitals", "words", "labels")}
    for given, entities in zip(inputs, targets, strict=True):
        tags = iob2_tags(given["tokens"], entities)
        for begin, end in _rows(tokenizer, given["tokens"], tags, max_length):
            tokens = given["tokens"][begin:end]
            encoded = tokenizer(tokens, is_split_into_words=True, return_offsets_mapping=True, verbose=False)
            units = encoded.word_ids()
            columns["input_ids"].append(encoded["input_ids"])
            columns["units"].append([-1 if u is None else u for u in units])
            columns["capitals"].append(capitals(tokens, units, encoded["offset_mapping"]))
            columns["words"].append(tokens)
            opened = tags[begin].replace("I-", "B-", 1)  # of an entity longer than a row
            columns["labels"].append([labels.index(tag) for tag in (opened, *tags[begin + 1 : end])])
    return columns


def iob2_tags(tokens: list[str], entities: list[list]) -> list[str]:
    """The IOB2 tag of each word. Raises `UserError` for an entity that doesn't begin and end with a word or overlaps
    another."""
    spans, tags = joined_spans(tokens), ["O"] * len(tokens)
    for kind, start, end in entities:
        inside = [i for i, (a, b) in enumerate(spans) if start <= a and b <= end]
        edges = inside and (spans[inside[0]][0], spans[inside[-1]][1])
        if edges != (start, end) or any(tags[i] != "O" for i in inside):
            raise UserError(f"no entity can be at characters {start} to {end} of {' '.join(tokens)[:60]!r}")
        for i in inside:
            tags[i] = ("B-" if i == inside[0] else "I-") + kind
    return tags


def _rows(tokenizer, tokens: list[str], tags: list[str], max_length: int):
    """(begin, end) of the rows of one text."""
    room, sizes = max_length - tokenizer.num_special_tokens_to_add(), None
    encoded = tokenizer(tokens, is_split_into_words=True, add_special_tokens=False, verbose=False)
    if len(encoded["input_ids"]) <= room:
        return [(0, len(tokens))] if tokens else []
    sizes = np.bincount([i for i in encoded.word_ids()], minlength=len(tokens))
    rows, begin = [], 0
    while begin < len(tokens):
        end = begin + max(1, int((sizes[begin:].cumsum() <= room).sum()))
        seams = [i for i in range(begin + 1, end + 1) if i == len(tokens) or not tags[i].startswith("I-")]
        end = max(seams, default=end)
        rows.append((begin, end))
        begin = end
    return rows


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A padded batch. LSTM: input_ids, attention_mask, word_ids (B, S), char_ids (B, W, C), labels (B, W). Others:
    input_ids, attention_mask (and token_type_ids with `case_types`), labels (B, S), at the first piece of each word."""
    ids, mask = pad([row["input_ids"] for row in rows], config.pad_token_id)
    batch = {"input_ids": ids, "attention_mask": mask}
    if config.model_type == "lstm":
        batch["word_ids"] = pad([row["units"] for row in rows], -1)[0]
        batch["char_ids"] = char_ids([row["words"] for row in rows], config)
        return batch | {"labels": pad([row["labels"] for row in rows], IGNORED)[0]}
    if case_types(config):
        batch["token_type_ids"] = pad([row["capitals"] for row in rows], 0)[0]
    return batch | {"labels": pad([_first_pieces(row) for row in rows], IGNORED)[0]}


def _first_pieces(row: dict) -> list[int]:
    before = [-1, *row["units"]]
    pairs = zip(row["units"], before[:-1], strict=True)
    return [row["labels"][unit] if unit >= 0 and unit != last else IGNORED for unit, last in pairs]


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """Summed over a batch, a scalar: the texts' negative log-likelihood under a CRF, which takes no label smoothing;
    without one, the words' cross-entropy."""
    if "char_ids" in batch:
        return model(**batch).loss * len(batch["labels"])
    labels = batch.pop("labels")  # (B, S)
    logits = model(**batch).logits.float()  # (B, S, K)
    return F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=label_smoothing
    )


def count(row: dict) -> int:
    """How many terms `loss` sums for a row: its words."""
    return len(row["labels"])


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"])
