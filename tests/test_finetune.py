"""`scripts.finetune` from the command line to the folder it writes: all tasks and families, every way to start one."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from training_runs import ARMS, SIZES, arguments, log_of, record_of, train

import pipelines
import tasks
from scripts import card, recipe
from tasks.metrics import metrics_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """(task, family) → folder of an arm trained from scratch."""
    folders = {}
    for task, family in ARMS:
        folders[task, family] = tmp_path_factory.mktemp("runs") / f"{task}-{family}"
        assert train(arguments(task, family, folders[task, family])) == 0
    assert len(folders) == 12
    return folders


def heads(text: str) -> dict:
    """The YAML head of a model card."""
    import yaml

    empty, head, _ = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(head)


@pytest.mark.parametrize(("task", "family"), ARMS)
def test_writes_a_checkpoint_that_pipelines_load(trained, task, family):
    folder = trained[task, family]
    files = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= files
    assert not [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".tmp")]
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert json.loads((folder / "config.json").read_text())["model_type"] == family

    pipe = pipelines.pipeline(task, model=str(folder))
    assert {parameter.dtype for parameter in pipe.model.parameters()} == {torch.float32}
    texts = ["Well done!", "She didn't answer; the phone kept ringing all afternoon."]
    if task == "translate":
        prefix = "translate English to French: " if family == "t5" else ""
        assert pipe.prefix == prefix
        assert pipe.model.config.task_specific_params["translation_en_to_fr"]["split_sentences"] is True
        assert pipe.model.generation_config.num_beams == tasks.load(task).generation["num_beams"]
        assert [list(output) for output in pipe(texts, max_new_tokens=4)] == [["translation_text"]] * 2
    elif task == "sentiment":
        assert pipe.model.config.id2label == {0: "negative", 1: "positive"}
        assert all(output["label"] in ("negative", "positive") for output in pipe(texts))


@pytest.mark.parametrize(("task", "family"), ARMS)
def test_record_and_card_say_what_it_was_made_from(trained, task, family):
    folder = trained[task, family]
    assert [file.name for file in (folder / "results" / "training").iterdir()] == [f"{task}--{family}--cpu.json"]
    record = record_of(folder)
    assert (record["task"], record["family"], record["steps"]) == (task, family, 24)
    assert record["best_step"] in (8, 16, 24)
    assert list(record["validation"]) == [metric.key for metric in metrics_of(tasks.load(task))]
    assert record["data"]["train"] == "samples" and record["data"]["validation"] == 7
    assert record["recipe"]["seed"] == record["environment"]["seed"] == 13
    assert min(record[key] for key in ("tokens", "tokens_per_s", "minutes", "peak_memory_mb")) > 0
    assert 0 < record["target_tokens_per_s"] <= record["tokens_per_s"]
    assert 0.5 < record["real_tokens_per_padded"] <= 1
    saved = load_file(folder / "model.safetensors")
    assert record["parameters"] == sum(tensor.numel() for tensor in saved.values())

    text = (folder / "README.md").read_text()
    head = heads(text)
    assert head["datasets"] == ["samples"] and task in head["tags"] and family in head["tags"]
    environment = record["environment"]
    for said in (
        "`samples`",
        f"{record['data']['rows']:,} rows",
        "24 steps",
        f"best at step {record['best_step']}",
        "seed 13",
        f"{record['parameters']:,} parameters",
        environment["hardware"],
        f"torch {environment['torch']}",
        f"transformers {environment['transformers']}",
        *(f"| {key} | {value:.4g} |" for key, value in record["validation"].items()),
    ):
        assert said in text
    assert "## Licences" in text


def test_card_names_every_source_with_its_licence(trained):
    record = record_of(trained["translate", "t5"])
    for name in tasks.TASKS:
        task = tasks.load(name)
        settings = recipe.read(name, task.transformer, "cuda", None, {})
        text = card.render(task, settings, record)
        for source in settings.data:
            name = source.partition(":")[0]
            assert name in heads(text)["datasets"]
            assert f"- `{name}`: {task.licences[name]}" in text


def test_log_has_a_line_every_ten_steps_and_one_at_the_end(trained):
    for folder in trained.values():
        lines = log_of(folder)
        assert [line["step"] for line in lines] == [10, 20, 24]
        assert [line["learning_rate"] for line in lines] == pytest.approx([0.0075, 0.0025, 0.0005])  # 1e-2, 4 of 24 up


def test_training_lowers_the_loss(tmp_path):
    settings = {"data": ["samples:12"], "max_steps": 60, "learning_rate": 2e-2, "evaluate_every": 60}
    for task, family in ARMS:
        assert train(arguments(task, family, tmp_path / family / task, **settings)) == 0
        losses = [line["loss"] for line in log_of(tmp_path / family / task)]
        assert losses[-1] < 0.9 * losses[0], (task, family)


@pytest.mark.parametrize(("task", "family"), ARMS)
def test_goes_on_from_a_folder(trained, task, family, tmp_path):
    start = trained[task, family]
    argv = arguments(
        task, family, tmp_path / "next", init=str(start), max_steps=2, learning_rate=1e-30, dtype="float32"
    )
    assert train(argv) == 0
    before, after = load_file(start / "model.safetensors"), load_file(tmp_path / "next" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():  # nothing was learned at this rate: what is there came from the folder
        torch.testing.assert_close(tensor.float(), after[name], rtol=0, atol=1e-20)
    assert (start / "tokenizer.json").read_bytes() == (tmp_path / "next" / "tokenizer.json").read_bytes()
    text = (tmp_path / "next" / "README.md").read_text()
    assert heads(text)["base_model"] == str(start) and f"fine-tuned from `{start}`" in text


@pytest.mark.parametrize(("task", "family"), [("sentiment", "bert"), ("translate", "t5")])
def test_lora_trains_adapters_and_head_and_merges_them(trained, task, family, tmp_path):
    start, rank = trained[task, family], 2
    argv = arguments(
        task,
        family,
        tmp_path / "lora",
        f"--lora={rank}",
        init=str(start),
        max_steps=4,
        evaluate_every=4,
        dtype="float32",
    )
    assert train(argv) == 0
    before, after = load_file(start / "model.safetensors"), load_file(tmp_path / "lora" / "model.safetensors")
    assert before.keys() == after.keys()  # a plain checkpoint: no adapters left in it
    model = pipelines.pipeline(task, model=str(tmp_path / "lora")).model
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    heads = {name for name in before if name.startswith("classifier.")}
    assert bool(heads) == (task == "sentiment")
    changed = set()
    for name, tensor in before.items():
        difference = after[name] - tensor.float()
        if difference.abs().max() > 0:
            changed.add(name)
        if name in linear - heads:
            assert torch.linalg.matrix_rank(difference.double(), atol=1e-5) <= rank, name  # 1e-5: of rounding
    assert heads <= changed <= linear | heads
    assert len(changed - heads) > len(linear) // 2
    assert "LoRA adapters of rank 2" in (tmp_path / "lora" / "README.md").read_text()


def test_static_embeddings_start_a_new_model(tiny_bert, tmp_path):
    argv = arguments(
        "sentiment", "lstm", tmp_path / "a", embeddings=str(tiny_bert), sizes=SIZES["lstm"] | {"d_model": 32},
        max_steps=1, learning_rate=1e-30, dtype="float32",
    )  # fmt: skip
    assert train(argv) == 0
    source = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    mine = transformers.AutoTokenizer.from_pretrained(tmp_path / "a")
    table = load_file(tiny_bert / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    rows = pipelines.pipeline("sentiment", model=str(tmp_path / "a")).model.get_input_embeddings().weight
    assert 5 < len(mine) <= len(source)
    for piece, row in mine.get_vocab().items():
        torch.testing.assert_close(rows[row].detach(), table[source.get_vocab()[piece]], rtol=0, atol=1e-20)


def test_tracker_writes_the_losses_and_scores(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(arguments("sentiment", "lstm", tmp_path / "a", "--tracker", "tensorboard")) == 0
    boards = [EventAccumulator(str(file)).Reload() for file in (tmp_path / "a").rglob("events.out.tfevents.*")]
    (board,) = [board for board in boards if "loss" in board.Tags()["scalars"]]  # another holds the settings
    assert [(e.step, pytest.approx(e.value)) for e in board.Scalars("loss")] == [
        (line["step"], line["loss"]) for line in log_of(tmp_path / "a")
    ]
    assert [e.step for e in board.Scalars("validation/accuracy")] == [8, 16, 24]
    assert {"tokens_per_s", "learning_rate", "validation/f1"} <= set(board.Tags()["scalars"])


# --- a file of one's own ---


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """61 rows, some twice."""
    there = [{"text": f"{word} number {i}, said the {'happy' if i % 3 else 'sad'} crowd", "label": int(i % 3 > 0)}
             for i, word in zip(range(40), ["Song", "A very long and winding story"] * 20, strict=True)]  # fmt: skip
    return there + there[:21]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_holds_out_rows_that_are_never_trained_on(rows, suffix, tmp_path, monkeypatch):
    import pandas

    file, table = tmp_path / f"mine, my own [1]{suffix}", pandas.DataFrame(rows)
    if suffix == ".csv":
        table.to_csv(file, index=False)
    elif suffix == ".jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_parquet(file)
    trained_on, validated_on = [], []
    from scripts.training import Training

    real_init = Training.__init__

    def spying(self, *args):
        real_init(self, *args)
        trained_on.extend(self.tokenizer.decode(row["input_ids"], skip_special_tokens=True) for row in self.rows)
        validated_on.extend(
            self.tokenizer.decode(self.tokenizer(text)["input_ids"], skip_special_tokens=True)
            for text in self.validation_rows.inputs
        )

    monkeypatch.setattr(Training, "__init__", spying)
    argv = arguments("sentiment", "bert", tmp_path / "out", data=[str(file)], max_steps=2, validation_limit=1000)
    assert train(argv) == 0
    assert len(validated_on) == 3  # 5 % of 61
    assert not set(validated_on) & set(trained_on)
    times = sum(2 if int(text.split("number ")[1].split()[0].rstrip(",")) < 21 else 1 for text in set(validated_on))
    assert len(trained_on) == 61 - times
    record = record_of(tmp_path / "out")
    assert record["data"] == {"train": str(file), "rows": len(trained_on), "validation": 3}
    assert heads((tmp_path / "out" / "README.md").read_text())["datasets"] == [str(file)]


def test_a_file_of_pairs_trains_a_translator(tmp_path):
    file = tmp_path / "pairs.jsonl"
    pairs = [{"en": f"{i} apples and no pears", "fr": [f"{i} pommes et pas de poires", "…"]} for i in range(30)]
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    argv = arguments("translate", "lstm", tmp_path / "out", data=[f"{file}:25"], max_steps=2)
    assert train(argv) == 0
    assert record_of(tmp_path / "out")["data"] == {"train": str(file), "rows": 24, "validation": 1}
