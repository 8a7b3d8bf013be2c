"""The benchmarks beside `scripts.benchmark`: training loops in turns, memory over many inputs, and their tables."""

import io
import json
import sys

import pytest
import torch
from test_training import make

from scripts import benchmark, benchmark_memory, benchmark_tables, benchmark_training, peers_training


class Told(io.StringIO):
    """What an arm says, as objects."""

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.mark.parametrize(("task", "family"), [("translate", "t5"), ("sentiment", "lstm"), ("ner", "bert")])
@pytest.mark.parametrize("name", benchmark_training.ARMS)
def test_each_loop_takes_the_steps_it_is_told_and_counts_their_tokens(tmp_path, monkeypatch, task, family, name):
    training = make(tmp_path, task, family, max_steps=7, tokens_per_batch=80)
    before = {key: p.detach().clone() for key, p in training.bare.named_parameters()}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"steps": 2}\n{"steps": 4}\n'))
    out, seen, real = Told(), [], training.kind.collate
    monkeypatch.setattr(training.kind, "collate", lambda rows, config: seen.append(rows) or real(rows, config))
    with pytest.raises(SystemExit):
        peers_training.ARMS[benchmark_training.ARMS[name]["arm"]](
            training, peers_training.Turns(out), benchmark_training.ARMS[name] | {"rows": 3}
        )
    assert len(out.objects) == 2 and all(told["ms"] > 0 for told in out.objects)
    steps = [sum(training.kind.length(row) for row in rows) for rows in seen]  # loaders may read one step ahead
    assert [told["tokens"] for told in out.objects] == [sum(steps[:2]), sum(steps[2:6])]
    assert any(not torch.equal(before[key], p) for key, p in training.bare.named_parameters())


FAKE = """
import json, sys, time
job = json.load(open(sys.argv[1]))
if job["task"] == "ner":
    sys.exit("no such weights")
print(json.dumps({"rows": 9}), flush=True)
for line in sys.stdin:
    steps = json.loads(line)["steps"]
    slow = 1 if job["arm"] == "duet" else 3
    print(json.dumps({"ms": 10 * slow * steps, "tokens": 100 * steps}), flush=True)
"""


def test_ratios_are_those_of_tokens_per_second(tmp_path, monkeypatch, capsys):
    (tmp_path / "fake.py").write_text(FAKE)
    real = benchmark.Arm
    fake = [sys.executable, str(tmp_path / "fake.py")]
    monkeypatch.setattr(benchmark_training, "Arm", lambda name, job, program, threads: real(name, job, fake, threads))
    argv = ["--pairs", "ner:bert,sentiment:lstm", "--rounds", "2", "--steps", "4", "--output", str(tmp_path / "out")]
    assert benchmark_training.main(argv) == 1  # the first has no weights; the other is measured all the same
    (file,) = (tmp_path / "out").glob("training-*.json")
    (pair,) = json.loads(file.read_text())["pairs"].values()
    assert pair["arms"]["duet"]["tokens_per_s"] == 10_000 and pair["rows_per_batch"] == 9
    assert pair["arms"]["Trainer"]["duet_is_faster"] == {"median": 3, "low": 3, "high": 3}
    said = capsys.readouterr()
    assert "ner bert: duet failed: no such weights" in said.err
    assert "| sentiment lstm | Trainer | 9 | 3,333 | 3.00 × (3.00–3.00) |" in said.out
    table = benchmark_tables.training(tmp_path / "out").splitlines()
    assert table[0].startswith("| training | device | rows a batch | tokens/s | Trainer |")
    assert table[2].startswith("| sentiment lstm | c") and "| 9 | 10,000 | 3.00 × (3.00–3.00) |" in table[2]


@pytest.mark.parametrize(
    ("module", "argv", "said"),
    [
        (benchmark_training, ["--pairs", "sentimnt:lstm"], "Did you mean 'sentiment'?"),
        (benchmark_training, ["--pairs", "sentiment:t5"], "family for sentiment"),
        (benchmark_training, ["--pairs", ""], "--pairs is empty"),
        (benchmark_memory, ["--task", "qa"], "unknown task 'qa'"),
        (benchmark_memory, ["--inputs", "none"], "--inputs"),
    ],
)
def test_wrong_use_is_one_line(module, argv, said, capsys):
    assert module.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_memory_is_noted_after_each_tenth_of_the_answers(tiny_bert, tmp_path, capsys):
    argv = ["--model", str(tiny_bert), "--inputs", "50", "--data", "samples", "--output", str(tmp_path)]
    assert benchmark_memory.main(argv) == 0
    (file,) = tmp_path.glob("memory--sentiment--*.json")
    said = json.loads(file.read_text())
    assert said["inputs"] == 50 and len(said["memory_mb"]) == 10 and min(said["memory_mb"]) > 10
    assert "50 inputs" in capsys.readouterr().out
    many = benchmark_memory.numbered(["a", "b"], 9)
    assert len({many[i] for i in range(len(many))}) == 9


def test_the_table_of_throughput_names_what_failed_with_a_dash(tmp_path):
    faster = {"latency": {"median": 2, "low": 2, "high": 2}, "throughput": {"median": 4, "low": 3, "high": 5}}
    arms = {"duet": {"samples_per_s": 80.4, "latency_ms": {"p50": 7.51}}, benchmark.OLD: {"duet_is_faster": faster}}
    assert benchmark_tables.throughput(tmp_path) == benchmark_tables.training(tmp_path) == ""
    (tmp_path / "cpu.json").write_text(json.dumps({"tasks": {"ner": {"arms": arms}}}))
    row = benchmark_tables.throughput(tmp_path).splitlines()[-1]
    assert row == "| ner | 80 | 4.00 × (3.00–5.00) | – | – | – | – | 7.5 | 2.00 × (2.00–2.00) | – |"
