"""Intents and topics: out of scope, the metrics of it, the command, the floor, the result file."""

import json
import random

import pytest
import torch
import transformers
from conftest import seeded
from pipe_tools import near

from scripts import calibrate, harness
from tasks import data, load
from tasks.bootstrap import interval
from tasks.floors import bag_of_words
from tasks.metrics import METRICS, metrics_of
from tasks.predict import predict_all

INTENTS, CLASSIFY = load("intents"), load("classify")
TEXTS = [
    "wake me at seven tomorrow",
    "alarm",
    "what's the weather like in oslo, and will it rain over the weekend?",
    "who painted the ceiling of the chapel",
    "transfer fifty dollars from my savings to my checking account, please",
    "hm",
    "how do i change the oil",
    "tell me a joke about robots",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, word_tokenizer):
    """A tiny BERT with all intents, trained on nothing, and sure of what it says of about half of the texts."""
    from pipelines.scratch import new_model

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = seeded(new_model("text_classification", "bert", word_tokenizer, sizes, labels=INTENTS.labels), scale=20.0)
    path = tmp_path_factory.mktemp("models") / "tiny-intents"
    model.save_pretrained(path)
    word_tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def ruled(folder, tmp_path):
    """The same, with a threshold that refuses some of the texts but not all."""
    from pipelines import pipeline

    scores = sorted(output["score"] for output in pipeline("intents", model=folder, device="cpu")(TEXTS))
    assert scores[3] < scores[4]
    path = tmp_path / "ruled"
    path.mkdir()
    for file in folder.iterdir():
        (path / file.name).symlink_to(file)
    rule = {"label": "oos", "threshold": (scores[3] + scores[4]) / 2, "score": 0.625}
    config = json.loads((folder / "config.json").read_text()) | {"calibration": {"out_of_scope": rule}}
    (path / "config.json").unlink()
    (path / "config.json").write_text(json.dumps(config))
    return path


# --- the tasks ---


def test_the_labels_are_those_of_the_data_set():
    assert len(INTENTS.labels) == len(set(INTENTS.labels)) == 151
    assert INTENTS.labels[42] == INTENTS.out_of_scope == "oos"
    assert INTENTS.labels[0] == "restaurant_reviews" and INTENTS.labels[-1] == "change_volume"
    assert CLASSIFY.labels == ("World", "Sports", "Business", "Sci/Tech") and not CLASSIFY.out_of_scope


def test_metrics_of_both_tasks_in_the_order_of_the_result_file():
    assert [metric.key for metric in metrics_of(INTENTS)] == ["accuracy", "f1", "out_of_scope_recall", "ece"]
    assert [metric.key for metric in metrics_of(CLASSIFY)] == ["accuracy", "f1", "ece"]
    assert "in scope" in metrics_of(INTENTS)[0].description


# --- metrics ---


def test_in_scope_accuracy_and_out_of_scope_recall_by_hand():
    accuracy, _, recall, _ = metrics_of(INTENTS)
    pairs = [("alarm", "alarm"), ("timer", "alarm"), ("oos", "timer"), ("oos", "oos"), ("alarm", "oos"), ("yes", "yes")]
    given, real = [guess for guess, _ in pairs], [truth for _, truth in pairs]
    assert accuracy.compute(predictions=given, references=real) == {"accuracy": 2 / 4}
    assert recall.compute(predictions=given, references=real) == {"out_of_scope_recall": 1 / 2}
    scored = [{"label": label, "score": 0.5} for label in given]
    assert accuracy.compute(predictions=scored, references=real) == {"accuracy": 2 / 4}
    # where there are no rows of the kind there is nothing to miss, and no division by zero in the bootstrap either
    assert recall.compute(predictions=["alarm"], references=["alarm"]) == {"out_of_scope_recall": 0}
    assert accuracy.compute(predictions=["oos"], references=["oos"]) == {"accuracy": 0}


def test_in_scope_and_out_of_scope_make_up_the_whole():
    draw = random.Random(4)
    real = draw.choices(["alarm", "timer", "oos"], k=300)
    given = [label if draw.random() < 0.7 else draw.choice(["alarm", "timer", "oos"]) for label in real]
    accuracy, _, recall, _ = metrics_of(INTENTS)
    inside = sum(label != "oos" for label in real)
    parts = [accuracy.statistics(given, real), recall.statistics(given, real)]
    right = inside * accuracy.value(parts[0].sum(0)) + (300 - inside) * recall.value(parts[1].sum(0))
    whole = METRICS["accuracy"]().compute(predictions=given, references=real)["accuracy"]
    assert right / 300 == pytest.approx(whole)
    found = interval(recall, parts[1])
    assert found["low"] < found["value"] < found["high"]


# --- answers ---


def test_out_of_scope_in_the_command(ruled, run):
    flags = ["--model", ruled, "--json", "--top-k", "2"]
    status, lines, _ = run(INTENTS, *flags, stdin="\n".join(TEXTS).encode())
    outputs = [json.loads(line)["output"] for line in lines]
    assert status == 0 and [len(output) for output in outputs] == [2] * len(TEXTS)
    refused = [i for i, output in enumerate(outputs) if output[0] == {"label": "oos", "score": 0.625}]
    assert len(refused) == 4
    status, lines, _ = run(INTENTS, "--model", ruled, stdin="\n".join(TEXTS).encode())
    shown = [line.split("\t") for line in lines]
    assert [i for i, fields in enumerate(shown) if fields[0] == "out of scope"] == refused
    assert all(fields[1:] == ["0.6250", TEXTS[i]] for i, fields in enumerate(shown) if i in refused)
    assert {fields[0] for i, fields in enumerate(shown) if i not in refused} <= set(INTENTS.labels)
    status, lines, _ = run(INTENTS, "--model", ruled, "--top-k", "3", TEXTS[refused[0]])
    assert len(lines) == 3 and lines[0].split("  ")[0] == "out of scope" and lines[0].endswith("  0.6250")


def test_predictions_carry_label_and_score(ruled):
    from pipelines import pipeline

    predictions = predict_all(INTENTS, pipeline("intents", model=ruled, device="cpu"), TEXTS, 3)
    assert all(set(prediction) == {"label", "score"} for prediction in predictions)
    assert sum(prediction == {"label": "oos", "score": 0.625} for prediction in predictions) == 4


def test_calibrating_sets_the_threshold(ruled, tmp_path, capsys):
    """Half of the rows are out of scope, and those are the ones that the model is least sure of."""
    from pipelines import pipeline

    before = json.loads((ruled / "config.json").read_text())
    (ruled / "config.json").write_text(json.dumps({k: v for k, v in before.items() if k != "calibration"}))
    outputs = pipeline("intents", model=ruled, device="cpu")(TEXTS)
    cut = sorted(output["score"] for output in outputs)[4]
    rows = [
        {"text": text, "intent": output["label"] if output["score"] >= cut else "oos"}
        for text, output in zip(TEXTS, outputs, strict=True)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert calibrate.main([str(ruled), "--task", "intents", "--data", str(file), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    rule = json.loads((ruled / "config.json").read_text())["calibration"]["out_of_scope"]
    assert (rule["label"], rule["score"]) == ("oos", 1.0) and f"Below a score of {rule['threshold']:g}" in out
    found = predict_all(INTENTS, pipeline("intents", model=ruled, device="cpu"), TEXTS)
    assert [prediction["label"] for prediction in found] == [row["intent"] for row in rows]
    assert "| out_of_scope_recall | 0.0000 | 1.0000 |" in out and "| accuracy | 1.0000 | 1.0000 |" in out


# --- the floor, and a result file ---


def test_the_floor_answers_with_its_own_scores():
    from sklearn.pipeline import Pipeline

    for task in (INTENTS, CLASSIFY, load("sentiment")):
        assert task.make_floor is bag_of_words
    train = data.read(CLASSIFY, "samples", "train")
    answer = bag_of_words(train)
    texts = data.read(CLASSIFY, "samples", "validation").inputs
    found = answer(texts)
    model = next(cell.cell_contents for cell in answer.__closure__ if isinstance(cell.cell_contents, Pipeline))
    assert [prediction["label"] for prediction in found] == model.predict(texts).tolist()
    assert len({prediction["label"] for prediction in found}) > 2
    assert all(1 / 4 <= prediction["score"] <= 1 for prediction in found)
    assert near([answer([text])[0] for text in texts[:5]], found[:5])
    json.dumps(found)


def test_result_file_of_a_model_and_the_floor(ruled, tmp_path, capsys):
    pairs = [(TEXTS[0], "alarm"), (TEXTS[3], "oos"), (TEXTS[2], "weather"), (TEXTS[7], "tell_joke")]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": text, "intent": label}) for text, label in pairs))
    command = ["--tasks", "intents", "--models", f"{ruled},floor", "--data", str(rows), "--no-cost"]
    assert harness.main([*command, "--output", str(tmp_path / "results"), "--device", "cpu"]) == 0
    files = sorted((tmp_path / "results").glob("*.json"))
    assert len(files) == 2
    for file in files:
        result = json.loads(file.read_text())
        assert list(result["metrics"]) == ["accuracy", "f1", "out_of_scope_recall", "ece"]
        assert result["metrics"]["ece"]["lower_is_better"] and "lower_is_better" not in result["metrics"]["accuracy"]
        lines = file.with_suffix(".predictions.jsonl").read_text().splitlines()
        written = [json.loads(line) for line in lines]
        assert all(set(record["prediction"]) == {"label", "score"} for record in written)
        assert [record["references"] for record in written] == [label for _, label in pairs]
        assert all(len(record["statistics"]["ece"]) == 45 for record in written)
    header = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| task"))
    places = [header.index(f"| {name} (0-1") for name in ("accuracy", "f1", "out_of_scope_recall", "ece")]
    assert places == sorted(places)


def test_a_checkpoint_without_the_rule_answers_as_ever(folder):
    ours = transformers.pipeline("text-classification", model=str(folder), device="cpu", dtype=torch.float32)
    from pipelines import pipeline

    pipe = pipeline("intents", model=folder, device="cpu")
    assert near(pipe(TEXTS, top_k=5), ours(TEXTS, top_k=5)) and pipe(TEXTS, top_k=5, batch_size=1) == ours(
        TEXTS, top_k=5
    )
