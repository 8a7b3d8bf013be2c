"""`scripts.benchmark`: arms answer the same, turns are fair, ratios are those of the times, failures stay in view."""

import json
import sys

import pytest

import tasks
from pipelines import pipeline
from scripts import benchmark, peers

FAKE = """
import json, sys, time
job = json.load(open(sys.argv[1]))
if job["arm"] == "onnx":
    sys.stderr.write("ImportError: no optimum\\n"); sys.exit(1)
print(json.dumps({"ready": {"fake": job["arm"]}}), flush=True)
slow = {"duet": 1, "pipeline": 4}.get(job["arm"], 2) + (job.get("engine") == "torch")
inputs = json.load(open(job["inputs"]))
for line in sys.stdin:
    told = json.loads(line)
    some = inputs[told["first"]:told["last"]]
    with open(job["work"] + "/turns", "a") as log:
        print(job["arm"], told["first"], told["last"], told["each"], file=log)
    ms = [slow * 10.0] * len(some) if told["each"] else [slow * len(some)]
    print(json.dumps({"ms": ms, "answers": [x if slow < 4 else "other" for x in some]}), flush=True)
"""


def job(folder, kind: str, **more) -> dict:
    named = {"text2text": "translation_en_to_fr", "text_classification": "sentiment-analysis"}
    prefix = "translate English to French: " if kind == "text2text" else ""
    made = {"kind": kind, "task": named[kind], "hub_task": named[kind], "folder": str(folder), "prefix": prefix}
    return made | {"engine": "torch", "generate": {"num_beams": 2, "max_new_tokens": 9}, "threads": 1} | more


@pytest.mark.parametrize("rows", [None, 5])
@pytest.mark.parametrize("kind", ["text2text", "text_classification"])
def test_by_hand_and_as_a_pipeline_is_the_same(request, english, kind, rows):
    folder = request.getfixturevalue("tiny_t5" if kind == "text2text" else "tiny_bert")
    limits = {"num_beams": 2, "max_new_tokens": 9} if kind == "text2text" else {}
    english = [text for text in english if len(text) < 65]  # in one part each
    told = job(folder, kind, rows=rows)
    wanted = [peers.plain(one) for one in pipeline(told["task"], model=folder, device="cpu", **limits)(english)]
    assert len(set(wanted)) > 1 and None not in wanted
    assert [peers.plain(one) for one in peers.by_hand(told)(english)] == wanted
    if kind == "text_classification":
        assert [peers.plain(one) for one in peers.pipeline_of(told)(english)] == wanted
        assert [peers.plain(one) for text in english for one in peers.duet(told)([text])] == wanted
        assert [peers.plain(one) for one in peers.duet(told)(english)] == wanted


@pytest.fixture
def fake(tmp_path, monkeypatch):
    (tmp_path / "peers.py").write_text(FAKE)
    monkeypatch.setattr(benchmark, "HERE", tmp_path / ".")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "venv" / "needs.txt").write_text("\n".join(benchmark.NEEDS))

    def prepared(task, work, args):
        (work / "inputs.json").write_text(json.dumps([f"text {i}" for i in range(max(args.samples, args.singles))]))
        return {"inputs": str(work / "inputs.json"), "work": str(work), "kind": task.kind}

    monkeypatch.setattr(benchmark, "prepared", prepared)
    return tmp_path


def test_every_arm_answers_every_input_in_turns(fake, capsys):
    folders = ["--venv", str(fake / "venv"), "--work", str(fake / "work"), "--output", str(fake / "out")]
    sizes = ["--samples", "23", "--singles", "7", "--rounds", "3", "--threads", "1"]
    assert benchmark.main(["--tasks", "translate,sentiment", *folders, *sizes]) == 0
    out, err = capsys.readouterr()
    found = json.loads((fake / "out" / "cpu.json").read_text())
    assert list(found["tasks"]) == ["translate", "sentiment"] and found["environment"]["threads"] == 1
    arms = found["tasks"]["translate"]["arms"]
    old = arms[benchmark.OLD]
    assert old["samples_per_s"] == pytest.approx(250) and old["latency_ms"]["p50"] == 40
    assert old["duet_is_faster"]["throughput"] == {"median": 4, "low": 4, "high": 4}
    assert old["answers_equal_to_duet"] == 0 and arms["duet, torch"]["answers_equal_to_duet"] == 1
    assert old["batch_equal_to_single"] == 1 and arms["duet"]["latency_ms"]["runs"] == 7
    assert "4.00 × (4.00–4.00)" in out and f"| translate | {benchmark.OLD} | 40.0 | 40.0 | 250 |" in out
    assert list(found["tasks"]["sentiment"]["failed"]) == ["ONNX Runtime, float32", "ONNX Runtime, int8"]
    assert "ImportError: no optimum" in out and "no optimum" in err
    turns = [line.split() for line in (fake / "work" / "translate" / "turns").read_text().splitlines()]
    for arm in ("duet", "ctranslate2"):
        mine = [turn[1:] for turn in turns if turn[0] == arm][2:]  # each has two arms, which warm up first
        for each, count in (("True", 7), ("False", 23)):
            ends = sorted({(int(first), int(last)) for first, last, how in mine if how == each})
            assert [first for first, _ in ends] == [0, *(last for _, last in ends[:-1])] and ends[-1][1] == count
    firsts = [turn[0] for turn, before in zip(turns[1:], turns, strict=False) if turn[3] != before[3]]
    assert len(set(firsts)) > 1  # another arm begins each round


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--tasks", "chat"], "unknown task 'chat'"),
        (["--samples", "3"], "--samples and --singles must be at least --rounds, 5"),
        (["--thread", "2"], "--threads"),
    ],
)
def test_wrong_use_is_one_line(argv, said, capsys):
    assert benchmark.main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_the_tasks_are_there():
    assert set(benchmark.TASKS) < set(tasks.TASKS)
