"""The LSTM reader: what it computes against plain loops and torch's own layers, and what padding must not change."""

import pytest
import torch
import torch.nn.functional as F
from lstm_models import config, spread
from transformers import AutoModelForQuestionAnswering

from pipelines.lstm import LSTMForQuestionAnswering
from pipelines.lstm.modeling_reader import LSTMAttentionFlow, LSTMBidirectional

CLS, SEP = 2, 3
ROWS = [([5, 6], [7, 5, 8, 9]), ([9], [10]), ([4, 11, 12, 5, 6], [6, 5, 4, 12, 7, 7, 8]), ([7, 7], [8, 9, 10])]


def reader(seed: int = 0, **settings) -> LSTMForQuestionAnswering:
    return spread(LSTMForQuestionAnswering(config(dropout=0.0, **settings)), seed)


def packed(rows=ROWS, side: str = "right", fill: int = 0) -> dict[str, torch.Tensor]:
    """Questions and contexts as a tokenizer packs them, with `fill` where padded."""
    ids = [torch.tensor([CLS, *question, SEP, *context, SEP]) for question, context in rows]
    types = [torch.tensor([0] * (len(question) + 2) + [1] * (len(context) + 1)) for question, context in rows]
    options = {"batch_first": True, "padding_side": side}
    return {
        "input_ids": torch.nn.utils.rnn.pad_sequence(ids, padding_value=fill, **options),
        "token_type_ids": torch.nn.utils.rnn.pad_sequence(types, **options),
        "attention_mask": torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], **options),
    }


@pytest.mark.parametrize("layers", (1, 2))
@pytest.mark.parametrize("side", ("right", "left"))
def test_a_ragged_batch_is_each_row_alone(side, layers):
    model = reader(encoder_layers=layers)
    batch = packed(side=side, fill=9)  # what stands where padded must not be read
    together = model(**batch)
    different = set()
    for i, row in enumerate(ROWS):
        alone, real = model(**packed([row])), batch["attention_mask"][i].bool()
        for name in ("start_logits", "end_logits"):
            torch.testing.assert_close(together[name][i][real], alone[name][0], rtol=1e-5, atol=1e-6)
        different.add(round(alone.start_logits.max().item(), 4))
    assert len(different) == len(ROWS)  # or equal answers to everything would pass


def test_only_the_context_is_scored():
    for output in (reader()(**packed()), reader()(**packed(side="left"))):
        assert output.start_logits.shape == output.end_logits.shape
    batch = packed()
    output, lowest = reader()(**batch), torch.finfo(torch.float32).min
    for scores in (output.start_logits, output.end_logits):
        scored = scores > lowest
        assert torch.equal(scored, batch["token_type_ids"] * batch["attention_mask"] == 1)
        assert scores.isfinite().all() and scores[scored].abs().max() < 1e4


def test_without_token_types_it_says_what_is_missing():
    batch = packed()
    del batch["token_type_ids"]
    with pytest.raises(ValueError, match="token_type_ids"):
        reader()(**batch)


def test_the_answer_depends_on_question_order_of_words_and_context():
    model = reader()
    base = model(**packed([([5, 6], [7, 5, 8, 9])])).start_logits
    for other in (([6, 5], [7, 5, 8, 9]), ([5, 11], [7, 5, 8, 9]), ([5, 6], [7, 8, 5, 9])):
        assert not torch.allclose(model(**packed([other])).start_logits, base, atol=1e-4)


def test_both_directions_are_torchs_own_bidirectional_layer():
    chance = torch.Generator().manual_seed(3)
    ours, theirs = LSTMBidirectional(5, 8), torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    for end, layer in (("", ours.ahead), ("_reverse", ours.behind)):
        for name, parameter in layer.named_parameters():
            getattr(theirs, name + end).data.copy_(parameter.data)
    lengths = torch.tensor([4, 1, 6])
    x = torch.randn(3, 6, 5, generator=chance)
    mask = (torch.arange(6) < lengths.unsqueeze(1)).long()
    sequence = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(sequence)[0], batch_first=True)
    torch.testing.assert_close(ours(x, mask), expected)


def test_attention_flow_is_its_equations_word_by_word():
    """Seo et al. 2017, equations 1 to 4, in loops over real tokens; the product is scaled by 1/sqrt(H) here."""
    flow = spread(LSTMAttentionFlow(4), seed=2)
    chance = torch.Generator().manual_seed(1)
    c, q = torch.randn(2, 5, 4, generator=chance), torch.randn(2, 3, 4, generator=chance)
    lengths = [(5, 2), (2, 3)]
    c_mask, q_mask = (
        torch.stack([(torch.arange(width) < pair[side]).long() for pair in lengths])
        for side, width in enumerate((5, 3))
    )
    found = flow(c, c_mask, q, q_mask)
    for row, (contexts, questions) in enumerate(lengths):
        scores = torch.zeros(contexts, questions)
        for i in range(contexts):
            for j in range(questions):
                both = (c[row, i] * flow.both * q[row, j]).sum() / 2
                linear = flow.context.weight[0] @ c[row, i] + flow.question.weight[0] @ q[row, j]
                scores[i, j] = both + linear
        weights = scores.max(1).values.softmax(0)
        back = sum(weights[i] * c[row, i] for i in range(contexts))
        for i in range(contexts):
            asked = sum(scores[i].softmax(0)[j] * q[row, j] for j in range(questions))
            expected = torch.cat([c[row, i], asked, c[row, i] * asked, c[row, i] * back])
            torch.testing.assert_close(found[row, i], expected, rtol=1e-5, atol=1e-6)


def test_loss_is_the_mean_of_both_ends():
    places = {"start_positions": torch.tensor([4, 3, 8, 5]), "end_positions": torch.tensor([6, 3, 9, 5])}
    output = reader()(**packed(), **places)
    ends = ((output.start_logits, places["start_positions"]), (output.end_logits, places["end_positions"]))
    torch.testing.assert_close(output.loss, sum(F.cross_entropy(logits, place) for logits, place in ends) / 2)
    assert reader()(**packed()).loss is None


@pytest.mark.parametrize("frozen", (False, True))
def test_every_weight_learns_but_the_embeddings_that_are_frozen(frozen):
    model = LSTMForQuestionAnswering(config(dropout=0.0, encoder_layers=2, freeze_embeddings=frozen)).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=10.0)
    places = {"start_positions": torch.tensor([4, 3, 8, 5]), "end_positions": torch.tensor([6, 3, 9, 5])}
    for _ in range(2):
        model(**packed(), **places).loss.backward()
        optimizer.step()
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert still == (["embed_tokens.weight"] if frozen else [])
    assert model.config.freeze_embeddings is frozen


def test_it_learns_to_find_what_follows_the_questions_word():
    """Nothing but the question tells which of the words is meant, so this can't be learnt from places alone."""
    torch.manual_seed(0)
    model = LSTMForQuestionAnswering(config(d_model=12, hidden_size=16, dropout=0.0)).train()
    chance = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    def drawn(count: int):
        contexts = [torch.randperm(9, generator=chance)[:6].add(4).tolist() for _ in range(count)]
        asked = torch.randint(0, 5, (count,), generator=chance)  # the place in the context of the word asked for
        batch = packed([([context[place]], context) for context, place in zip(contexts, asked.tolist(), strict=True)])
        return batch, asked + 3 + 1  # [CLS] word [SEP] in front, and the answer is the next word

    for _ in range(80):
        batch, place = drawn(32)
        optimizer.zero_grad()
        model(**batch, start_positions=place, end_positions=place).loss.backward()
        optimizer.step()
    batch, place = drawn(64)
    output = model.eval()(**batch)
    right = (output.start_logits.argmax(1) == place) & (output.end_logits.argmax(1) == place)
    assert right.float().mean() > 0.9


def test_saved_and_loaded_it_answers_the_same(tmp_path):
    model = reader(freeze_embeddings=True, encoder_layers=2)
    model.save_pretrained(tmp_path)
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path)
    assert isinstance(again, LSTMForQuestionAnswering)
    assert again.config.freeze_embeddings and again.config.encoder_layers == 2
    for scores, expected in zip(again(**packed())[:2], model(**packed())[:2], strict=True):
        torch.testing.assert_close(scores, expected)
    assert not again.embed_tokens.weight.requires_grad
