"""`scripts.thresholds`: what a threshold gains out of scope and loses within, by hand and from the command line."""

import json

import pytest
import torch

from scripts import thresholds


def test_shares_by_hand():
    """Three classes, the last one out of scope."""
    scores = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    targets = torch.tensor([0, 0, 2, 2, 2])
    found = thresholds.sweep(scores, targets, outside=2)
    inside, outside = found["in_scope_accuracy"]["value"], found["out_of_scope_recall"]["value"]
    assert len(inside) == len(outside) == 101
    assert (inside[0], outside[0]) == (0.5, pytest.approx(1 / 3, abs=1e-4))
    assert outside[41] == pytest.approx(2 / 3, abs=1e-4) and outside[40] == pytest.approx(1 / 3, abs=1e-4)
    assert (outside[51], inside[80], inside[81]) == (1, 0.5, 0)
    for share in found.values():
        for value, low, high in zip(share["value"], share["low"], share["high"], strict=True):
            assert 0 <= low <= value <= high <= 1
    again = thresholds.sweep(scores, targets, outside=2)
    assert again == found


def test_bands_narrow_with_rows():
    widths = []
    for count in (60, 2000):
        chance = torch.Generator().manual_seed(1)
        scores = torch.rand(count, 3, generator=chance).softmax(1)
        targets = torch.randint(3, (count,), generator=chance)
        share = thresholds.sweep(scores, targets, outside=2)["in_scope_accuracy"]
        widths.append(share["high"][0] - share["low"][0])
    assert widths[1] < widths[0] / 3


@pytest.fixture
def folder(tmp_path, word_tokenizer):
    """A tiny BERT with all intents, with a threshold of its own."""
    from conftest import seeded

    from pipelines.scratch import new_model
    from tasks import load

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = seeded(
        new_model("text_classification", "bert", word_tokenizer, sizes, labels=load("intents").labels), scale=20
    )
    rule = {"label": "oos", "threshold": 0.3, "score": 0.5}
    model.config.calibration = {"temperature": 2.0, "out_of_scope": rule}
    model.save_pretrained(tmp_path / "mine")
    word_tokenizer.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def test_command_writes_the_picture_and_its_numbers(folder, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    flags = ["--models", str(folder), "--data", "samples", "--device", "cpu", "--output", str(tmp_path / "out")]
    assert thresholds.main(flags) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "intents.png")
    first = (tmp_path / "out" / "intents.png").read_bytes()
    record = json.loads((tmp_path / "out" / "intents.json").read_text())
    swept = record["models"][str(folder)]
    assert first.startswith(b"\x89PNG") and swept["own"] == 0.3 and record["data"]["out_of_scope"] >= 10
    assert swept["out_of_scope_recall"]["value"][-1] == 1 >= swept["out_of_scope_recall"]["value"][0]
    assert thresholds.main(flags) == 0 and (tmp_path / "out" / "intents.png").read_bytes() == first


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            ["--task", "sentiment"],
            "unknown task with a label for what is out of scope 'sentiment': choose from intents",
        ),
        (["--models", ","], "--models names none"),
        (["--model", "lstm"], "Did you mean '--models'?"),
    ],
)
def test_wrong_use_is_one_line(flags, says, capsys):
    assert thresholds.main(flags) == 2
    err = capsys.readouterr().err
    assert says in err and len(err.splitlines()) == 1


def test_rows_that_are_all_in_scope_are_told(tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text('{"text": "tell me a joke", "intent": "tell_joke"}\n')
    assert thresholds.main(["--data", str(tmp_path / "mine.jsonl")]) == 2
    assert "0 of 1 rows are out of scope" in capsys.readouterr().err
