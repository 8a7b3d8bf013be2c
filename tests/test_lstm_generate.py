"""What `GenerationMixin` does with the LSTM: state between steps, greedy and beam search, sampling, streaming."""

import itertools

import pytest
import torch
from lstm_models import (
    EOS,
    PAD,
    VARIANTS,
    answer,
    batch,
    classifier,
    config,
    ended,
    half_trained,
    learn_to_copy,
    name,
    rows,
    seq2seq,
)
from transformers.generation.streamers import BaseStreamer

from pipelines.lstm import LSTMForConditionalGeneration
from pipelines.lstm.configuration_lstm import CACHE
from pipelines.lstm.modeling_lstm import LSTMState

close = torch.testing.assert_close
TARGETS = batch(rows((6, 6, 6, 6), seed=1))["input_ids"]


TEXTS = ended(rows((5, 1, 7, 3, 6, 2)))
KINDS = [name(variant) for variant in VARIANTS]


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_steps_with_a_state_are_the_whole_sequence(variant):
    model, source = seq2seq(**variant), batch(rows(), fill=9)
    whole = model(**source, decoder_input_ids=TARGETS, output_attentions=True)
    for cuts in ([1] * 6, [2, 3, 1], [5, 1]):
        state, parts = None, []
        for piece in TARGETS.split(cuts, dim=1):
            parts.append(
                model(**source, decoder_input_ids=piece, **{CACHE: state}, use_cache=True, output_attentions=True)
            )
            state = parts[-1][CACHE]
        close(torch.cat([part.logits for part in parts], dim=1), whole.logits)
        if variant["attention"] != "none":
            close(torch.cat([part.cross_attentions[0] for part in parts], dim=2), whole.cross_attentions[0])
        assert state.get_seq_length() == whole[CACHE].get_seq_length() == 6
        close(state.cell, whole[CACHE].cell)
    assert model(**source, decoder_input_ids=TARGETS, use_cache=False).get(CACHE) is None


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_a_step_leaves_the_state_it_was_given(variant):
    model, source = seq2seq(**variant), batch(rows())
    state = model(**source, decoder_input_ids=TARGETS[:, :2])[CACHE]
    first, again = (model(**source, decoder_input_ids=TARGETS[:, 2:3], **{CACHE: state}).logits for _ in range(2))
    assert torch.equal(first, again) and state.get_seq_length() == 2


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_a_reordered_state_goes_on_from_other_rows(variant):
    """Two beams of one source each: rows change places within a source, as beams do."""
    model, source = seq2seq(**variant), batch([rows()[0], rows()[0], rows()[2], rows()[2]])
    state = model(**source, decoder_input_ids=TARGETS[:, :3])[CACHE]
    order = torch.tensor([1, 0, 3, 3])
    state.reorder_cache(order)
    stepped = model(**source, decoder_input_ids=TARGETS[:, 3:4], **{CACHE: state}).logits
    prefix = torch.cat([TARGETS[order, :3], TARGETS[:, 3:4]], dim=1)
    close(stepped[:, 0], model(**source, decoder_input_ids=prefix).logits[:, -1])


@pytest.mark.parametrize("search", [{}, {"num_beams": 4}, {"num_beams": 4, "use_cache": False}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_generate_on_a_ragged_batch_is_one_by_one(kind, search):
    model = half_trained(kind)
    together = model.generate(**batch(TEXTS, fill=9), max_new_tokens=9, **search)
    alone = [answer(model.generate(text[None], max_new_tokens=9, **search)[0]) for text in TEXTS]
    assert [answer(row) for row in together] == alone
    assert len({tuple(tokens) for tokens in alone}) > 2 < len({len(tokens) for tokens in alone})  # ragged, too
    for row, tokens in zip(together, alone, strict=True):
        assert set(row[1 + len(tokens) :].tolist()) <= {PAD, EOS}


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_the_best_next_token_each_time(kind):
    """One beam, the state on or off, and a loop without `generate` agree."""
    model, source = half_trained(kind), batch(TEXTS)
    prefix, over = torch.full((6, 1), PAD), torch.zeros(6, dtype=torch.bool)
    for _ in range(8):
        best = model(**source, decoder_input_ids=prefix).logits[:, -1].argmax(-1).masked_fill(over, PAD)
        prefix, over = torch.cat([prefix, best[:, None]], dim=1), over | (best == EOS)
    expected = [answer(row) for row in prefix]
    for search in ({"num_beams": 1}, {"num_beams": 1, "use_cache": False}, {"do_sample": True, "top_k": 1}):
        assert [answer(row) for row in model.generate(**source, max_new_tokens=8, **search)] == expected


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_beam_search_with_a_state_is_beam_search_without(kind, penalty, monkeypatch):
    """Without a state nothing can be reordered wrong: every step reads its beams from the start. The score of each
    answer is what the model gives it, read in one pass."""
    orders, reorder = [], LSTMState.reorder_cache
    monkeypatch.setattr(LSTMState, "reorder_cache", lambda self, rows: (orders.append(rows), reorder(self, rows)))
    model, source = half_trained(kind), batch(TEXTS)
    settings = {
        "num_beams": 3,
        "num_return_sequences": 3,
        "max_new_tokens": 7,
        "length_penalty": penalty,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    stepped, whole = (model.generate(**source, **settings, use_cache=cache) for cache in (True, False))
    assert torch.equal(stepped.sequences, whole.sequences)
    close(stepped.sequences_scores, whole.sequences_scores)
    assert any(order.tolist() != list(range(18)) for order in orders[1:])  # beams did change places
    for row, (sequence, score) in enumerate(zip(stepped.sequences, stepped.sequences_scores, strict=True)):
        tokens = answer(sequence)
        expected = log_probability(model, TEXTS[row // 3][None], [tokens])[0] / len(tokens) ** penalty
        close(score, expected, atol=1e-5, rtol=1e-5)


def log_probability(model, text: torch.Tensor, answers: list[list[int]]) -> torch.Tensor:
    """Of each answer as a whole, in one forward pass without a state."""
    targets = batch([torch.tensor(tokens) for tokens in answers], fill=-100)["input_ids"]
    logits = model(text.expand(len(answers), -1), labels=targets, use_cache=False).logits
    chosen = logits.log_softmax(-1).gather(2, targets.clamp(min=0)[..., None])[..., 0]
    return chosen.masked_fill(targets == -100, 0).sum(1)


@pytest.mark.parametrize(("penalty", "stopping"), [(0.0, "never"), (1.0, False), (-1.0, False), (2.0, True)])
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_beam_search_is_brute_force(variant, penalty, stopping):
    """With at least as many beams as there are sequences, beam search forgets none, so its list of answers is *the*
    list: all sequences that end within three tokens or are cut there, by log-probability / length ** penalty."""
    model, texts = seq2seq(**variant, vocab_size=4, scale=1.2), rows((5, 1, 3), vocab=4)
    others = [token for token in range(4) if token != EOS]
    every = [[*start, EOS] for length in range(3) for start in itertools.product(others, repeat=length)]
    every += [list(tokens) for tokens in itertools.product(others, repeat=3)]
    assert len(every) == 1 + 3 + 9 + 27
    found = model.generate(
        **batch(texts, fill=3),
        num_beams=64,
        num_return_sequences=len(every),
        max_new_tokens=3,
        length_penalty=penalty,
        early_stopping=stopping,
        return_dict_in_generate=True,
        output_scores=True,
    )
    for row, text in enumerate(texts):
        lengths = torch.tensor([len(tokens) for tokens in every])
        expected = log_probability(model, text[None], every) / lengths**penalty
        mine = slice(row * len(every), (row + 1) * len(every))
        answers = [tuple(answer(sequence)) for sequence in found.sequences[mine]]
        assert set(answers) == {tuple(tokens) for tokens in every}
        scores = dict(zip(map(tuple, every), expected.tolist(), strict=True))
        close(found.sequences_scores[mine], torch.tensor([scores[tokens] for tokens in answers]), atol=1e-5, rtol=1e-5)
        close(found.sequences_scores[mine], expected.sort(descending=True)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["none", "additive", "dot"])
def test_sampling(attention):
    model, source = seq2seq(attention=attention), batch(rows((5, 1, 7, 3)))

    def sample(seed):
        torch.manual_seed(seed)
        return model.generate(
            **source, do_sample=True, num_return_sequences=20, max_new_tokens=10, suppress_tokens=[PAD, 4, 7]
        )

    first = sample(0)
    assert first.shape[0] == 80 and torch.equal(first, sample(0)) and not torch.equal(first, sample(1))
    seen = {token for row in first for token in answer(row)}
    assert seen == set(range(1, 13)) - {4, 7}  # everything that is allowed, nothing else


def test_sampling_follows_the_probabilities():
    model, text = seq2seq(), rows()[0][None]
    torch.manual_seed(0)
    drawn = model.generate(text, do_sample=True, top_k=0, num_return_sequences=4000, max_new_tokens=1)[:, 1]
    expected = model(text, decoder_input_ids=torch.tensor([[PAD]])).logits[0, 0].softmax(-1)
    close(drawn.bincount(minlength=13) / 4000, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_streamer_hears_what_is_returned(kind):
    class Ear(BaseStreamer):
        heard, ended = (), False

        def put(self, value):
            self.heard += tuple(value.flatten().tolist())

        def end(self):
            self.ended = True

    model, ear = half_trained(kind), Ear()
    returned = model.generate(TEXTS[0][None], streamer=ear, max_new_tokens=8)
    assert ear.ended and list(ear.heard) == returned[0].tolist() and len(ear.heard) > 2


def test_generate_returns_the_attention():
    model, source = half_trained("dot-1"), batch(TEXTS)
    found = model.generate(**source, max_new_tokens=4, output_attentions=True, return_dict_in_generate=True)
    whole = model(**source, decoder_input_ids=found.sequences[:, :-1], output_attentions=True).cross_attentions[0]
    close(torch.cat([step[0] for step in found.cross_attentions], dim=2)[0], whole[0])


def test_generate_from_a_given_encoding():
    """As the pipelines of the Hub do it to encode once and decode often."""
    model, source = half_trained("additive-2"), batch(TEXTS)
    encoded = model.get_encoder()(**source)
    given = model.generate(
        encoder_outputs=encoded, attention_mask=source["attention_mask"], num_beams=2, max_new_tokens=6
    )
    assert torch.equal(given, model.generate(**source, num_beams=2, max_new_tokens=6))


@pytest.mark.parametrize("feeding", [False, True])
def test_a_tiny_model_learns_to_copy(feeding):
    """The whole family at work: with attention, 16 ragged texts are copied word by word after some hundred steps."""
    torch.manual_seed(0)
    settings = {"attention": "dot", "input_feeding": feeding, "dropout": 0.0}
    model = LSTMForConditionalGeneration(config(vocab_size=20, d_model=32, hidden_size=64, **settings))
    texts = ended(rows([1 + n % 8 for n in range(16)], vocab=20, seed=2))
    learn_to_copy(model, texts, steps=200, rate=0.005)
    for beams in (1, 3):
        generated = model.generate(**batch(texts), num_beams=beams, max_new_tokens=12)
        assert [answer(row) for row in generated] == [text.tolist() for text in texts]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_on_a_gpu(variant, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # its default rounds float32 to 10 bits
    model, source = seq2seq(**variant), batch(rows(), fill=9)
    expected = model(**source, decoder_input_ids=TARGETS).logits
    beams = {"num_beams": 3, "max_new_tokens": 8}
    answers = model.generate(**source, **beams)
    model, source = model.cuda(), {key: value.cuda() for key, value in source.items()}
    close(model(**source, decoder_input_ids=TARGETS.cuda()).logits.cpu(), expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(model.generate(**source, **beams).cpu(), answers)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cuda", dtype):
            model(**source, labels=TARGETS.cuda()).loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    for dtype in (torch.bfloat16, torch.float16):
        model = model.to(dtype)
        half = model(**source, decoder_input_ids=TARGETS.cuda()).logits
        assert half.dtype is dtype
        close(half.float().cpu(), expected, atol=0.1, rtol=0.1)
        assert model.generate(**source, **beams).shape[0] == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_a_classifier_on_a_gpu(pooling, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model, source = classifier(pooling=pooling, encoder_layers=2), batch(rows(), fill=9)
    expected = model(**source).logits
    model, source = model.cuda(), {key: value.cuda() for key, value in source.items()}
    close(model(**source).logits.cpu(), expected, atol=1e-3, rtol=1e-3)
    close(model.half()(**source).logits.float().cpu(), expected, atol=0.05, rtol=0.05)
