"""Two processes on a CPU train as one does, and score as one does."""

import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import SIZES, arguments, log_of, record_of, run_pair, train

import pipelines
import tasks
from scripts import processes
from scripts.start import read_splits
from tasks.metrics import metrics_of
from tasks.predict import predict_all

ROOT = Path(__file__).parents[1]
ROWS = 31  # odd: the two processes don't have equally many to answer
# gradients are 0.15 to 0.8 long: this clip makes Adam feel a gradient of half or twice the length
SETTINGS = {"validation_limit": ROWS, "dtype": "float32", "clip": 0.3, "sizes": SIZES["lstm"] | {"dropout": 0.0}}


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    """folder → command line of a training on texts that are easily told apart, but for a fifth with a wrong label."""
    file, chance = tmp_path_factory.mktemp("data") / "noisy.jsonl", random.Random(5)
    with file.open("w") as lines:
        for i in range(640):
            good = chance.random() < 0.5
            text = " ".join(["fine" if good else "awful"] * chance.randint(1, 4) + ["film"] * chance.randint(0, 9))
            label = int(good) if chance.random() < 0.8 else int(not good)
            lines.write(json.dumps({"text": f"{text} {i}", "label": label}) + "\n")
    return lambda folder, *more, **settings: arguments(
        "sentiment", "lstm", folder, *more, data=[file], **SETTINGS | settings
    )


@pytest.fixture(scope="module")
def launched(tmp_path_factory, argv) -> Path:
    """Folder of a whole training in two processes, from the command line that people type."""
    folder = tmp_path_factory.mktemp("two") / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "2", "--cpu"]
    command += ["--main_process_port", port, "-m", "scripts.finetune"]
    done = subprocess.run(
        [*command, *argv(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert record_of(folder)["environment"]["processes"] == 2
    assert done.stdout.count("rows to train on") == 1  # one process talks
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def alone(task_name: str, folder: Path, rows: int, **options) -> dict[str, float]:
    """Scores of a checkpoint on the validation rows of its training, in this one process."""
    task, recipe = tasks.load(task_name), record_of(folder)["recipe"]
    _, there = read_splits(task, recipe["data"], recipe["validation_limit"], recipe["seed"])
    assert len(there) == rows
    answers = predict_all(task, pipelines.pipeline(task_name, model=str(folder)), there.inputs, **options)
    named = {answer["label"] if isinstance(answer, dict) else answer for answer in answers}
    assert rows == 1 or len(named) > 1  # else it wouldn't matter whose answer is whose
    return {metric.key: metric.value(metric.statistics(answers, there.targets).sum(0)) for metric in metrics_of(task)}


def test_the_scores_are_those_of_one_process(launched):
    record = record_of(launched)
    assert record["data"]["validation"] == ROWS
    scores = alone("sentiment", launched, ROWS)
    assert record["validation"] == scores
    assert round(scores["accuracy"] * ROWS, 9) == round(scores["accuracy"] * ROWS)  # of 31 rows, not 30 or 32
    assert 0 < scores["accuracy"] < 1


def test_it_learns_what_one_process_learns_with_batches_accumulated(launched, argv, tmp_path):
    assert train(argv(tmp_path / "one", accumulate=2)) == 0
    one, two = record_of(tmp_path / "one"), record_of(launched)
    for key in ("steps", "tokens", "real_tokens_per_padded", "best_step", "parameters", "validation"):
        assert one[key] == two[key], key
    for mine, theirs in zip(log_of(tmp_path / "one"), log_of(launched), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    for name, tensor in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(launched)[name], tensor, rtol=1e-4, atol=1e-5)


def test_both_killed_and_resumed_is_the_same(launched, argv, tmp_path):
    folder, said = tmp_path / "run", tmp_path / "said"
    resume = argv(folder, "--resume")
    assert run_pair(resume, said, "scripts.training:Training.step", 15) == [-signal.SIGKILL] * 2
    assert run_pair(resume, said) == [0, 0]
    assert "resumed at step 12 of 24" in (tmp_path / "said.0").read_text()
    assert (folder / "model.safetensors").read_bytes() == (launched / "model.safetensors").read_bytes()
    assert [line["loss"] for line in log_of(folder)] == pytest.approx([line["loss"] for line in log_of(launched)])
    assert record_of(folder)["validation"] == record_of(launched)["validation"]


def test_ctrl_c_in_one_stops_both(launched, argv, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    statuses = run_pair(argv(folder), tmp_path / "said", "scripts.training:Training.step", 3, signal.SIGINT, ranks=(1,))
    assert statuses == [130, 130]
    said = (tmp_path / "said.0").read_text()
    assert "stopped at step 10 (interrupted)" in said  # where both look: with each line of the log
    assert train(["--output-dir", str(folder), "--resume"]) == 2
    assert "--resume can't change the number of processes from 2 to 1" in capsys.readouterr().err
    again = shlex.split(said.split("go on with: ")[1])
    assert again[:7] == ["accelerate", "launch", "--num_processes", "2", "--cpu", "-m", "scripts.finetune"]
    assert run_pair(again[7:], tmp_path / "said") == [0, 0]
    assert (folder / "model.safetensors").read_bytes() == (launched / "model.safetensors").read_bytes()


@pytest.mark.parametrize("rows", [1, 7])
def test_translations_are_scored_once_each(rows, tmp_path):
    options = {"num_beams": 1, "max_new_tokens": 8}
    settings = {"max_steps": 2, "evaluate_every": 2, "validation_limit": rows, "dtype": "float32"}
    assert run_pair(arguments("translate", "lstm", tmp_path / "run", **settings), tmp_path / "said") == [0, 0]
    scores = alone("translate", tmp_path / "run", rows, **options)
    assert record_of(tmp_path / "run")["validation"] == pytest.approx(scores)
    assert rows == 1 or scores["chrf"] > 0


# --- the processes that `accelerate launch --cpu` leaves out ---


@pytest.mark.parametrize(
    ("launcher", "count"),
    [
        ("python accelerate launch --num_processes 2 --cpu -m scripts.finetune --task qa", 2),
        ("python /x/bin/accelerate launch --cpu --num_processes=12 --module scripts.finetune --resume", 12),
        ("python -m accelerate.commands.launch --num-processes 3 --cpu -m scripts.finetune", 3),
        ("python accelerate launch --num_processes 1 --cpu -m scripts.finetune", 0),
        ("python accelerate launch --cpu -m scripts.finetune --num_processes 2", 0),
        ("bash", 0),
    ],
)
def test_what_the_launcher_was_asked_for(launcher, count, monkeypatch):
    import psutil

    parent = type("Parent", (), {"cmdline": lambda self: launcher.split()})
    monkeypatch.setattr(psutil, "Process", lambda: type("Me", (), {"parent": lambda self: parent()})())
    for name in processes.SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert processes.missing() == count
    monkeypatch.setenv("WORLD_SIZE", "2")  # started by something that can
    assert processes.missing() == 0
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")  # a GPU
    assert processes.missing() == 0


def test_the_exit_status_is_that_of_the_child_that_failed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert processes.start(2, ["--output-dir", str(tmp_path), "--task", "nothing", "--family", "lstm"]) == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capfd.readouterr().err.count("unknown task 'nothing'") == 2
    assert "RANK" not in os.environ
