"""Wrong use of `scripts.finetune` ends with one line that says what is wrong, and exit status 2."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_runs import arguments, train

ROOT = Path(__file__).parents[1]

WRONG = [
    (["--task", "translat"], "complete, classify, intents, chat, market, similarity. Did you mean 'translate'?"),
    (["--family", "bart"], "Did you mean 'bert'?"),
    (["--family", "t5"], "unknown family for sentiment 't5': choose from transformer, bert, lstm."),
    (["--set", "learning_rat=1"], "Did you mean 'learning_rate'?"),
    (["--set", "sizes"], "--set takes KEY=VALUE; got 'sizes'"),
    (["--set", "learning_rate=fast"], "learning_rate must be a number; got 'fast'"),
    (["--set", "patience=true"], "patience must be a whole number; got True"),
    (["--set", "optimizer=adamv"], "Did you mean 'adamw'?"),
    (["--set", "save_every=0"], "save_every must be above 0; got 0"),
    (["--max-steps", "-3"], "max_steps can't be below 0; got -3"),
    (["--max-minutes", "0"], "--max-minutes must be above 0; got 0"),
    (["--recipe", "nowhere.toml"], "no such recipe: nowhere.toml. Bundled: "),
    (["--recipe", __file__], "not a TOML file"),
    (["--data", "mine.csv"], "no such file: mine.csv"),
    (["--data", __file__], "can't tell the format; choose from .jsonl"),
    (["--set", "seed=1", "--seed", "2"], "--seed and --set seed=1: say it once"),
    (["--data", "nobody/nothing"], "nobody/nothing"),
    (["--set", "sizes={hidden = 3}"], "unknown size of a lstm model 'hidden'"),
    (["--set", "sizes={hidden_size = 3}"], "hidden_size must be even, for two directions; got 3"),
    (["--init", "nobody/nothing"], "nobody/nothing can't be loaded"),
    (["--init", "./nowhere"], "no such model folder: './nowhere'"),
    (["--set", "embeddings=nobody/nothing"], "nobody/nothing can't be loaded"),
]


@pytest.mark.parametrize(("more", "says"), WRONG)
def test_wrong_use_is_told_in_one_line(more, says, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train([*arguments("sentiment", "lstm", tmp_path / "out"), *more]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("sentiment lstm: reading")]
    assert len(lines) == 1 and lines[0].startswith("scripts.finetune: ") and says in lines[0]
    assert not (tmp_path / "out" / "training" / "run.json").exists()


def test_init_of_another_family_is_refused(tiny_t5, tmp_path, capfd):
    assert train(arguments("sentiment", "bert", tmp_path / "out", init=str(tiny_t5))) == 2
    assert f"--init {tiny_t5} is a t5 model, not bert" in capfd.readouterr().err


def test_texts_longer_than_the_positions_are_refused(tmp_path, capfd):
    assert train(arguments("sentiment", "bert", tmp_path / "out", max_length=65)) == 2
    assert "max_length 65 is more than the model's 64 positions" in capfd.readouterr().err
    assert (
        train(arguments("sentiment", "bert", tmp_path / "out", max_length=64, max_steps=1)) == 0
    )  # nothing to tidy up


def test_one_row_can_not_be_trained_and_validated_on(tmp_path, capfd):
    (tmp_path / "one.csv").write_text("text,label\nAll there is,positive\n")
    assert train(arguments("sentiment", "lstm", tmp_path / "out", data=[str(tmp_path / "one.csv")])) == 2
    assert "nothing to train on" in capfd.readouterr().err


def test_needs_task_and_family(tmp_path, capsys):
    assert train(["--output-dir", str(tmp_path / "out"), "--resume"]) == 2
    assert "--task and --family are needed" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--output-dir", "--results"])
def test_a_folder_that_can_not_be_written_is_told_before_training(flag, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert train([*arguments("sentiment", "lstm", tmp_path / "out"), flag, str(tmp_path / "file" / "out")]) == 2
    assert "can't write to" in capsys.readouterr().err


def test_a_used_folder_is_not_trained_over(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train(arguments("sentiment", "lstm", folder, max_steps=2)) == 0
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert train(arguments("sentiment", "lstm", folder)) == 2
    assert "holds a training already: go on with --resume" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_half_precision_needs_a_gpu(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert train(arguments("sentiment", "lstm", tmp_path / "out", "--mixed-precision", "fp16")) == 2
    assert "--mixed-precision fp16" in capsys.readouterr().err


def test_help_imports_no_torch():
    code = "import sys, scripts.finetune as f; f.parser().format_help(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
