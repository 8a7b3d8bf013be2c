"""Tiny taggers with random weights, and texts of ragged length that are hard on offsets. No network."""

from pathlib import Path

import torch
from lstm_models import spread

from pipelines.scratch import new_model

LABELS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
SETTINGS = {"ner": {"aggregation_strategy": "simple", "word_level": True, "case_types": True}}
BERT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LSTM = {"d_model": 12, "hidden_size": 16, "char_size": 6, "char_filters": 5, "dropout": 0.0}
TEXTS = [
    "Ann O'Neill left the U.N. for AT&T, Mr. Lee's firm in St. Louis.",
    "No",
    "José and Zoë met at the café — in São\u00a0Paulo…",
    "Jose\u0301 Mu\u0308ller\u200b 北京, 東京タワー 👩‍🚀👍🏽 🇫🇷 in Zürich!",
    "Where is the nearest railway station, please? It costs 12.50 euros in\tNew  York\nor 'Paris'.",
    "?",
]


def tagger(kind: str, tokenizer, folder: Path | None = None):
    """A tagger: "lstm", "bert" as trained here, or "hub", a BERT without any settings of ours; saved where told."""
    torch.manual_seed(0)
    family, sizes = ("lstm", LSTM) if kind == "lstm" else ("bert", BERT | {"max_position_embeddings": 64})
    model = spread(new_model("token_classification", family, tokenizer, sizes, LABELS), scale=0.9)
    if kind != "hub":
        model.config.task_specific_params = SETTINGS
    if folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return model


def is_iob2(tags: list[str]) -> bool:
    """Whether each I-X of a whole text's tags follows B-X or I-X."""
    before = ["O", *tags]
    return all(not tag.startswith("I-") or last[2:] == tag[2:] for last, tag in zip(before, tags, strict=False))
