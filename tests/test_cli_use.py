"""The command line of the tasks: wrong use, and what only shows in a process of its own (signals, pipes, terminals)."""

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from tasks import TASKS, __main__, cli, load

ROOT = Path(__file__).parent.parent
TRANSLATE, SENTIMENT = load("translate"), load("sentiment")
TEXTS = ["A dog.", "Two small dogs are running along the beach, and a child is laughing.", "Hi", "I am happy, too."]
SHORT = ["--max-new-tokens", "5"]  # tiny models know no end
BINARY = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0" * 9


# --- wrong use: one line, the choices, the nearest, status 2 ---

WRONG = [
    (["--modle", "x", "hi"], "unknown flag '--modle'.*--model.*Did you mean '--model'?"),
    (["--mod", "x", "hi"], "unknown flag '--mod'"),
    (["-hello"], "text that begins with - goes after --"),
    (["hi", "--device", "cud"], "unknown device 'cud': choose from auto, cpu, cuda, mps. Did you mean 'cuda'?"),
    (["hi", "--engine", "onxx"], "unknown engine 'onxx'.*Did you mean 'onnx'?"),
    (["hi", "--engine", "onnx"], "engine 'onnx'"),
    (["hi", "--batch-size", "0"], "--batch-size: '0' is not a whole number above 0"),
    (["hi", "--num-beams", "two"], "--num-beams: 'two' is not a whole number above 0"),
    (["hi", "--top-k", "2"], "unknown flag '--top-k'"),
    (["hi", "--model"], "--model: expected one argument"),
    (["hi", "--model", "lsmt"], "lsmt.*Bundled for translate: transformer, lstm, t5.*Did you mean 'lstm'?"),
    (["hi", "--model", "bert"], "no bert is bundled for translate"),
    (["hi", "--model", "./nowhere"], "no such model folder: './nowhere'"),
    (["hi", "--model", "nobody/nothing"], "nobody/nothing"),
    (["hi", "--model", "a", "--model", "b"], "more than one --model needs --compare"),
    (["hi", "--compare", "--model", "x", "--model", "x"], "needs different models"),
    (["hi", "--column", "en"], "--column goes with a --file of .jsonl, .csv, .parquet"),
    (["hi", "--file", "a.txt"], "either texts or --file"),
    (["--file", "nowhere.txt"], "no such file: nowhere.txt"),
    (["--file", "nowhere.jsonl", "--column", "en"], "no such file: nowhere.jsonl"),
    (["--file", "."], "not a file: ."),
    (["--file", "table.csv"], "table.csv, line 1: unknown column 'en': choose from english, fr."),
    (["--file", "table.csv", "--column", "englsh"], "unknown column 'englsh'.*Did you mean 'english'?"),
    (["--file", "table.parquet", "--column", "englsh"], "unknown column 'englsh'.*Did you mean 'english'?"),
    (["--file", "table.jsonl", "--column", "englsh"], "unknown column 'englsh'.*Did you mean 'english'?"),
    (["--file", "binary.txt"], "binary.txt is binary, not UTF-8 text"),
    (["--file", "binary.png"], "binary.png is binary, not UTF-8 text"),
    (["--file", "binary.csv"], "binary.csv is binary"),
    (["--file", "binary.parquet"], "binary.parquet: can't be read as parquet"),
    (["--file", "table.docx"], "can't tell the format; choose from .txt, .jsonl, .csv, .parquet"),
    (["--file", "empty.txt"], "empty.txt is empty"),
    (["--document", "--file", "empty.txt"], "empty.txt is empty"),
    (["--document", "--file", "nowhere.txt"], "no such file: nowhere.txt"),
    (["--document", "--file", "binary.txt"], "binary.txt: not UTF-8 text"),
    (["--document", "--file", "table.csv"], "--document reads a file as one text, and table.csv is a table"),
    (["--document", "hi"], "--document reads --file or standard input"),
    (["--file", "empty.csv"], "empty.csv is empty"),
    ([], "standard input is empty"),
]


@pytest.mark.parametrize("arguments, message", WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_use_is_one_line_and_status_2(run, bundled, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"english": "A dog.", "fr": "Un chien."}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "table.parquet")
    Path("table.csv").write_text("english,fr\nA dog.,Un chien.\n")
    Path("table.jsonl").write_text(json.dumps(rows[0]) + "\n")
    Path("table.docx").write_text("x")
    for suffix in ("txt", "png", "csv", "parquet"):
        Path(f"binary.{suffix}").write_bytes(BINARY)
    for suffix in ("txt", "csv"):
        Path(f"empty.{suffix}").touch()
    status, lines, err = run(TRANSLATE, *arguments)
    assert (status, lines) == (2, [])
    assert err.startswith("python -m tasks.translate: error: ") and err.count("\n") == 1
    for part in message.split(".*"):
        assert part in err


def test_binary_on_standard_input(run):
    status, lines, err = run(TRANSLATE, stdin=BINARY)
    assert (status, lines) == (2, []) and "standard input is binary" in err


def test_without_input_a_terminal_shows_the_usage(capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stdin in (Terminal(), None):  # None: started without standard input
        monkeypatch.setattr(sys, "stdin", stdin)
        assert cli.main(TRANSLATE, []) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("usage: python -m tasks.translate [TEXT ...]") and "I am happy" in err


# --- the list of tasks ---


def test_the_tasks_a_line_each(capsys):
    assert __main__.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TASKS)
    assert __main__.main(["translat"]) == 2
    assert "Did you mean 'translate'?" in capsys.readouterr().err


# --- in a process of its own ---


def command(task: str, *arguments) -> list[str]:
    return [sys.executable, "-m", f"tasks.{task}", *map(str, arguments)]


def pipes() -> dict:
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return {**streams, "text": True, "env": environment()}


def environment() -> dict:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("name", TASKS)
def test_help_needs_no_heavy_library(name):
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('tasks.{name}', run_name='__main__')\n"
        f"except SystemExit as end: assert end.code == 0\n"
        f"print('heavy:', {{'torch', 'transformers', 'datasets', 'evaluate', 'rich', 'numpy'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert "heavy: set()" in done.stdout
    for flag in ("TEXT", "file", "column", "model", "compare", "json", "batch-size", "device", "engine"):
        assert flag in done.stdout


def test_answers_come_before_the_input_ends(tiny_bert):
    with subprocess.Popen(command("sentiment", "--model", tiny_bert, "--batch-size", 1), **pipes()) as process:
        for text in ("A dog.", "Hi"):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith(f"\t{text}\n")
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""  # the libraries' own talk is off


def test_the_progress_bar_is_on_stderr_only(tiny_bert):
    ours, theirs = pty.openpty()
    texts = command("sentiment", "--model", tiny_bert, *"abcdef")
    with subprocess.Popen(texts, stdout=subprocess.PIPE, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        talk = b""
        with contextlib.suppress(OSError):  # Linux: the end of a terminal is an error
            while part := os.read(ours, 10_000):  # as it comes: a terminal that nobody reads is full after 4 KB
                talk += part
        lines = process.stdout.read().splitlines()
    os.close(ours)
    assert process.returncode == 0
    assert [line.split(b"\t")[2] for line in lines] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert b"6/6" in talk and b"tive" not in talk


def test_ctrl_c_ends_without_a_traceback():
    # a suite that runs in the background hands an ignored SIGINT down; a terminal's Ctrl-C is not ignored
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command("translate"), preexec_fn=default, **pipes()) as process:
        process.stdin.write("\n" * 40)  # empty lines are reported: it is reading now
        process.stdin.flush()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().endswith("interrupted\n")


def test_a_reader_that_leaves_ends_it_quietly(tiny_bert):
    with subprocess.Popen(command("sentiment", "--model", tiny_bert, "--batch-size", 1), **pipes()) as process:
        process.stdin.write("A dog.\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("A dog.\n" * 50)
        process.stdin.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""
