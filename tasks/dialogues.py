"""Conversations as `tasks.chat` reads them: a row of utterances becomes a reply to be given, among others.

An input is {"system", "turns", "after", "others"}: what the conversation is about ("" where nobody says), its turns up
to the reply, which is the last of them, the turns behind it, and `OTHERS` replies of other conversations, or none
where the table has too few.
"""

import logging
import random
import re

from pipelines.errors import UserError

OTHERS = 9  # so that chance finds the reply one time in ten
SEED = 13
# DailyDialog comes in tokens: "Let ' s go now , please ." and "I don ’ t"
_APOSTROPHE = re.compile(r"\b (['’]) ?(?=(?:s|t|m|d|ll|re|ve|clock)\b)", re.IGNORECASE)
_BEFORE = re.compile(r" +(?=[,.!?;:%)\]])")
_AFTER = re.compile(r"(?<=[(\[$£€]) +")
_GLUED = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Z][a-z]|I\b)")
logger = logging.getLogger(__name__)


def tidy(utterance: str) -> str:
    """The text as people write it: on one line, without blanks before punctuation, with one between sentences."""
    text = " ".join(utterance.replace("’", "'").split())
    text = _AFTER.sub("", _BEFORE.sub("", _APOSTROPHE.sub(r"\1", text)))
    return _GLUED.sub(" ", text)


def read(table, column: str) -> tuple[list[dict], list[list[str]]]:
    """Inputs and targets of a table's rows; a target is a list of the one reply. Rows with fewer than two turns are
    left out.

    Which turn is the reply, and which others stand beside it, is drawn with a seed: the same rows give the same.
    Raises `UserError` for a cell that is no list of texts; one of them that is missing is left out.
    """
    topics = table["topic"][:] if "topic" in table.column_names else [""] * len(table)
    rows = []
    for number, (utterances, topic) in enumerate(zip(table[column][:], topics, strict=True), start=1):
        turns = [text for text in map(tidy, _texts(utterances, f"row {number}: {column}")) if text]
        if len(turns) > 1:
            rows.append((turns, _name(topic, f"row {number}: topic")))
    rng = random.Random(SEED)
    inputs = []
    for number, (turns, topic) in enumerate(rows):
        place = rng.randrange(1, len(turns))
        row = {"system": topic, "turns": turns[: place + 1], "after": turns[place + 1 :]}
        inputs.append(row | {"others": _others(rows, number, turns[place], rng)})
    alone = sum(not row["others"] for row in inputs)
    if alone:
        logger.warning(
            f"{alone} of {len(inputs)} conversations: there are no {OTHERS} replies of others to rank theirs among, so "
            "recall_at_1 does not count them"
        )
    return inputs, [[row["turns"][-1]] for row in inputs]


def _texts(utterances, where: str) -> list[str]:
    """The texts of a cell. Raises `UserError` where it holds anything else."""
    if utterances is None:
        return []
    if not isinstance(utterances, list):
        raise UserError(f"{where} must be a list of texts, the turns; it is {str(utterances)[:40]!r}.")
    for text in utterances:
        if not isinstance(text, str | None):
            raise UserError(f"{where} must be a list of texts, the turns; in it is {str(text)[:40]!r}.")
    return [text for text in utterances if text is not None]


def _name(topic, where: str) -> str:
    """What a conversation is about, as text. Raises `UserError` for a list or the like."""
    if not isinstance(topic, str | int | float | None):
        raise UserError(f"{where} must be a text or a number; it is {str(topic)[:40]!r}.")
    return "" if topic is None else str(topic).replace("_", " ")


def _others(rows: list, number: int, reply: str, rng: random.Random) -> list[str]:
    """`OTHERS` replies of other rows, each with another text; none where there are not as many, since chance would
    find the reply among them more often."""
    found: dict[str, None] = {}
    for _ in range(20 * OTHERS):
        other = rng.randrange(len(rows))
        text = rng.choice(rows[other][0][1:])
        if other != number and text != reply:
            found.setdefault(text)
        if len(found) == OTHERS:
            break
    return list(found) if len(found) == OTHERS else []
