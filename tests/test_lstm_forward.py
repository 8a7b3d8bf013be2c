"""What the LSTM models compute: against torch's own bidirectional LSTM, against loops written by hand, against
literal values; and that padding changes nothing."""

import pytest
import torch
from lstm_models import LENGTHS, VARIANTS, batch, classifier, config, left_batch, name, rows, seq2seq, spread
from torch import nn

from pipelines.lstm import LSTMForConditionalGeneration, LSTMForSequenceClassification
from pipelines.lstm.modeling_lstm import LSTMEncoder

TARGETS = batch(rows((4, 4, 4, 4), seed=1))["input_ids"]
close = torch.testing.assert_close


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_encoder_is_torchs_bidirectional_lstm(layers):
    encoder = spread(LSTMEncoder(config(encoder_layers=layers)))
    reference = nn.LSTM(6, 4, num_layers=layers, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for layer in range(layers):
            for part, suffix in ((encoder.forward_layers, ""), (encoder.backward_layers, "_reverse")):
                for key, parameter in part[layer].named_parameters():
                    getattr(reference, key.replace("_l0", f"_l{layer}") + suffix).copy_(parameter)
    source = batch(rows(), fill=9)
    packed = nn.utils.rnn.pack_padded_sequence(
        encoder.embed_tokens(source["input_ids"]), LENGTHS, batch_first=True, enforce_sorted=False
    )
    expected = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)[0]
    close(encoder(**source).last_hidden_state, expected)  # zero where padded, as torch pads


@pytest.mark.parametrize("fill", [0, 9])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_classifier_on_a_ragged_batch_is_one_by_one(pooling, layers, fill):
    model, texts = classifier(pooling=pooling, encoder_layers=layers), rows()
    alone = torch.cat([model(text[None]).logits for text in texts])
    close(model(**batch(texts, fill)).logits, alone)
    longer = batch([*texts, torch.full((20,), 5)], fill)  # more padding than text
    close(model(**longer).logits[:4], alone)
    assert not torch.allclose(alone[0], alone[2], atol=0.01)


@pytest.mark.parametrize("fill", [0, 9])
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_seq2seq_on_a_ragged_batch_is_one_by_one(variant, fill):
    model, texts = seq2seq(**variant), rows()
    alone = torch.cat([model(text[None], decoder_input_ids=TARGETS[:1]).logits for text in texts])
    close(model(**batch(texts, fill), decoder_input_ids=TARGETS[:1].expand(4, -1)).logits, alone)
    assert not torch.allclose(alone[0], alone[2], atol=0.01)  # the source counts


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_classifier_padded_on_the_left_is_as_on_the_right(pooling, layers):
    model, texts = classifier(pooling=pooling, encoder_layers=layers), rows()
    close(model(**left_batch(texts, fill=9)).logits, model(**batch(texts)).logits)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_seq2seq_padded_on_the_left_is_as_on_the_right(variant):
    model, texts = seq2seq(**variant), rows()
    logits = [model(**side, decoder_input_ids=TARGETS).logits for side in (left_batch(texts, fill=9), batch(texts))]
    close(*logits)


def test_padding_on_the_target_changes_nothing_before_it():
    model, source = seq2seq(attention="dot", input_feeding=True), batch(rows())
    garbage = torch.cat([TARGETS[:, :2], TARGETS.flip(0)[:, :2]], dim=1)
    close(
        model(**source, decoder_input_ids=garbage).logits[:, :2],
        model(**source, decoder_input_ids=TARGETS).logits[:, :2],
    )


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_an_empty_text_has_a_finite_answer(pooling):
    source = batch([rows()[0], torch.tensor([], dtype=torch.long)])
    assert source["attention_mask"].sum(1).tolist() == [5, 0]
    assert classifier(pooling=pooling)(**source).logits.abs().max() < 100


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_an_empty_source_has_a_finite_answer(variant):
    source = batch([rows()[0], torch.tensor([], dtype=torch.long)])
    assert seq2seq(**variant)(**source, decoder_input_ids=TARGETS[:2]).logits.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lengths_are_exact_in_every_precision(dtype):
    """bfloat16 can't count to 257, float16 not to 2049: a length summed in the model's own type would be wrong."""
    encoder = spread(LSTMEncoder(config())).to(dtype)
    texts = rows((2049, 257, 3))
    source = batch(texts)
    together = encoder(**source).last_hidden_state
    for text, row in zip(texts, together, strict=True):
        alone = encoder(text[None]).last_hidden_state[0]  # without a mask
        close(row[: len(text)], alone, atol=0.02, rtol=0)
        reversed_first = encoder.backward_layers[0](encoder.embed_tokens(text[None]).flip(1))[0][0, 0]
        close(alone[-1, 4:], reversed_first, atol=0.02, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_first_decoder_state_does_not_see_padding(variant):
    model, texts = seq2seq(**variant), rows()
    source = batch(texts, fill=9)
    mask = source["attention_mask"]
    state = model.decoder.start(model.encoder(**source).last_hidden_state, mask)
    layers = variant["decoder_layers"]
    assert state.hidden.shape == state.cell.shape == (layers, 4, 8) and state.get_seq_length() == 0
    for row, text in enumerate(texts):
        alone = model.encoder(text[None]).last_hidden_state
        alone = model.decoder.start(alone, torch.ones(1, len(text), dtype=torch.long))
        close(state.hidden[:, row], alone.hidden[:, 0])
        close(state.cell[:, row], alone.cell[:, 0])
    if variant["input_feeding"]:
        assert state.feed.shape == (4, 6) and not state.feed.any()
    assert not torch.allclose(state.hidden[:, 0], state.hidden[:, 2], atol=0.01)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_attention_weights(variant):
    model, source = seq2seq(**variant), batch(rows(), fill=9)
    output = model(**source, decoder_input_ids=TARGETS, output_attentions=True)
    if variant["attention"] == "none":
        assert output.cross_attentions is None
        return
    (weights,) = output.cross_attentions
    assert weights.shape == (4, 1, 4, 7)  # batch, one head, target, source
    close(weights.sum(-1), torch.ones(4, 1, 4))
    padded = (source["attention_mask"] == 0)[:, None, None].expand_as(weights)
    assert not weights[padded].any() and weights[~padded].all()
    assert weights[2].std(-1).min() > 1e-3  # and they choose
    assert model(**source, decoder_input_ids=TARGETS).cross_attentions is None


# The whole model once more, in loops over single vectors, one text at a time.


def cell(lstm: nn.LSTM, layer: int, x, h, c):
    """Hochreiter and Schmidhuber's cell with forget gates; torch's order: input, forget, cell, output."""
    w_x, w_h = getattr(lstm, f"weight_ih_l{layer}"), getattr(lstm, f"weight_hh_l{layer}")
    b_x, b_h = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
    i, f, g, o = (w_x @ x + b_x + w_h @ h + b_h).view(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def encode_by_hand(encoder, text):
    vectors = [encoder.embed_tokens.weight[token] for token in text]
    for forward, backward in zip(encoder.forward_layers, encoder.backward_layers, strict=True):
        halves = []
        for lstm, order in ((forward, vectors), (backward, vectors[::-1])):
            h = c = torch.zeros(lstm.hidden_size)
            halves.append([])
            for x in order:
                h, c = cell(lstm, 0, x, h, c)
                halves[-1].append(h)
        vectors = [torch.cat(pair) for pair in zip(halves[0], halves[1][::-1], strict=True)]
    half = len(vectors[0]) // 2
    return vectors, torch.cat([vectors[-1][:half], vectors[0][half:]])


def attend_by_hand(attention, state, vectors):
    scores = []
    for vector in vectors:
        key = attention.key.weight @ vector
        if attention.additive:  # v · tanh(W s + U h), Bahdanau et al. 2015
            joint = torch.tanh(attention.query.weight @ state + attention.query.bias + key)
            scores.append(attention.score.weight[0] @ joint)
        else:  # s · W h, Luong et al. 2015, scaled
            scores.append(state @ key / len(state) ** 0.5)
    total = sum(score.exp() for score in scores)
    weights = [score.exp() / total for score in scores]
    return sum(weight * vector for weight, vector in zip(weights, vectors, strict=True)), weights


def logits_by_hand(model, text, prefix):
    decoder = model.decoder
    vectors, final = encode_by_hand(model.encoder, text)
    hs = list(torch.tanh(decoder.start_hidden.weight @ final + decoder.start_hidden.bias).view(decoder.layers, -1))
    cs = list((decoder.start_cell.weight @ final + decoder.start_cell.bias).view(decoder.layers, -1))
    feed, result = torch.zeros(model.config.d_model), []
    for token in prefix:
        x = model.encoder.embed_tokens.weight[token]
        if model.config.input_feeding:
            x = torch.cat([x, feed])
        for layer in range(decoder.layers):
            hs[layer], cs[layer] = cell(decoder.lstm, layer, x, hs[layer], cs[layer])
            x = hs[layer]
        if model.config.attention != "none":
            context, weights = attend_by_hand(decoder.attention, x, vectors)
            x = torch.cat([context, x])
        feed = torch.tanh(decoder.combine.weight @ x + decoder.combine.bias)
        result.append(model.encoder.embed_tokens.weight @ feed + model.lm_head.bias)
        if model.config.copying:  # See et al. 2017, equation 9
            written = torch.sigmoid(model.gate.weight[0] @ feed + model.gate.bias)
            mixed = written * result[-1].softmax(0)
            for source, weight in zip(text, weights, strict=True):
                mixed[source] += (1 - written[0]) * weight
            result[-1] = mixed.log()
    return torch.stack(result)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_forward_is_the_loop_written_by_hand(variant):
    model, texts = seq2seq(**variant), rows()
    texts[0][1] = texts[0][4]  # a token that stands twice
    output = model(**batch(texts, fill=9), decoder_input_ids=TARGETS)
    for row, text in enumerate(texts):
        close(output.logits[row], logits_by_hand(model, text, TARGETS[row]))


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_attention_is_the_loop_written_by_hand(attention):
    module, source = seq2seq(attention=attention).decoder.attention, batch(rows())
    chance = torch.Generator().manual_seed(5)
    states, annotations = torch.randn(4, 3, 8, generator=chance), torch.randn(4, 7, 8, generator=chance)
    context, _ = module(states, module.key(annotations), annotations, source["attention_mask"])
    for row, length in enumerate(LENGTHS):
        for step in range(3):
            expected, _ = attend_by_hand(module, states[row, step], list(annotations[row, :length]))
            close(context[row, step], expected)


def waves(model):
    """Parameters from a formula, so that the literal values below depend on no random generator."""
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(model.named_parameters())):
            steps = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((0.7 * torch.sin(1.3 * steps + number)).view(parameter.shape))
    return model.eval()


SMALL = {"vocab_size": 5, "d_model": 2, "hidden_size": 4}
SOURCE = {
    "input_ids": torch.tensor([[2, 3, 4, 1], [4, 1, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
}
PINNED = {
    ("none", False): [[0.59235, 0.0425, 0.89757, -0.9806, -0.45873], [0.70056, -0.06548, 0.9744, -1.00429, -0.49495]],
    ("none", True): [[0.6766, -0.02552, 0.9299, -0.96797, -0.51269], [0.58146, 0.04793, 0.89916, -0.98875, -0.44635]],
    ("additive", False): [
        [-0.96357, -0.42645, 0.52989, 0.22739, 0.62428],
        [-1.01867, -0.35047, 0.45478, 0.28013, 0.609],
    ],
    ("additive", True): [
        [-0.87942, -0.51256, 0.59332, 0.20481, 0.59955],
        [-0.97975, -0.41106, 0.5197, 0.22947, 0.6309],
    ],
    ("dot", False): [[1.00442, -0.12284, 0.20949, -1.13648, 0.25313], [0.94926, -0.12652, 0.27096, -1.23814, 0.36589]],
    ("dot", True): [[1.08665, -0.15296, 0.17888, -1.0539, 0.14222], [0.97528, -0.11973, 0.23331, -1.1804, 0.30459]],
}


@pytest.mark.parametrize(("attention", "feeding"), list(PINNED), ids=str)
def test_seq2seq_gives_these_values(attention, feeding):
    model = waves(LSTMForConditionalGeneration(config(**SMALL, attention=attention, input_feeding=feeding)))
    last = model(**SOURCE, decoder_input_ids=torch.tensor([[0, 2, 3], [0, 4, 2]])).logits[:, -1]
    close(last, torch.tensor(PINNED[attention, feeding]), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("max", [[0.13943, 0.86043], [0.11177, 0.83478]]),
        ("mean", [[0.05347, 0.82789], [0.03691, 0.84098]]),
        ("last", [[0.13509, 0.79568], [0.10589, 0.81774]]),
    ],
)
def test_classifier_gives_these_values(pooling, expected):
    model = waves(LSTMForSequenceClassification(config(**SMALL, pooling=pooling, num_labels=2)))
    close(model(**SOURCE).logits, torch.tensor(expected), atol=2e-5, rtol=0)


def test_a_model_that_copies_wants_something_to_copy():
    model, source = seq2seq(attention="dot", copying=True), batch(rows())
    embedded = model.get_input_embeddings()(source["input_ids"])
    with pytest.raises(ValueError, match="needs input_ids"):
        model(inputs_embeds=embedded, attention_mask=source["attention_mask"], labels=source["input_ids"])
    with pytest.raises(ValueError, match="copying needs attention"):
        config(attention="none", copying=True)
