"""The command line of question answering with a tiny model: where questions and contexts come from, what is shown."""

import csv
import io
import json
import re

import pyarrow.parquet
import pytest
import qa_models

import pipelines
from tasks import asking, load

QA = load("qa")
CONTEXT = "Two young men are playing football in a park. An old fisherman mends his net beside a blue boat at dawn."
QUESTIONS = ["Who is playing?", "What does the fisherman mend, and when?", "Where?"]
LATIN = "Le pêcheur répare son filet.".encode("latin-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, word_tokenizer):
    """A BERT reader as `scripts.finetune` writes it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-reader"
    qa_models.reader("bert", word_tokenizer).save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return pipelines.pipeline("qa", model=folder, device="cpu")


def test_questions_from_arguments_lines_and_a_file_share_the_context(run, folder, pipe, tmp_path):
    expected = [pipe(question=question, context=CONTEXT) for question in QUESTIONS]
    flags = ["--model", folder, "--json", "--batch-size", 2]
    status, lines, err = run(QA, *QUESTIONS, "--context", CONTEXT, *flags)
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in lines]
    assert [row["input"] for row in rows] == QUESTIONS  # and not the context again in every line
    assert [row["output"]["answer"] for row in rows] == [answer["answer"] for answer in expected]
    for row, answer in zip(rows, expected, strict=True):
        assert row["output"]["score"] == pytest.approx(answer["score"], rel=1e-3)
        assert CONTEXT[row["output"]["start"] : row["output"]["end"]] == row["output"]["answer"]
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbf" + CONTEXT.encode())  # as Windows saves it
    stdin = "\n".join(QUESTIONS).encode()
    assert run(QA, "--context-file", file, *flags, stdin=stdin) == (status, lines, err)
    asked = tmp_path / "asked.txt"
    asked.write_bytes(stdin)
    assert run(QA, "--context-file", file, "--file", asked, *flags) == (status, lines, err)


@pytest.mark.parametrize("suffix", (".jsonl", ".csv", ".parquet"))
def test_rows_bring_their_own_context(run, folder, pipe, tmp_path, suffix):
    file, contexts = tmp_path / f"rows{suffix}", [CONTEXT, f"Well done!\n{CONTEXT}, said she.", "No."]
    rows = [{"id": i, "context": c, "question": q} for i, (q, c) in enumerate(zip(QUESTIONS, contexts, strict=True))]
    if suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".csv":
        with file.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    status, lines, err = run(QA, "--file", file, "--model", folder)
    assert (status, err) == (0, "")
    answers = [pipe(question=row["question"], context=row["context"])["answer"] for row in rows]
    assert lines == [" ".join(answer.split()) for answer in answers]
    # a context that is given counts for all rows
    given = run(QA, "--file", file, "--context", "I am happy.", "--model", folder, "--json")[1]
    assert all(json.loads(line)["output"]["answer"] in "I am happy." for line in given)


def test_a_row_without_context_keeps_its_line(run, folder, tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"question": "Who?", "context": CONTEXT}, {"question": "Who?"}, {"question": "Who?", "context": " "}]
    rows += ["Who?", {"question": None, "context": CONTEXT}, {"question": "Where?", "context": CONTEXT}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, lines, err = run(QA, "--file", file, "--model", folder)
    assert status == 1 and [bool(line) for line in lines] == [True, False, False, False, False, True]
    assert [re.search(r"line (\d): (.*)", line).groups() for line in err.splitlines()] == [
        ("2", "no column 'context'; there are: question"),
        ("3", "empty text as context"),
        ("4", "empty text as context"),
        ("5", "empty text"),
    ]


def test_several_answers_come_with_their_scores(run, folder, pipe):
    expected = pipe(question="Who?", context=CONTEXT, top_k=3)
    status, lines, err = run(QA, "Who?", "--context", CONTEXT, "--top-k", 3, "--model", folder)
    assert (status, err) == (0, "")
    assert lines == [f"{answer['score']:.4f}  {answer['answer']}" for answer in expected]
    _, lines, _ = run(QA, "Who?", "Where?", "--context", CONTEXT, "--top-k", 2, "--model", folder)
    fields = [line.split("\t") for line in lines]
    assert [len(row) for row in fields] == [5, 5] and [row[4] for row in fields] == ["Who?", "Where?"]
    assert fields[0][0] == expected[0]["answer"] and float(fields[0][1]) >= float(fields[0][3])
    output = json.loads(run(QA, "Who?", "--context", CONTEXT, "--top-k", 3, "--model", folder, "--json")[1][0])[
        "output"
    ]
    assert [answer["answer"] for answer in output] == [answer["answer"] for answer in expected]


def test_flags_reach_the_pipeline(run, folder, pipe):
    for flags, options in (
        (["--max-answer-len", 1], {"max_answer_len": 1}),
        (["--doc-stride", 3], {"doc_stride": 3}),
        (["--handle-impossible-answer"], {"handle_impossible_answer": True}),
    ):
        output = json.loads(run(QA, "Who?", "--context", CONTEXT * 9, "--model", folder, "--json", *flags)[1][0])[
            "output"
        ]
        expected = pipe(question="Who?", context=CONTEXT * 9, **options)
        assert output["answer"] == expected["answer"] and output["score"] == pytest.approx(expected["score"], rel=1e-3)
    assert asking.plain({"score": 0.9, "start": 0, "end": 0, "answer": ""}, "Who?", True) == asking.NO_ANSWER


def test_compare_shows_both_arms(run, folder):
    status, lines, err = run(
        QA, *QUESTIONS, "--context", CONTEXT, "--compare", "--model", folder, "--model", f"{folder}/."
    )
    assert status == 0 and "latency" in err
    assert all(any(question.split()[0] in line for line in lines) for question in QUESTIONS)
    status, lines, _ = run(
        QA, "Who?", "--context", CONTEXT, "--compare", "--json", "--model", folder, "--model", f"{folder}/."
    )
    both = json.loads(lines[0])["answers"]
    assert len(both) == 2 and both[0]["output"] == both[1]["output"] and both[0]["latency_ms"] > 0


def test_wrong_use_is_one_line(run, tmp_path):
    files = {"a.txt": b"Who?\n", "latin.txt": LATIN, "binary.txt": b"a\0b", "empty.txt": b" \n"}
    files |= {"plain.csv": b"question,n\nWho?,1\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for arguments, stdin, said in (
        (["Who?"], b"", "--context TEXT"),
        ([], b"Who?\n", "--context TEXT"),
        (["--file", tmp_path / "a.txt"], b"", "--context TEXT"),
        (["--file", tmp_path / "plain.csv"], b"", "unknown column 'context or text': choose from question, n"),
        (["Who?", "--context", "a", "--context-file", tmp_path / "a.txt"], b"", "not both"),
        (["Who?", "--context", " "], b"", "is empty"),
        (["Who?", "--context-file", tmp_path / "empty.txt"], b"", "is empty"),
        (["Who?", "--context-file", tmp_path / "none.txt"], b"", "no such file"),
        (["Who?", "--context-file", tmp_path], b"", "not a file"),
        (["Who?", "--context-file", tmp_path / "latin.txt"], b"", "not UTF-8"),
        (["Who?", "--context-file", tmp_path / "binary.txt"], b"", "binary"),
        (["Who?", "--context", "a", "--top-k", "0"], b"", "--top-k"),
        (["Who?", "--contxt", "a"], b"", "Did you mean '--context'"),
    ):
        status, lines, err = run(QA, *arguments, stdin=stdin)
        assert (status, lines) == (2, []) and len(err.splitlines()) == 1, arguments
        assert said in err and "Traceback" not in err


def test_a_question_that_leaves_no_room_is_reported_and_the_others_go_through(run, folder):
    questions = ["Who?", "Who? " * 40, "Where?"]
    status, lines, err = run(QA, *questions, "--context", CONTEXT, "--model", folder)
    assert status == 1 and [bool(line) for line in lines] == [True, False, True]
    assert "text 2: a question of 120 tokens leaves no room" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_context_shows_its_progress_on_a_terminal(monkeypatch):
    for shown, total, stream, expected in (
        (True, 40, Terminal(), True),
        (False, 40, Terminal(), False),
        (True, asking.FEW, Terminal(), False),
        (True, 40, io.StringIO(), False),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with asking.progress(shown) as note:
            for read in range(total + 1):
                note(read, total)
        assert ("reading" in stream.getvalue() and f"{total}/{total}" in stream.getvalue()) is expected
