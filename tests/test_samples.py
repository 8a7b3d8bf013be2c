"""The rows written for this project: what the harness measures where there is neither network nor mirror."""

import json
import re
from collections import Counter
from itertools import accumulate

import pytest
from seqeval.metrics.sequence_labeling import get_entities

import tasks
from tasks.data import SAMPLES, read

LEAST_VALIDATION, LEAST_TRAIN = 60, 20


def rows_of(name: str) -> list[dict]:
    """The sample rows of a task. Strict: UTF-8 without a byte order mark, one JSON object a line, no blank line."""
    text = (SAMPLES / f"{name}.jsonl").read_bytes().decode("utf-8", errors="strict")
    assert text.endswith("\n") and not text.startswith("\ufeff")
    return [json.loads(line) for line in text[:-1].split("\n")]


def column(names: tuple[str, ...], row: dict) -> str:
    """The one of a role's accepted column names that `row` uses."""
    found = [name for name in names if name in row]
    assert len(found) == 1, row
    return found[0]


def texts(value) -> list[str]:
    """Every string in a value; what else may be there is a character offset."""
    if isinstance(value, dict):
        value = [part for parts in value.values() for part in parts]
    found = [part for part in ([value] if isinstance(value, str) else value) if not isinstance(part, int)]
    assert all(isinstance(part, str) for part in found), value
    return found


def target_of(task, row: dict):
    """What the metrics should get for a row."""
    value = row[column(task.columns["target"], row)]
    if task.kind == "text2text":  # one reference may stand for a list of one
        return value if isinstance(value, list) else [value]
    if task.kind == "token_classification":  # tags become types and character offsets in the words joined by blanks
        ends = list(accumulate(len(token) + 1 for token in row["tokens"]))
        starts = [0, *ends]
        return [[kind, starts[first], ends[last] - 1] for kind, first, last in get_entities(value)]
    if task.kind == "chat":  # one of the replies, drawn
        return value[1:]
    return value


def fingerprint(text: str) -> str:
    """Letters and digits only: two rows that differ in case, spaces or punctuation are one row."""
    return "".join(re.findall(r"\w", text.casefold()))


def test_every_task_has_its_samples():
    files = {path.stem for path in SAMPLES.glob("*.jsonl")}
    assert files == set(tasks.TASKS)
    assert len(files) >= 2  # an empty list of tasks would let every test below pass


@pytest.mark.parametrize("name", tasks.TASKS)
def test_rows_hold_the_tasks_columns_and_nothing_else(name):
    task, rows = tasks.load(name), rows_of(name)
    assert len(rows) >= LEAST_VALIDATION + LEAST_TRAIN
    assert {tuple(row) for row in rows} == {tuple(rows[0])}  # same keys, same order, in every row
    for row in rows:
        assert set(row) == {"split"} | {column(names, row) for names in task.columns.values()}
        assert row["split"] in ("train", "validation")
        for value in row.values():
            if isinstance(value, float):
                continue  # a score
            assert texts(value) and all(text and text == text.strip() for text in texts(value)), row


@pytest.mark.parametrize("name", tasks.TASKS)
def test_both_splits_read_as_the_harness_reads_them(name):
    task, raw = tasks.load(name), rows_of(name)
    seen = 0
    for split, least in (("validation", LEAST_VALIDATION), ("train", LEAST_TRAIN)):
        rows = read(task, source="samples", split=split)
        assert (rows.source, rows.split) == ("samples", split)
        assert len(rows.inputs) == len(rows.targets) >= least
        expected = [row for row in raw if row["split"] == split]
        seen += len(rows)
        if task.kind == "chat":
            assert all(reply in target_of(task, row) for (reply,), row in zip(rows.targets, expected, strict=True))
            assert [given["turns"] + given["after"] for given in rows.inputs] == [row["utterances"] for row in expected]
            continue
        assert rows.targets == [target_of(task, row) for row in expected]
        roles = {role: names for role, names in task.columns.items() if role != "target"}
        inputs = [{role: row[column(names, row)] for role, names in roles.items()} for row in expected]
        assert rows.inputs == [given["input"] if set(roles) == {"input"} else given for given in inputs]
    assert seen == len(raw)  # no row is in neither split


@pytest.mark.parametrize("name", tasks.TASKS)
def test_no_input_occurs_twice(name):
    task = tasks.load(name)
    inputs = []
    for row in rows_of(name):
        fields = [row[column(names, row)] for role, names in task.columns.items() if role != "target"]
        inputs.append(fingerprint(" ".join(text for field in fields for text in texts(field))))
    assert len(inputs) >= LEAST_VALIDATION + LEAST_TRAIN
    assert all(inputs)  # nothing is punctuation only
    assert [text for text, times in Counter(inputs).items() if times > 1] == []


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if tasks.load(name).kind == "text_classification"])
def test_labels_are_known_and_balanced(name):
    task = tasks.load(name)
    counts = {split: Counter(read(task, source="samples", split=split).targets) for split in ("validation", "train")}
    labels = set(counts["validation"])
    assert labels == set(counts["train"]) <= set(task.labels)  # the floor has seen every answer
    # all of them, or as many as a voice assistant's day holds
    assert labels == set(task.labels) or (len(labels) >= 40 and task.out_of_scope in labels)
    for split, least in (("validation", 10), ("train", 5)):
        assert not task.out_of_scope or counts[split].pop(task.out_of_scope) >= least
        # 60/40 for two classes, and the same slack around an even share for more
        share = counts[split].total() / len(counts[split])
        assert all(0.8 * share <= n <= 1.2 * share for n in counts[split].values()), (split, counts[split])


def test_commands_look_as_speech_recognition_writes_them():
    assert [row["text"] for row in rows_of("intents") if not re.fullmatch(r"[a-z0-9' ]+", row["text"])] == []


def test_headlines_are_short_and_some_documents_are_long():
    rows = rows_of("summarize")
    assert all(5 <= len(row["summary"].split()) <= 12 for row in rows)
    lengths = [len(row["document"].split()) for row in rows]
    assert sum(10 <= length <= 90 for length in lengths) >= len(rows) - 3
    # beyond a window of 256 pieces, so that the demonstration sums up in parts too
    assert all(250 <= length <= 400 for length in lengths if length > 90)
    assert sum("\n\n" in row["document"] for row in rows) >= 3


def test_entities_are_valid_iob2_and_every_kind_is_in_both_splits():
    kinds = {"validation": Counter(), "train": Counter()}
    bare = 0
    for row in rows_of("ner"):
        tokens, tags = row["tokens"], row["ner_tags"]
        assert len(tokens) == len(tags), row
        assert not any(re.search(r"\s|\w[,;:?!\"]$", token) for token in tokens), row  # punctuation stands alone
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert re.fullmatch(r"O|[BI]-(PER|ORG|LOC|MISC)", tag), row
            assert tag[0] != "I" or before[1:] == tag[1:], row  # I-X only goes on from B-X or I-X
        kinds[row["split"]].update(tag[2:] for tag in tags if tag[0] == "B")
        bare += set(tags) == {"O"}
    assert all(len(kind) == 4 and min(kind.values()) >= 10 for kind in kinds.values()), kinds
    assert bare >= 3


def test_answers_stand_where_they_are_said_to():
    contexts = {"validation": set(), "train": set()}
    for row in rows_of("qa"):
        given, starts = row["answers"]["text"], row["answers"]["answer_start"]
        assert len(given) == len(starts) == len(set(given)) and list(row["answers"]) == ["text", "answer_start"]
        for text, start in zip(given, starts, strict=True):
            assert row["context"][start : start + len(text)] == text, row["question"]
            assert row["context"].count(text) == 1, row["question"]  # no doubt which place is meant
            assert len(text.split()) <= 8
        assert row["question"].endswith("?")
        assert 60 <= len(row["context"].split()) <= 160
        contexts[row["split"]].add(row["context"])
    assert not contexts["validation"] & contexts["train"]
    assert len(contexts["validation"]) >= 15


def test_conversations_are_short_whole_and_their_own():
    said = []
    for row in rows_of("chat"):
        assert 4 <= len(row["utterances"]) <= 6
        said += row["utterances"]
    assert [text for text in said if not re.fullmatch(r"[A-Z][^\n]{1,80}[.?!]", text)] == []
    assert max(Counter(map(fingerprint, said)).values()) == 1


def test_texts_to_complete_are_whole_sentences():
    assert [row["text"] for row in rows_of("complete") if not re.fullmatch(r"[A-Z].*[.?!]", row["text"])] == []


def test_translations_are_one_to_three_and_typeset_as_the_training_data():
    """French as in Tatoeba: a plain blank before ! ? : ; and inside « », straight apostrophes, no exotic blanks."""
    task = tasks.load("translate")
    references = 0
    for split in ("validation", "train"):
        for french in read(task, source="samples", split=split).targets:
            assert 1 <= len(french) <= 3 and len(set(french)) == len(french), french
            for text in french:
                assert not re.search(r"[\u00a0\u202f\u2009’“”\"]|…", text), text
                assert not re.search(r"[^\s!?][!?;]|\w:(?!//)|«\S|\S»", text), text
                references += 1
    assert references >= 150
