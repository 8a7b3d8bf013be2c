"""`scripts.sweep`: what it tries, what it writes, that it goes on where it stopped."""

import json
import signal

import pytest
from training_runs import SETTINGS, SIZES, toml

from scripts import finetune, sweep, tables
from scripts.recipe import Recipe


@pytest.fixture
def folders(tmp_path):
    """Arguments of a sweep over a tiny recipe."""
    before = signal.getsignal(signal.SIGINT)
    settings = SETTINGS | {"sizes": SIZES["lstm"], "epochs": 4.0, "max_steps": 0}
    lines = [f"{key} = {toml(value)}" for key, value in settings.items()]
    (tmp_path / "tiny.toml").write_text("[all]\n" + "\n".join(lines))
    given = ["--task", "sentiment", "--recipe", tmp_path / "tiny.toml", "--share", "0.5"]
    yield [str(word) for word in [*given, "--runs", tmp_path / "runs", "--results", tmp_path]], tmp_path
    signal.signal(signal.SIGINT, before)


def test_tries_one_setting_at_a_time():
    recipe = Recipe(learning_rate=2e-3, sizes={"hidden_size": 384, "dropout": 0.1, "d_model": 128})
    assert sweep.trials(recipe, None) == [
        {},
        {"learning_rate": 1e-3},
        {"learning_rate": 4e-3},
        {"hidden_size": 192},
        {"hidden_size": 576},
        {"dropout": 0.0},
        {"dropout": pytest.approx(0.3)},
    ]
    asked = sweep.trials(recipe, ["d_model=64,128", "weight_decay=0.1"])
    assert asked == [{}, {"d_model": 64}, {"weight_decay": 0.1}] and type(asked[1]["d_model"]) is int


def test_a_sweep_trains_each_trial_once_and_writes_the_table(folders, capsys, monkeypatch):
    argv, folder = folders
    vary = ["--vary", "learning_rate=0.02", "--vary", "hidden_size=8"]
    calls, real = [], finetune.main
    monkeypatch.setattr(finetune, "main", lambda argv: calls.append(argv) or (130 if len(calls) == 3 else real(argv)))
    assert sweep.main([*argv, *vary]) == 130 and "goes on" in capsys.readouterr().err
    assert not (folder / "sweeps").exists()
    assert sweep.main([*argv, *vary]) == 0 and len(calls) == 4
    shown = capsys.readouterr().out
    said = json.loads((folder / "sweeps" / "sentiment--lstm.json").read_text())
    assert [trial["changed"] for trial in said["trials"]] == [{}, {"learning_rate": 0.02}, {"hidden_size": 8}]
    assert said["metric"] == "accuracy" and said["share_of_epochs"] == 0.5
    sizes = [trial["parameters"] for trial in said["trials"]]
    assert sizes[0] == sizes[1] > sizes[2]
    for trial, name in zip(said["trials"], ("recipe", "learning_rate=0.02", "hidden_size=8"), strict=True):
        run = json.loads((folder / "runs" / "sentiment-lstm" / name / "training" / "run.json").read_text())
        assert run["recipe"]["epochs"] == 2.0 and run["recipe"]["learning_rate"] == (
            0.02 if name.startswith("learning") else 0.01
        )
        assert f"{trial['validation']['accuracy']:.4f}" in shown
    row = tables.sweeps(folder / "sweeps").splitlines()[2]
    scores = [trial["validation"]["accuracy"] for trial in said["trials"]]
    best = "learning_rate 0.02" if scores[1] >= scores[2] else "hidden_size 8"
    assert row == f"| sentiment | lstm | 3 | accuracy | {scores[0]:.3f} | {best} | {max(scores[1:]):.3f} |"
    (folder / "sweeps" / "sentiment--lstm.json").write_text(json.dumps(said | {"lower_is_better": True}))
    assert tables.sweeps(folder / "sweeps").endswith(f" {min(scores[1:]):.3f} |")
    assert tables.sweeps(folder / "none") == ""
    assert sweep.main([*argv, *vary]) == 0 and len(calls) == 4  # nothing is done twice


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--share", "0"], "--share must be above 0"),
        (["--vary", "hidden=8"], "--vary hidden: the recipe has no such number"),
        (["--vary", "patience"], "--vary takes KEY=A,B"),
        (["--family", "t5"], "unknown family for sentiment 't5'"),
        (["--recipe", "none.toml"], "no such recipe"),
    ],
)
def test_wrong_use(folders, capsys, more, said):
    argv, _ = folders
    assert sweep.main([*argv, *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]
