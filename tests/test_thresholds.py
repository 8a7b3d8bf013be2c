"""`scripts.thresholds`: what a threshold gains out of scope and loses within, by hand and from the command line."""

import json

import pytest
import torch
import transformers

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
    assert thresholds.main(flags) == 0 and (tmp_path / "out" / "intents.png").read_bytes() == first


def test_a_models_own_threshold_gives_what_its_pipeline_answers(folder, english, monkeypatch):
    """Half of the rows are in scope, with what the model says for a target, so that only a refusal is wrong there."""
    import pipelines
    from pipelines import calibration
    from tasks import data, load

    engines, real = [], pipelines.pipeline

    def opened(*args, engine="auto", **more):
        engines.append(engine)
        return real(*args, engine=engine, **more)

    pipe = real("intents", model=str(folder), device="cpu")
    logits = calibration.logits(pipe, english)
    best = torch.softmax(logits / 2, 1).max(1).values
    config = json.loads((folder / "config.json").read_text())
    config["calibration"]["out_of_scope"]["threshold"] = own = round(float(best.quantile(0.6)), 2)
    (folder / "config.json").write_text(json.dumps(config))
    names = [pipe.model.config.id2label[int(i)] for i in logits.argmax(1)]
    targets = [name if i % 2 else "oos" for i, name in enumerate(names)]
    assert "oos" not in targets[1::2]
    rows = data.Rows(english, targets, "mine", "validation")
    monkeypatch.setattr(pipelines, "pipeline", opened)
    swept = thresholds.measure(load("intents"), str(folder), rows, "cpu")
    answers = [answer["label"] for answer in real("intents", model=str(folder), device="cpu")(english)]
    inside = [answer == name for answer, name in zip(answers[1::2], names[1::2], strict=True)]
    refused = [answer == "oos" for answer in answers[::2]]
    assert 0 < sum(inside) < len(inside) and 0 < sum(refused) < len(refused)
    at = round(100 * own)
    assert swept["own"] == own and engines == ["torch"]  # as the harness measures
    assert swept["in_scope_accuracy"]["value"][at] == pytest.approx(sum(inside) / len(inside), abs=1e-4)
    assert swept["out_of_scope_recall"]["value"][at] == pytest.approx(sum(refused) / len(refused), abs=1e-4)
    cold = thresholds.sweep(torch.softmax(logits, 1), torch.tensor([pipe.model.config.label2id[t] for t in targets]),
                            pipe.model.config.label2id["oos"])  # fmt: skip
    assert any(cold[share]["value"][at] != swept[share]["value"][at] for share in cold)  # the temperature shows


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("tell_joke", "alarm"), "has no label 'oos', which intents on"),
        (("good", "bad"), "unknown label"),
        (("oos",), "there is no softmax"),
    ],
)
def test_a_model_without_the_labels_is_one_line(folder, tmp_path, capsys, names, says):
    rows = [{"text": f"no. {i}", "intent": label} for i, label in enumerate(("tell_joke", "alarm", "oos"))]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), ignore_mismatched_sizes=True, **labels
    )
    model.save_pretrained(folder)
    flags = ["--models", str(folder), "--data", str(tmp_path / "mine.jsonl"), "--device", "cpu"]
    assert thresholds.main([*flags, "--output", str(tmp_path / "out")]) == 2
    progress, error = capsys.readouterr().err.splitlines()[-2:]
    assert progress.endswith("3 texts") and str(folder) in error and says in error
    assert not (tmp_path / "out").exists()


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
