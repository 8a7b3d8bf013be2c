"""Conversations as `tasks.chat` reads them: a row of utterances becomes a reply to be given, among others.

An input is {"system", "turns", "after", "others"}: what the conversation is about ("" where nobody says), its turns up
to the reply, which is the last of them, the turns behind it, and replies of other conversations.
"""

import random
import re

OTHERS = 9  # so that chance finds the reply one time in ten
SEED = 13
# DailyDialog comes in tokens: "Let ' s go now , please ." and "I don ’ t"
_APOSTROPHE = re.compile(r"\b (['’]) ?(?=(?:s|t|m|d|ll|re|ve|clock)\b)", re.IGNORECASE)
_BEFORE = re.compile(r" +(?=[,.!?;:%)\]])")
_AFTER = re.compile(r"(?<=[(\[$£€]) +")
_GLUED = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Z][a-z]|I\b)")


def tidy(utterance: str) -> str:
    """The text as people write it: on one line, without blanks before punctuation, with one between sentences."""
    text = " ".join(utterance.replace("’", "'").split())
    text = _AFTER.sub("", _BEFORE.sub("", _APOSTROPHE.sub(r"\1", text)))
    return _GLUED.sub(" ", text)


def read(table, column: str) -> tuple[list[dict], list[list[str]]]:
    """Inputs and targets of a table's rows; a target is a list of the one reply. Rows with fewer than two turns are
    left out.

    Which turn is the reply, and which others stand beside it, is drawn with a seed: the same rows give the same.
    """
    topics = table["topic"][:] if "topic" in table.column_names else [""] * len(table)
    rows = []
    for utterances, topic in zip(table[column][:], topics, strict=True):
        turns = [text for text in map(tidy, utterances or ()) if text]
        if len(turns) > 1:
            rows.append((turns, (topic or "").replace("_", " ")))
    rng = random.Random(SEED)
    inputs = []
    for number, (turns, topic) in enumerate(rows):
        place = rng.randrange(1, len(turns))
        row = {"system": topic, "turns": turns[: place + 1], "after": turns[place + 1 :]}
        inputs.append(row | {"others": _others(rows, number, turns[place], rng)})
    return inputs, [[row["turns"][-1]] for row in inputs]


def _others(rows: list, number: int, reply: str, rng: random.Random) -> list[str]:
    """Replies of other rows, each with another text; fewer than `OTHERS` where there are no more."""
    found: dict[str, None] = {}
    for _ in range(20 * OTHERS):
        other = rng.randrange(len(rows))
        text = rng.choice(rows[other][0][1:])
        if other != number and text != reply:
            found.setdefault(text)
        if len(found) == OTHERS:
            break
    return list(found)
