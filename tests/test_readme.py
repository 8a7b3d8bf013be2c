"""The README says what is so: its commands exist and the cheap ones run, its tree is the real one."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.split("#")[0].strip()
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
    if line.strip()
]
CHEAP = [command for command in COMMANDS if command.startswith("python -m tasks") and "runs/" not in command]


def test_how_many_commands_there_are():
    assert len(COMMANDS) == 33 and len(CHEAP) == 17
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_with_its_flags(command):
    words = shlex.split(command)
    if words[0] == ".":
        return  # the environment that `make` creates
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    assert words[:2] == ["python", "-m"] or words[:3] == ["accelerate", "launch", "-m"]
    module, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    shown = run([sys.executable, "-m", module, "--help"])
    assert shown.returncode == 0 and shown.stderr == ""
    for flag in [word for word in rest if word.startswith("--")]:
        assert re.search(rf"{flag}\b", shown.stdout), flag


@pytest.mark.parametrize("command", CHEAP)
def test_cheap_commands_run(command, tmp_path):
    (tmp_path / "notes.txt").write_text("What a lovely film!\nDull from start to end.\n")
    (tmp_path / "reviews.csv").write_text('id,review\n1,"Warm, funny and true."\n2,A waste of time.\n')
    (tmp_path / "news.csv").write_text("date,ticker,headline\n2024-03-04,HARB,Profit rose.\n")
    done = run(["bash", "-c", command], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_python_block_runs_and_answers_as_it_says(monkeypatch):
    (block,) = [block for kind, block in BLOCKS if kind == "python"]
    names = {}
    exec(block, names)
    (translation,) = names["translate"]("I am happy")
    (feeling,) = names["feel"]("What a lovely film!")
    assert list(translation) == ["translation_text"] and feeling["label"] == "positive"
    assert f'"{translation["translation_text"]}"' in block


def test_the_tree_is_the_real_one():
    (tree,) = [block for kind, block in BLOCKS if kind == "" and "pyproject.toml" in block]
    listed = {"": set()}
    for line in tree.splitlines():
        name, _, purpose = line.strip().partition(" ")
        assert purpose.strip(), f"no purpose: {line}"
        if not line.startswith(" "):
            parent = name
            listed[""].add(name)
        assert (ROOT / (name if name == parent else parent + name)).exists(), name
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if not any(files):
        pytest.skip("not a git checkout: what belongs to the project can't be told from what was left here")
    real = {file.split("/")[0] + "/" * ("/" in file) for file in files if file and not file.startswith(".")}
    assert listed[""] == real


def test_the_results_block_has_its_markers_once():
    assert README.count("<!-- results -->") == README.count("<!-- /results -->") == 1


def run(command: list[str], cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """The command with this interpreter as `python`, offline, from any folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
