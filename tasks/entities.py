"""Tags of words → entities [type, start, end], in characters of `" ".join(words)`; names of types → the task's own."""

from pipelines.errors import UserError
from pipelines.words import joined_spans
from tasks import Task

OPENING, CLOSING = "BSU", "ESLU"  # prefixes of IOB2, IOBES and BILOU


def from_table(task: Task, table, tokens: list, values: list, column: str, origin: str) -> list[list]:
    """The entities of each row of a table whose `column` holds a tag a word: numbers or names, in IOB1, IOB2, IOBES or
    BILOU. Raises `UserError`, with the row's number, where words and tags don't fit or a type is not the task's."""
    named = getattr(table.features[column], "feature", None)
    names = getattr(named, "names", None) or task.labels
    rows = []
    for number, (words, tags) in enumerate(zip(tokens, values, strict=True), start=1):
        where = f"{origin}: row {number}"
        if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags) or not words:
            raise UserError(f"{where} needs a list of words and as many tags.")
        if None in words or None in tags or not isinstance(words[0], str):
            raise UserError(f"{where} has a word or a tag that is empty or no text.")
        rows.append(from_tags(task, words, [_name(tag, names, where) for tag in tags], where))
    return rows


def _name(tag, names: tuple[str, ...], where: str) -> str:
    if isinstance(tag, str) and not tag.isdecimal():
        return tag
    if int(tag) >= len(names):
        raise UserError(f"{where} has the tag {tag}, but the task has {len(names)}: 0 to {len(names) - 1}.")
    return names[int(tag)]


def from_tags(task: Task, words: list[str], tags: list[str], where: str = "") -> list[list]:
    """The entities of one text, as conlleval reads its tags: an I-X that follows no X opens an entity."""
    entities, open_type = [], None
    for (start, end), tag in zip(joined_spans(words), tags, strict=True):
        prefix, _, name = tag.partition("-")
        if not name:
            if tag != "O":
                raise UserError(f"{where}: a tag is O or B-TYPE or I-TYPE, not {tag!r}.")
            open_type = None
            continue
        if name != open_type or prefix in OPENING:
            entities.append([own_type(task, name, where), start, end])
        entities[-1][2] = end
        open_type = None if prefix in CLOSING else name
    return entities


def types(task: Task) -> list[str]:
    """The types of entities that the task knows."""
    return [label[2:] for label in task.labels if label.startswith("B-")]


def own_type(task: Task, name: str, where: str = "") -> str:
    """The task's name of a type of entity. Raises `UserError` for one that has none."""
    known = {kind.casefold(): kind for kind in types(task)} | task.aliases
    if name.casefold() not in known:
        raise UserError(f"{where + ': ' if where else ''}unknown type {name!r}: choose from {', '.join(types(task))}.")
    return known[name.casefold()]


def own_types(task: Task, entities: list[list]) -> list[list]:
    """A model's entities by the task's names of types; those of types that the task doesn't know are left out."""
    known = {kind.casefold(): kind for kind in types(task)} | task.aliases
    return [[known[kind.casefold()], start, end] for kind, start, end in entities if kind.casefold() in known]
