"""The LSTM family as the Hub sees it: configuration, initial weights, saving and loading, losses, gradients."""

import pytest
import torch
import torch.nn.functional as F
from lstm_models import VARIANTS, batch, classifier, config, name, rows, seq2seq
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from pipelines.lstm import LSTMConfig, LSTMForConditionalGeneration, LSTMForSequenceClassification


def logits(model):
    source = batch(rows())
    if isinstance(model, LSTMForSequenceClassification):
        return model(**source).logits
    return model(**source, decoder_input_ids=batch(rows((4, 4, 4, 4), seed=1))["input_ids"]).logits


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_auto_round_trip(variant, tmp_path):
    model = seq2seq(**variant, forget_bias=2.0)
    model.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }
    settings = AutoConfig.from_pretrained(tmp_path)
    assert type(settings) is LSTMConfig
    assert all(getattr(settings, key) == value for key, value in {**variant, "forget_bias": 2.0}.items())
    loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is LSTMForConditionalGeneration and not loaded.training
    assert not any(report.values()), report
    assert torch.equal(logits(loaded), logits(model))
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        assert len({"lm_head.weight", "encoder.embed_tokens.weight"} & set(stored.keys())) == 1
    assert loaded.lm_head.weight is loaded.encoder.embed_tokens.weight
    with torch.no_grad():
        loaded.get_input_embeddings().weight[3] += 1  # tied means tied: the output moves with the input
    assert torch.equal(loaded.lm_head.weight[3], model.lm_head.weight[3] + 1)


def test_auto_round_trip_of_untied_embeddings(tmp_path):
    model = seq2seq(tie_word_embeddings=False)
    assert not torch.equal(model.lm_head.weight, model.encoder.embed_tokens.weight)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForSeq2SeqLM.from_pretrained(tmp_path)), logits(model))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_auto_round_trip_of_a_classifier(pooling, layers, tmp_path):
    labels = {"bad": 0, "so-so": 1, "good": 2}
    names = {index: label for label, index in labels.items()}
    model = classifier(pooling=pooling, encoder_layers=layers, id2label=names, label2id=labels)
    model.save_pretrained(tmp_path)
    loaded, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is LSTMForSequenceClassification and not loaded.config.is_encoder_decoder
    assert not any(report.values()), report
    assert loaded.config.id2label == names and loaded.config.label2id == labels
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize("make", [seq2seq, classifier], ids=["seq2seq", "classifier"])
def test_stored_in_half_loaded_in_full_precision(make, tmp_path):
    model = make(encoder_layers=2, decoder_layers=2)
    expected = logits(model)
    model.half().save_pretrained(tmp_path)
    auto = AutoModelForSeq2SeqLM if make is seq2seq else AutoModelForSequenceClassification
    loaded = auto.from_pretrained(tmp_path, dtype=torch.float32)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(loaded), expected, atol=0.01, rtol=0)  # half a float16 step per weight
    assert torch.equal(logits(loaded), logits(model.float()))  # and nothing else is lost


def test_resized_vocabulary_stays_tied():
    model = seq2seq()
    before = logits(model)
    model.resize_token_embeddings(17, mean_resizing=False)
    assert model.lm_head.weight is model.encoder.embed_tokens.weight and model.config.vocab_size == 17
    assert torch.equal(logits(model)[..., :13], before) and logits(model).shape[-1] == 17


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "luong"}, "attention must be one of none, additive, dot; got 'luong'"),
        ({"pooling": "sum"}, "pooling must be one of max, mean, last; got 'sum'"),
        ({"hidden_size": 7}, "hidden_size must be even, for two directions; got 7"),
    ],
)
def test_wrong_configuration(settings, message):
    with pytest.raises(ValueError, match=message):
        LSTMConfig(**settings)


def test_wrong_configuration_on_disk(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "lstm", "attention": "luong"}')
    with pytest.raises(ValueError, match="attention must be one of"):
        AutoConfig.from_pretrained(tmp_path)


def test_seq2seq_needs_a_target():
    with pytest.raises(ValueError, match="decoder_input_ids or labels"):
        seq2seq()(**batch(rows()))


@pytest.mark.parametrize("cls", [LSTMForConditionalGeneration, LSTMForSequenceClassification])
def test_a_seed_fixes_the_initial_weights(cls):
    def fresh(seed):
        torch.manual_seed(seed)
        return cls(config(encoder_layers=2, decoder_layers=2, attention="additive")).state_dict()

    first, again, other = fresh(3), fresh(3), fresh(4)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first if "weight" in key)


def test_forget_gates_start_at_the_configured_bias():
    model = LSTMForConditionalGeneration(config(encoder_layers=2, decoder_layers=2, forget_bias=1.5))
    lstms = [module for module in model.modules() if isinstance(module, nn.LSTM)]
    assert len(lstms) == 5  # two directions twice, and the decoder
    for lstm in lstms:
        for layer in range(lstm.num_layers):
            bias = getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}")
            gates = bias.view(4, lstm.hidden_size)
            assert torch.equal(gates[1], torch.full_like(gates[1], 1.5))
            assert not gates[[0, 2, 3]].any()


@pytest.mark.parametrize("forget_bias", [-1.0, 0.0, 1.0])
def test_the_bias_is_the_forget_gates(forget_bias):
    """By what it does: with all weights zero one step keeps sigmoid(bias) of the cell, whatever the input."""
    lstm = LSTMForConditionalGeneration(config(forget_bias=forget_bias)).decoder.lstm
    with torch.no_grad():
        lstm.weight_ih_l0.zero_()
        lstm.weight_hh_l0.zero_()
        hidden, cell = torch.ones(1, 1, 8), torch.linspace(-2, 2, 8).view(1, 1, 8)
        _, (_, after) = lstm(torch.ones(1, 1, 6), (hidden, cell))
    torch.testing.assert_close(after, cell * torch.tensor(forget_bias).sigmoid())


def check_gradients(model, **inputs):
    """Every parameter has a gradient, and it is the loss' slope along a random direction. The slope also shows a path
    that is cut off while another still leads to the parameter, as with the embeddings, which are read in three places.
    """
    model = model.double()
    model(**inputs).loss.backward()
    chance, size = torch.Generator().manual_seed(0), 1e-5
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key
        direction = torch.randn(parameter.shape, generator=chance, dtype=parameter.dtype)
        with torch.no_grad():
            parameter.add_(direction, alpha=size)
            above = model(**inputs).loss
            parameter.sub_(direction, alpha=2 * size)
            below = model(**inputs).loss
            parameter.add_(direction, alpha=size)
        slope = (above - below) / (2 * size)
        torch.testing.assert_close((parameter.grad * direction).sum(), slope, atol=1e-7, rtol=1e-4, msg=key)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_gradients_reach_every_parameter(variant):
    labels = batch(rows((4, 2, 3, 5), seed=1), fill=-100)["input_ids"]
    check_gradients(seq2seq(**variant), **batch(rows(), fill=9), labels=labels)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_gradients_reach_every_parameter_of_a_classifier(pooling, layers):
    model = classifier(pooling=pooling, encoder_layers=layers)
    check_gradients(model, **batch(rows(), fill=9), labels=torch.tensor([0, 1, 2, 1]))


def test_loss_is_the_mean_over_real_labels():
    model, labels = seq2seq(), batch(rows((4, 2, 3, 5), seed=1), fill=-100)["input_ids"]
    output = model(**batch(rows()), labels=labels)
    picked = [
        -output.logits[row, place].log_softmax(-1)[label]
        for row, place, label in [(r, p, labels[r, p]) for r in range(4) for p in range(5)]
        if label != -100
    ]
    assert len(picked) == 14
    torch.testing.assert_close(output.loss, torch.stack(picked).mean())
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits.transpose(1, 2), labels, ignore_index=-100))
    as_tuple = model(**batch(rows()), labels=labels, return_dict=False)
    assert torch.equal(as_tuple[0], output.loss) and torch.equal(as_tuple[1], output.logits)


def test_classifier_loss():
    model, labels = classifier(), torch.tensor([0, 1, 2, 1])
    output = model(**batch(rows()), labels=labels)
    torch.testing.assert_close(output.loss, -output.logits.log_softmax(-1)[torch.arange(4), labels].mean())


def test_labels_become_decoder_input():
    model = seq2seq(decoder_start_token_id=7, pad_token_id=0)
    labels = torch.tensor([[5, 6, 1, -100], [8, 1, -100, -100], [2, 3, 4, 1]])
    kept = labels.clone()
    shifted = model.prepare_decoder_input_ids_from_labels(labels)
    assert shifted.tolist() == [[7, 5, 6, 1], [7, 8, 1, 0], [7, 2, 3, 4]]
    assert torch.equal(labels, kept)
    source = batch(rows((5, 1, 7)))
    assert torch.equal(
        model(**source, labels=labels).logits, model(**source, decoder_input_ids=shifted, labels=labels).logits
    )
