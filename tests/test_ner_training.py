"""What a tagger is trained on: rows, batches, losses; and that a few steps teach both arms a few sentences."""

import pytest
import torch
from ner_models import LABELS, LSTM, tagger

from pipelines import UserError, pipeline
from pipelines import token_classification as kind
from pipelines.lstm import LSTMConfig
from pipelines.lstm.modeling_tagger import PAD, UNKNOWN, char_ids, word_mask
from pipelines.tagging import IGNORED, iob2_tags
from tasks import load
from tasks.metrics import metrics_of
from tasks.predict import predict_all

TOKENS = [
    ["Ann", "O'Neill", "left", "the", "U.N.", "for", "Acme", "Lakes", "."],
    ["No"],
    ["happy", "PARIS", "and", "new", "York", "City", "met", "an", "old", "Zoë", "Lee", "and", "Bo", "."],
    ["stationery", "costs", "12.50"],
]
TARGETS = [
    [["PER", 0, 11], ["ORG", 21, 25], ["ORG", 30, 40]],
    [],
    [["LOC", 6, 11], ["LOC", 20, 29], ["PER", 41, 48], ["PER", 53, 55]],
    [["MISC", 0, 10]],
]
INPUTS = [{"tokens": tokens} for tokens in TOKENS]


def rows_of(tokenizer, inputs=INPUTS, targets=TARGETS, **options) -> list[dict]:
    columns = kind.features(tokenizer, inputs, targets, labels=LABELS, **options)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.fixture(params=["lstm", "bert"])
def model(request, word_tokenizer):
    return tagger(request.param, word_tokenizer)


def test_entities_become_iob2_tags():
    assert iob2_tags(TOKENS[0], TARGETS[0]) == ["B-PER", "I-PER", "O", "O", "B-ORG", "O", "B-ORG", "I-ORG", "O"]
    assert iob2_tags(["a", "b"], [["PER", 0, 1], ["PER", 2, 3]]) == ["B-PER", "B-PER"]
    for wrong in ([["PER", 1, 2]], [["PER", 0, 7], ["ORG", 4, 11]]):
        with pytest.raises(UserError, match="no entity can be at"):
            iob2_tags(TOKENS[0], wrong)


def test_labels_stand_at_the_first_piece_of_each_word(word_tokenizer, model):
    rows = rows_of(word_tokenizer)
    batch = kind.collate(rows, model.config)
    for i, (row, tokens) in enumerate(zip(rows, TOKENS, strict=True)):
        tags = [LABELS.index(tag) for tag in iob2_tags(tokens, TARGETS[i])]
        assert row["labels"] == tags and row["words"] == tokens
        assert kind.count(row) == len(tokens) and kind.length(row) == len(row["input_ids"])
        assert [label for label in batch["labels"][i].tolist() if label != IGNORED] == tags
        firsts = [row["units"].index(word) for word in range(len(tokens))]
        if model.config.model_type == "bert":
            assert (batch["labels"][i] != IGNORED).nonzero().flatten().tolist() == firsts


def test_training_and_the_pipeline_show_a_model_the_same(word_tokenizer, model):
    pipe = pipeline("ner", model=model, tokenizer=word_tokenizer, device="cpu")
    seen = []
    handle = model.register_forward_pre_hook(lambda m, args, options: seen.append(options), with_kwargs=True)
    try:
        for given, row in zip(INPUTS, rows_of(word_tokenizer), strict=True):
            pipe(given)
            trained = kind.collate([row], model.config)
            del trained["labels"]
            assert trained.keys() == seen[-1].keys()
            assert all(torch.equal(trained[name], seen[-1][name]) for name in trained)
    finally:
        handle.remove()
    if model.config.model_type == "bert":
        assert any(options["token_type_ids"].any() for options in seen)


def test_a_hub_checkpoint_is_not_told_of_capitals(word_tokenizer):
    assert "token_type_ids" not in kind.collate(rows_of(word_tokenizer), tagger("hub", word_tokenizer).config)


def test_a_text_beyond_the_longest_row_is_parted_between_entities(word_tokenizer):
    for most in (8, 10, 14):
        rows = rows_of(word_tokenizer, max_length=most)
        assert len(rows) > len(INPUTS)
        assert [word for row in rows for word in row["words"]] == [word for tokens in TOKENS for word in tokens]
        tags = [t for tokens, found in zip(TOKENS, TARGETS, strict=True) for t in iob2_tags(tokens, found)]
        learnt = [LABELS[label] for row in rows for label in row["labels"]]
        assert [tag[2:] for tag in learnt] == [tag[2:] for tag in tags]
        parted = sum(a != b for a, b in zip(learnt, tags, strict=True))
        assert parted == 0 if most == 14 else parted <= 2  # only what a row can't hold whole
        assert not any(LABELS[row["labels"][0]].startswith("I-") for row in rows)
        assert all(kind.length(row) <= most or len(row["words"]) == 1 for row in rows)
    assert kind.features(word_tokenizer, [{"tokens": []}], [[]], labels=LABELS)["labels"] == []


def test_the_loss_of_a_batch_is_the_sum_over_its_rows(word_tokenizer, model):
    rows = rows_of(word_tokenizer)
    together = kind.loss(model, kind.collate(rows, model.config))
    alone = sum(kind.loss(model, kind.collate([row], model.config)) for row in rows)
    together.backward()
    assert together.item() == pytest.approx(alone.item(), rel=1e-5) and together > 0
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_an_lstms_word_does_not_depend_on_padding(word_tokenizer):
    model, rows = tagger("lstm", word_tokenizer), rows_of(word_tokenizer)
    batch = kind.collate(rows, model.config)
    with torch.no_grad():
        together = model(**batch).logits
        for i, row in enumerate(rows):
            alone = model(**kind.collate([row], model.config)).logits[0]
            torch.testing.assert_close(together[i, : len(row["words"])], alone, atol=1e-5, rtol=1e-5)
        # more padding on the pieces' left, the words' right and the characters' right changes nothing
        pad = torch.nn.functional.pad
        moved = {"input_ids": pad(batch["input_ids"], (3, 0)), "attention_mask": pad(batch["attention_mask"], (3, 0))}
        moved |= {
            "word_ids": pad(batch["word_ids"], (3, 0), value=-1),
            "char_ids": pad(batch["char_ids"], (0, 4, 0, 2)),
        }
        torch.testing.assert_close(model(**moved).logits[:, :-2], together, atol=1e-5, rtol=1e-5)
        assert torch.equal(word_mask(moved["char_ids"])[:, :-2], word_mask(batch["char_ids"]))


def test_case_reaches_both_arms(word_tokenizer, model):
    lower, upper = (rows_of(word_tokenizer, [{"tokens": [word]}], [[]]) for word in ("paris", "Paris"))
    assert lower[0]["input_ids"] == upper[0]["input_ids"]  # the tokenizer alone can't tell
    batches = [kind.collate(rows, model.config) for rows in (lower, upper)]
    with torch.no_grad():
        assert not torch.allclose(*(model(**batch).logits for batch in batches), atol=1e-4)


def test_character_ids():
    config = LSTMConfig(characters="abcé", max_characters=5)
    a, b, c, e = range(UNKNOWN + 1, UNKNOWN + 5)
    ids = char_ids([["ab", "", "à"], ["abcabcabc"], ["Zé"]], config)
    assert ids.shape == (3, 3, 5)
    assert ids[0].tolist() == [[a, b, PAD, PAD, PAD], [UNKNOWN, *[PAD] * 4], [a, *[PAD] * 4]]
    assert ids[1, 0].tolist() == [a, b, c, b, c] and ids[2, 0, :2].tolist() == [UNKNOWN, e]
    assert word_mask(ids).tolist() == [[True, True, True], [True, False, False], [True, False, False]]


def test_an_untrained_lstm_is_ready_to_train(word_tokenizer):
    from pipelines.scratch import new_model

    model = new_model("token_classification", "lstm", word_tokenizer, LSTM, LABELS)
    assert not model.crf.transitions.any() and not model.char_convolution.bias.any()
    assert model.crf.labels == LABELS and model.get_input_embeddings().weight.shape == (len(word_tokenizer), 12)


def test_a_few_steps_teach_the_sentences(word_tokenizer, model):
    torch.manual_seed(0)
    model = type(model)(model.config)  # as it is before training
    batch = kind.collate(rows_of(word_tokenizer), model.config)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02 if model.config.model_type == "lstm" else 0.005)
    for _ in range(40):
        kind.loss(model, dict(batch)).backward()
        optimizer.step()
        optimizer.zero_grad()
    task = load("ner")
    pipe = pipeline("ner", model=model.eval(), tokenizer=word_tokenizer, device="cpu")
    answers = predict_all(task, pipe, INPUTS, 3)
    assert answers == TARGETS
    assert metrics_of(task)[0].compute(predictions=answers, references=TARGETS) == {"f1": 1.0}
