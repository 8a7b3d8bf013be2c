"""Long contexts and other checkpoints' tokenizers: everything is read, little is kept, and nothing is cut silently."""

import json
import logging

import pytest
import qa_models
import torch
import transformers
from pipe_tools import heard

from pipelines import pipeline, scheduling

PARK = "Two young men are playing football in the old park, while I am happy. "


def formula(lift=None, **options):
    model = qa_models.formula(lift)
    return pipeline("question-answering", model, tokenizer=qa_models.words_tokenizer(), device="cpu", **options)


@pytest.mark.parametrize("size, stride", ((64, None), (40, 10), (30, 0)))
def test_every_word_is_read_and_neighbours_share_the_stride(size, stride):
    pipe, context = formula(), PARK * 20
    with heard(pipe) as windows:
        pipe(question="Who is happy?", context=context, max_seq_len=size, doc_stride=stride, batch_size=3)
    question = pipe.tokenizer("Who is happy?")["input_ids"]
    tokens = pipe.tokenizer(context, add_special_tokens=False)["input_ids"]
    shared, read = stride if stride is not None else 32, []
    for window in windows:
        assert len(window) <= size and window[: len(question)] == question
        part = window[len(question) : -1]
        if read:
            assert read[len(read) - shared :] == part[:shared]
        read += part[shared if read else 0 :]
    assert read == tokens


def test_fifty_thousand_words_with_little_in_memory():
    needle = 47_113
    words = ["old park"] * 25_000
    words[needle // 2] = "football 12.50"
    pipe, context, seen = formula({"foot": (30.0, 0.0), "50": (0.0, 30.0)}, joint=True), " ".join(words), []
    kept, forward = [], pipe._forward

    def note(*args, **options):
        output = forward(*args, **options)
        kept.append(sum(value.numel() for value in output.values() if isinstance(value, torch.Tensor)))
        return output

    pipe._forward = note
    found = pipe(question="Who?", context=context, progress=lambda *done: seen.append(done))
    assert found["answer"] == "football 12.50" and found["start"] == context.index("football")
    assert max(size for size, _ in pipe.model.batches) == scheduling.CPU[0]  # windows computed at once
    assert max(length for _, length in pipe.model.batches) == 64
    assert max(kept) < scheduling.CPU[0] * 64  # of each batch less is kept than its start scores alone
    total = seen[-1][1]
    assert total > 1000 and seen[-1] == (total, total) and {done for done, _ in seen} == set(range(total + 1))


def test_a_long_question_is_told_of_and_never_cut(caplog):
    pipe, question = formula(), "Who is the happy young man in the old old park?"
    with caplog.at_level(logging.WARNING), heard(pipe) as windows:
        pipe(question=question, context=PARK * 3, max_question_len=5)
    assert "longer than max_question_len 5" in caplog.text and "not cut" in caplog.text
    ids = pipe.tokenizer(question)["input_ids"]
    assert len(windows) > 1 and all(window[: len(ids)] == ids for window in windows)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        pipe(question=question, context=PARK * 3)
    assert caplog.text == ""
    # a question that fills most of the window: fewer words a window, all of them read
    with heard(pipe) as windows:
        pipe(question="old " * 56, context=PARK)
    assert len(windows) > 3


def test_settings_of_the_pipeline_hold_where_a_call_says_nothing():
    pipe = formula(top_k=3, max_seq_len=30, doc_stride=4)
    with heard(pipe) as windows:
        assert len(pipe(question="Who?", context=PARK * 2)) == 3
        assert isinstance(pipe(question="Who?", context=PARK * 2, top_k=1), dict)
    assert max(map(len, windows)) == 30


def byte_level(english):
    """A RoBERTa reader without token types, whose tokenizer joins the blank to the word behind it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        english, trainers.BpeTrainer(vocab_size=350, special_tokens=special, initial_alphabet=alphabet)
    )
    model = json.loads(backend.to_str())["model"]
    tokenizer = transformers.RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=66, type_vocab_size=1, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return transformers.RobertaForQuestionAnswering(config), tokenizer


def distilled(english):
    """A DistilBERT reader: BERT's tokenizer, but a model that takes no token types."""
    config = transformers.DistilBertConfig(
        vocab_size=len(qa_models.VOCABULARY), dim=16, hidden_dim=16, n_layers=1, n_heads=2, max_position_embeddings=64
    )
    tokenizer = transformers.DistilBertTokenizer(vocab=dict(qa_models.VOCABULARY))
    return transformers.DistilBertForQuestionAnswering(config), tokenizer


def left_padded(english):
    """A BERT reader that is padded on the left and so, as XLNet, given the context first."""
    tokenizer = qa_models.words_tokenizer()
    tokenizer.padding_side = "left"
    return qa_models.reader("bert", tokenizer), tokenizer


def test_a_left_padded_tokenizer_gets_the_context_first():
    pipe = formula({"cost": (30.0, 30.0)})
    pipe.tokenizer.padding_side = "left"
    context = f"{PARK * 6}It costs 12. {PARK}"
    with heard(pipe) as windows:
        found = pipe([{"question": "Who is happy?", "context": c} for c in (context, "It costs.")], batch_size=4)
    assert [answer["answer"] for answer in found] == ["costs", "costs"]
    assert found[0]["start"] == context.index("costs")
    question = pipe.tokenizer("Who is happy?", add_special_tokens=False)["input_ids"]
    assert len(windows) > 3 and all(window[-len(question) - 1 : -1] == question for window in windows)


@pytest.mark.parametrize("made", (byte_level, distilled, left_padded))
def test_checkpoints_of_other_families(made, english, tmp_path):
    from conftest import seeded

    model, tokenizer = made(english)
    seeded(model, scale=6.0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    pipe = pipeline("question-answering", model=tmp_path, device="cpu")
    contexts = ["No.", "«Zoë’s café»\n costs 12.50; 日本語 " + english[3], " ".join(english)]
    rows = [{"question": "Who is happy, please?", "context": context} for context in contexts]
    alone = [pipe(row, top_k=2, doc_stride=8) for row in rows]
    for row, answers in zip(rows, alone, strict=True):
        for answer in answers:
            assert answer["answer"] == row["context"][answer["start"] : answer["end"]] != ""
    together = pipe(rows, top_k=2, doc_stride=8, batch_size=3)
    assert [[a["answer"] for a in answers] for answers in together] == [[a["answer"] for a in some] for some in alone]
    # a window is never wider than what the model can read
    with heard(pipe) as windows:
        assert pipe(rows[2], top_k=2, doc_stride=8, max_seq_len=500) == alone[2]
    assert max(map(len, windows)) == 64
