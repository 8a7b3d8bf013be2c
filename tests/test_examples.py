"""The programs under `examples/`: those for transformers 4 run with one line changed, the server serves many."""

import asyncio
import csv
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from pipelines import pipeline

EXAMPLES = Path(__file__).parent.parent / "examples"
FOR_VERSION_4 = ("ask_file", "summarize_folder", "translate_csv")
CHANGED = "from pipelines import pipeline  # was: from transformers import pipeline"


@pytest.fixture
def example(monkeypatch, capsys):
    """Runs a program with arguments in this process, as `python examples/…` does; what it printed."""

    def run(name, *arguments) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_every_example_is_here():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*FOR_VERSION_4, "serve_async"}


@pytest.mark.parametrize("name", FOR_VERSION_4)
def test_one_line_is_all_that_was_changed(name):
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert lines.count(CHANGED) == 1
    others = [line for line in lines if line != CHANGED]
    assert not [line for line in others if re.search(r"pipelines|duet|lstm", line, re.IGNORECASE)]
    assert sum("pipeline(" in line for line in others) == 1  # the only call into the library


def test_questions_about_a_file(example, tmp_path):
    text = "Emma is a novel. It was written by Jane Austen and published in 1815."
    (tmp_path / "emma.txt").write_text(text, encoding="utf-8")
    lines = example("ask_file", tmp_path / "emma.txt", "Who wrote Emma?", "When was it published?")
    assert lines[0] == "Who wrote Emma?" and lines[1].startswith("  'Jane Austen', score: 0.")
    assert lines[2] == "When was it published?" and lines[3].startswith("  '1815', score: 0.")
    assert f"start: {text.index('1815')}, end: {text.index('1815') + 4}" in lines[3]
    lines = example("ask_file", tmp_path / "emma.txt", "Who wrote Emma?", "--top_k", 3, "--model", "lstm")
    assert len(lines) == 4 and len(set(lines)) == 4


def test_a_column_of_a_table_translated(example, tmp_path):
    table = 'id,text\n1,I am happy\n2,"A dog is running, in the park."\n3,\n4,"She said ""no""."\n'
    (tmp_path / "in.csv").write_text(table, encoding="utf-8")
    assert "4 rows" in example("translate_csv", tmp_path / "in.csv", tmp_path / "out.csv", "--batch_size", 2)[-1]
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["I am happy", "A dog is running, in the park.", "", 'She said "no".']
    assert rows[0]["translation"] == "Je suis heureux" and rows[2]["translation"] == ""
    assert all(row["translation"] for row in rows if row["text"]) and list(rows[0]) == ["id", "text", "translation"]


def test_a_folder_summarised(example, tmp_path, tiny_t5, english):
    (tmp_path / "texts").mkdir()
    texts = {"a.txt": english[3], "b.txt": " ".join(english * 2)}  # the second one is longer than the window
    for name, text in texts.items():
        (tmp_path / "texts" / name).write_text(text, encoding="utf-8")
    (tmp_path / "texts" / "notes.md").write_text("not this")
    options = ("--model", tiny_t5, "--max_length", 8, "--min_length", 2)
    shown = example("summarize_folder", tmp_path / "texts", tmp_path / "out.json", *options)
    summaries = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    pipe = pipeline("summarization", model=tiny_t5, device="cpu")
    settings = {"max_length": 8, "min_length": 2, "do_sample": False}
    assert summaries == {name: pipe(text, **settings)[0]["summary_text"] for name, text in texts.items()}
    assert "\n".join(f"{name}: {summary}" for name, summary in summaries.items()) == "\n".join(shown)


# --- the server ---


@pytest.fixture
def server():
    spec = importlib.util.spec_from_file_location("serve_async", EXAMPLES / "serve_async.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def post(port: int, body: bytes, head: bytes | None = None) -> tuple[int, dict]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((head or b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d" % len(body)) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    top, _, data = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(data)


def served(server, pipe, *requests) -> list:
    async def session():
        listening, worker = await server.start(pipe, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            try:
                return await asyncio.wait_for(asyncio.gather(*(post(port, *request) for request in requests)), 120)
            finally:
                worker.cancel()

    return asyncio.run(session())


def test_many_clients_at_once_get_their_own_answers(server, translator, english):
    sizes = []

    def pipe(texts, **options):
        sizes.append(len(texts))
        return translator(texts, **options)

    texts = [*english, "", "Où ça ?", " ".join(english)]
    answers = served(server, pipe, *[(text.encode(),) for text in texts])
    assert answers == [(200, translator(text)[0]) for text in texts]
    assert sum(sizes) == len(texts) and max(sizes) > 1  # together, where several were waiting


def test_bad_requests_and_a_failing_model_harm_nobody_else(server, translator, english):
    def pipe(texts, **options):
        if "fail" in texts:
            raise RuntimeError("no luck")
        return translator(texts, **options)

    heads = [
        b"GET / HTTP/1.1\r\nContent-Length: 2",
        b"POST / HTTP/1.1\r\nHost: x",
        b"POST / HTTP/1.1\r\nContent-Length: -1",
    ]
    bad = served(server, pipe, *[(b"hi", head) for head in heads], (b"\xff\xfe",))
    assert [status for status, _ in bad] == [400] * 4 and all("error" in body for _, body in bad)
    assert served(server, pipe, (b"fail",)) == [(500, {"error": "no luck"})]
    assert served(server, pipe, (english[0].encode(),)) == [(200, translator(english[0])[0])]
