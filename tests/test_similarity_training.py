"""Similarity is trained in three families: a head, a siamese LSTM, a T5 that writes; and its results are written."""

import json

import pytest
import torch
import training_runs
from lstm_models import LENGTHS, classifier, rows
from safetensors.torch import load_file
from test_lstm import check_gradients
from training_runs import log_of, record_of, train
from transformers import AutoModelForSequenceClassification

from pipelines import pipeline
from pipelines.lstm import LSTMForSequenceClassification
from scripts import finetune, harness, start
from scripts.arms import open_arm
from tasks import data, load

SIMILARITY = load("similarity")
CLS, SEP = 11, 12
SIAMESE = {"siamese": True, "num_labels": 1, "problem_type": "regression"}
OTHERS = (2, 6, 1, 4)


def packed(pairs, left: bool = False) -> dict[str, torch.Tensor]:
    """[CLS] one [SEP] other [SEP], as BERT's tokenizer packs it, padded on one side."""
    ids = [[CLS, *one.tolist(), SEP, *other.tolist(), SEP] for one, other in pairs]
    types = [[0] * (len(one) + 2) + [1] * (len(other) + 1) for one, other in pairs]
    width = max(map(len, ids))

    def padded(sequences):
        fill = [[0] * (width - len(row)) for row in sequences]
        both = zip(fill, sequences, strict=True)
        return torch.tensor([pad + row if left else row + pad for pad, row in both])

    masks = padded([[1] * len(row) for row in ids])
    return {"input_ids": padded(ids), "attention_mask": masks, "token_type_ids": padded(types)}


def pairs_of(seed: int = 0):
    return list(zip(rows(LENGTHS, vocab=11, seed=seed), rows(OTHERS, vocab=11, seed=seed + 1), strict=True))


# --- the siamese LSTM ---


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pair_is_scored_alike_alone_in_a_batch_padded_and_turned_around(layers):
    model, pairs = classifier(**SIAMESE, encoder_layers=layers), pairs_of()
    with torch.no_grad():
        batch = model(**packed(pairs)).logits  # (B, 1)
        alone = torch.cat([model(**packed([pair])).logits for pair in pairs])
        left = model(**packed(pairs, left=True)).logits
        turned = model(**packed([(other, one) for one, other in pairs])).logits
    assert batch.shape == (4, 1) and len(set(batch.flatten().tolist())) == 4
    for other in (alone, left, turned):
        torch.testing.assert_close(other, batch, atol=1e-5, rtol=1e-5)


def test_each_text_is_read_alone():
    """What the model makes of the pair comes from two sums, neither of which knows the other text."""
    model = classifier(**SIAMESE)
    sums = []
    model.compare.register_forward_hook(lambda module, given, output: sums.append(output))
    (one, other), third = pairs_of()[0], rows((3,), vocab=11, seed=9)[0]
    with torch.no_grad():
        for pair in ((one, one), (other, other), (one, other), (one, third)):
            model(**packed([pair]))
    half = sums[0].shape[1] // 2
    assert not sums[0][:, :half].any() and not sums[1][:, :half].any()  # no distance between equals
    u, v, both = sums[0][0, half:].sqrt(), sums[1][0, half:].sqrt(), sums[2][0, half:]  # |u|, |v| and u * v
    torch.testing.assert_close(u * v, both.abs(), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(sums[2], sums[3])


def test_gradients_reach_every_parameter_and_frozen_embeddings_none(tmp_path):
    inputs = packed(pairs_of()) | {"labels": torch.tensor([0.0, 5.0, 2.5, 1.0])}
    check_gradients(classifier(**SIAMESE), **inputs)
    frozen = classifier(**SIAMESE, freeze_embeddings=True)
    frozen.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is LSTMForSequenceClassification and loaded.config.problem_type == "regression"
    for model in (frozen, loaded):
        assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["encoder.embed_tokens.weight"]
    assert torch.equal(loaded.eval()(**inputs).logits, frozen(**inputs).logits)
    loss = frozen(**inputs).loss
    torch.testing.assert_close(loss, ((frozen(**inputs).logits[:, 0] - inputs["labels"]) ** 2).mean())


def test_a_pair_needs_its_token_types():
    inputs = packed(pairs_of())
    del inputs["token_type_ids"]
    with pytest.raises(ValueError, match="token_type_ids"):
        classifier(**SIAMESE)(**inputs)


# --- training ---


@pytest.mark.parametrize("family", ["bert", "lstm", "t5"])
def test_an_arm_learns_and_its_checkpoint_answers(family, tmp_path):
    extra = {"siamese": True, "freeze_embeddings": True} if family == "lstm" else {}
    settings = {"sizes": training_runs.SIZES[family] | extra, "learning_rate": 1e-2, "max_steps": 30}
    argv = training_runs.arguments("similarity", family, tmp_path / family, **settings, evaluate_every=30)
    assert train(argv) == 0
    losses = [line["loss"] for line in log_of(tmp_path / family)]
    assert losses[-1] < 0.9 * losses[0]
    assert list(record_of(tmp_path / family)["validation"]) == ["pearson", "spearman"]
    pipe = pipeline("similarity", model=tmp_path / family, device="cpu")
    found = pipe(data.read(SIMILARITY, "samples").inputs[:5])
    assert all(0 <= output["score"] <= 5 for output in found)
    named = "transformer" if family == "bert" else family
    card = (tmp_path / family / "README.md").read_text()
    assert f'pipeline("similarity", model="{named}")({{\'text\': ' in card
    assert ("One arm of a pairing" in card) == (family != "t5")
    assert open_arm(SIMILARITY, str(tmp_path / family), data.read(SIMILARITY, "samples"), "cpu").fixed is None


def test_families_that_can_be_trained():
    assert finetune.choose("similarity", "transformer")[1] == "bert"
    assert finetune.choose("similarity", "t5")[1] == "t5"
    with pytest.raises(finetune.UserError, match="choose from transformer, bert, lstm, t5"):
        finetune.choose("similarity", "gpt2")
    assert [SIMILARITY.kind_of(family) for family in ("bert", "lstm", "t5")] == [
        "text_similarity", "text_similarity", "written_similarity",
    ]  # fmt: skip


def test_targets_of_a_t5_are_the_nearest_fifth(folders_of_t5):
    from pipelines import written_similarity

    inputs = [{"text": "A dog.", "text_pair": "Two dogs."}] * 4
    made = written_similarity.features(folders_of_t5, inputs, [0.0, 3.79, 2.69, 7.0], max_length=64)
    texts = [folders_of_t5.decode(ids, skip_special_tokens=True) for ids in made["labels"]]
    assert texts == ["0.0", "3.8", "2.6", "5.0"]
    assert folders_of_t5.decode(made["input_ids"][0], skip_special_tokens=True).startswith("stsb sentence1:")


@pytest.fixture(scope="module")
def folders_of_t5():
    from conftest import ENGLISH

    from pipelines import scratch, written_similarity

    return scratch.sentencepiece_tokenizer([*ENGLISH, *written_similarity.ANSWERS], 120, "stsb sentence1: ")


def test_adapters_of_labels_are_begun_anew_for_a_number(tiny_adapters, tmp_path):
    assert start.goes_on(load("sentiment"), str(tiny_adapters))
    assert not start.goes_on(SIMILARITY, str(tiny_adapters))
    settings = {"init": str(tiny_adapters), "lora": 2, "sizes": {}, "dtype": "float32", "max_steps": 2}
    assert train(training_runs.arguments("similarity", "bert", tmp_path / "a", **settings)) == 0
    weights = load_file(tmp_path / "a" / "model.safetensors")
    assert weights["classifier.weight"].shape[0] == 1


# --- results ---


def test_result_files_of_a_model_and_the_floor(tmp_path, capsys):
    extra = {"sizes": training_runs.SIZES["lstm"] | {"siamese": True}, "max_steps": 4}
    assert train(training_runs.arguments("similarity", "lstm", tmp_path / "lstm", **extra)) == 0
    command = ["--tasks", "similarity", "--models", f"{tmp_path / 'lstm'},floor", "--data", "samples", "--no-cost"]
    assert harness.main([*command, "--output", str(tmp_path / "results"), "--device", "cpu"]) == 0
    files = sorted((tmp_path / "results").glob("*.json"))
    assert len(files) == 2
    for file in files:
        result = json.loads(file.read_text())
        assert list(result["metrics"]) == ["pearson", "spearman"] and result["data"]["samples"] == 70
        first = json.loads(file.with_suffix(".predictions.jsonl").read_text().splitlines()[0])
        assert set(first["input"]) == {"text", "text_pair"} and type(first["prediction"]) is float
    assert "| pearson (-1 to 1) [95 %] |" in capsys.readouterr().out
