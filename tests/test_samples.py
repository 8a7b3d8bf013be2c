"""The rows written for this project: what the harness measures where there is neither network nor mirror."""

import json
import re
from collections import Counter

import pytest

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
            texts = value if isinstance(value, list) else [value]
            assert texts and all(isinstance(text, str) and text and text == text.strip() for text in texts), row


@pytest.mark.parametrize("name", tasks.TASKS)
def test_both_splits_read_as_the_harness_reads_them(name):
    task, raw = tasks.load(name), rows_of(name)
    seen = 0
    for split, least in (("validation", LEAST_VALIDATION), ("train", LEAST_TRAIN)):
        rows = read(task, source="samples", split=split)
        assert (rows.source, rows.split) == ("samples", split)
        assert len(rows.inputs) == len(rows.targets) >= least
        expected = [row for row in raw if row["split"] == split]
        targets = [row[column(task.columns["target"], row)] for row in expected]
        assert rows.targets == targets
        if set(task.columns) == {"input", "target"}:
            assert rows.inputs == [row[column(task.columns["input"], row)] for row in expected]
        seen += len(rows)
    assert seen == len(raw)  # no row is in neither split


@pytest.mark.parametrize("name", tasks.TASKS)
def test_no_input_occurs_twice(name):
    task = tasks.load(name)
    inputs = []
    for row in rows_of(name):
        fields = [row[column(names, row)] for role, names in task.columns.items() if role != "target"]
        inputs.append(fingerprint(" ".join(fields)))
    assert len(inputs) >= LEAST_VALIDATION + LEAST_TRAIN
    assert all(inputs)  # nothing is punctuation only
    assert [text for text, times in Counter(inputs).items() if times > 1] == []


def test_labels_are_balanced():
    checked = 0
    for task in map(tasks.load, tasks.TASKS):
        if not task.labels:
            continue
        for split in ("validation", "train"):
            targets = read(task, source="samples", split=split).targets
            counts = Counter(targets)
            assert set(counts) == set(task.labels)
            # 60/40 for two classes, and the same slack around an even share for more
            share = len(targets) / len(task.labels)
            assert all(0.8 * share <= count <= 1.2 * share for count in counts.values()), (task.name, split, counts)
            checked += 1
    assert checked >= 2


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
