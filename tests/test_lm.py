"""The LSTM language model and what both arms train on: each token from those before it, and nothing else."""

import math

import pytest
import torch
import torch.nn.functional as F
from complete_models import FAMILIES, ODD, log_probabilities, model, tokenizer
from conftest import ENGLISH
from lstm_models import config, left_batch, rows, spread
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines import scratch, text_generation
from pipelines.errors import UserError
from pipelines.lstm.configuration_lstm import CACHE
from pipelines.lstm.modeling_lm import LSTMForCausalLM

LENGTHS = (5, 1, 7, 3)


@pytest.fixture(scope="module", params=[1, 2], ids=["1 layer", "2 layers"])
def lstm(request):
    made = spread(LSTMForCausalLM(config(decoder_layers=request.param, dropout=0.5)), scale=2.0)
    with torch.no_grad():
        made.lm_head.bias.zero_()  # or one token is the likeliest everywhere
    return made


# --- the model ---


@torch.no_grad()
def test_cached_steps_on_a_left_padded_batch_are_each_row_alone(lstm):
    texts, more = rows(LENGTHS), torch.tensor([[2, 3, 4], [5, 6, 7], [8, 9, 10], [11, 12, 2]])
    batch = left_batch(texts, fill=9)
    got, state, mask = [], None, batch["attention_mask"]
    for step in (batch["input_ids"], more[:, :1], more[:, 1:2], more[:, 2:]):
        if state is not None:
            mask = torch.cat([mask, torch.ones_like(step)], 1)
        output = lstm(input_ids=step, attention_mask=mask, **{CACHE: state})
        got.append(output.logits)
        state = output[CACHE]
    got = torch.cat(got, 1)
    assert state.get_seq_length() == got.shape[1] == max(LENGTHS) + 3
    for i, text in enumerate(texts):
        whole = lstm(input_ids=torch.cat([text, more[i]])[None]).logits[0]
        torch.testing.assert_close(got[i, -len(whole) :], whole)


@torch.no_grad()
@pytest.mark.parametrize("mask", [[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], ids=str)
def test_padding_anywhere_leaves_the_state_alone(lstm, mask):
    """Also behind a state, and in a row of nothing but padding."""
    start = lstm(input_ids=torch.tensor([[3, 4], [5, 6]]))[CACHE]
    ids, mask = torch.tensor([[7, 8, 9, 10, 11], [2, 3, 4, 5, 6]]), torch.tensor([mask, [1] * 5])
    output = lstm(input_ids=ids, attention_mask=mask, **{CACHE: start})
    kept = ids[:1, mask[0].bool()]
    alone = lstm(input_ids=torch.tensor([[3, 4]]))[CACHE]
    if kept.shape[1]:
        bare = lstm(input_ids=kept, **{CACHE: alone})
        torch.testing.assert_close(output.logits[0, mask[0].bool()], bare.logits[0])
        alone = bare[CACHE]
    torch.testing.assert_close(output[CACHE].hidden[:, 0], alone.hidden[:, 0])
    torch.testing.assert_close(output[CACHE].cell[:, 0], alone.cell[:, 0])


@pytest.mark.parametrize("way", [{}, {"num_beams": 3, "num_return_sequences": 2}], ids=["greedy", "beams"])
def test_generate_gives_each_row_of_a_batch_what_it_gives_it_alone(lstm, way):
    texts = rows(LENGTHS)
    batch = left_batch(texts)
    copies = way.get("num_return_sequences", 1)
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0, **way}
    together = lstm.generate(**batch, **settings)[:, max(LENGTHS) :].view(len(texts), copies, -1)
    for cached in (True, False):
        for i, text in enumerate(texts):
            alone = lstm.generate(text[None], attention_mask=torch.ones(1, len(text)), use_cache=cached, **settings)
            assert torch.equal(alone[:, len(text) :], together[i])
    assert len({tuple(row) for row in together[:, 0].tolist()}) > 1  # or any mix-up of rows would pass


def test_sampling_draws_from_the_models_own_distribution(lstm):
    prompt = torch.tensor([[3, 4, 5]])
    torch.manual_seed(0)
    drawn = lstm.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=True, top_k=0, max_new_tokens=1,
        num_return_sequences=4000, pad_token_id=0,
    )  # fmt: skip
    share = torch.bincount(drawn[:, -1], minlength=13).double() / len(drawn)
    torch.testing.assert_close(share, log_probabilities(lstm, [3, 4, 5])[-1].exp(), atol=0.03, rtol=0)


@torch.no_grad()
def test_logits_to_keep_and_the_hubs_loss(lstm):
    ids = torch.stack(rows((6, 6)))
    output = lstm(input_ids=ids, labels=torch.tensor([ids[0].tolist(), [*ids[1, :4].tolist(), -100, -100]]))
    terms = F.cross_entropy(output.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(2, 5)
    assert float(output.loss) == pytest.approx(float(torch.cat([terms[0], terms[1, :3]]).mean()), rel=1e-5)
    last = lstm(input_ids=ids, logits_to_keep=1).logits
    torch.testing.assert_close(last, output.logits[:, -1:])


def test_every_parameter_learns_and_comes_back_from_a_file(lstm, tmp_path):
    made = spread(LSTMForCausalLM(lstm.config))
    made(input_ids=torch.stack(rows((6, 6))), labels=torch.stack(rows((6, 6)))).loss.backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert made.lm_head.weight is made.embed_tokens.weight
    made.save_pretrained(tmp_path)
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(read) is LSTMForCausalLM
    assert torch.equal(read(rows((4,))[0][None]).logits, made(rows((4,))[0][None]).logits)


# --- the vocabulary ---


def test_the_tokenizer_loses_nothing_and_is_saved_whole(tmp_path):
    made = tokenizer()
    made.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    for text in ENGLISH + ODD:
        ids = read(text, split_special_tokens=True)["input_ids"]
        assert ids[0] == made.bos_token_id == made.eos_token_id == made.pad_token_id and ids[0] not in ids[1:]
        assert read.decode(ids[1:]) == text
        assert text_generation.start_and(made, [text]) == [ids]


def test_a_vocabulary_is_made_from_a_seeded_share_of_many_texts():
    texts = [f"{word} {i}" for i, word in enumerate(ENGLISH * 20)]
    part = scratch.byte_tokenizer(texts, 350, sample=2000)
    assert part.get_vocab() == scratch.byte_tokenizer(iter(texts), 350, sample=2000).get_vocab()
    assert part.get_vocab() != scratch.byte_tokenizer(texts, 350).get_vocab()
    assert len(part) == 350


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_model_knows_where_texts_begin_and_what_pads_them(family):
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16} if family == "gpt2" else {"d_model": 8}
    made = scratch.new_model("text_generation", family, tokenizer(), sizes)
    assert made.get_input_embeddings().weight.shape == (len(tokenizer()), 8)
    assert (made.config.bos_token_id, made.config.eos_token_id, made.config.pad_token_id) == (0, 0, None)
    assert made.generation_config.pad_token_id == made.generation_config.eos_token_id == 0
    with pytest.raises(UserError, match="unknown size of a"):
        scratch.new_model("text_generation", family, tokenizer(), {"n_embed": 8})


# --- what is trained on ---


@pytest.fixture(scope="module")
def blocks():
    columns = text_generation.features(tokenizer(), ENGLISH + ODD, ENGLISH + ODD, max_length=16)
    return [{"input_ids": ids} for ids in columns["input_ids"]]


def test_each_token_is_predicted_once_behind_the_ones_before_it(blocks):
    assert all(text_generation.count(row) == text_generation.length(row) == 16 for row in blocks[:-1])
    assert 1 <= text_generation.count(blocks[-1]) <= 16
    assert all(a["input_ids"][-1] == b["input_ids"][0] for a, b in zip(blocks, blocks[1:], strict=False))
    whole = [*blocks[0]["input_ids"], *(i for row in blocks[1:] for i in row["input_ids"][1:])]
    assert whole[0] == whole[-1] == 0
    texts = bytes_of(whole).split(b"\0")[1:-1]
    assert sorted(texts) == sorted(text.encode() for text in ENGLISH + ODD)
    assert texts != [text.encode() for text in ENGLISH + ODD]  # shuffled: neighbours in a data set are alike


def bytes_of(ids) -> bytes:
    """The text of tokens, the start token as a zero byte."""
    pieces = text_generation.Vocabulary(tokenizer(), len(tokenizer())).bytes
    return b"".join(pieces[i] or b"\0" for i in ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_sum_over_each_row_alone(family, blocks):
    made, batch = model(family, len(tokenizer())), [blocks[0], blocks[-1], blocks[1]]
    assert len({len(row["input_ids"]) for row in batch}) == 2
    expected = 0.0
    for row in batch:
        ids = row["input_ids"].tolist()
        spent = log_probabilities(made, ids[:-1])
        expected -= float(spent[torch.arange(len(ids) - 1), ids[1:]].sum())
    tensors = text_generation.collate(batch, made.config)
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {"input_ids": torch.int64, "labels": torch.int64}
    with torch.no_grad():
        assert float(text_generation.loss(made, tensors)) == pytest.approx(expected, rel=1e-5)
    assert math.isfinite(expected) and expected > 0
