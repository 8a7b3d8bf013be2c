"""The LSTM's own search gives what transformers' `generate` gives, on ragged batches, whatever the settings."""

import pytest
import torch
from lstm_models import PAD, VARIANTS, batch, ended, half_trained, left_batch, name, rows
from transformers import GenerationMixin

from pipelines.lengths import RowEnds, RowLimits
from pipelines.lstm import modeling_lstm

TEXTS = ended(rows((5, 1, 7, 3, 6, 2)))
LIMITS = torch.tensor([3, 9, 5, 4, 9, 6])
SETTINGS = [
    {"max_new_tokens": 9},
    {"max_length": 5},
    {"max_new_tokens": 9, "min_new_tokens": 6, "no_repeat_ngram_size": 2},
    {"max_new_tokens": 9, "num_beams": 4},
    {"max_new_tokens": 9, "num_beams": 4, "early_stopping": True},
    {"max_new_tokens": 9, "num_beams": 3, "num_return_sequences": 3, "length_penalty": 2.0},
    {"max_new_tokens": 9, "num_beams": 3, "length_penalty": -1.0, "early_stopping": True},
    {"max_new_tokens": 7, "num_beams": 3, "no_repeat_ngram_size": 2, "min_length": 4},
    {"max_new_tokens": 7, "num_beams": 3, "no_repeat_ngram_size": 2, "renormalize_logits": True},
    {"max_new_tokens": 4, "num_beams": 2, "forced_eos_token_id": 1},
    {"max_new_tokens": 3, "forced_eos_token_id": 1},
    {"max_new_tokens": 10, "num_beams": 2, "early_stopping": True, "stopping_criteria": [RowLimits(LIMITS)]},
    {"max_new_tokens": 10, "stopping_criteria": [RowLimits(LIMITS)], "logits_processor": [RowEnds(LIMITS, 1)]},
]


@pytest.fixture
def searched(monkeypatch):
    """How often the search of our own was done."""
    calls, search = [], modeling_lstm.search
    monkeypatch.setattr(modeling_lstm, "search", lambda *given: calls.append(1) or search(*given))
    return calls


@pytest.mark.parametrize("kind", [name(variant) for variant in VARIANTS])
def test_answers_are_those_of_transformers(kind, searched):
    model, source = half_trained(kind), batch(TEXTS, fill=9)
    answers = []
    for settings in SETTINGS:
        expected = GenerationMixin.generate(model, **source, **settings)
        found = model.generate(**source, **settings)
        limits = LIMITS if "stopping_criteria" in settings else None
        assert _trimmed(found, limits) == _trimmed(expected, limits), settings
        answers.append(_trimmed(found, limits))
    assert len(searched) == len(SETTINGS)
    assert len({tuple(text) for found in answers for text in found}) > 12  # or this proves little


def _trimmed(ids: torch.Tensor, limits: torch.Tensor | None) -> list[list[int]]:
    """The answers without the start and what fills them up: up to the end, or to the row's limit."""
    texts = []
    for row, text in enumerate(ids[:, 1:].tolist()):
        text = text[: text.index(1) + 1] if 1 in text else text
        text = text if limits is None else text[: limits[row]]
        while text and text[-1] == PAD:
            text = text[:-1]
        texts.append(text)
    return texts


def test_padding_on_either_side_changes_nothing(searched):
    model, right, left = half_trained("dot-1"), batch(TEXTS, fill=9), left_batch(TEXTS, fill=9)
    for settings in SETTINGS[:5]:
        assert torch.equal(model.generate(**left, **settings), model.generate(**right, **settings))
    assert len(searched) == 10


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "top_k": 1},
        {"return_dict_in_generate": True},
        {"use_cache": False},
        {"num_beams": 2, "early_stopping": "never"},
        {"repetition_penalty": 1.3},
    ],
    ids=str,
)
def test_other_calls_are_transformers_own(settings, searched):
    model, source = half_trained("dot-1"), batch(TEXTS, fill=9)
    found, expected = (
        generate(**source, **settings, max_new_tokens=6)
        for generate in (model.generate, lambda **options: GenerationMixin.generate(model, **options))
    )
    found, expected = (getattr(ids, "sequences", ids) for ids in (found, expected))
    assert torch.equal(found, expected) and not searched
