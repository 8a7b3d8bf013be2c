"""A training that was killed, interrupted or stopped goes on to the same losses and the same weights."""

import json
import os
import shlex
import signal
import time
from pathlib import Path

import pytest
from training_runs import arguments, log_of, record_of, run, start, train

SENTIMENT = {"validation_limit": 31}


def outcome(folder: Path) -> dict:
    """All that a training must come to again: the losses, the scores and every file of the checkpoint but its card."""
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.suffix != ".md"}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files.keys()
    record = record_of(folder)
    same = ("steps", "best_step", "validation", "tokens", "real_tokens_per_padded", "data", "recipe", "parameters")
    scores = [{k: v for k, v in line.items() if k != "seconds"} for line in log_of(folder, "validation.jsonl")]
    assert scores and all(line["seconds"] > 0 for line in log_of(folder, "validation.jsonl"))
    return {"log": log_of(folder), "scores": scores, "files": files, **{key: record[key] for key in same}}


def state_step(folder: Path) -> int:
    """The step of the newest whole state."""
    return max(int(file.parent.name.split("-")[1]) for file in folder.glob("training/state-???????/state.json"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, dict]:
    """Outcome of a whole run: of an LSTM classifier (AdamW) and of a T5 (Adafactor)."""
    root = tmp_path_factory.mktemp("whole")
    assert train(arguments("sentiment", "lstm", root / "lstm", **SENTIMENT)) == 0
    assert train(arguments("translate", "t5", root / "t5", optimizer="adafactor")) == 0
    return {"lstm": outcome(root / "lstm"), "t5": outcome(root / "t5")}


def test_killed_again_and_again(uninterrupted, tmp_path):
    folder, said = tmp_path / "run", tmp_path / "said"
    training, argv = folder / "training", arguments("sentiment", "lstm", folder, "--resume", **SENTIMENT)

    def killed(at: str, nth: int) -> None:
        status, text = run(argv, said, at, nth)
        assert status == -signal.SIGKILL, text

    def there() -> set[str]:
        return {path.name for path in training.iterdir()}

    # before its settings are kept; the tokenizer is half written
    killed("scripts.state:replace_file", 1)
    assert there() == {"tokenizer"}
    (training / "tokenizer" / "tokenizer.json").write_text('{"version": "1.0", "model": {"vo')
    # between two states: the log is ahead of the state
    killed("scripts.training:Training.step", 12)
    assert state_step(folder) == 8 and [line["step"] for line in log_of(folder)] == [10]
    with (training / "log.jsonl").open("a") as log:
        log.write('{"step": 20, "lo')  # as a kill within a line leaves it
    # within a state: weights are written, the optimizer is not
    killed("scripts.state:save_file", 1)
    assert "state-0000012.tmp" in there() and state_step(folder) == 8
    # when the state is whole but not in its place
    killed("pathlib:Path.rename", 1)
    assert (training / "state-0000012.tmp" / "state.json").exists() and state_step(folder) == 8
    # within the best weights so far
    killed("scripts.state:save_model", 2)
    assert "best.tmp" in there() and state_step(folder) == 12
    # between the old best weights and the new: neither is in its place
    killed("pathlib:Path.rename", 2)
    assert {"best.tmp", "best.old"} <= there() and "best" not in there()
    # while an older state is removed
    killed("shutil:rmtree", 7)
    assert {"state-0000012", "state-0000016"} <= there()
    (training / "state-0000012" / "model.safetensors").unlink()
    # while the log is cut back to the state
    killed("scripts.state:replace_file", 1)
    # at the end: the checkpoint is there, its card is not
    killed("scripts.card:render", 1)
    assert state_step(folder) == 24 and not (folder / "README.md").exists()

    status, text = run(["--output-dir", str(folder), "--results", str(folder / "results"), "--resume"], said)
    assert status == 0 and "resumed at step 24 of 24" in text
    assert outcome(folder) == uninterrupted["lstm"]
    assert not [path for path in folder.rglob("*") if path.name.startswith("state-") and path.suffix]


def test_killed_from_outside_at_any_moment(uninterrupted, tmp_path):
    folder, said = tmp_path / "run", tmp_path / "said"
    argv = arguments("translate", "t5", folder, "--resume", optimizer="adafactor")
    for wanted in ("state-0000006", "state-0000018"):
        process = start(argv, said)
        while process.is_alive() and not list((folder / "training").glob(wanted + "*")):
            time.sleep(0.001)
        process.kill()
        process.join()
        assert not (folder / "README.md").exists()
    assert run(argv, said)[0] == 0
    assert outcome(folder) == uninterrupted["t5"]


def test_ctrl_c_saves_and_says_how_to_go_on(uninterrupted, tmp_path):
    folder, said = tmp_path / "a run", tmp_path / "said"
    argv = arguments("translate", "t5", folder, optimizer="adafactor")
    status, text = run(argv, said, "scripts.training:Training.step", 11, signal.SIGINT)
    assert status == 130 and "Traceback" not in text
    assert "stopped at step 11 (interrupted)" in text and state_step(folder) == 11
    command = next(line for line in text.splitlines() if "go on with: " in line).split("go on with: ")[1]
    launcher, said_argv = shlex.split(command)[:4], shlex.split(command)[4:]
    assert launcher == ["accelerate", "launch", "-m", "scripts.finetune"]
    status, text = run(said_argv, said)
    assert status == 0 and "resumed at step 11 of 24" in text
    assert outcome(folder) == uninterrupted["t5"]


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    argv = arguments("sentiment", "lstm", tmp_path / "run")
    # the second one comes while the step that the first one waits for is under way
    status, text = run(argv, tmp_path / "said", "scripts.training:learning_rate", 5, sent=[signal.SIGINT] * 2)
    assert status == 130 and "Traceback" not in text
    assert "stopped at once" in text
    assert not list((tmp_path / "run" / "training").glob("state-*"))


def test_a_time_limit_stops_with_a_state(uninterrupted, tmp_path, capsys):
    folder = tmp_path / "run"
    for steps in (1, 2, 3):  # each limit is over after a step; the loss since the last log line is kept
        assert train(arguments("sentiment", "lstm", folder, "--max-minutes", "1e-9", "--resume", **SENTIMENT)) == 0
        assert f"stopped at step {steps} (time is up)" in capsys.readouterr().err
        assert state_step(folder) == steps
    assert train(arguments("sentiment", "lstm", folder, "--max-minutes", "1000", "--resume", **SENTIMENT)) == 0
    assert outcome(folder) == uninterrupted["lstm"]


def test_a_finished_training_can_be_resumed(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    assert train(arguments("sentiment", "lstm", folder, **SENTIMENT)) == 0
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()
    assert train(["--output-dir", str(folder), "--results", str(folder / "results"), "--resume"]) == 0
    assert outcome(folder) == uninterrupted["lstm"]


def test_early_stopping_survives_a_resume(tmp_path):
    """Nothing is learned, so no score is better than the first: patience 2 ends at the third evaluation."""
    settings = {"learning_rate": 1e-30, "patience": 2, "evaluate_every": 4, "max_steps": 40}
    assert train(arguments("sentiment", "bert", tmp_path / "whole", **settings)) == 0
    assert record_of(tmp_path / "whole")["steps"] == 12 and record_of(tmp_path / "whole")["best_step"] == 4
    argv = arguments("sentiment", "bert", tmp_path / "run", "--resume", **settings)
    assert run(argv, tmp_path / "said", "scripts.training:Training.step", 10)[0] == -signal.SIGKILL
    assert train(argv) == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert train(argv) == 0  # and it stays over
    assert record_of(tmp_path / "run")["steps"] == 12


# --- contradictions ---


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "run"
    assert train(arguments("sentiment", "lstm", folder, "--max-minutes", "1e-9")) == 0
    return folder


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--family", "bert"], "--resume can't change family from 'lstm' to 'bert': start in another folder"),
        (["--family", "transformer"], "--resume can't change family from 'lstm' to 'bert'"),
        (["--task", "translate"], "--resume can't change task from 'sentiment' to 'translate'"),
        (["--seed", "14"], "--resume can't change seed from 13 to 14"),
        (["--max-steps", "30"], "--resume can't change max_steps from 24 to 30"),
        (["--data", "mine.csv"], "--resume can't change data from ('samples',) to ['mine.csv']"),
        (["--lora"], "--resume can't change lora from 0 to 16"),
        (["--set", "clip=0.5"], "--resume can't change clip from 1.0 to 0.5"),
        (["--set", "clipp=0.5"], "unknown setting 'clipp'"),
        (["--recipe", "mine.toml"], "--resume can't change data from ('samples',) to ('mine',)"),
    ],
)
def test_resume_can_not_change_the_training(stopped, more, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[all]\ndata = ['mine']\n")
    assert train(["--output-dir", str(stopped), "--resume", *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and says in lines[0]


def test_resume_takes_the_same_command_line_again(tmp_path, capsys):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[lstm]\nlabel_smoothing = 0.1\n")
    argv = arguments("sentiment", "lstm", tmp_path / "run", "--max-minutes", "1e-9", "--recipe", str(recipe))
    assert train(argv) == train([*argv, "--resume"]) == 0
    assert state_step(tmp_path / "run") == 2
    recipe.write_text("[lstm]\nlabel_smoothing = 0.2\n")
    assert train([*argv, "--resume"]) == 2
    assert "--resume can't change label_smoothing from 0.1 to 0.2" in capsys.readouterr().err


def test_resume_needs_the_data_it_had(tmp_path, capsys):
    file, folder = tmp_path / "mine.jsonl", tmp_path / "run"
    rows = [{"text": f"text number {i}", "label": i % 2} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(arguments("sentiment", "lstm", folder, "--max-minutes", "1e-9", data=[str(file)])) == 0
    os.remove(file)
    assert train(["--output-dir", str(folder), "--resume"]) == 2
    assert f"no such file: {file}" in capsys.readouterr().err
