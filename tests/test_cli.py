"""The command line of the tasks with tiny models: good input, and input that can't be answered."""

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

import pipelines
from pipelines.text_classification import WindowedTextClassificationPipeline
from tasks import cli, labels, load

ROOT = Path(__file__).parent.parent
TRANSLATE, SENTIMENT = load("translate"), load("sentiment")
TEXTS = ["A dog.", "Two small dogs are running along the beach, and a child is laughing.", "Hi", "I am happy, too."]
SHORT = ["--max-new-tokens", "5"]  # tiny models know no end
BINARY = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0" * 9


@pytest.fixture(params=["tiny_t5", "tiny_lstm_seq2seq", "tiny_bert", "tiny_lstm_classifier"])
def arm(request):
    """(task, folder, flags) of each tiny model: both shapes, both families."""
    folder = request.getfixturevalue(request.param)
    text = request.param in ("tiny_t5", "tiny_lstm_seq2seq")
    return (TRANSLATE, folder, SHORT) if text else (SENTIMENT, folder, [])


# --- good input ---


def test_answers_are_the_pipelines_in_the_order_of_the_input(run, arm):
    task, folder, flags = arm
    pipe = pipelines.pipeline(task.name, model=folder)
    options = {"max_new_tokens": 5} if flags else {}
    expected = [pipe(text, **options)[0] for text in TEXTS]
    status, lines, err = run(task, *TEXTS, "--model", folder, "--json", *flags)
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in lines]
    assert [row["input"] for row in rows] == TEXTS
    assert {row["model"] for row in rows} == {str(folder)}
    if task is TRANSLATE:
        assert [row["output"] for row in rows] == [answer["translation_text"] for answer in expected]
    else:
        assert [row["output"]["score"] for row in rows] == pytest.approx([answer["score"] for answer in expected])
        assert {row["output"]["label"] for row in rows} <= set(task.labels)


def test_the_bundled_arms_go_by_their_names(run, bundled):
    for task, transformer in ((TRANSLATE, "t5"), (SENTIMENT, "bert")):
        for model, family in (("transformer", transformer), (transformer, transformer), ("lstm", "lstm")):
            _, lines, _ = run(task, "Hi", "--json", "--model", model)
            assert json.loads(lines[0])["model"] == f"{task.name}-{family}"
        assert run(task, "Hi") == run(task, "Hi", "--model", "transformer")


def test_arguments_lines_and_files_give_the_same_answers(run, arm, tmp_path):
    task, folder, flags = arm
    flags = ["--model", folder, "--json", "--batch-size", 3, *flags]
    expected = run(task, *TEXTS, *flags)
    files = {suffix: tmp_path / f"texts{suffix}" for suffix in (".txt", ".jsonl", ".csv", ".parquet")}
    files[".txt"].write_bytes(b"\xef\xbb\xbf" + "\r\n".join(TEXTS).encode())  # as Windows saves it
    rows = [{"id": i, "body": text} for i, text in enumerate(TEXTS)]
    files[".jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    with files[".csv"].open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["id", "body"])
        table.writeheader()
        table.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), files[".parquet"])
    assert run(task, *flags, stdin="\n".join(TEXTS).encode()) == expected
    for suffix, file in files.items():
        assert run(task, "--file", file, *flags, *(["--column", "body"] if suffix != ".txt" else [])) == expected


def test_the_tasks_own_column_is_found(run, tiny_bert, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"label": 1, "text": "A dog."}\n"A bare string."\n')
    status, lines, err = run(SENTIMENT, "--file", file, "--model", tiny_bert)
    assert (status, err) == (0, "")
    assert [line.split("\t")[2] for line in lines] == ["A dog.", "A bare string."]


def test_plain_output(run, tiny_t5, tiny_bert):
    _, rows, _ = run(TRANSLATE, *TEXTS, "--model", tiny_t5, "--json", *SHORT)
    _, lines, _ = run(TRANSLATE, *TEXTS, "--model", tiny_t5, *SHORT)
    assert lines == [json.loads(row)["output"] for row in rows]
    _, lines, _ = run(SENTIMENT, "A dog.", "Two\nlines", "--model", tiny_bert)
    assert [line.split("\t")[2] for line in lines] == ["A dog.", "Two lines"]
    _, lines, _ = run(SENTIMENT, "A dog.", "--model", tiny_bert)
    label, score = lines[0].split()
    assert label in SENTIMENT.labels and 0.5 <= float(score) <= 1


def test_top_k(run, tiny_bert):
    _, lines, _ = run(SENTIMENT, "A dog.", "--model", tiny_bert, "--top-k", 2)
    assert sorted(line.split()[0] for line in lines) == sorted(SENTIMENT.labels)
    assert sum(float(line.split()[1]) for line in lines) == pytest.approx(1, abs=1e-3)
    _, lines, _ = run(SENTIMENT, "A dog.", "--model", tiny_bert, "--top-k", 2, "--json")
    best, other = json.loads(lines[0])["output"]
    assert best["score"] >= other["score"] and {best["label"], other["label"]} == set(SENTIMENT.labels)


def test_max_new_tokens_reaches_the_model(run, tiny_t5):
    lengths = []
    for count in (2, 12):
        _, lines, _ = run(TRANSLATE, TEXTS[1], "--model", tiny_t5, "--num-beams", 1, "--max-new-tokens", count)
        lengths.append(len("\n".join(lines)))
    assert lengths[0] < lengths[1]


def test_texts_and_flags_mix_and_dashes_end_the_flags():
    for argv in (["a", "--json", "b"], ["--json", "a", "b"], ["a", "b", "--json"], ["--json", "--", "a", "b"]):
        args = cli.parse(TRANSLATE, argv)
        assert (args.texts, args.json) == (["a", "b"], True)
    args = cli.parse(TRANSLATE, ["a", "--", "--json", "-5", "--"])
    assert (args.texts, args.json) == (["a", "--json", "-5", "--"], False)


def test_ten_thousand_words_are_read_to_the_end(run, tiny_t5, tiny_bert):
    words = "The dog runs. " * 3333
    status, lines, err = run(TRANSLATE, words, "--model", tiny_t5, "--num-beams", 1, "--max-new-tokens", 2)
    assert (status, err) == (0, "") and "".join(lines)
    scores = []
    for last in ("good good good", "bad! bad! bad!"):
        status, lines, _ = run(SENTIMENT, words + last, "--model", tiny_bert, "--json")
        assert status == 0
        scores.append(json.loads(lines[0])["output"]["score"])
    assert scores[0] != scores[1]


@pytest.mark.parametrize("extra", [[], ["--compare"]])
def test_a_document_is_one_text_lines_and_all(run, tiny_bert, tiny_lstm_classifier, tmp_path, extra):
    text = "A dog.\n\nTwo small dogs are running. " * 40
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    models = ["--model", tiny_bert, *(["--model", tiny_lstm_classifier] if extra else [])]
    flags = [*models, "--json", *extra]

    def answers(row):
        return [answer["output"] for answer in row["answers"]] if extra else row["output"]

    _, [alone], _ = run(SENTIMENT, text, *flags)
    for status, lines, err in (
        run(SENTIMENT, "--document", "--file", tmp_path / "a.txt", *flags),
        run(SENTIMENT, "--document", *flags, stdin=text.encode()),
    ):
        assert (status, err, len(lines)) == (0, "", 1)
        row = json.loads(lines[0])
        assert row["input"] == text and answers(row) == answers(json.loads(alone))


# --- input that can't be answered ---


def test_a_bad_line_is_reported_and_the_others_go_through(run, arm):
    task, folder, flags = arm
    flags = ["--model", folder, "--batch-size", 2, *flags]
    _, good, _ = run(task, *flags, stdin=b"A dog.\nHi\n")
    status, lines, err = run(task, *flags, stdin=b"A dog.\n\n \t\n\xff\xfe caf\xe9\nHi\n")
    assert status == 1
    assert lines == [good[0], "", "", "", good[1]]
    assert [line.split(": ", 1)[1] for line in err.splitlines()] == [
        "line 2: empty text",
        "line 3: empty text",
        "line 4: not valid UTF-8",
    ]
    status, lines, err = run(task, *flags, "--json", stdin=b"A dog.\n\nHi\n")
    rows = [json.loads(line) for line in lines]
    assert status == 1 and [row["output"] is None for row in rows] == [False, True, False]
    assert rows[1] == {"input": "", "output": None, "model": str(folder), "error": "empty text"}


@pytest.mark.parametrize("text", ["", " \n\t", "caf\udce9"])
def test_a_bad_text_alone_needs_no_model(run, text, monkeypatch):
    monkeypatch.setattr(pipelines, "pipeline", None)
    status, lines, err = run(TRANSLATE, text)
    assert (status, lines) == (1, []) and "text 1: " in err


def test_broken_json_lines(run, tiny_bert, tmp_path):
    file = tmp_path / "a.jsonl"
    rows = [b'{"text": "A dog."}', b'{"text": "A d', b'{"txt": "A dog."}', b'{"text": 5}', b'{"text": null}', b"[1]"]
    file.write_bytes(b"\n".join([*rows, b"", b'{"text": "caf\xe9"}', b'{"text": "Hi"}']))
    status, lines, err = run(SENTIMENT, "--file", file, "--model", tiny_bert)
    assert status == 1
    assert [bool(line) for line in lines] == [True, *[False] * 7, True]
    missing = "no column 'text'; there are: txt"
    said = ["not JSON", missing, "not a text: 5", "empty", "not a text", "empty", "not valid UTF-8"]
    for number, (line, words) in enumerate(zip(err.splitlines(), said, strict=True), start=2):
        assert f"a.jsonl, line {number}: {words}" in line


def test_a_row_with_an_unquoted_comma_is_not_cut_silently(run, tiny_bert, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('id,text\n1,"two\nlines"\n2,well, not so good\n3,fine\n4,\n')
    status, lines, err = run(SENTIMENT, "--file", file, "--model", tiny_bert)
    assert status == 1 and [bool(line) for line in lines] == [True, False, True, False]
    assert "a.csv, line 4: 3 fields, but the header has 2" in err and "a.csv, line 6: empty text" in err


@pytest.mark.parametrize("extra", [[], ["--compare"]])
def test_one_text_that_breaks_the_model_takes_no_other_along(run, tiny_bert, tiny_lstm_classifier, monkeypatch, extra):
    whole = WindowedTextClassificationPipeline.__call__

    def fragile(pipe, texts, **options):
        if "boom" in texts:
            raise RuntimeError("out of memory\nand more")
        return whole(pipe, texts, **options)

    monkeypatch.setattr(WindowedTextClassificationPipeline, "__call__", fragile)
    models = ["--model", tiny_bert, *(["--model", tiny_lstm_classifier] if extra else [])]
    status, lines, err = run(SENTIMENT, "A dog.", "boom", "Hi", *models, "--json", *extra)
    assert status == 1
    assert err == "python -m tasks.sentiment: text 2: RuntimeError: out of memory\n"
    rows = [json.loads(line) for line in lines]
    answers = [[a["output"] for a in row["answers"]] if extra else [row["output"]] for row in rows]
    assert [all(answer) for answer in answers] == [True, False, True]


# --- labels ---


@pytest.mark.parametrize(
    "theirs, ours",
    [
        (["NEGATIVE", "POSITIVE"], {"NEGATIVE": "negative", "POSITIVE": "positive"}),
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "negative", "LABEL_1": "positive"}),
        (["LABEL_0", "LABEL_1", "LABEL_2"], {}),
        (["1 star", "5 stars"], {}),
        (["negative", "Negative"], {}),
    ],
)
def test_labels_of_other_models_get_the_tasks_names_only_where_they_mean_the_same(theirs, ours):
    class Pipe:
        class model:
            class config:
                id2label = dict(enumerate(theirs))

    assert labels._names(SENTIMENT, Pipe) == ours
