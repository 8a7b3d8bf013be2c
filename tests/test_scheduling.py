"""In which batches inputs are computed: little padding, answers in order and early, nothing twice, flat memory."""

import random
import threading

import ner_models
import pytest
import torch
from pipe_tools import heard, made, near
from torch.utils.data import Dataset

from pipelines import UserError, pipeline, scheduling


@pytest.fixture(params=["tiny_t5", "tiny_lstm_seq2seq", "tiny_bert", "tiny_lstm_classifier"])
def pipe(request):
    return made(request, request.param)


@pytest.fixture
def classifier(request):
    return made(request, "tiny_bert")


def flat(outputs):
    return [output[0] if isinstance(output, list) else output for output in outputs]


def counting(pipe, monkeypatch, most=None) -> list[int]:
    """The rows of each batch that the model computes; more than `most` of them don't fit into its memory."""
    rows, real = [], pipe.forward

    def forward(features, **parameters):
        size = len(features["input_ids"])
        if most and size > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        rows.append(size)
        return real(features, **parameters)

    monkeypatch.setattr(pipe, "forward", forward)
    return rows


# --- batches ---


@pytest.mark.parametrize(("rows", "tokens"), [(1, None), (4, None), (64, 200), (3, 50), (64, 1)])
def test_batches_hold_every_place_once_and_no_more_than_they_may(rows, tokens):
    sizes = [random.Random(5).randint(1, 90) for _ in range(200)]
    found = list(scheduling.batches(sizes, rows, tokens))
    assert sorted(i for batch in found for i in batch) == list(range(200))
    for batch in found:
        longest = max(sizes[i] for i in batch)
        assert len(batch) <= rows and (not tokens or len(batch) == 1 or len(batch) * longest <= tokens)
        assert sizes[batch[0]] == longest
    heads = [sizes[batch[0]] for batch in found]
    assert heads == sorted(heads, reverse=True)


def test_texts_of_like_length_go_together(classifier, monkeypatch, english):
    monkeypatch.setattr(scheduling, "CPU", (4, 2048))
    batches, real = [], classifier.forward
    monkeypatch.setattr(classifier, "forward", lambda f, **p: batches.append(f["attention_mask"]) or real(f, **p))
    classifier(english)
    assert [len(mask) for mask in batches] == [4, 4, 4]
    padded, in_order = sum(mask.numel() for mask in batches), 0
    lengths = [len(classifier.tokenizer(text)["input_ids"]) for text in english]
    for i in range(0, 12, 4):
        in_order += 4 * max(lengths[i : i + 4])
    assert padded < 0.8 * in_order


# --- answers ---


def test_lists_and_data_sets_are_batched_and_answered_as_one_by_one(pipe, monkeypatch, english):
    class Texts(Dataset):
        def __len__(self):
            return len(english)

        def __getitem__(self, i):
            return english[i]

    alone = [pipe(text)[0] for text in english]
    rows = counting(pipe, monkeypatch)
    assert near(flat(pipe(english)), alone) and max(rows) > 3
    rows.clear()
    assert near(flat(pipe(Texts())), alone) and max(rows) > 3


def test_long_texts_among_short_ones_over_many_windows(pipe, monkeypatch, english):
    monkeypatch.setattr(scheduling, "WINDOW", 5)
    texts = [english[0], " ".join(english * 2), english[1], "", english[5], " ".join(english[3:9])]
    assert near(flat(pipe(texts)), [pipe(text)[0] for text in texts])


def test_a_generator_is_not_read_ahead_of_its_answers_unless_asked(pipe, english):
    asked: list[str] = []

    def lines():
        for text in english[:6]:
            asked.append(text)
            yield text

    for count, _ in enumerate(pipe(lines()), 1):
        assert len(asked) == count
    asked.clear()
    answers = iter(pipe(lines(), batch_size=2))
    next(answers)
    assert len(asked) == 2
    assert len(list(answers)) == 5


def test_nothing_is_computed_twice(pipe, english):
    texts = [english[0], english[3], english[0], english[0], english[3]]
    alone = {text: pipe(text)[0] for text in texts}
    with heard(pipe) as seen:
        found = flat(pipe(texts))
    assert len(seen) == 2 and near(found, [alone[text] for text in texts])
    assert found[0] is not found[2]  # whoever changes one answer changes no other


def test_samples_are_drawn_anew(request, english):
    pipe = made(request, "tiny_t5")
    with heard(pipe) as seen:
        found = flat(pipe([english[3]] * 6, do_sample=True, num_beams=1, temperature=3.0))
    assert len(seen) == 6 and len({answer["translation_text"] for answer in found}) > 1


@pytest.mark.parametrize("at_once", [False, True])
def test_what_precedes_an_unreadable_input_is_answered(pipe, english, at_once):
    texts = [*english[:5], 7, english[5]]

    class Data(Dataset):
        __getitem__, __len__ = texts.__getitem__, texts.__len__

    answers = iter(pipe(Data()) if at_once else pipe((text for text in texts), batch_size=4))
    assert len([next(answers) for _ in range(5)]) == 5
    with pytest.raises((UserError, ValueError, TypeError)):
        next(answers)


def test_what_precedes_an_error_of_the_inputs_is_answered(classifier, english):
    def broken():
        yield from english[:5]
        raise ConnectionError("the line is dead")

    answers = iter(classifier(broken(), batch_size=4))
    assert len([next(answers) for _ in range(5)]) == 5
    with pytest.raises(ConnectionError, match="dead"):
        next(answers)


def test_few_inputs_are_held_however_many_there_are(classifier, monkeypatch, english):
    monkeypatch.setattr(scheduling, "WINDOW", 16)
    monkeypatch.setattr(scheduling, "CPU", (4, 2048))
    read = 0

    class Many(Dataset):
        def __len__(self):
            return 400

        def __getitem__(self, i):
            nonlocal read
            read += 1
            return f"{english[i % len(english)]} {i}"

    held = [read - answered for answered, _ in enumerate(classifier(Many()))]
    assert len(held) == 400 and max(held) <= 3 * 16


def test_a_batch_that_does_not_fit_is_halved(classifier, monkeypatch, english):
    alone = [classifier(text)[0] for text in english]
    rows = counting(classifier, monkeypatch, most=3)
    assert near(flat(classifier(english)), alone) and set(rows) <= {1, 2, 3}
    with pytest.raises(torch.OutOfMemoryError):
        classifier(english, batch_size=8)  # asked for


def test_a_model_with_workers_computes_batches_side_by_side(pipe, monkeypatch, english):
    monkeypatch.setattr(scheduling, "CPU", (3, 2048))
    alone = [pipe(text)[0] for text in english]
    both, first, real = threading.Barrier(2, timeout=30), iter((True, True)), pipe.forward

    def forward(features, **parameters):
        if next(first, False):
            both.wait()  # for the other batch that is computed at the same time
        return real(features, **parameters)

    monkeypatch.setattr(pipe, "forward", forward)
    monkeypatch.setattr(pipe.model, "workers", 2, raising=False)
    assert near(flat(pipe(english)), alone)


def test_a_model_may_say_how_many_rows_pay(classifier, monkeypatch, english):
    monkeypatch.setattr(classifier.model, "rows", 5, raising=False)
    rows = counting(classifier, monkeypatch)
    classifier(english)
    assert max(rows) <= 5 and sum(rows) == len(english)
    rows.clear()
    classifier(english, batch_size=8)  # asked for
    assert max(rows) == 8


def test_an_error_in_one_worker_is_raised(classifier, monkeypatch, english):
    monkeypatch.setattr(classifier.model, "workers", 2, raising=False)
    monkeypatch.setattr(classifier, "forward", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier(english)


def test_inputs_may_hold_lists(word_tokenizer):
    pipe = pipeline("ner", model=ner_models.tagger("bert", word_tokenizer), tokenizer=word_tokenizer, device="cpu")
    words = [["Two", "young", "men"], ["Two", "young", "men"], ["No", "."]]
    found = pipe([{"tokens": some} for some in words])
    assert len(found) == 3 and found[0] == found[1] == pipe({"tokens": words[0]})
