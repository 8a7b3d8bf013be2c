"""Model cards: what they say that a model was made from is what it was made from."""

import dataclasses
import json
from pathlib import Path

import pytest

import tasks
from scripts import card, recipe

RECORDS = Path(__file__).parents[1] / "results" / "training"


def rendered(**settings) -> str:
    record = json.loads((RECORDS / "sentiment--bert--cpu.json").read_text())
    given = dataclasses.replace(recipe.Recipe(), data=("samples",), **settings)
    return card.render(tasks.load("sentiment"), given, record)


@pytest.mark.parametrize(
    ("settings", "start", "base"),
    [
        ({}, "random weights. ", None),
        ({"embeddings": "org/e"}, "random weights, token embeddings from `org/e` ", None),
        ({"init": "org/m"}, "fine-tuned from `org/m`. ", "org/m"),
        ({"init": "org/m", "random_weights": True}, "random weights, sizes and tokenizer of `org/m`. ", None),
    ],
)
def test_start_and_base_model(settings, start, base):
    text = rendered(**settings)
    assert f"- Start: {start}" in text
    assert (f"base_model: {json.dumps(base)}\n" in text) if base else ("base_model" not in text)
