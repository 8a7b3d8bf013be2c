"""Text generation as users meet it: the pipeline beside transformers' own, long texts, measuring, the floor."""

import json
import logging
import math
import random

import numpy as np
import pytest
import torch
from complete_models import FAMILIES, ODD, WINDOW, log_probabilities, pipe, tokenizer
from conftest import ENGLISH
from transformers import TextGenerationPipeline

from pipelines import pipeline, text_generation, typing_words
from pipelines.errors import UserError
from tasks import load
from tasks.metrics import METRICS, metrics_of
from tasks.ngrams import PIECES, START, Trigrams

LONG = " ".join(ENGLISH)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


# --- the pipeline ---


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False, "max_new_tokens": 5},
        {"max_new_tokens": 6, "top_k": 20, "num_return_sequences": 2},
        {"do_sample": False, "num_beams": 3, "max_new_tokens": 4, "return_full_text": False},
        {"do_sample": False, "max_length": 30},
    ],
)
def test_plain_calls_are_transformers_own(family, options):
    ours = pipe(family)
    theirs = TextGenerationPipeline(model=ours.model, tokenizer=tokenizer(), device="cpu")
    prompts = [text[:12] for text in ENGLISH[:5]] + [ODD[3], ""]
    for given, more in ((prompts[0], {}), (prompts, {}), (prompts, {"batch_size": 3})):
        torch.manual_seed(0)
        expected = theirs(given, **options, **more)
        torch.manual_seed(0)
        assert ours(given, **options, **more) == expected
    if "do_sample" in options:  # a stream's loader draws a random number of its own
        assert list(ours((text for text in prompts), **options)) == theirs(prompts, **options)


def test_a_batch_and_a_stream_give_each_prompt_what_it_gets_alone(family):
    prompts = [text[:n] for n, text in enumerate(ENGLISH, start=3)]
    alone = [pipe(family)(text, do_sample=False, max_new_tokens=4) for text in prompts]
    for given in (prompts, tuple(prompts), iter(prompts)):
        assert list(pipe(family)(given, batch_size=5, do_sample=False, max_new_tokens=4)) == alone
    assert pipe(family)([]) == []


def test_a_long_prompt_is_read_from_its_end_and_the_log_says_so_once(caplog):
    made = pipeline("text-generation", model=pipe("gpt2").model, tokenizer=tokenizer(), device="cpu")
    ids = tokenizer()(LONG, verbose=False)["input_ids"]
    assert len(ids) > 3 * WINDOW
    plain = made.model.generate(
        torch.tensor([ids[-(WINDOW - 5) :]]), attention_mask=torch.ones(1, WINDOW - 5),
        max_new_tokens=5, do_sample=False, pad_token_id=0,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            (record,) = made(LONG, do_sample=False, max_new_tokens=5)
    new = record["generated_text"].removeprefix(LONG)
    assert new == tokenizer().decode(plain[0, WINDOW - 5 :], skip_special_tokens=True)
    lost = len(ids) - 27
    assert [r.message for r in caplog.records] == [
        f"{lost} of {len(ids)} tokens are not read: the window has room for the last 27 of a text; "
        "pipe.dropped_tokens goes on counting"
    ]
    assert made.dropped_tokens == 2 * lost
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        ids = made("An old", do_sample=False, max_new_tokens=100, eos_token_id=[], return_tensors=True)
    assert len(ids[0]["generated_token_ids"]) == WINDOW
    assert "more than the model's window of 32" in caplog.text


def test_an_lstm_reads_all_of_a_long_prompt(caplog):
    made, ids = pipe("lstm"), tokenizer()(LONG, verbose=False)["input_ids"]
    assert made.window is None
    with caplog.at_level(logging.WARNING):
        (record,) = made(LONG, do_sample=False, max_new_tokens=1, return_tensors=True)
    assert record["generated_token_ids"][-1] == int(log_probabilities(made.model, ids)[-1].argmax())
    assert not caplog.records


# --- unfinished text ---


def test_suggestions_are_distinct_and_begin_with_what_was_typed(family):
    for text in ["Two young m", "She didn't ", "", ODD[0][:4], ODD[0], "Where is the\nne", LONG, LONG + " and th"]:
        found = pipe(family).suggest(text, k=4, max_words=2)
        assert 1 <= len(found) <= 4 and len({row["text"] for row in found}) == len(found)
        scores = [row["score"] for row in found]
        assert scores == sorted(scores, reverse=True) and scores[-1] > 0 and sum(scores) <= 1 + 1e-6
        for row in found:
            added = row["text"].removeprefix(text)
            assert row["text"].startswith(text) and added.strip() and len(added.split()) <= 2
            assert typing_words.in_word(added[-1]) or added[-1] in typing_words.APOSTROPHES


def test_suggestions_read_the_end_of_a_long_text(caplog):
    made = pipeline("text-generation", model=pipe("gpt2").model, tokenizer=tokenizer(), device="cpu")
    with caplog.at_level(logging.WARNING):
        far = made.suggest(LONG + " and th", k=2)
        assert [row["text"][-20:] for row in made.suggest("No. " + LONG + " and th", k=2)] == [
            row["text"][-20:] for row in far
        ]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        (7, {}, "takes texts, not int"),
        (None, {}, "takes texts, not NoneType"),
        ("a\ud800", {}, "no UTF-8"),
        ("a", {"k": 0}, "k must be 1 or more"),
        ("a", {"max_words": -1}, "max_words must be 1 or more"),
    ],
)
def test_what_can_be_no_prompt_is_told(family, given, options, says):
    with pytest.raises(UserError, match=says):
        pipe(family).suggest(given, **options)
    if isinstance(given, str) and not options:
        with pytest.raises(UserError, match=says):
            pipe(family)(given)


def test_a_stream_is_the_completion_in_pieces_beyond_the_window_too(family):
    made, read = pipe(family), []
    pieces = list(made.stream("Two young m", max_new_tokens=3 * WINDOW))
    hook = made.model.register_forward_pre_hook(lambda *a: read.append(a[2]["input_ids"][0].tolist()), with_kwargs=True)
    try:
        text = made.complete("Two young m", max_new_tokens=3 * WINDOW)
    finally:
        hook.remove()
    assert "Two young m" + "".join(pieces) == text and "\n" not in text
    assert made.suggest("Two young m", k=1, max_words=1)[0]["text"] == "Two young m" + pieces[0]
    assert len(pieces) == 1 + 3 * WINDOW  # so this tiny model met no end
    whole = [ids for ids in read if len(ids) > 1]
    if family == "gpt2":  # starts anew whenever the window is full, from half of it
        assert [len(ids) for ids in whole[-4:-1]] == [WINDOW // 2] * 3
    written = [ids[0] for ids in read if len(ids) == 1]
    fours = list(zip(*(written[i:] for i in range(4)), strict=False))
    assert len(fours) > 80 and len(set(fours)) >= len(fours) - 4 * 5  # but for those across a new start


def test_a_stream_follows_the_likeliest_token(family):
    made, text = pipe(family), "A film that"
    first, *pieces = made.stream(text, max_new_tokens=3)
    ids = text_generation.start_and(tokenizer(), [text + first])[0]
    for piece in pieces:
        best = int(log_probabilities(made.model, ids)[-1].argmax())
        assert made.vocabulary.bytes[best].decode("utf-8", "ignore") == piece.replace("\ufffd", "")
        ids.append(best)


# --- measuring ---


def brute_bits(made, text: str, window: int) -> float:
    """Each token behind as many before it as the documentation says, in a call of its own."""
    ids, total, start = text_generation.start_and(tokenizer(), [text])[0], 0.0, 0
    for place in range(1, len(ids)):
        if place > start + window:
            start = place - window // 2
        total -= float(log_probabilities(made, ids[start:place])[-1][ids[place]]) / math.log(2)
    return total


def test_bits_are_those_of_each_token_behind_its_window(family):
    texts = ["No.", LONG[:300], ODD[0], LONG[:150], ODD[2]]
    for batch_size in (1, 4):
        sums = list(text_generation.measure(pipe(family), iter(texts), batch_size, words=0))
        assert [row["bytes"] for row in sums] == [len(text.encode()) for text in texts]
        expected = [brute_bits(pipe(family).model, text, WINDOW) for text in texts]
        assert [row["bits"] for row in sums] == pytest.approx(expected, rel=1e-5)


def test_words_are_sampled_alike_for_everybody():
    text = "It isn't well-known; ‘naïve’ 漢字 x_1 don’t  tell\nme (not me)"
    every = typing_words.sampled_words(text, 99)
    assert [word for _, word in every] == ["isn't", "well", "漢字", "x_1", "don’t", "tell", "me", "me"]
    assert all(text[place:].startswith(word) for place, word in every)
    two = typing_words.sampled_words(text, 2)
    assert two == typing_words.sampled_words(text, 2) and set(two) < set(every) and len(two) == 2
    assert typing_words.sampled_words("One", 2) == []


def test_typing_is_simulated_letter_by_letter():
    text, asked = "We saw walls", []

    def suggest(prompt):
        asked.append(prompt)
        return {"We ": ["see", "saw"], "We saw ": ["it"], "We saw w": ["a", "b", "c", "walls"], "We saw wa": ["walls"]}[
            prompt
        ]

    sums = typing_words.simulate(text, 9, suggest)
    # "saw " costs 1 of 4; of "walls " two letters and 1 of 6, the fourth suggestion isn't seen
    assert sums == {"words": 2, "top1": 0, "top3": 1, "typed": 10, "saved": 3 + 3}
    assert asked == ["We ", "We saw ", "We saw w", "We saw wa"]
    assert typing_words.simulate("a bc", 9, lambda prompt: []) == {
        "words": 1, "top1": 0, "top3": 0, "typed": 3, "saved": 0
    }  # fmt: skip


def test_the_simulation_takes_what_the_pipeline_suggests(family):
    made = pipe(family)
    short = [text for text in ENGLISH if len(text_generation.start_and(tokenizer(), [text])[0]) < WINDOW // 2]
    assert len(short) >= 3

    def ask(prompt):
        kept = len(typing_words.split_typed(prompt)[0])
        return [row["text"][kept:].strip() for row in made.suggest(prompt, 3, max_words=1)]

    for text in short[:3]:
        (sums,) = text_generation.measure(made, [text], 1, words=2)
        expected = typing_words.simulate(text, 2, ask)
        assert {name: sums[name] for name in expected} == expected


def test_metrics_are_shares_of_the_sums():
    sums = [
        {"bits": 20.0, "bytes": 10, "words": 2, "top1": 1, "top3": 2, "typed": 10, "saved": 4},
        {"bits": 10.0, "bytes": 30, "words": 2, "top1": 0, "top3": 1, "typed": 6, "saved": 0},
    ]
    got = {
        metric.key: metric.compute(predictions=sums, references=["a", "b"]) for metric in metrics_of(load("complete"))
    }
    assert got == {
        "bits_per_byte": {"bits_per_byte": 30 / 40},
        "next_word_top1": {"next_word_top1": 1 / 4},
        "next_word_top3": {"next_word_top3": 3 / 4},
        "keystroke_saving": {"keystroke_saving": 4 / 16},
    }
    assert next(iter(got)) == "bits_per_byte" and not METRICS["bits_per_byte"].higher_is_better
    nothing = [{"bits": 8.0, "bytes": 1, "words": 0, "top1": 0, "top3": 0, "typed": 0, "saved": 0}]
    assert [m.value(m.statistics(nothing, ["a"]).sum(0)) for m in metrics_of(load("complete"))] == [8.0, 0.0, 0.0, 0.0]


# --- the floor ---


@pytest.fixture(scope="module")
def trigrams():
    return Trigrams(ENGLISH + ["the old boat", "the old house", "the old house", "an old man"])


def test_pieces_lose_nothing():
    for text in ENGLISH + ODD:
        assert "".join(PIECES.findall(text)) == text


def test_the_floor_suggests_the_most_frequent_and_backs_off(trigrams):
    assert trigrams.suggest("the old ")[:2] == ["house", "boat"]
    assert trigrams.suggest("the old b")[0] == "boat"
    assert trigrams.suggest("an old ")[0] == "man"
    assert trigrams.suggest("an old ho") == ["house"]  # never behind "an old", but behind "old"
    assert trigrams.suggest("zzz qqq fr")[0] == "friends"  # of all words
    assert trigrams.suggest("zzz qqq xx") == []
    assert len(trigrams.suggest("the ")) == 3


def test_the_floors_probabilities_are_a_distribution(trigrams):
    def chance(before, piece):
        return 2.0 ** -(trigrams.bits("".join(before) + piece) - trigrams.bits("".join(before)))

    def spelled(piece):
        signs = [256, *piece.encode(), 256]
        return 2.0 ** -trigrams.byte_bits[signs[:-1], signs[1:]].sum()

    for before in ([], ["the", " old"], [" zzz", " qqq"], [" An", " old"], [" zzz", " old"]):
        # for a piece never seen only the bytes count, by the share that all levels leave to them
        rest = chance(before, " qzx") / spelled(" qzx")
        assert rest == pytest.approx(chance(before, " ÿÿ") / spelled(" ÿÿ")) and 0 < rest < 1
        known = sum(chance(before, p) - rest * spelled(p) for p in trigrams.pieces[START + 1 :] if fits(before, p))
        if all(fits(before, p) for p in trigrams.pieces[START + 1 :]):
            assert known + rest == pytest.approx(1.0)
    assert np.allclose((2.0**-trigrams.byte_bits).sum(1), 1)


def fits(before, piece) -> bool:
    """Whether the piece stays one behind the others."""
    return PIECES.findall("".join(before) + piece)[len(before) :] == [piece]


def test_the_floor_answers_as_the_models_do(trigrams):
    from tasks.data import Rows

    texts = ["the old house", "Zwölf 漢字 🙂", "a"]
    answers = load("complete").make_floor(Rows(ENGLISH, ENGLISH, "here", "train"))(texts)
    (model,) = text_generation.measure(pipe("lstm"), texts[:1], 1)
    for text, row in zip(texts, answers, strict=True):
        assert list(row) == list(model) and row["bytes"] == len(text.encode())
        assert 0 < row["bits"] < 20 * row["bytes"]
    counts, nonsense = Trigrams(ENGLISH), "".join(random.Random(1).sample(LONG, 60))
    assert counts.bits(ENGLISH[3]) / len(ENGLISH[3]) < 3 < counts.bits(nonsense) / len(nonsense)


# --- the data ---


def test_blank_rows_are_no_texts_and_the_rest_stays_as_it_is(tmp_path):
    from tasks.data import read

    file = tmp_path / "lines.jsonl"
    texts = ["", " = Title = \n", " ", "\n", "two\n\nparagraphs "]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rows = read(load("complete"), str(file))
    assert rows.inputs == rows.targets == [" = Title = \n", "two\n\nparagraphs "]
    file.write_text('{"text": "a"}\n{"text": null}\n')
    with pytest.raises(UserError, match="row 2 has an empty field"):
        read(load("complete"), str(file))
