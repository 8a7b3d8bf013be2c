"""A small grammar of English for subject-verb agreement: beginnings of sentences up to the verb, with its right and its
wrong form. The sentences are the project's own, in the manner of Linzen et al. 2016.

An attractor is a noun between subject and verb whose number is the other one: "The boy near the cars … is/are".
"""

import random
from dataclasses import dataclass

SINGULAR, PLURAL = 0, 1
PEOPLE = (  # the subjects, (singular, plural)
    ("boy", "boys"), ("girl", "girls"), ("student", "students"), ("teacher", "teachers"), ("doctor", "doctors"),
    ("friend", "friends"), ("player", "players"), ("driver", "drivers"), ("worker", "workers"), ("king", "kings"),
    ("brother", "brothers"), ("mother", "mothers"), ("father", "fathers"), ("lady", "ladies"), ("baby", "babies"),
    ("man", "men"), ("woman", "women"), ("child", "children"), ("farmer", "farmers"), ("artist", "artists"),
)  # fmt: skip
THINGS = (  # what stands between
    ("car", "cars"), ("house", "houses"), ("tree", "trees"), ("table", "tables"), ("door", "doors"), ("book", "books"),
    ("box", "boxes"), ("chair", "chairs"), ("window", "windows"), ("building", "buildings"), ("flower", "flowers"),
    ("picture", "pictures"), ("dog", "dogs"), ("horse", "horses"), ("boat", "boats"), ("bus", "buses"),
)  # fmt: skip
VERBS = (
    ("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"), ("wants", "want"), ("knows", "know"),
    ("works", "work"), ("plays", "play"), ("looks", "look"), ("sits", "sit"), ("stands", "stand"), ("sings", "sing"),
    ("walks", "walk"), ("runs", "run"), ("smiles", "smile"), ("passes", "pass"), ("needs", "need"), ("seems", "seem"),
)  # fmt: skip
PREPOSITIONS = ("near", "behind", "beside", "with", "by")
DONE = ("worked", "studied", "talked", "played", "walked", "waited", "listened")  # the past has no number
FOUND = ("saw", "liked", "found", "painted", "wanted")
HOW = ("hard", "slowly", "quickly", "quietly", "carefully", "well", "late", "early", "alone", "often", "again")


@dataclass(frozen=True)
class Sentence:
    """`prefix` goes up to the verb; `distance` is the number of words between the subject's noun and the verb,
    `attractors` and `nouns` how many nouns of the other number, and of any, stand there."""

    prefix: str
    right: str
    wrong: str
    number: int
    distance: int
    nouns: int
    attractors: int


def chain(chance: random.Random, nouns: int, attracting: bool) -> Sentence:
    """ "The boy near the cars behind the houses": so many nouns between, all of the other number or all of the same.
    The first may hang on a verb: "The boy who saw the cars behind the houses"."""
    number = chance.choice((SINGULAR, PLURAL))
    between: list[str] = []
    for i, pair in enumerate(chance.sample(THINGS, nouns)):
        link = ("who", chance.choice(FOUND)) if not i and chance.random() < 0.5 else (chance.choice(PREPOSITIONS),)
        between += [*link, "the", pair[1 - number if attracting else number]]
    return _sentence(chance, number, between, nouns, nouns if attracting else 0)


def clause(chance: random.Random, ways: int) -> Sentence:
    """ "The students who studied hard and slowly and …": a clause of so many adverbs without a noun between; with 0
    ways nothing stands between at all."""
    number = chance.choice((SINGULAR, PLURAL))
    hows = " and ".join(chance.sample(HOW, ways)).split()
    return _sentence(chance, number, ["who", chance.choice(DONE), *hows] if ways else [], 0, 0)


def _sentence(chance: random.Random, number: int, between: list[str], nouns: int, attractors: int) -> Sentence:
    subject, verb = chance.choice(PEOPLE)[number], chance.choice(VERBS)
    prefix = " ".join(["The", subject, *between])
    return Sentence(prefix, verb[number], verb[1 - number], number, len(between), nouns, attractors)


def distinct(draw, count: int, seed: int) -> list[Sentence]:
    """So many different sentences of `draw(chance)`; fewer where it has no more."""
    chance, found = random.Random(seed), {}
    for _ in range(20 * count):
        sentence = draw(chance)
        found.setdefault((sentence.prefix, sentence.right), sentence)
        if len(found) == count:
            break
    return list(found.values())
