"""Translation by length: rows are joined and binned as said, each source passes the model whole, trainings go on."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest
from conftest import ENGLISH, FRENCH
from transformers import T5Config, T5ForConditionalGeneration

from pipelines.errors import UserError
from pipelines.lstm import LSTMConfig, LSTMForConditionalGeneration
from scripts.experiments import attention, translation
from scripts.experiments.store import Run, Store, TimeUp

ENVIRONMENT = {"device": "cpu", "hardware": "x", "torch": "2", "threads": 1, "commit": "abc", "seed": 13}
SETTINGS = translation.Settings(hidden=(), bins=((1, 3), (4, 9), (10, 60), (61, 99)), rows=6, joined=2, batch=4)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A data mirror with the splits that are read, small."""
    lines = [json.dumps({"en": en, "fr": fr}) for en, fr in zip(ENGLISH, FRENCH, strict=True)]
    for name, split in translation.SOURCES:
        file = tmp_path / "data" / name / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(translation, "ENOUGH", 2)


def test_sentences_are_joined_and_none_comes_twice():
    pairs = [(f"a{i} ", [f"b{i}", "other"]) for i in range(7)]
    found = translation.joined(pairs, 3)
    assert found == [
        {"input": "a0 a1 a2", "target": "b0 b1 b2", "joined": 3},
        {"input": "a3 a4 a5", "target": "b3 b4 b5", "joined": 3},
    ]


def test_bins_hold_what_they_say(mirror):
    bins = translation.rows(SETTINGS, seed=0)
    assert [bounds for bounds, _ in bins] == [(1, 3), (4, 9), (10, 60)]  # of more words there are too few rows
    for (low, high), some in bins:
        assert 2 <= len(some) <= 6 and all(low <= len(row["input"].split()) <= high for row in some)
    known = {row["input"]: row["target"] for _, some in bins for row in some}
    pairs = dict(zip(ENGLISH, FRENCH, strict=True))
    assert all(pairs[source] == target for source, target in known.items() if source in pairs)
    assert {row["joined"] for _, some in bins for row in some} == {1, 2}
    assert translation.rows(SETTINGS, seed=0) == bins != translation.rows(SETTINGS, seed=1)


def test_without_data_the_part_is_left_out_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DUET_DATA", str(tmp_path))
    store = Store(tmp_path / "bottleneck--cpu.json", "bottleneck", ENVIRONMENT)
    translation.measure(Run(device="cpu"), store)
    said = capsys.readouterr().err
    assert said.startswith("why: translation: left out: ") and len(said.splitlines()) == 1 and not store.units


def test_a_model_is_scored_by_bins_and_sources_pass_whole(mirror, bundled, monkeypatch):
    from pipelines.text2text import Text2TextPipeline

    parts, real = [], Text2TextPipeline.preprocess_all

    def seen(pipe, texts, **given):
        for own in real(pipe, texts, **given):
            parts.append(own)
            yield own

    monkeypatch.setattr(Text2TextPipeline, "preprocess_all", seen)
    bins = translation.rows(SETTINGS, seed=0)
    told = translation.scored("lstm", bins, SETTINGS, Run(device="cpu"))
    assert parts and all(len(part) == 1 for part in parts)
    assert [(part["words"], part["rows"]) for part in told["bins"]] == [(list(b), len(some)) for b, some in bins]
    for part in told["bins"]:
        assert set(part["metrics"]) == {"bleu", "chrf"} and part["length_ratio"] > 0
        assert all(score["low"] <= score["value"] <= score["high"] for score in part["metrics"].values())


def test_a_copy_of_the_references_scores_100(mirror, bundled, monkeypatch):
    bins = translation.rows(SETTINGS, seed=0)
    answers = {row["input"]: row["target"] for _, some in bins for row in some}
    monkeypatch.setattr(
        "tasks.predict.predict_all", lambda task, pipe, inputs, *rest, **more: [answers[x] for x in inputs]
    )
    told = translation.scored("lstm", bins, SETTINGS, Run(device="cpu"))
    for part in told["bins"]:
        assert part["metrics"]["chrf"]["value"] == pytest.approx(100) and part["length_ratio"] == 1.0


# --- trainings ---


class Finetune:
    """In place of `scripts.finetune.main`: leaves what it would leave, or is stopped by time first."""

    def __init__(self, ends: list[str]):
        self.ends, self.calls = ends, []

    def main(self, argv):
        from pathlib import Path

        self.calls.append(argv)
        folder = Path(argv[argv.index("--output-dir") + 1])
        (folder / "training").mkdir(parents=True, exist_ok=True)
        (folder / "training" / "run.json").write_text("{}")
        end = self.ends.pop(0)
        if end == "finished":
            family = "t5" if "transformer" in folder.name else "lstm"
            said = {"parameters": 5, "epochs": 4, "steps": 3, "tokens_per_s": 2.0, "minutes": 1.0, "validation": {}}
            (folder / "training" / f"translate--{family}--cpu.json").write_text(json.dumps(said))
        return {"interrupted": 130, "wrong": 2}.get(end, 0)


def test_a_training_is_begun_gone_on_with_and_not_done_twice(tmp_path, monkeypatch):
    fake = Finetune(["time is up", "interrupted", "wrong", "finished"])
    monkeypatch.setattr("scripts.finetune.main", fake.main)
    monkeypatch.setattr(translation, "training_rows", lambda sources, folder, seed: folder / f"{seed}")
    run = Run(device="cpu", runs=tmp_path, seed=5)
    for error in (TimeUp, KeyboardInterrupt, UserError):
        with pytest.raises(error):
            translation.trained("lstm", 128, 0.5, run)
    folder, record = translation.trained("lstm", 128, 0.5, run)
    assert folder == tmp_path / "why" / "translate-lstm-128-0.5" and record["training"]["parameters"] == 5
    first, *others = fake.calls
    assert first[first.index("--task") :][:4] == ["--task", "translate", "--family", "lstm"]
    assert "--set=epochs=2.0" in first and "--resume" not in first
    assert "--set=vocabulary=2000" in first and "--set=tokens_per_batch=1250" in first
    assert first[first.index("--data") + 1] == str(tmp_path / "why" / "5")
    (sizes,) = [word for word in first if word.startswith("--set=sizes")]
    assert 'attention = "none"' in sizes and "hidden_size = 128" in sizes and "d_model = 256" in sizes
    assert "dropout = 0.1" in sizes
    assert all("--resume" in call and "--task" not in call for call in others)
    assert translation.trained("lstm", 128, 0.5, run)[0] == folder and len(fake.calls) == 4


def test_every_row_is_trained_on_alone_and_joined(mirror, tmp_path, monkeypatch):
    (tmp_path / "data" / "tatoeba" / "en-fr" / "train.jsonl").write_text(
        "\n".join(json.dumps({"en": f"e{i}", "fr": f"f{i}"}) for i in range(50))
    )
    sources = ("tatoeba/en-fr", "tatoeba/en-fr:7")
    file = translation.training_rows(sources, tmp_path / "why", seed=0)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    counts = Counter(word for row in rows for word in row["en"].split())
    assert len(counts) == 50 and sorted(counts.values()) == [2] * 43 + [4] * 7
    alone = Counter(row["en"] for row in rows if " " not in row["en"])
    assert sum(alone.values()) in range(57, 60)  # of each source one may be left over behind the joined ones
    assert all(row["fr"] == row["en"].replace("e", "f") for row in rows)
    assert {len(row["en"].split()) for row in rows} == {1, 2, 3, 4}
    before = file.read_text()
    assert translation.training_rows(("none",), tmp_path / "why", seed=0) == file and file.read_text() == before
    other = translation.training_rows(sources, tmp_path / "why", seed=1)
    assert other.read_text() != before == file.read_text()  # made once for each seed


def test_the_time_that_is_left_goes_to_the_training(tmp_path, monkeypatch):
    import time

    fake = Finetune(["finished"])
    monkeypatch.setattr("scripts.finetune.main", fake.main)
    monkeypatch.setattr(translation, "training_rows", lambda sources, folder, seed: folder)
    translation.trained("transformer", 256, 1.0, Run(device="cpu", runs=tmp_path, deadline=time.monotonic() + 90))
    minutes = float(fake.calls[0][fake.calls[0].index("--max-minutes") + 1])
    assert 1.0 < minutes <= 1.5


@pytest.mark.parametrize("hidden", [64, 128])
def test_sizes_change_what_the_arm_says_and_t5_has_as_many_parameters(hidden):
    lstm = {"d_model": 64, "hidden_size": 512, "encoder_layers": 1, "attention": "dot", "dropout": 0.2}
    t5 = {"d_model": 256, "d_kv": 16, "num_heads": 4, "d_ff": 512, "num_layers": 2}
    assert translation.sizes("lstm", hidden, lstm, t5, 500) == lstm | {"attention": "none", "hidden_size": hidden}
    attending = translation.sizes("lstm attention", hidden, lstm, t5, 500)
    assert attending == lstm | {"hidden_size": hidden}
    found = translation.sizes("transformer", hidden, lstm, t5, 500)
    assert found["d_model"] == found["num_heads"] * found["d_kv"] and found["num_layers"] == 2
    ours = LSTMForConditionalGeneration(LSTMConfig(vocab_size=500, **attending)).num_parameters()
    theirs = T5ForConditionalGeneration(T5Config(vocab_size=500, **found)).num_parameters()
    assert abs(ours - theirs) <= 0.02 * ours


# --- attention ---


@pytest.mark.parametrize("model", attention.MODELS)
def test_attention_is_that_of_each_written_token(bundled, model):
    from pipelines import pipeline

    pipe = pipeline("translate", model=model, device="cpu")
    text = random.Random(0).choice(ENGLISH)
    told = attention.weights(pipe, text)
    assert len(told["weights"]) == len(told["target"]) and len(told["weights"][0]) == len(told["source"])
    assert all(sum(row) == pytest.approx(1, abs=0.01) for row in told["weights"])
    # a row is what the last layer looks at when all it has been given is what is written before this token
    source = pipe.tokenizer(pipe.prefix + text, return_tensors="pt")
    source.pop("token_type_ids", None)
    written = pipe.model.generate(**source, num_beams=1, do_sample=False, max_new_tokens=80)
    for at in range(len(told["target"])):
        given = written[:, : at + 1]
        output = pipe.model(**source, decoder_input_ids=given, output_attentions=True, use_cache=False)
        row = output.cross_attentions[-1][0, :, -1].mean(0)  # (S,)
        assert told["weights"][at] == pytest.approx(row.tolist(), abs=1e-4)
        assert int(output.logits[0, -1].argmax()) == int(written[0, at + 1])
    assert max(abs(a - b) for one, two in pairwise(told["weights"]) for a, b in zip(one, two, strict=True)) > 0.01
    assert told["source"][-1] == "</s>" and ("(task)" in told["source"]) == bool(pipe.prefix)
