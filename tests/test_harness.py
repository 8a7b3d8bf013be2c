"""The harness whole, on tiny models and real text: result files, predictions, the table, and what goes wrong."""

import csv
import json
import random
from pathlib import Path

import pytest

import pipelines
import tasks
from scripts import harness, latency, probe, report, results
from scripts.arms import FLOOR, Arm, open_arm
from tasks import bootstrap, data, metrics

QUICK = ("--runs", "2", "--seconds", "0.01")


@pytest.fixture
def measured(tmp_path, capsys):
    """Runs the harness in this process: arguments → (status, stdout, stderr, {(task, family): result})."""

    def run(*arguments):
        folder = tmp_path / "results"
        status = harness.main(["--output", str(folder), "--device", "cpu", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        found = results.read(folder) if folder.is_dir() else []
        return status, out, err, {(r["task"], r.get("family")): r for r in found}

    run.folder = tmp_path / "results"
    return run


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# --- whole runs ---


def test_a_pairing_measured_whole(measured, tiny_t5, tiny_lstm_seq2seq):
    """Quality and cost of two models and the floor on the samples: every field, every sample, every timed run."""
    models = f"{tiny_t5},{tiny_lstm_seq2seq},floor"
    status, out, err, found = measured(
        "--tasks", "translate", "--models", models, "--limit", 6, "--batch-size", 4, *QUICK
    )
    assert status == 0 and set(found) == {("translate", "t5"), ("translate", "lstm"), ("translate", FLOOR)}
    task = tasks.load("translate")
    rows = data.read(task, "samples").take(6, 13)
    assert "bundled samples" in err  # nobody asked for them, so it is said
    for (_, family), result in found.items():
        assert results.faults(result) == []
        assert list(result["metrics"]) == list(task.metrics)
        assert result["data"] == {"source": "samples", "split": "validation", "samples": 6}
        assert result["throughput"]["batch_size"] == 4 and result["throughput"]["samples_per_s"] > 0
        cost = result["latency_ms"]
        assert cost["p50"] <= cost["p95"] <= cost["p99"] and cost["runs"] >= 6
        if family == FLOOR:
            assert result["parameters"] == 0 == result["size_mb"] and "per_new_token" not in cost
            assert result["checkpoint"] == task.floor  # copying needs no train rows, so none were read
        else:
            assert cost["first"] > 0 < cost["load"]
            assert cost["per_new_token"]["new_tokens"] == 32 and cost["per_new_token"]["runs"] >= 6
            # a process with torch and transformers in it, and all of that attributed openly
            assert result["memory_mb"]["peak"] >= result["memory_mb"]["before_load"] > 50
    folder = {"t5": tiny_t5, "lstm": tiny_lstm_seq2seq}
    for family, place in folder.items():
        pipe = pipelines.pipeline("translate", model=str(place), device="cpu")
        by_hand = [pipe(text)[0]["translation_text"] for text in rows.inputs]
        file = results.address(measured.folder, "translate", str(place), "cpu")
        records = lines(file.with_suffix(".predictions.jsonl"))
        assert [record["index"] for record in records] == list(range(6))
        assert [record["input"] for record in records] == rows.inputs
        assert [record["references"] for record in records] == rows.targets
        assert [record["prediction"] for record in records] == by_hand
        for metric in metrics.metrics_of(task):
            total = sum(metric.statistics([r["prediction"]], [r["references"]])[0] for r in records)
            assert total.tolist() == [
                sum(column) for column in zip(*(r["statistics"][metric.key] for r in records), strict=True)
            ]
            assert metric.value(total) == pytest.approx(found["translate", family]["metrics"][metric.key]["value"])
        assert found["translate", family]["parameters"] == pipe.model.num_parameters()
        size = (place / "model.safetensors").stat().st_size / 1e6
        assert found["translate", family]["size_mb"] == pytest.approx(size)
        runs = lines(file.with_suffix(".latency.jsonl"))
        assert {run["measure"] for run in runs} == {"latency", "per_new_token"}
        timed = [ms for run in runs if run["measure"] == "latency" for ms in run["ms"]]
        assert len(timed) == found["translate", family]["latency_ms"]["runs"]
    assert out.count("| translate |") == 3 and "bleu (0-100) [95 %]" in out
    assert not list(measured.folder.glob(".*"))  # nothing half written


def test_own_data_in_every_format(measured, tiny_bert, tiny_lstm_classifier, tmp_path, english):
    """The same rows as jsonl, csv and parquet give the same scores, and labels may be names or numbers."""
    draw = random.Random(1)
    texts = english * 2 + ['A "quoted", text', "été à la plage"]
    labels = draw.choices(("negative", "positive"), k=len(texts))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"sentence": x, "label": y}) + "\n" for x, y in zip(texts, labels, strict=True))
    )
    with open(tmp_path / "b.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["text", "label"], *zip(texts, [int(y == "positive") for y in labels], strict=True)]
        )
    import datasets

    datasets.Dataset.from_dict({"text": texts, "label": labels}).to_parquet(tmp_path / "c.parquet")
    seen = []
    for name in ("a.jsonl", "b.csv", "c.parquet"):
        status, out, err, found = measured(
            "--tasks",
            "sentiment",
            "--models",
            f"{tiny_bert},{tiny_lstm_classifier}",
            "--data",
            tmp_path / name,
            "--no-cost",
        )
        assert status == 0 and "samples" not in err
        assert all(result["latency_ms"] is None for result in found.values())
        assert {result["data"]["source"] for result in found.values()} == {str(tmp_path / name)}
        seen.append({family: result["metrics"] for (_, family), result in found.items()})
        records = lines(
            results.address(measured.folder, "sentiment", str(tiny_bert), "cpu").with_suffix(".predictions.jsonl")
        )
        assert [record["input"] for record in records] == texts
        assert [record["references"] for record in records] == labels
    assert seen[0] == seen[1] == seen[2] and set(seen[0]) == {"bert", "lstm"}


def test_own_data_with_ragged_references(measured, tiny_lstm_seq2seq, tmp_path):
    """`fr` may be one text or a list; the floor scores as sacrebleu says it should."""
    import sacrebleu

    english = ["Paris", "Thank you very much, Mr. Smith!", "OK"]
    french = [["Paris", "Paname"], ["Merci beaucoup, M. Smith !"], ["D'accord", "OK", "Ça va"]]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps({"en": x, "fr": y}) + "\n" for x, y in zip(english, french, strict=True)))
    status, out, err, found = measured("--tasks", "translate", "--models", "floor", "--data", file, "--no-cost")
    assert status == 0
    streams = [[row[i] if i < len(row) else None for row in french] for i in range(3)]
    score = found["translate", FLOOR]["metrics"]["bleu"]
    assert score["value"] == pytest.approx(sacrebleu.corpus_bleu(english, streams).score)


def test_significance_against_the_lstm(measured, monkeypatch, tiny_bert, tiny_lstm_classifier):
    """Arms called by their own names: transformer and floor are tested against the lstm, the lstm against none."""
    named = {"transformer": str(tiny_bert), "lstm": str(tiny_lstm_classifier)}
    real = harness.open_arm

    def opened(task, model, rows, device, engine):
        arm = real(task, named.get(model, model), rows, device)
        arm.model = model
        return arm

    monkeypatch.setattr(harness, "open_arm", opened)
    status, out, err, found = measured("--tasks", "sentiment", "--data", "samples", "--no-cost", "--seed", 7)
    assert status == 0
    assert found["sentiment", "lstm"]["significance"] is None
    records = {
        family: lines(measured.folder / f"sentiment--{name}--cpu.predictions.jsonl")
        for name, family in (("transformer", "bert"), ("lstm", "lstm"), ("floor", FLOOR))
    }
    accuracy = metrics.metrics_of(tasks.load("sentiment"))[0]
    for family in ("bert", FLOOR):
        # from the files alone, as anyone may do it later
        ours, theirs = (
            accuracy.statistics([r["prediction"] for r in records[f]], [r["references"] for r in records[f]])
            for f in (family, "lstm")
        )
        wanted = {"against": "lstm"} | bootstrap.paired_bootstrap(accuracy, ours, theirs, 7)
        assert found["sentiment", family]["significance"] == wanted
    rows = [line for line in out.splitlines() if line.startswith("| sentiment")]
    assert [row.split("|")[2].strip() for row in rows] == ["transformer (bert)", "lstm", "floor"]
    assert "to lstm (p " in rows[0] and "to lstm (p " in rows[2]
    assert "fitted on samples (train" in rows[2]


def test_the_floor_never_learns_from_the_rows_it_is_scored_on(monkeypatch, tmp_path):
    """A file of the user's own is one split, so the floor is fitted on the task's train rows instead."""
    file = tmp_path / "own.csv"
    file.write_text("text,label\n" + "".join(f"word{i},{i % 2}\n" for i in range(20)))
    task = tasks.load("sentiment")
    arm = open_arm(task, FLOOR, data.read(task, str(file)), "cpu")
    assert "fitted on samples (train" in arm.checkpoint and arm.load_ms > 0
    answers = arm.many(["What a waste of time.", "wonderful"], 32)
    assert {answer["label"] for answer in answers} <= {"negative", "positive"}
    monkeypatch.setattr(data, "read", lambda *a, **k: pytest.fail("the copy floor read train rows"))
    copy = open_arm(tasks.load("translate"), FLOOR, data.Rows(["x"], [["y"]], "somewhere", "test"), "cpu")
    assert copy.many(["a", ""], 32) == ["a", ""]


# --- what goes wrong ---


def test_a_bad_model_gets_a_row_and_the_others_go_on(measured, tiny_bert, tiny_lstm_seq2seq, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    models = f"{empty},{tiny_lstm_seq2seq},{tiny_bert}"  # no checkpoint, wrong kind, right
    status, out, err, found = measured(
        "--tasks", "sentiment", "--models", models, "--data", "samples", "--limit", 5, "--no-cost"
    )
    assert status == 1
    assert list(found) == [("sentiment", "bert")]  # a mistaken name leaves no file
    assert out.count("*failed: ") == 2 and "config.json" in out
    assert f"sentiment {empty}: " in err


def test_a_model_that_breaks_on_the_way_keeps_its_row(measured, monkeypatch, tiny_bert, tiny_lstm_classifier):
    real = harness.open_arm

    def opened(task, model, rows, device, engine):
        arm = real(task, model, rows, device)
        if arm.family == "bert":
            arm.many = lambda *a: (_ for _ in ()).throw(MemoryError("out of memory: tried to allocate 9 GiB\nand more"))
        return arm

    monkeypatch.setattr(harness, "open_arm", opened)
    status, out, err, found = measured(
        "--tasks",
        "sentiment",
        "--models",
        f"{tiny_bert},{tiny_lstm_classifier}",
        "--data",
        "samples",
        "--limit",
        5,
        "--no-cost",
    )
    assert status == 1 and set(found) == {("sentiment", None), ("sentiment", "lstm")}
    assert found["sentiment", None]["error"] == "MemoryError: out of memory: tried to allocate 9 GiB"
    assert "*failed: MemoryError: out of memory" in out
    assert "*failed: MemoryError" in report.block(measured.folder)


def test_all_is_what_models_are_bundled_for(measured, bundled):
    status, out, err, found = measured(
        "--tasks", "all", "--models", "floor", "--data", "samples", "--limit", 5, "--no-cost"
    )
    assert status == 0 and {task for task, _ in found} == {"translate", "sentiment"}
    left = "summarize, ner, qa, complete, classify, intents, chat, market, similarity"
    assert f"no models are bundled for {left}: left out of all" in err


def test_an_interrupt_leaves_what_is_finished(measured, monkeypatch, tiny_bert):
    real = harness.open_arm

    def opened(task, model, rows, device, engine):
        if task.name == "translate":
            raise KeyboardInterrupt
        return real(task, model, rows, device)

    monkeypatch.setattr(harness, "open_arm", opened)
    status, out, err, found = measured(
        "--tasks", "sentiment,translate", "--models", tiny_bert, "--data", "samples", "--limit", 5, "--no-cost"
    )
    assert status == 130 and list(found) == [("sentiment", "bert")] and "interrupted" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "translte"], "Did you mean 'translate'?"),
        (["--tsks", "all"], "Did you mean '--tasks'?"),
        (["--tasks", ","], "no name"),
        (["--limit", "0"], "not a whole number above 0"),
        (["--runs", "many"], "not a whole number above 0"),
        (["--device", "gpu"], "auto"),
        (["--data", "nowhere.csv"], "no such file: nowhere.csv"),
        (["--data", "{csv}", "--tasks", "translate"], "there are: question, reply"),
        (["--data", "{binary}", "--tasks", "sentiment"], "binary.parquet"),
        (["--tasks", "translate", "--models", "transfomer", "--data", "samples", "--no-cost"], "transfomer"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(measured, tmp_path, arguments, said):
    (tmp_path / "own.csv").write_text("question,reply\nWhy?,Because.\n")
    (tmp_path / "binary.parquet").write_bytes(bytes(range(256)))
    places = {"{csv}": tmp_path / "own.csv", "{binary}": tmp_path / "binary.parquet"}
    status, out, err, found = measured(*(places.get(a, a) for a in arguments))
    assert status == 2 and not out and not found
    assert said in err and len(err.splitlines()) == 1


# --- parts ---


@pytest.mark.parametrize("folder", ["tiny_t5", "tiny_lstm_seq2seq"])
def test_equal_lengths_are_equal(folder, request, monkeypatch, english):
    """Every text costs one generation of exactly n tokens: short, of several sentences, or past the window."""
    task = tasks.load("translate")
    arm = open_arm(task, str(request.getfixturevalue(folder)), data.Rows([], [], "", ""), "cpu")
    model, made = arm.one.model, []
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda *a, **k: made.append(generate(*a, **k)) or made[-1])
    for text in ("No.", " ".join(english[:3]), " ".join(english * 5), "Line one.\nLine two."):
        for n in (5, 17):
            made.clear()
            arm.fixed(text, n)
            assert [tuple(ids.shape) for ids in made] == [(1, n + 1)]  # and the start token


def test_a_classifier_generates_nothing(tiny_bert):
    arm = open_arm(tasks.load("sentiment"), str(tiny_bert), data.Rows([], [], "", ""), "cpu")
    assert arm.fixed is None and arm.family == "bert"


def test_memory_is_that_of_the_fresh_process(tiny_bert):
    """A big parent must not show in its child's peak (as it does in Linux's ru_maxrss)."""
    import torch

    ballast = torch.ones(400_000_000, dtype=torch.uint8)
    before = probe.resident_peak()
    figures = probe.measure("sentiment", str(tiny_bert), "cpu", ["Good.", "A bad film, and long."], 2)
    assert before > 400e6 and len(ballast)
    assert 50 < figures["before_load"] <= figures["peak"] < before / 1e6 + 100
    assert figures["load"] > 0 < figures["first"]
    with pytest.raises(RuntimeError, match="Did you mean 'sentiment'?"):
        probe.measure("sentimnt", str(tiny_bert), "cpu", ["Good."], 1)


def test_latency_defaults_are_the_promised_ones():
    args = harness.parse([])
    assert (args.runs, args.seconds, args.batch_size) == (50, 3.0, 32)
    assert (latency.RUNS, latency.SECONDS) == (50, 3.0)


def test_help_needs_no_heavy_library():
    import subprocess
    import sys

    heavy = ("torch", "transformers", "evaluate", "numpy", "datasets", "rich")
    code = (
        f"import sys; from scripts import harness; harness.parse([]); print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=probe.ROOT)
    assert done.stdout.strip() == "[]", done.stderr


# --- the result file ---


def result(**changes) -> dict:
    """A result as DESIGN.md shows it."""
    score = {"value": 0.881, "low": 0.872, "high": 0.890, "range": "0-1"}
    whole = {
        "schema": 1, "task": "ner", "model": "lstm", "checkpoint": "…", "family": "lstm", "parameters": 2100000,
        "size_mb": 4.2, "data": {"source": "…", "split": "validation", "samples": 3250}, "metrics": {"f1": score},
        "latency_ms": {"p50": 3.1, "p95": 4.0, "p99": 4.9, "mean": 3.2, "first": 9.9, "load": 410.0, "runs": 200},
        "throughput": {"samples_per_s": 310.0, "batch_size": 32}, "memory_mb": {"peak": 512.0},
        "significance": {"against": "lstm", "metric": "f1", "delta": 0.02, "p_value": 0.001},
        "environment": {"device": "cpu", "torch": "…", "transformers": "…", "threads": 2, "commit": "…", "seed": 13},
    }  # fmt: skip
    return whole | changes


def test_the_designs_example_is_of_the_schema():
    assert results.faults(result()) == []


def test_every_missing_or_wrong_field_is_found():
    whole = result()
    count = 0
    for key, value in whole.items():
        without = {k: v for k, v in whole.items() if k != key}
        assert any(line.startswith(key) for line in results.faults(without)), key
        wrong = {**whole, key: ["no"]}
        assert any(line.startswith(key) for line in results.faults(wrong)), key
        for inner in value if isinstance(value, dict) and key != "metrics" else ():
            part = {k: v for k, v in value.items() if k != inner}
            assert results.faults({**whole, key: part}) == [f"{key}.{inner}: missing"]
            count += 1
    assert count == 3 + 7 + 2 + 1 + 4 + 6
    assert results.faults(result(size_mb=float("nan"))) and results.faults(result(parameters=True))
    assert results.faults(result(metrics={})) == ["metrics: empty"]
    assert results.faults(result(metrics={"f1": {"value": 1.0, "low": 1.0, "high": 1.0}})) == [
        "metrics.f1.range: missing"
    ]
    assert results.faults(result(latency_ms=None, significance=None)) == []
    assert results.faults(result(data=None)) != []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = results.address(tmp_path / "new", "ner", "lstm", "cpu")
    results.write(file, result())
    before = file.read_text()
    with pytest.raises(ValueError, match="size_mb"):
        results.write(file, result(size_mb="4"))
    with pytest.raises(TypeError):
        results.write_lines(file, [{"x": object()}])
    assert file.read_text() == before and [p.name for p in file.parent.iterdir()] == ["ner--lstm--cpu.json"]
    assert results.read(file.parent) == [result()]
    file.write_text('{"schema": 1}')
    with pytest.raises(ValueError, match="ner--lstm--cpu.json"):
        results.read(file.parent)


def test_addresses_are_plain_words_and_have_three_parts(tmp_path):
    for model, word in {
        "lstm": "lstm",
        "google-t5/t5-small": "google-t5-t5-small",
        "org/name@v1.0": "org-name-v1.0",
        "/tmp/models/my model/": "tmp-models-my-model",
        "../best--run": "best-run",
        "./": "model",
    }.items():
        file = results.address(tmp_path, "translate", model, "cuda")
        assert file.parent == tmp_path and file.name == f"translate--{word}--cuda.json"
        assert len(file.stem.split("--")) == 3


# --- the report ---


def pair() -> list[dict]:
    lstm = result(significance=None)
    score = {"value": 0.901, "low": 0.891, "high": 0.911, "range": "0-1"}
    fast = {**lstm["latency_ms"], "p50": 12.34, "p95": 20.06}
    bert = result(model="transformer", family="bert", metrics={"f1": score}, latency_ms=fast, parameters=11_250_000)
    floor = result(model="floor", family="floor", parameters=0, size_mb=0, memory_mb=None, latency_ms=None)
    return [floor, lstm, bert]


def test_the_table_says_what_the_files_say():
    table = report.tables(pair()).splitlines()
    assert table[0].startswith("**ner** on … (validation, 3,250 rows); cpu: cpu, 2 threads")
    head, rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[2:])
    column = {name: i for i, name in enumerate(head)}
    assert [row[column["model"]] for row in rows] == ["transformer (bert)", "lstm", "floor"]
    assert [row[column["f1 (0-1) [95 %]"]] for row in rows] == [
        "**0.901 [0.891, 0.911]**",
        "0.881 [0.872, 0.890]",
        "0.881 [0.872, 0.890]",
    ]
    assert [row[column["p50 ms"]] for row in rows] == ["12.3", "**3.10**", "–"]
    assert [row[column["p95 ms"]] for row in rows] == ["20.1", "**4.00**", "–"]
    assert [row[column["parameters M"]] for row in rows] == ["11.2", "**2.10**", "0.00"]
    assert rows[0][column["difference (p)"]] == "+0.020 to lstm (p = 0.001)"
    assert all(len(row) == len(head) == len(rule) for row in rows)


def test_lower_is_better_and_devices_stay_apart():
    low = {"value": 1.1, "low": 1.0, "high": 1.2, "range": "bits", "lower_is_better": True}
    first = result(metrics={"bits_per_byte": low}, significance=None)
    second = result(
        model="transformer", family="gpt2", metrics={"bits_per_byte": {**low, "value": 0.9}}, significance=None
    )
    gpu = result(environment={**result()["environment"], "device": "cuda", "hardware": "H100"})
    table = report.tables([first, second, gpu])
    assert "**0.900 [1.000, 1.200]**" in table and "**1.100" not in table
    assert table.count("| --- | --- | --- |") == 2 and "cuda: H100." in table


def test_the_readme_block_is_made_and_checked(tmp_path, capsys):
    folder, readme = tmp_path / "results", tmp_path / "README.md"
    for each in pair():
        results.write(results.address(folder, each["task"], each["model"], "cpu"), each)
    training = {"task": "ner", "family": "lstm", "steps": 1200, "tokens_per_s": 8123.4, "minutes": 12.5}
    training["environment"] = {"device": "cpu", "hardware": "A | B"}
    (folder / "training").mkdir()
    (folder / "training" / "ner--lstm--cpu.json").write_text(json.dumps(training))
    readme.write_text("# Head\n\nbefore\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    flags = ["--results", str(folder), "--readme", str(readme)]
    assert report.main([*flags, "--check"]) == 1 and "old" in readme.read_text()
    assert report.main(flags) == 0 == report.main([*flags, "--check"])
    text = readme.read_text()
    assert text.startswith("# Head\n\nbefore\n<!-- results -->\n![") and text.endswith("<!-- /results -->\nafter\n")
    assert "\n\n**ner** on " in text
    assert "\nold" not in text and "| ner | lstm | cpu | A \\| B | – | 1,200 | 8,123 | 12.5 | – |" in text
    assert report.main(flags) == 0 and readme.read_text() == text  # twice is once
    results.write(results.address(folder, "ner", "lstm", "cpu"), result(size_mb=5.0, significance=None))
    assert report.main([*flags, "--check"]) == 1
    readme.write_text("no markers")
    assert report.main(flags) == 2 and "<!-- results -->" in capsys.readouterr().err


def test_an_arm_that_failed_lets_go_of_its_model():
    arm = Arm(model="x", one=print, many=print, fixed=print)
    arm.fail(RuntimeError("first line\nsecond line"))
    assert arm.problem == "RuntimeError: first line" and not arm.mistake
    assert arm.one is arm.many is arm.fixed is None
    arm.fail(pipelines.UserError("no such model"))
    assert arm.problem == "no such model" and arm.mistake
