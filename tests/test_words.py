"""Raw text into words: the rule as examples, and that nothing but white space is ever left out."""

import random
import unicodedata

import pytest

from pipelines.words import joined_spans, split

EXAMPLES = [
    ("The U.N. and the U.S.-based AT&T met Mr. O'Neill.", "The|U.N.|and|the|U.S.-based|AT&T|met|Mr.|O'Neill|."),
    ("J. K. Rowling of Acme Inc. in St. Louis", "J.|K.|Rowling|of|Acme|Inc.|in|St.|Louis"),
    ("It ended in 1996. See page 12.", "It|ended|in|1996|.|See|page|12|."),
    ("Germany's EU 's players' didn't CAN'T we’ll", "Germany|'s|EU|'s|players|'|did|n't|CA|N'T|we|’ll"),
    ("l'Homme d'Italia Guivarc'h", "l'Homme|d'Italia|Guivarc'h"),
    ('"Yes" (no)... word--word — so,she', '"|Yes|"|(|no|)|...|word|--|word|—|so|,|she'),
    ("US$5.3 C$ 1,000.50 26/08/96 10:45 6-4 .500", "US$|5.3|C$|1,000.50|26/08/96|10:45|6-4|.500"),
    ("@bob #NER a_b@c.org https://a.b/c?d=1.", "@bob|#NER|a_b@c.org|https://a.b/c?d=1|."),
    ("北京 天安门。東京タワー", "北|京|天|安|门|。|東|京|タ|ワ|ー"),
    ("👩‍🚀👍🏽 🇫🇷!!", "👩‍🚀👍🏽|🇫🇷|!!"),
    ("Jose\u0301 हिन्दी में São\u00a0Paulo\u3000x", "Jose\u0301|हिन्दी|में|São|Paulo|x"),
    (" \t\n", ""),
]


@pytest.mark.parametrize("text, expected", EXAMPLES)
def test_examples(text, expected):
    assert "|".join(text[a:b] for a, b in split(text)) == expected


def test_words_hold_every_character_but_white_space_once_and_in_order():
    chance = random.Random(7)
    pools = ["abcXYZ'.-", ".,;!?\"'()[]…—$€", "0123456789", " \t\n\u00a0\u3000", "éßЖ한ก\u0301\u200d\ufe0f北ー👍🏽🇫"]
    pools.append("".join(chr(code) for code in range(0x110000) if code % 997 == 0 and not 0xD800 <= code < 0xE000))
    for _ in range(300):
        text = "".join(chance.choice(chance.choice(pools)) for _ in range(chance.randrange(60)))
        spans = split(text)
        covered = [i for a, b in spans for i in range(a, b)]
        assert covered == sorted(set(covered)) and all(a < b for a, b in spans)
        assert [i for i, c in enumerate(text) if not c.isspace()] == [i for i in covered if not text[i].isspace()]
        assert not any(c.isspace() for a, b in spans for c in text[a:b])


def test_accents_stay_with_their_letters():
    text = unicodedata.normalize("NFD", "Zoë Müller-Đặng, café.")
    words = [text[a:b] for a, b in split(text)]
    assert [unicodedata.normalize("NFC", word) for word in words] == ["Zoë", "Müller-Đặng", ",", "café", "."]


@pytest.mark.parametrize("delimiter", [" ", "", "--"])
def test_joined_spans(delimiter):
    words = ["Ann", "", "O'Neill", "."]
    text = delimiter.join(words)
    assert [text[a:b] for a, b in joined_spans(words, delimiter)] == words
