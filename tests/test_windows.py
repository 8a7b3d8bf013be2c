"""Splitting of texts: where sentences end, and that parts fit and lose nothing."""

import random

import pytest

from pipelines import windows

TRICKY = [
    ("I am happy. She left!  Did he?", ["I am happy.", "She left!", "Did he?"]),
    ("Mr. Smith met Dr. J. R. Brown at 5 p.m. sharp. Then it rained.", 2),
    ("It costs 3.50 euros, e.g. in the U.S. market. Too much.", 2),
    ('"Really?" she asked. "Yes!" He nodded.', ['"Really?" she asked.', '"Yes!"', "He nodded."]),
    ("« Bonjour ! » dit-il. « Oui. » Il part.", ["« Bonjour ! » dit-il.", "« Oui. »", "Il part."]),
    ("M. Dupont et Mme. Roux sont là. Bien.", 2),
    ("Wait... what? No… Never mind.", ["Wait... what?", "No…", "Never mind."]),
    ("1. Wash the rice. 2. Cook it.", ["1. Wash the rice.", "2. Cook it."]),
    ("Am I late? So am I. Sorry (really.) Bye.", ["Am I late?", "So am I.", "Sorry (really.)", "Bye."]),
    ("See example.com or v2.1 for more.", 1),
    ("no stop at all", 1),
    ("First line\nsecond line. And\n\n  third", ["First line", "second line.", "And", "third"]),
    ("你好。我很好！谢谢", ["你好。", "我很好！", "谢谢"]),
    ("", 0),
    (" \n ", 0),
]


@pytest.mark.parametrize("text, expected", TRICKY)
def test_sentences(text, expected):
    found = [sentence for sentence, _ in windows.sentences(text)]
    assert found == expected if isinstance(expected, list) else len(found) == expected
    assert "".join(part + gap for part, gap in windows.sentences(text)) == text.strip()


def words(text: str) -> int:
    """A measure that isn't additive, as tokenizers' aren't: two for special tokens, long words count twice."""
    return 2 + sum(1 + (len(word) > 7) for word in text.split())


def test_parts_fit_and_lose_nothing():
    chance = random.Random(3)
    pieces = ["a", "tree", "unforgettable", "well,", "stop.", "Why?", "yes; no", "x" * 40, "\n", "\n\n", "  ", "é。"]
    for _ in range(200):
        text = " ".join(chance.choice(pieces) for _ in range(chance.randint(0, 80)))
        for limit in (4, 7, 20):
            parts = windows.split(text, words, limit)
            assert "".join(part + gap for part, gap in parts) == text.strip()
            assert all(words(part) <= limit for part, _ in parts)
            assert all(not gap.strip() for _, gap in parts)


def test_as_few_cuts_and_as_high_up_as_will_do():
    text = "One two three. Four five six.\nSeven eight, nine ten eleven twelve, thirteen. Fourteen."
    cut = {
        limit: [part for part, _ in windows.split(text, lambda part: len(part.split()), limit)]
        for limit in (99, 9, 6, 5)
    }
    assert cut[99] == [text]
    assert cut[9] == text.split("\n")
    assert cut[6] == [
        "One two three. Four five six.",
        "Seven eight, nine ten eleven twelve,",
        "thirteen.",
        "Fourteen.",
    ]
    assert cut[5][:2] == ["One two three.", "Four five six."]
    assert windows.split("abcdefgh", len, 3) == [("abc", ""), ("def", ""), ("gh", "")]
    assert windows.split("ab", lambda part: 10 * len(part), 3) == [("a", ""), ("b", "")]  # no smaller than a character


def test_effort_grows_with_the_text_not_faster():
    def effort(count: int) -> int:
        measured = 0

        def length(part: str) -> int:
            nonlocal measured
            measured += len(part)
            return len(part.split())

        windows.split("word " * count, length, 50)
        return measured

    assert effort(16_000) < 20 * effort(1_000)


def test_answers_join_as_the_texts_stood():
    assert windows.join(["a", "b", "c", "d"], [" ", "\n", " \n\n ", ""]) == "a b\nc\n\nd"
    assert windows.join(["", "b"], ["", ""]) == " b" and windows.join(["a"], [""]) == "a"
