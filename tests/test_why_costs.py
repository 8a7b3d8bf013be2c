"""What training costs: read from records and logs as trainings leave them."""

import json

import pytest

from scripts.experiments import costs
from scripts.experiments.store import Run, Store

ENVIRONMENT = {"device": "cpu", "hardware": "x", "torch": "2", "threads": 2, "commit": "abc", "seed": 13}


def record(task, family, minutes, steps=40, device="cpu", **more) -> dict:
    return {"task": task, "family": family, "parameters": 100, "tokens_per_s": 1000.0 / minutes, "minutes": minutes,
            "real_tokens_per_padded": 0.9, "steps": steps, "best_step": steps // 2, "validation": {"bleu": 30.0},
            "recipe": {"init": ""}, "environment": {"device": device, "hardware": "x"}} | more  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    def write(each, losses=None, scores=None):
        file = tmp_path / "results" / "training" / f"{each['task']}--{each['family']}--x.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(each))
        log = tmp_path / "runs" / f"{each['task']}-{each['family']}" / "training"
        log.mkdir(parents=True)
        if losses:
            lines = [{"step": i, "loss": loss, "learning_rate": 0.1} for i, loss in enumerate(losses, 1)]
            (log / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if scores:
            lines = [{"step": 10 * i, "seconds": 60.0 * i, "bleu": score} for i, score in enumerate(scores, 1)]
            (log / "validation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return tmp_path, write


def measured(folder) -> dict[str, dict]:
    run = Run(device="cpu", runs=folder / "runs", results=folder / "results")
    store = Store(folder / "why" / "costs--cpu.json", "costs", ENVIRONMENT)
    costs.measure(run, store)
    return {each["unit"]["task"]: each for each in store.of("costs")}


def test_time_to_a_loss_that_both_reach(folders):
    folder, write = folders
    write(record("translate", "t5", minutes=8.0), losses=[4.0] * 10 + [3.0] * 10 + [2.0] * 10 + [1.0] * 10)
    write(record("translate", "lstm", minutes=4.0), losses=[5.0] * 20 + [2.5] * 10 + [2.0] * 10)
    told = measured(folder)["translate"]
    assert told["arms"]["t5"]["losses"] == [[2.0, 4.0], [4.0, 3.0], [6.0, 2.0], [8.0, 1.0]]
    assert told["to_loss"] == {"level": 2.0, "minutes": {"t5": 6.0, "lstm": 4.0}} and told["to_score"] is None
    assert told["arms"]["lstm"]["minutes_to_best"] == 2.0 and told["arms"]["lstm"]["score"] == 30.0
    assert told["arms"]["t5"]["tokens_per_s"] == 125.0 and not told["arms"]["t5"]["pretrained"]


def test_scores_come_before_losses_where_they_were_kept(folders):
    folder, write = folders
    write(record("translate", "t5", 4.0), losses=[1.0] * 40, scores=[10.0, 20.0, 30.0])
    write(record("translate", "lstm", 4.0), losses=[1.0] * 40, scores=[25.0, 24.0])
    assert measured(folder)["translate"]["to_score"] == {"level": 25.0, "minutes": {"t5": 3.0, "lstm": 1.0}}


def test_a_log_of_another_run_and_other_losses_are_left_out(folders):
    folder, write = folders
    write(record("translate", "t5", 4.0), losses=[1.0] * 30)  # the record says 40 steps
    write(record("translate", "lstm", 4.0), losses=[1.0] * 40)
    write(record("ner", "bert", 4.0, recipe={"init": "encoder"}), losses=[1.0] * 40)
    write(record("ner", "lstm", 4.0), losses=[1.0] * 40)  # a CRF's loss is another
    told = measured(folder)
    assert told["translate"]["to_loss"] is None and told["ner"]["to_loss"] is None
    assert told["ner"]["arms"]["bert"]["losses"] == [] and told["ner"]["arms"]["bert"]["pretrained"]


def test_pairs_of_this_device_only(folders, capsys):
    folder, write = folders
    write(record("translate", "t5", 4.0))
    assert measured(folder) == {} and "nothing to compare" in capsys.readouterr().err
    write(record("translate", "lstm", 4.0, device="cuda"))
    assert measured(folder) == {}
    assert costs._to_level({"a": [], "b": [[1.0, 2.0]]}, lower=True) is None
