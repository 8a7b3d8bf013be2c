"""Question answering: what transformers 4.57.6 returned, replayed on transformers 5, and where ours is another answer.

By default a quarter of the cases, of all kinds and checkpoints, and all that differ; every one with `make parity`.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from . import qa_cases, qa_differences, qa_folders

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected" / "qa.json").read_text(encoding="utf-8"))
THEIRS, CASES = EXPECTED["cases"], qa_cases.CASES
PAGE = (HERE.parents[1] / "docs" / "parity-qa.md").read_text(encoding="utf-8")
KINDS = {name: qa_differences.kind(name, THEIRS[name]) for name in CASES}
ALIKE = [name for name in CASES if KINDS[name] is None]
DIFFERENT = [name for name in CASES if KINDS[name]]
# one of each kind for each checkpoint, and a sixth of the rest
FAST = {*{(name.split("/")[0], CASES[name]["folder"]): name for name in ALIKE}.values(), *ALIKE[::6]}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """A case's name → what our pipeline gives; `changes` to its call. Fails on other weights or tokens than theirs."""
    from pipelines import pipeline

    parent, pipes = tmp_path_factory.mktemp("qa"), {}

    def ask(name: str, **changes):
        case = CASES[name]
        folder, made = case["folder"], case["made"]
        path = str(parent / folder)
        if folder not in pipes:
            qa_folders.build(folder, parent)
            pipes[folder] = pipeline("question-answering", model=path, device="cpu")
            assert qa_folders.fingerprint(pipes[folder], qa_cases.TEXTS) == EXPECTED["folders"][folder]
        pipe = pipeline("question-answering", model=path, device="cpu", **made) if made else pipes[folder]
        return qa_cases.answered(pipe, case["call"] | changes)

    return ask


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.parity) for n in ALIKE])
def test_same_call_same_answer(ask, name):
    ours, theirs = ask(name), THEIRS[name]
    if theirs == {"error": "ValueError"}:
        theirs = {"error": "UserError"}  # which is a ValueError
    assert qa_differences.same(ours, theirs)


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_it_differs_ours_is_as_documented(ask, name):
    ours = ask(name)
    assert not qa_differences.same(ours, THEIRS[name])
    assert qa_differences.ours_is_right(name, THEIRS[name], ours, ask)


def test_every_case_is_there_and_they_ask_for_different_things():
    assert list(THEIRS) == list(CASES) and len(CASES) == 396
    assert (len(ALIKE), len(DIFFERENT), len(FAST)) == (340, 56, 80)
    # answers that hardly vary would prove little
    found = [record for name in CASES for record in records(THEIRS[name])]
    assert len(found) > 1000 and len({record["answer"] for record in found}) > 500
    scores = sorted(record["score"] for record in found)
    assert scores[len(scores) // 10] < 0.002 and scores[len(scores) * 9 // 10] > 0.02
    assert len({record["start"] for record in found if record["score"] > 0.02}) > 60
    long = [qa_cases.CONTEXTS[name] for name in qa_cases.LONG]  # of several windows
    assert sum(case["call"].get("context") in long for case in CASES.values()) > 50


def test_the_page_counts_the_differences():
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("|") and "---" not in line][1:]
    counts = Counter(KINDS[name] for name in DIFFERENT)
    assert {name.strip(): int(count) for name, count in rows} == dict(counts)
    assert f"{len(CASES)} cases" in PAGE and f"{len(DIFFERENT)} differ" in PAGE


def records(output) -> list[dict]:
    """All answers in an output."""
    if isinstance(output, list):
        return [record for one in output for record in records(one)]
    return records(output["iterator"]) if "iterator" in output else [output] if "answer" in output else []
