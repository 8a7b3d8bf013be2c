"""What training costs: read from records and logs as trainings leave them."""

import json
import shutil

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
    write(record("translate", "t5", 4.0), losses=[1.0] * 40, scores=[10.0, 20.0, 29.0, 30.01])  # a log may round
    write(record("translate", "lstm", 4.0, validation={"bleu": 25.0}), losses=[1.0] * 40, scores=[25.0, 24.0, 9.0, 8.0])
    assert measured(folder)["translate"]["to_score"] == {"level": 25.0, "minutes": {"t5": 3.0, "lstm": 1.0}}


@pytest.mark.parametrize("scores", [[10.0, 20.0, 30.0], [10.0, 20.0, 30.0, 29.0, 28.0], [10.0, 20.0, 29.0, 29.9], []])
def test_scores_of_another_training_are_left_out(folders, scores):
    """A training's own end at its last step, here 40, and the best of them is its record's, here 30."""
    folder, write = folders
    write(record("translate", "t5", 4.0), scores=[10.0, 20.0, 30.0, 29.0])
    write(record("translate", "lstm", 4.0), scores=scores)
    told = measured(folder)["translate"]
    assert told["arms"]["t5"]["scores"] and told["arms"]["lstm"]["scores"] == [] and told["to_score"] is None


def test_of_scores_that_should_be_low_the_lowest_is_the_best(folders):
    folder, write = folders
    file = folder / "runs" / "complete-lstm" / "training" / "validation.jsonl"
    file.parent.mkdir(parents=True)
    entries = [{"step": 20 * i, "seconds": 60.0 * i, "bits_per_byte": 4.0 - i} for i in (1, 2)]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for family in ("gpt2", "lstm"):
        results = folder / "results" / "training" / f"complete--{family}--x.json"
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(record("complete", family, 4.0, validation={"bits_per_byte": 2.0})))
    assert measured(folder)["complete"]["arms"]["lstm"]["scores"] == [[1.0, 3.0], [2.0, 2.0]]


def test_losses_of_copying_are_left_out(folders):
    folder, write = folders
    write(record("summarize", "t5", 8.0, recipe={"copy_steps": 20}), losses=[0.1] * 20 + [2.0] * 10 + [1.0] * 10)
    write(record("summarize", "lstm", 4.0), losses=[3.0] * 20 + [1.0] * 20)
    told = measured(folder)["summarize"]
    assert told["arms"]["t5"]["losses"] == [[6.0, 2.0], [8.0, 1.0]]
    assert told["to_loss"] == {"level": 1.0, "minutes": {"t5": 8.0, "lstm": 3.0}}


def test_a_log_of_another_run_and_other_losses_are_left_out(folders):
    folder, write = folders
    write(record("translate", "t5", 4.0), losses=[1.0] * 30)  # the record says 40 steps
    write(record("translate", "lstm", 4.0), losses=[1.0] * 40)
    write(record("ner", "bert", 4.0, recipe={"init": "encoder"}), losses=[1.0] * 40)
    write(record("ner", "lstm", 4.0), losses=[1.0] * 40)  # a CRF's loss is another
    told = measured(folder)
    assert told["translate"]["to_loss"] is None and told["ner"]["to_loss"] is None
    assert told["ner"]["arms"]["bert"]["losses"] == [] and told["ner"]["arms"]["bert"]["pretrained"]


def test_curves_outlive_their_logs_but_not_their_training(folders):
    folder, write = folders
    for family in ("t5", "lstm"):
        write(record("translate", family, 4.0), losses=[1.0] * 40, scores=[10.0, 20.0, 29.0, 30.0])
    before = measured(folder)["translate"]
    shutil.rmtree(folder / "runs")
    assert measured(folder)["translate"] == before and before["to_score"] and before["to_loss"]
    write(record("translate", "lstm", 3.0))
    after = measured(folder)["translate"]
    assert after["arms"]["lstm"]["losses"] == after["arms"]["lstm"]["scores"] == []
    assert after["to_score"] is after["to_loss"] is None and after["arms"]["t5"] == before["arms"]["t5"]


def test_pairs_of_this_device_only(folders, capsys):
    folder, write = folders
    write(record("translate", "t5", 4.0))
    assert measured(folder) == {} and "nothing to compare" in capsys.readouterr().err
    write(record("translate", "lstm", 4.0, device="cuda"))
    assert measured(folder) == {}
    assert costs._to_level({"a": [], "b": [[1.0, 2.0]]}, lower=True) is None
