"""Translation, summarization, text2text-generation: what transformers 4.57.6 returned, replayed on transformers 5.

By default some of the cases, of all kinds and checkpoints; every one with `make parity`.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from . import text2text_differences
from .text2text_asking import Asker
from .text2text_cases import CASES
from .text2text_texts import TEXTS

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected" / "text2text.json").read_text(encoding="utf-8"))
PAGE = (HERE.parents[1] / "docs" / "parity-text2text.md").read_text(encoding="utf-8")
THEIRS, UNSTEADY = EXPECTED["cases"], EXPECTED["unsteady"]
KINDS = {name: text2text_differences.kind(name) for name in THEIRS}
ALIKE = [name for name in THEIRS if KINDS[name] is None]
DIFFERENT = [name for name in THEIRS if KINDS[name]]
SLOW = ("settings/none", "settings/summary", "text/article", "text/very-long", "config/no-length")
FAST = {name for name in ALIKE[::5] if not name.startswith(SLOW)}
FAST |= {name for names in ({KINDS[name]: name for name in DIFFERENT},) for name in names.values()}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    from pipelines import pipeline

    return Asker(pipeline, tmp_path_factory.mktemp("text2text"))


def cases(names: list[str]) -> list:
    return [pytest.param(name, marks=[] if name in FAST else pytest.mark.parity) for name in names]


def asked(ask, name: str):
    """Our answer; fails on other weights or tokens than theirs, which could only differ."""
    answer, folder = ask(CASES[name]), CASES[name]["folder"]
    assert ask.hashes[folder] == EXPECTED["folders"][folder]
    return answer


@pytest.mark.parametrize("name", cases(ALIKE))
def test_same_call_same_answer(ask, name):
    ours, theirs = asked(ask, name), THEIRS[name]
    if "error" in theirs:
        assert ours in ({"error": "UserError"}, theirs)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", cases(DIFFERENT))
def test_where_it_differs_ours_is_as_documented(ask, name):
    ours = asked(ask, name)
    assert ours != THEIRS[name]
    _, check = text2text_differences.DIFFERENCES[KINDS[name]]
    check(ask, CASES[name], ours, THEIRS[name])


def test_a_tokenizer_reads_the_same_when_saved_again(ask, tmp_path):
    """mBART's, which transformers 5 loads without its normalizer."""
    from pipelines import pipeline

    pipe = ask.pipe(next(case for case in CASES.values() if case["folder"] == "mbart"))
    pipe.save_pretrained(tmp_path)
    again = pipeline("translation", model=tmp_path, device="cpu")
    theirs, ours = (one.tokenizer(TEXTS, add_special_tokens=False)["input_ids"] for one in (pipe, again))
    assert ours == theirs and again.tokenizer.unk_token_id not in again.tokenizer("…")["input_ids"]


def test_every_case_is_there_and_they_ask_for_different_things():
    assert {*THEIRS, *UNSTEADY} == set(CASES) and len({json.dumps(case) for case in CASES.values()}) == len(CASES)
    assert (len(ALIKE), len(DIFFERENT), len(UNSTEADY), len(FAST)) == (517, 59, 8, 105)
    assert min(Counter(CASES[name]["folder"] for name in THEIRS).values()) > 60
    assert min(Counter(CASES[name]["folder"] for name in FAST).values()) > 6
    # answers that hardly vary would prove little
    found = [words for name in THEIRS for words in texts(THEIRS[name])]
    assert len(found) > 900 and len(set(found)) > len(found) / 2 and sum(not words.strip() for words in found) < 20
    assert sum("error" in THEIRS[name] for name in ALIKE) < 20
    # and a summary of a text in one part may stammer, as the model did
    assert "h h h h h h" in str(THEIRS["settings/stammer/mbart"]) and "settings/stammer/mbart" in ALIKE


def test_the_page_counts_the_differences():
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("|") and "---" not in line][1:]
    counts = Counter(KINDS[name] for name in DIFFERENT)
    assert {name.strip(): int(count) for name, count in rows} == dict(counts)
    assert all(f"{len(names)} {what}" in PAGE for names, what in ((THEIRS, "cases"), (DIFFERENT, "differ")))


def texts(output) -> list[str]:
    """All texts in an output."""
    if isinstance(output, list):
        return [words for one in output for words in texts(one)]
    return texts(output["stream"]) if "stream" in output else [v for k, v in output.items() if k.endswith("_text")]
