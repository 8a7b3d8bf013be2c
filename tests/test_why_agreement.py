"""Agreement: the grammar's sentences agree, and a word's probability is that of the whole word."""

import math
import random
from functools import partial

import complete_models as tiny
import pytest
import torch

from scripts.experiments import agreement, grammar

NOUNS = (*grammar.PEOPLE, *grammar.THINGS)
NUMBERS = {form: number for pair in NOUNS for number, form in enumerate(pair)}
VERBS = {form: number for pair in grammar.VERBS for number, form in enumerate(pair)}


@pytest.mark.parametrize("nouns", [0, 1, 4])
@pytest.mark.parametrize("attracting", [True, False])
def test_sentences_with_nouns_between_agree(nouns, attracting):
    some = grammar.distinct(partial(grammar.chain, nouns=nouns, attracting=attracting), 200, seed=0)
    assert len(some) == 200
    for sentence in some:
        words = sentence.prefix.split()
        head, between = words[1], words[2:]
        number = NUMBERS[head]
        assert (words[0], number) == ("The", sentence.number)
        assert VERBS[sentence.right] == number and VERBS[sentence.wrong] == 1 - number
        numbers = [NUMBERS[word] for word in between if word in NUMBERS]
        assert len(numbers) == nouns == sentence.nouns and len(between) == sentence.distance
        assert sum(other != number for other in numbers) == sentence.attractors == (nouns if attracting else 0)
    assert {sentence.number for sentence in some} == {grammar.SINGULAR, grammar.PLURAL}


def test_sentences_without_nouns_between_agree():
    for ways in (0, 1, 5):
        for sentence in grammar.distinct(partial(grammar.clause, ways=ways), 50, seed=1):
            words = sentence.prefix.split()
            assert VERBS[sentence.right] == NUMBERS[words[1]] != VERBS[sentence.wrong]
            assert not any(word in NUMBERS or word in VERBS for word in words[2:])  # nothing else has a number
            assert len(words) - 2 == sentence.distance == (0 if not ways else 2 + 2 * ways - 1)
            assert (sentence.nouns, sentence.attractors) == (0, 0)


def test_words_are_of_one_kind_and_sentences_differ():
    assert len(VERBS) == 2 * len(grammar.VERBS) and not VERBS.keys() & NUMBERS.keys()
    assert len(NUMBERS) == 2 * len(NOUNS)
    some = grammar.distinct(partial(grammar.clause, ways=0), 500, seed=0)
    assert len({(sentence.prefix, sentence.right) for sentence in some}) == len(some) == 500
    assert grammar.distinct(partial(grammar.clause, ways=0), 5, seed=3) != some[:5]
    assert len(grammar.distinct(lambda chance: grammar.clause(random.Random(0), 2), 9, seed=0)) == 1


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_probability_of_a_word_is_that_of_its_tokens_and_its_end(family):
    pipe = tiny.pipe(family)
    pairs = [("The boy", "plays"), ("The", "play"), ("The boy near the", "is"), ("Two young men", "are")]
    found = agreement.log_probabilities(pipe, pairs)
    start = pipe.tokenizer.bos_token_id
    for (prefix, word), together in zip(pairs, found, strict=True):
        left = pipe.tokenizer(prefix, add_special_tokens=False)["input_ids"]
        right = pipe.tokenizer(" " + word, add_special_tokens=False)["input_ids"]
        ids = [start, *left, *right]
        logs = tiny.log_probabilities(pipe.model, ids)
        spelt = sum(float(logs[len(left) + i, token]) for i, token in enumerate(right))
        # a token that begins like this goes on with the word; halves of characters can't be told
        firsts = [token.decode(errors="replace")[:1] for token in pipe.vocabulary.bytes]
        going_on = [i for i, first in enumerate(firsts) if first.isalnum() or first in ("'", "’", "_")]
        rest = torch.ones(logs.shape[1], dtype=torch.bool)
        rest[going_on] = False
        ends = float(logs[-1][rest].logsumexp(0))
        assert together == pytest.approx(spelt + ends, abs=1e-3) and together < spelt < 0
        assert agreement.log_probabilities(pipe, [(prefix, word)]) == pytest.approx([together], abs=1e-4)


def test_a_word_is_not_credited_with_those_that_begin_with_it():
    """P("play") and P("plays") are parts of one whole: of "play" + anything, both forms have their own share."""
    pipe = tiny.pipe("gpt2")
    play, plays = (math.exp(p) for p in agreement.log_probabilities(pipe, [("The boy", "play"), ("The boy", "plays")]))
    right = pipe.tokenizer(" play", add_special_tokens=False)["input_ids"]
    left = pipe.tokenizer("The boy", add_special_tokens=False)["input_ids"]
    logs = tiny.log_probabilities(pipe.model, [pipe.tokenizer.bos_token_id, *left, *right])
    whole = math.exp(sum(float(logs[len(left) + i, token]) for i, token in enumerate(right)))
    assert 0 < play < whole and plays < 1


def test_preferences_follow_the_probabilities(monkeypatch):
    known = {"is": -1.0, "are": -2.0, "runs": -5.0, "run": -0.5}
    monkeypatch.setattr(agreement, "log_probabilities", lambda pipe, pairs: [known[word] for _, word in pairs])
    some = [grammar.Sentence("The boy", r, w, 0, 0, 0, 0) for r, w in (("is", "are"), ("runs", "run"), ("are", "is"))]
    assert agreement.preferred(None, some, batch=4) == [True, False, False]


def test_a_models_rows():
    settings = agreement.Settings(sentences=6, nouns=(0, 1), ways=(0, 1), batch=5)
    told = agreement.judged(tiny.pipe("lstm"), settings, seed=0)
    assert [row["sort"] for row in told["rows"]] == ["attractors"] * 2 + ["same number"] * 2 + ["no noun"] * 2
    assert all(row["sentences"] == 6 and 0 <= row["score"]["value"] <= 1 for row in told["rows"])
    assert 0 <= told["single_token_forms"] <= 1
