"""Adapters kept apart from the encoder they share: what is saved, loaded, refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_runs import arguments, record_of, train

import pipelines
import tasks
from pipelines import UserError, adapters
from tasks import data
from tasks.predict import predict_all


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_bert):
    """A folder of adapters over the bundled sentiment-bert, and the folder of the checkpoints."""
    from pipelines import hub

    checkpoints = tmp_path_factory.mktemp("checkpoints")
    shutil.copytree(tiny_bert, checkpoints / "sentiment-bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "CHECKPOINTS", checkpoints)
        folder = checkpoints / "classify-bert"
        settings = {"init": "sentiment-bert", "lora": 2, "dtype": "float32", "max_steps": 8, "sizes": {}}
        settings |= {"learning_rate": 0.3}  # so that the adapters change answers
        argv = arguments("classify", "bert", folder, **settings)
        assert train(argv) == 0
        yield folder


@pytest.fixture(autouse=True)
def checkpoints(trained, monkeypatch):
    from pipelines import hub

    monkeypatch.setattr(hub, "CHECKPOINTS", trained.parent)


def test_only_adapters_and_the_head_are_saved(trained):
    state = load_file(trained / adapters.WEIGHTS)
    assert not (trained / "model.safetensors").exists()
    assert {name for name in state if "lora_" not in name and ".classifier." not in name} == set()
    assert any(".query.lora_A" in name for name in state) and any(".classifier." in name for name in state)
    config = json.loads((trained / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"] and len(config["id2label"]) == 4
    assert "sentiment-bert" in (trained / "README.md").read_text()


def test_the_answers_are_those_of_base_and_adapters_by_peft_itself(trained, english):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    base = AutoModelForSequenceClassification.from_pretrained(
        trained.parent / "sentiment-bert", num_labels=4, ignore_mismatched_sizes=True
    )
    plain = base.state_dict()["bert.encoder.layer.0.attention.self.query.weight"].clone()
    reference = PeftModel.from_pretrained(base, trained).eval()
    pipe = pipelines.pipeline("classify")
    assert pipe.model.name_or_path == str(trained)
    batch = pipe.tokenizer(english, padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(pipe.model(**batch).logits, reference(**batch).logits, atol=1e-5, rtol=1e-5)
    merged = pipe.model.state_dict()["bert.encoder.layer.0.attention.self.query.weight"]
    assert not torch.equal(merged, plain)  # the adapters did something


def test_a_training_may_start_from_adapters(trained):
    folder = trained.parent.parent / "again"
    argv = arguments("classify", "bert", folder, init=str(trained), lora=0, max_steps=2, dtype="float32", sizes={})
    assert train(argv) == 0
    assert (folder / "model.safetensors").is_file()


def test_adapters_may_be_trained_on(trained):
    folder = trained.parent.parent / "further"
    settings = {"init": str(trained), "lora": 2, "max_steps": 3, "dtype": "float32", "sizes": {}}
    assert train(arguments("classify", "bert", folder, **settings)) == 0
    before, after = (load_file(place / adapters.WEIGHTS) for place in (trained, folder))
    assert before.keys() == after.keys() and adapters.base_name(folder) == "sentiment-bert"
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == set(before)
    assert "stored as adapters over `sentiment-bert`" in (folder / "README.md").read_text()


def test_adapters_over_adapters(trained, tmp_path, english):
    """Another task's adapters over this one's: trained on what loading gives, whatever lies below."""
    folder = trained.parent / "intents-bert"
    settings = {"init": "classify-bert", "lora": 2, "base": "", "compress": 0}
    settings |= {"max_steps": 3, "dtype": "float32", "sizes": {}}
    assert train(arguments("intents", "bert", folder, **settings)) == 0
    assert adapters.base_name(folder) == "classify-bert"
    below = pipelines.pipeline("classify").model.state_dict()
    made = pipelines.pipeline("intents").model
    assert made.config.num_labels == 151
    for layer in ("bert.encoder.layer.1.attention.self.query.weight", "bert.pooler.dense.weight"):
        difference = made.state_dict()[layer] - below[layer]
        assert 0 < torch.linalg.matrix_rank(difference.double(), atol=1e-6) <= 2
    word = "bert.embeddings.word_embeddings.weight"
    torch.testing.assert_close(made.state_dict()[word], below[word])
    whole = settings | {"init": "intents-bert", "lora": 0, "learning_rate": 1e-12, "weight_decay": 0.0}
    assert train(arguments("intents", "bert", tmp_path / "whole", **whole)) == 0  # all weights, from what loading gives
    for name, value in load_file(tmp_path / "whole" / "model.safetensors").items():
        torch.testing.assert_close(value, made.state_dict()[name])
    shutil.rmtree(folder)


def test_a_base_without_the_weights_is_refused(trained, tmp_path):
    base = shutil.copytree(trained.parent / "sentiment-bert", tmp_path / "base-bert")
    state = load_file(base / "model.safetensors")
    state.pop("bert.encoder.layer.1.attention.self.query.weight")
    save_file(state, base / "model.safetensors", metadata={"format": "pt"})
    folder = shutil.copytree(trained, tmp_path / "over")
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": "../base-bert"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has no weights for bert.encoder.layer.1.attention.self.query.weight"):
        pipelines.pipeline("classify", model=str(folder))


def test_adapters_keep_their_rank(trained, capsys):
    settings = {"init": str(trained), "lora": 4, "max_steps": 3, "sizes": {}}
    assert train(arguments("classify", "bert", trained.parent.parent / "no", **settings)) == 2
    assert "holds adapters of rank 2" in capsys.readouterr().err


def predicted(task, pipe, rows) -> list[str]:
    return [answer["label"] for answer in predict_all(task, pipe, rows.inputs, 7)]


@pytest.mark.parametrize(("rank", "exact"), [(32, True), (4, False)])
def test_a_model_trained_whole_becomes_adapters(trained, tmp_path, english, rank, exact):
    """At full rank nothing is lost; below, each difference is the nearest of its rank."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = trained.parent / "sentiment-bert"
    base, model = (AutoModelForSequenceClassification.from_pretrained(folder) for _ in range(2))
    start = {name: value.clone() for name, value in base.state_dict().items()}
    chance = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=chance) * 0.05
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    adapters.save(adapters.extract(model, base, rank), tmp_path / "made", "sentiment-bert")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "made")
    state = pipelines.pipeline("sentiment", model=str(tmp_path / "made")).model.state_dict()
    low = [name for name in wanted if "word_embeddings" in name or ("encoder" in name and wanted[name].dim() > 1)]
    assert len(low) == 13  # two layers of six, and the words
    for name, value in wanted.items():
        if exact or name not in low + ["bert.pooler.dense.weight"]:
            torch.testing.assert_close(state[name], value, atol=1e-5, rtol=1e-4)
        else:
            size = torch.linalg.svdvals(value - start[name])
            torch.testing.assert_close((state[name] - value).norm(), size[rank:].norm(), atol=1e-4, rtol=1e-3)


def test_a_training_of_all_weights_may_be_kept_as_adapters(trained):
    folder = trained.parent.parent / "compressed"
    argv = arguments("classify", "bert", folder, init="sentiment-bert", lora=0, compress=2, max_steps=4, sizes={})
    assert train(argv) == 0
    assert (folder / adapters.WEIGHTS).is_file() and not (folder / "model.safetensors").exists()
    pipe = pipelines.pipeline("classify", model=str(folder))
    task = tasks.load("classify")
    rows = data.read(task, "samples").take(7, 13)
    scores = record_of(folder)["validation"]
    right = sum(answer == target for answer, target in zip(predicted(task, pipe, rows), rows.targets, strict=True))
    assert scores["accuracy"] == pytest.approx(right / 7)  # of what is saved, not of what was trained


def test_the_harness_counts_the_base_too(trained):
    from scripts.arms import _weights

    sizes = [file.name for file in _weights(trained, None)]
    assert sizes == ["model.safetensors", adapters.WEIGHTS]


@pytest.mark.parametrize("fault", ["base", "weights", "kind", "missing", "other"])
def test_what_does_not_fit_is_refused_in_one_line(trained, tmp_path, fault):
    folder = shutil.copytree(trained, tmp_path / "broken")
    config = json.loads((folder / "adapter_config.json").read_text())
    state = load_file(folder / adapters.WEIGHTS)
    if fault == "base":
        config["base_model_name_or_path"] = "nowhere-bert"
    elif fault == "weights":
        (folder / adapters.WEIGHTS).rename(folder / "adapter_model.bin")
    elif fault == "kind":
        config["peft_type"] = "IA3"
    elif fault == "missing":
        state.pop(next(name for name in state if "lora_A" in name))
    else:
        state["base_model.model.bert.encoder.layer.9.lora_A.weight"] = torch.zeros(2, 2)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if fault in ("missing", "other"):
        save_file(state, folder / adapters.WEIGHTS)
    with pytest.raises(UserError, match="can't be loaded|neither bundled") as caught:
        pipelines.pipeline("classify", model=str(folder))
    assert "\n" not in str(caught.value)
