"""Calibrated scores: the fits against brute force, the pipeline that uses them, the script that writes them."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import transformers
from pipe_tools import CLASSIFIERS, made

from pipelines import calibration, pipeline
from scripts import calibrate, start
from tasks import load
from tasks.bootstrap import interval
from tasks.metrics import METRICS, CalibrationError

LABELS = ("negative", "positive")


def draws(count: int, classes: int, temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, C), and targets (N,) that come as often as the softmax at `temperature` says."""
    chance = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, classes, generator=chance)
    return logits, torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=chance)[:, 0]


# --- the fits ---


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_fit_finds_the_temperature_that_the_targets_were_drawn_at(temperature):
    logits, targets = draws(4000, 5, temperature)
    found = calibration.fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.08)
    grid = torch.linspace(0.2, 4, 381)
    losses = torch.stack([torch.nn.functional.cross_entropy(logits / t, targets) for t in grid])
    assert found == pytest.approx(float(grid[losses.argmin()]), abs=0.011)
    own, softened = logits.softmax(1), torch.softmax(logits / found, 1)
    assert error(softened, targets) < 0.03
    assert temperature == 1 or error(softened, targets) < error(own, targets)


def error(scores: torch.Tensor, targets: torch.Tensor) -> float:
    best, label = scores.max(1)
    predictions = [{"label": str(int(n)), "score": float(s)} for n, s in zip(label, best, strict=True)]
    return CalibrationError().compute(predictions=predictions, references=[str(int(t)) for t in targets])["ece"]


def test_a_fit_without_a_minimum_stays_in_range():
    logits, _ = draws(50, 3, 1.0)
    assert calibration.fit_temperature(logits, logits.argmax(1)) == pytest.approx(calibration.RANGE[0], abs=0.03)
    assert calibration.fit_temperature(100 * logits, logits.argmin(1)) == calibration.RANGE[1]


def test_the_threshold_is_the_best_of_all_hundredths_and_the_lowest_of_equals():
    for seed in range(3):
        logits, targets = draws(60, 4, 1.3, seed)
        logits, targets = logits / 4, torch.where(torch.arange(60) % 3 == 0, 3, targets)
        scores = torch.softmax(logits, 1)
        found = calibration.fit_threshold(scores, targets, outside=3)
        right, shares = [], []
        for step in range(100):
            answers, refused = [], []
            for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
                label = row.index(max(row))
                if label != 3 and max(row) < step / 100:
                    label = 3
                    refused.append(target == 3)
                answers.append(label == target)
            right.append(sum(answers))
            shares.append(sum(refused) / max(1, len(refused)))
        assert found == {"threshold": right.index(max(right)) / 100, "score": round(shares[right.index(max(right))], 4)}
    sure = torch.eye(4)[[0, 1, 2, 3]]
    assert calibration.fit_threshold(sure, torch.arange(4), 3) == {"threshold": 0.0, "score": 0.0}


# --- the pipeline ---


@pytest.fixture(params=CLASSIFIERS)
def folder(request, tmp_path, english):
    """A copy of a tiny classifier that is sure of what it says: its logits are 6 apart on the average."""
    path = shutil.copytree(request.getfixturevalue(request.param), tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    with torch.no_grad():
        logits = model(**tokenizer(english, padding=True, return_tensors="pt")).logits
        for parameter in model.classifier.parameters():
            parameter *= 6 / (logits[:, 1] - logits[:, 0]).abs().mean()
    model.save_pretrained(path)
    return path


def close(outputs: list, expected: list) -> bool:
    """Equal labels; scores within what sums in another order leave of logits that were blown up."""
    outputs, expected = (
        [record for records in each for record in (records if isinstance(records, list) else [records])]
        for each in (outputs, expected)
    )
    assert [record["label"] for record in outputs] == [record["label"] for record in expected]
    return np.allclose([r["score"] for r in outputs], [r["score"] for r in expected], rtol=0, atol=2e-5)


def calibrated(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"calibration": settings}))
    return pipeline("sentiment-analysis", model=folder, device="cpu")


def test_the_temperature_divides_the_logits_and_nothing_else(folder, english):
    texts = [*english, " ".join(english)]  # the last in parts
    plain, pipe = pipeline("sentiment-analysis", model=folder, device="cpu"), calibrated(folder, temperature=2.5)
    before, after = plain(texts, top_k=None), pipe(texts, top_k=None)
    for text, rows, softened in zip(english, before, after, strict=False):
        logits = pipe.model(**pipe.tokenizer(text, return_tensors="pt")).logits[0].detach()
        wanted = dict(zip(LABELS, torch.softmax(logits / 2.5, 0).tolist(), strict=True))
        assert {row["label"]: row["score"] for row in softened} == pytest.approx(wanted, abs=1e-5)
        assert [row["label"] for row in rows] == [row["label"] for row in softened]
    assert all(rows[0]["score"] > softened[0]["score"] for rows, softened in zip(before, after, strict=True))
    assert pipe(texts) == [rows[0] for rows in after] and pipe(texts, top_k=1) == [rows[:1] for rows in after]
    assert close(list(pipe(iter(texts), batch_size=5)), [rows[0] for rows in after])
    for function in ("none", "sigmoid"):
        options = {"function_to_apply": function, "top_k": None}
        assert pipe(texts, **options) == plain(texts, **options)
    assert close(pipe(english, function_to_apply="softmax"), [rows[0] for rows in after[:-1]])


def test_a_text_below_the_threshold_is_answered_as_out_of_scope(folder, english):
    texts = [*english, " ".join(english)]
    plain = calibrated(folder, temperature=3.0)
    sure = sorted(output["score"] for output in plain(texts) if output["label"] == "negative")
    limit = (sure[1] + sure[2]) / 2
    rule = {"label": "positive", "threshold": limit, "score": 0.6}
    pipe = calibrated(folder, temperature=3.0, out_of_scope=rule)
    outputs, refused = pipe(texts, top_k=None), 0
    for rows, ruled in zip(plain(texts, top_k=None), outputs, strict=True):
        if rows[0]["label"] == "negative" and rows[0]["score"] < limit:
            refused += 1
            assert close(ruled, [{"label": "positive", "score": 0.6}, rows[0]])
        else:
            assert close(ruled, rows)
    assert refused == 2 < len(sure)
    assert pipe(texts) == [rows[0] for rows in outputs]
    assert close(pipe(texts, batch_size=4, top_k=1), [rows[:1] for rows in outputs])
    raw = {"function_to_apply": "none", "top_k": None}
    assert pipe(texts, **raw) == plain(texts, **raw)


def test_refusals_by_hand():
    rule = {"label": "oos", "threshold": 0.4, "score": 0.7}
    a, b, oos = {"label": "a", "score": 0.35}, {"label": "b", "score": 0.33}, {"label": "oos", "score": 0.32}
    assert calibration.refuse([a, b, oos], rule) == [{"label": "oos", "score": 0.7}, a, b]
    sure = [a | {"score": 0.4}, b, oos]
    assert calibration.refuse(sure, rule) == sure  # at the threshold is not below it
    own = [oos | {"score": 0.36}, a, b]
    assert calibration.refuse(own, rule) == own


def test_a_calibration_is_saved_with_the_model(folder, tmp_path, english):
    pipe = calibrated(folder, temperature=1.7, out_of_scope={"label": "positive", "threshold": 0.9, "score": 0.5})
    pipe.save_pretrained(tmp_path / "again")
    again = pipeline("sentiment-analysis", model=tmp_path / "again", device="cpu")
    assert again(english) == pipe(english)
    loaded = transformers.AutoConfig.from_pretrained(tmp_path / "again")
    assert calibration.temperature(loaded) == 1.7 and calibration.threshold(loaded)["threshold"] == 0.9


def test_a_training_that_starts_from_calibrated_weights_forgets_it(folder):
    pipe = calibrated(folder, temperature=1.7)
    start._describe(load("sentiment"), "bert", pipe.model)
    assert "calibration" not in pipe.model.config.to_dict() and calibration.temperature(pipe.model.config) == 1


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_logits_are_the_models_own_in_the_order_of_the_texts(request, family, english):
    pipe = made(request, family)
    texts = [*english, " ".join(english)]
    found = calibration.logits(pipe, texts, batch_size=4)
    alone = torch.stack([pipe.model(**pipe.tokenizer(text, return_tensors="pt")).logits[0] for text in english])
    assert torch.allclose(found[:-1], alone.detach(), atol=1e-5) and torch.isfinite(found[-1]).all()


# --- the script ---


@pytest.fixture
def rows(folder, english, tmp_path):
    """A file in which each text comes four times, and the model's answer is right for three of them."""
    pipe = pipeline("sentiment-analysis", model=folder, device="cpu")
    answers = [output["label"] for output in pipe(english)]
    wrong = [LABELS[1 - LABELS.index(answer)] for answer in answers]
    file = tmp_path / "rows.jsonl"
    pairs = zip(english * 4, answers * 3 + wrong, strict=True)
    lines = [json.dumps({"text": text, "label": label}) for text, label in pairs]
    file.write_text("\n".join(lines))
    return file


def test_script_writes_the_temperature_into_configuration_and_card(folder, rows, english, capsys):
    (folder / "README.md").write_text("---\nlicense: other\n---\n# A card\n\n## Scores\n\n1\n\n## Limits\n\nSmall.\n")
    before = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    command = [str(folder), "--task", "sentiment", "--data", str(rows), "--device", "cpu", "--batch-size", "5"]
    assert calibrate.main(command) == 0
    out = capsys.readouterr().out
    after = json.loads((folder / "config.json").read_text())
    found = after.pop("calibration")
    assert after == before and list(after) == list(before) and list(found) == ["temperature"]
    assert found["temperature"] > 1.5 and f"Temperature {found['temperature']:g}." in out
    scores = {cells[0]: [float(cell) for cell in cells[1:]] for cells in table(out)}
    assert scores["accuracy"] == [0.75, 0.75] and scores["ece"][1] < scores["ece"][0]
    card = (folder / "README.md").read_text()
    assert re.findall("^## .*", card, re.MULTILINE) == ["## Scores", "## Calibration", "## Limits"]
    assert out.strip() in card and card.endswith("## Limits\n\nSmall.\n")
    pipe = pipeline("sentiment-analysis", model=folder, device="cpu")
    score = pipe.model(**pipe.tokenizer(english[3], return_tensors="pt")).logits[0].detach()
    score = score.div(found["temperature"]).softmax(0)
    assert pipe(english[3])[0]["score"] == pytest.approx(float(score.max()), abs=1e-6)
    # again, on what is calibrated already: the same
    config = (folder / "config.json").read_bytes()
    assert calibrate.main(command) == 0
    assert ((folder / "config.json").read_bytes(), (folder / "README.md").read_text()) == (config, card)
    assert (folder / "model.safetensors").read_bytes() == weights


def table(text: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in cells] for cells in lines[1:]]


def test_a_temperature_that_does_not_lower_the_error_is_not_taken(folder, rows, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "fit_temperature", lambda logits, targets: 0.001)
    assert calibrate.main([str(folder), "--task", "sentiment", "--data", str(rows), "--device", "cpu"]) == 0
    assert json.loads((folder / "config.json").read_text())["calibration"] == {"temperature": 1.0}
    assert all(before == after for _, before, after in table(capsys.readouterr().out))


def test_wrong_use_is_one_line(folder, rows, tmp_path, capsys):
    data, before = ["--data", str(rows)], (folder / "config.json").read_bytes()
    (tmp_path / "empty").mkdir()
    wrong = [
        ([str(tmp_path / "empty"), "--task", "sentiment", *data], "is no checkpoint: it has no config.json"),
        ([str(folder), "--task", "sentimnt", *data], "unknown task 'sentimnt'.*Did you mean 'sentiment'?"),
        ([str(folder), "--task", "translate", *data], "'translate': choose from .*sentiment"),
        ([str(folder), "--task", "sentiment", "--data", "nowhere.csv"], "no such file: nowhere.csv"),
        ([str(folder), "--task", "sentiment", *data, "--limit", "0"], "is not a whole number above 0"),
        ([str(folder), "--task", "sentiment", *data, "--splt", "x"], "unknown flag '--splt'.*Did you mean '--split'?"),
        ([str(folder), "--task", "classify", *data], "unknown label"),
        ([str(folder)], "required: --task"),
    ]
    for command, said in wrong:
        assert calibrate.main(command) == 2, command
        out, err = capsys.readouterr()
        assert not out and len(err.splitlines()) == 1 and re.search(said, err), err
    assert (folder / "config.json").read_bytes() == before


# --- the error ---


def records(*pairs):
    return [{"label": label, "score": score} for label, score in pairs]


def test_calibration_error_by_hand():
    metric = METRICS["ece"](LABELS)
    assert (metric.key, metric.range, metric.higher_is_better) == ("ece", "0-1", False)
    given = records(("a", 0.9), ("a", 0.92), ("b", 0.5), ("b", 1.0))
    # (13/15, 14/15] holds the first two, mean score 0.91, half right; 0.5 is alone and wrong, 1.0 alone and right
    found = metric.compute(predictions=given, references=["a", "b", "a", "b"])["ece"]
    assert found == pytest.approx((2 * abs(0.91 - 0.5) + abs(0.5 - 0) + 0) / 4)
    # an edge belongs to the bin below it: 1/15 and 2/15 are two bins, a little less than 2/15 the second as well
    edges = records(("a", 1 / 15), ("a", 2 / 15), ("a", 2 / 15 - 1e-6))
    assert metric.statistics(edges, ["a"] * 3)[:, :15].argmax(1).tolist() == [0, 1, 1]
    assert metric.statistics(records(("a", 0.0), ("a", 1.0)), ["a"] * 2)[:, :15].argmax(1).tolist() == [0, 14]


def test_calibration_error_by_brute_force_and_its_interval():
    draw = np.random.default_rng(3)
    scores = draw.random(500)
    right = draw.random(500) < scores**2
    given, real = records(*(("a", score) for score in scores)), np.where(right, "a", "b").tolist()
    wanted = 0.0
    for m in range(1, 16):
        inside = (scores > (m - 1) / 15) & (scores <= m / 15)
        if inside.any():
            wanted += inside.sum() / 500 * abs(right[inside].mean() - scores[inside].mean())
    metric = METRICS["ece"](("a", "b"))
    assert metric.compute(predictions=given, references=real)["ece"] == pytest.approx(wanted)
    found = interval(metric, metric.statistics(given, real))
    assert found["low"] < found["high"] and found["value"] == pytest.approx(wanted)


def test_label_metrics_take_scores_along_or_not():
    given, real = records(("negative", 0.8), ("positive", 0.6), ("positive", 0.9)), ["negative", "negative", "positive"]
    for key in ("accuracy", "f1"):
        metric = METRICS[key](LABELS)
        bare = metric.compute(predictions=[record["label"] for record in given], references=real)
        assert METRICS[key](LABELS).compute(predictions=given, references=real) == bare == {key: pytest.approx(2 / 3)}
