"""`tasks.headlines`: which headlines are learned from, and how they are written."""

import pytest

from tasks.data import Rows
from tasks.headlines import learnable, sentence_case

TEXTS = [
    "A verdict in Oslo: the court found Ann Lee guilty on Friday, the judge said. She'll appeal.",
    "In New York stocks rose on Monday as oil prices fell. The Dow gained 1.2 percent.",
    "The court in New York said on Monday that the stocks were safe.",
]


def rows(*headlines):
    return Rows(inputs=TEXTS[: len(headlines)], targets=[[h] for h in headlines], source="test", split="train")


def written(*headlines):
    return [target[0] for target in sentence_case(rows(*headlines)).targets]


def test_title_case_becomes_what_the_text_or_most_texts_write():
    assert written("Court Finds Ann Lee Guilty On Friday", "New York Stocks Rise As Oil Falls, “Safe” For Now", "") == [
        "Court Finds Ann Lee guilty on Friday",  # "Finds" stands in no text: as it is
        "New York stocks Rise as oil Falls, “safe” For Now",
        "",
    ]


def test_a_headline_in_sentence_case_stays():
    same = ("Court finds Ann Lee guilty", "New York: stocks up, oil down")
    assert written(*same) == list(same)


def test_headlines_that_the_text_does_not_tell_are_left_out():
    given = rows("Ann Lee found guilty by court", "Wall Street cheers cheap fuel", "Stocks safe, court says")
    kept = learnable(given)
    assert kept.inputs == [TEXTS[0], TEXTS[2]] and kept.source == "test" and kept.split == "train"
    assert kept.targets == [["Ann Lee found guilty by court"], ["Stocks safe, court says"]]
    assert len(given) == 3 and given.targets[1] == ["Wall Street cheers cheap fuel"]  # what was given stays


@pytest.mark.parametrize(("headline", "count"), [("", 0), ("— !", 0), ("guilty", 1), ("GUILTY nonsense", 1)])
def test_half_of_the_words_are_enough_and_none_are_not(headline, count):
    assert len(learnable(rows(headline))) == count
