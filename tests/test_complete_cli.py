"""`python -m tasks.complete`: completions, suggestions, streams and the line editor, on tiny models."""

import json

import pytest
from complete_models import FAMILIES, pipe

from pipelines.errors import UserError
from tasks import interactive, load

COMPLETE = load("complete")
TEXTS = ["Two young m", "She didn't ", "A film that"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for family in FAMILIES:
        made[family] = tmp_path_factory.mktemp(family)
        pipe(family).save_pretrained(made[family])
    return made


@pytest.fixture(params=FAMILIES)
def arm(request, folders):
    """(pipeline, the flags that name its folder)"""
    return pipe(request.param), ("--model", folders[request.param])


def test_the_best_completion_of_each_text(run, arm):
    made, model = arm
    best = [made.suggest(text, k=1)[0]["text"] for text in TEXTS]
    assert run(COMPLETE, *TEXTS, *model) == (0, best, "")
    assert run(COMPLETE, *model, stdin="\n".join(TEXTS).encode()) == (0, best, "")
    status, lines, _ = run(COMPLETE, *TEXTS, "--json", *model)
    rows = [json.loads(line) for line in lines]
    assert status == 0 and [(row["input"], row["output"]) for row in rows] == list(zip(TEXTS, best, strict=True))


def test_suggestions_with_their_probabilities(run, arm):
    made, model = arm
    found = made.suggest(TEXTS[0], k=4, max_words=2)
    flags = ("--suggestions", 4, "--max-words", 2, *model)
    status, lines, err = run(COMPLETE, TEXTS[0], *flags)
    assert (status, err) == (0, "") and lines == [f"{row['score']:.4f}  {row['text']}" for row in found]
    (line,) = run(COMPLETE, TEXTS[0], "--json", *flags)[1]
    got = json.loads(line)["output"]
    assert [row["text"] for row in got] == [row["text"] for row in found]
    assert [row["score"] for row in got] == pytest.approx([row["score"] for row in found])
    # several inputs: a line each, as with every task; line N answers input N
    status, lines, err = run(COMPLETE, *flags, stdin=f"{TEXTS[0]}\n\n{TEXTS[1]}\n".encode())
    assert status == 1 and "line 2: empty text" in err and len(lines) == 3 and lines[1] == ""
    assert lines[0].split("\t") == [part for row in found for part in (row["text"], f"{row['score']:.4f}")]


def test_writing_on_streamed_or_not(run, arm):
    made, model = arm
    written = [made.complete(text, max_new_tokens=7) for text in TEXTS]
    assert run(COMPLETE, *TEXTS, "--max-new-tokens", 7, *model) == (0, written, "")
    assert run(COMPLETE, *TEXTS, "--max-new-tokens", 7, "--stream", *model) == (0, written, "")
    whole = made.complete(TEXTS[0])
    assert run(COMPLETE, TEXTS[0], "--stream", *model) == (0, [whole], "") and len(whole) > len(written[0])


def test_both_arms_side_by_side(run, folders):
    flags = ("--compare", "--model", folders["gpt2"], "--model", folders["lstm"], "--suggestions", 2, "--json")
    status, (line,), _ = run(COMPLETE, TEXTS[0], *flags)
    answers = json.loads(line)["answers"]
    assert status == 0 and [len(row["output"]) for row in answers] == [2, 2]
    assert all(row["latency_ms"] > 0 for row in answers)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["a", "--suggestions", "0"], "--suggestions: '0' is not a whole number above 0"),
        (["a", "--suggestion", "2"], "unknown flag '--suggestion'.*Did you mean '--suggestions'?"),
        (["a", "--suggestions", "2", "--max-new-tokens", "5"], "--suggestions and --max-new-tokens don't go together"),
        (["a", "--max-words", "2", "--stream"], "--max-words and --stream don't go together"),
        (["a", "--stream", "--json"], "--stream and --json don't go together"),
        (["a", "--stream", "--compare"], "--stream and --compare don't go together"),
        (["a", "--interactive"], "leave out a text"),
        (["--interactive", "--json"], "leave out --json"),
        (["--interactive", "--max-new-tokens", "3"], "leave out --max-new-tokens"),
    ],
)
def test_flags_that_mean_nothing_together_are_told(run, flags, says):
    import re

    status, lines, err = run(COMPLETE, *flags)
    assert (status, lines) == (2, []) and re.search(says, err) and err.count("\n") == 1


# --- the line editor ---


def test_lines_through_a_pipe_are_answered_with_numbers_to_choose(run, arm):
    made, model = arm
    first = made.suggest(TEXTS[0], k=2)
    taken = first[1]["text"]
    second = made.suggest(taken, k=2)

    def shown(found):
        return [f"{place}  {row['score']:.4f}  {row['text']}" for place, row in enumerate(found, start=1)]

    typed = f"{TEXTS[0]}\n2\n7\n\nnever read\n".encode()
    status, lines, err = run(COMPLETE, "--interactive", "--suggestions", 2, *model, stdin=typed)
    assert status == 0 and "Ctrl-D" in err
    assert lines == [*shown(first), taken, *shown(second), *shown(made.suggest("7", k=2))]


def test_on_a_terminal_a_number_goes_behind_what_was_taken(monkeypatch, capsys):
    table = {"a": ["ab", "ac"], "ac": ["ac d", "ac e"], "ac e": []}

    def suggest(text):
        return [{"text": found, "score": 0.5} for found in table[text]]

    said, lines = [], iter(["a", "2", "ac2"])
    monkeypatch.setattr(interactive, "_lines", lambda *_: lines)
    interactive.edit(suggest, said.append)
    assert [line for line in capsys.readouterr().out.split("\n") if "  " not in line] == ["ac", "ac e", ""]
    assert said == [interactive.HELP, "nothing to suggest"]


def test_tab_gives_the_suggestions_one_by_one():
    def suggest(text):
        if text == "bad":
            raise UserError("no")
        return [{"text": text + end, "score": 0.5} for end in ("x", "y")]

    complete = interactive.completer(suggest)
    assert [complete("a", place) for place in range(3)] == ["ax", "ay", None]
    assert [complete("b", place) for place in range(3)] == ["bx", "by", None]
    assert complete("bad", 0) is None


def test_a_text_that_cannot_be_read_does_not_end_the_editor(capsys, monkeypatch):
    def suggest(text):
        raise UserError("the text has no UTF-8")

    said = []
    monkeypatch.setattr(interactive, "_lines", lambda *_: iter(["a", "b"]))
    interactive.edit(suggest, said.append)
    assert said[1:] == ["the text has no UTF-8"] * 2 and capsys.readouterr().out == ""
