"""The loop of `scripts.training`, a step at a time: gradients, loss, clipping, learning rate, what is trained."""

import json
import math
import shutil

import pytest
import torch
from training_runs import ARMS, SIZES, arguments, train

import tasks
from pipelines.errors import UserError
from scripts import recipe as recipes
from scripts.training import Training, learning_rate, read_splits

DROPOUTS = {  # what has dropout, by family
    "t5": ("dropout_rate",),
    "lstm": ("dropout",),
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
}
BASE = {
    "data": ("samples",),
    "init": "",
    "embeddings": "",
    "vocabulary": 200,
    "max_length": 64,
    "max_steps": 5,
    "tokens_per_batch": 200,
    "validation_limit": 7,
}


def make(tmp_path, task: str, family: str, **settings) -> Training:
    """A training that has not begun, without dropout."""
    from accelerate import Accelerator

    sizes = SIZES[family] | dict.fromkeys(DROPOUTS[family], 0.0)
    recipe = recipes.Recipe(**BASE | {"sizes": sizes} | settings)
    return Training(Accelerator(cpu=True), tasks.load(task), family, recipe, tmp_path / f"{task}-{family}")


def step(training: Training, group: list[list[int]]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss of one step over these batches of rows and the gradients that reach the optimizer; no weight moves."""
    gradients = {}
    training.optimizer.step = lambda: gradients.update(
        {name: p.grad.clone() for name, p in training.bare.named_parameters() if p.grad is not None}
    )
    rows = [[training.rows[i] for i in batch] for batch in group]
    loss = training.step(0, [(group, training.kind.collate(batch, training.config)) for batch in rows])
    return float(loss), gradients


def ragged(training: Training, count: int = 5) -> list[int]:
    """Rows of different lengths (windows and blocks have fewer), the shortest and the longest among them."""
    order = sorted(range(len(training.rows)), key=training.lengths.__getitem__)
    chosen = [order[0], order[-1], *order[1 :: max(1, len(order) // (count - 2))][: count - 2]]
    assert len({training.lengths[i] for i in chosen}) == {"complete": 2, "qa": 3}.get(training.task.name, count)
    return chosen


@pytest.mark.parametrize(("task", "family"), ARMS)
def test_accumulated_batches_give_the_gradient_of_one(tmp_path, task, family):
    training = make(tmp_path, task, family, label_smoothing=0.1, clip=0.0)
    rows = ragged(training)
    whole_loss, whole = step(training, [rows])
    parts_loss, parts = step(training, [rows[:2], rows[2:]])  # unequal, so a mean of means would be another thing
    alone_loss, alone = step(training, [[row] for row in rows])  # no padding at all
    assert whole_loss == pytest.approx(parts_loss, rel=1e-5) == pytest.approx(alone_loss, rel=1e-5)
    assert whole.keys() == {name for name, _ in training.bare.named_parameters()}
    for name, gradient in whole.items():
        assert gradient.abs().max() > 0, name
        for other in (parts, alone):
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(("task", "family"), ARMS[:4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_real_terms_by_hand(tmp_path, task, family, smoothing):
    training = make(tmp_path, task, family, label_smoothing=smoothing)
    rows, terms = ragged(training), []
    for i in rows:
        row = training.rows[i]
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            if task == "translate":
                shifted = torch.tensor([[training.config.pad_token_id, *row["labels"][:-1]]])
                scores = training.bare(input_ids=ids, decoder_input_ids=shifted).logits[0]
            else:
                scores = training.bare(input_ids=ids).logits
        labels = row["labels"] if task == "translate" else [row["labels"]]
        for vector, label in zip(scores.double().log_softmax(-1), labels, strict=True):
            terms.append(-(1 - smoothing) * float(vector[label]) - smoothing * float(vector.mean()))
    assert len(terms) == sum(training.kind.count(training.rows[i]) for i in rows)
    assert step(training, [rows])[0] == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_the_gradient_is_clipped_in_length_and_not_turned(tmp_path):
    def flat(gradients):
        return torch.cat([gradients[name].flatten() for name in sorted(gradients)])

    rows = ragged(make(tmp_path, "translate", "lstm"))
    free, tight, wide = (
        flat(step(make(tmp_path, "translate", "lstm", clip=clip), [rows])[1]) for clip in (0.0, 0.01, 1e6)
    )
    assert free.norm() > 0.02
    assert float(tight.norm()) == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(tight / tight.norm(), free / free.norm(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(wide, free)


@pytest.mark.parametrize(("task", "family"), ARMS)
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_step_moves_every_parameter(tmp_path, task, family, optimizer):
    training = make(tmp_path, task, family, optimizer=optimizer, warmup=1)
    before = {name: p.detach().clone() for name, p in training.bare.named_parameters()}
    assert len(training.plan) == 1 and training.total == 5
    training.run(math.inf, lambda: training.progress["step"] >= 3)
    unmoved = [name for name, p in training.bare.named_parameters() if torch.equal(p, before[name])]
    assert not unmoved


def test_weight_decay_is_on_matrices_only(tmp_path):
    training = make(tmp_path, "sentiment", "bert", weight_decay=0.3)
    decay = {id(p): group["weight_decay"] for group in training.optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(training.bare.parameters()))
    for name, parameter in training.bare.named_parameters():
        assert decay[id(parameter)] == (0.0 if "bias" in name or "LayerNorm" in name else 0.3), name


def test_lora_trains_adapters_and_the_head_alone(tmp_path, tiny_bert):
    training = make(tmp_path, "sentiment", "bert", init=str(tiny_bert), lora=4)
    trained = {name for name, p in training.bare.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or ".classifier.modules_to_save" in name for name in trained)
    assert any(".query.lora_A" in name for name in trained) and any(".dense.lora_B" in name for name in trained)
    in_optimizer = sum(p.numel() for group in training.optimizer.param_groups for p in group["params"])
    assert in_optimizer == sum(p.numel() for p in training.bare.parameters() if p.requires_grad)


def test_the_first_steps_copy_the_beginning_of_the_source_then_less_and_less(tmp_path):
    settings = {"copy_steps": 40, "max_steps": 50, "max_length": 400, "tokens_per_batch": 2000}
    training = make(tmp_path, "summarize", "t5", **settings)
    seen = []
    training.step = lambda step, ready: seen.append([batch for _, batch in ready]) or torch.zeros(())
    training.validate = lambda: {"rougeL": 0.0, "rouge1": 0.0, "rouge2": 0.0}
    assert training.run(math.inf, lambda: False) == "finished"
    assert len(seen) == 50
    targets = {tuple(row["labels"]) for row in training.rows[: training.count]}
    end, padding = training.tokenizer.eos_token_id, training.config.pad_token_id
    copied = []  # per step, whether each of its rows was to be copied
    for (batch,) in seen:
        copied.append([])
        for source, label in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            source, label = [i for i in source if i != padding], [i for i in label if i != -100]
            copied[-1].append(label == [*source[1:13], end])  # without the instruction, which is one token
            assert copied[-1][-1] != (tuple(label) in targets)
    assert all(map(all, copied[:10])) and not any(map(any, copied[40:]))
    early, late = (sum(steps, []) for steps in (copied[12:25], copied[25:38]))
    assert 1 > sum(early) / len(early) > 0.5 > sum(late) / len(late) > 0


def test_copying_is_for_text_to_text(tmp_path):
    with pytest.raises(UserError, match="copy_steps is for text to text"):
        make(tmp_path, "sentiment", "lstm", copy_steps=3)


def test_random_weights_take_sizes_and_tokenizer_alone(tmp_path, tiny_bert):
    start = make(tmp_path / "a", "sentiment", "bert", init=str(tiny_bert)).bare
    random = make(tmp_path / "b", "sentiment", "bert", init=str(tiny_bert), random_weights=True)
    again = make(tmp_path / "c", "sentiment", "bert", init=str(tiny_bert), random_weights=True)
    assert len(random.tokenizer) == start.config.vocab_size
    for (name, one), two, three in zip(
        random.bare.named_parameters(), start.parameters(), again.bare.parameters(), strict=True
    ):
        assert one.shape == two.shape and torch.equal(one, three), name
        assert one.dim() == 1 or not torch.equal(one, two), name


def test_a_calibration_does_not_outlive_its_head(tmp_path, tiny_bert):
    folder = shutil.copytree(tiny_bert, tmp_path / "calibrated")
    config = json.loads((folder / "config.json").read_text()) | {"calibration": {"temperature": 2.0}}
    (folder / "config.json").write_text(json.dumps(config))
    assert not hasattr(make(tmp_path, "sentiment", "bert", init=str(folder)).config, "calibration")


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_rises_then_falls(schedule):
    recipe = recipes.Recipe(learning_rate=0.5, warmup=10, schedule=schedule)
    rates = [learning_rate(recipe, step, 110) for step in range(110)]
    assert rates[:10] == pytest.approx([0.05 * (i + 1) for i in range(10)])
    assert rates[10] == max(rates) == 0.5
    half = {"linear": 0.25, "cosine": 0.25, "constant": 0.5}[schedule]
    quarter = {"linear": 0.375, "cosine": 0.25 + 0.25 * math.sqrt(0.5), "constant": 0.5}[schedule]
    assert rates[60] == pytest.approx(half) and rates[35] == pytest.approx(quarter)
    end = {"linear": 0.005, "cosine": 0.25 * (1 - math.cos(math.pi / 100)), "constant": 0.5}[schedule]
    assert rates[-1] == pytest.approx(end)
    assert min(rates) > 0


def test_no_warmup_begins_at_the_full_rate():
    assert learning_rate(recipes.Recipe(learning_rate=0.5, warmup=0), 0, 10) == 0.5


def test_epochs_may_be_broken_and_steps_take_turns(tmp_path):
    one, some = (
        make(tmp_path, "sentiment", "lstm", max_steps=0, epochs=epochs, tokens_per_batch=300) for epochs in (1.0, 2.5)
    )
    full = len(one.plan[0])
    assert one.total == full and [len(epoch) for epoch in some.plan] == [full, full, math.ceil(full / 2)]
    assert some.plan[0] == one.plan[0] != some.plan[1]
    assert sorted(row for group in one.plan[0] for rows in group for row in rows) == list(range(len(one.rows)))
    # the loop takes the plan's rows in its order, from the beginning and from the middle
    for begin in (0, full + 2):
        seen = [(step, group) for step, [(group, _)] in some.groups(begin)]
        assert seen == list(enumerate(sum(some.plan, [])))[begin:]


def test_any_whole_number_is_a_seed(tmp_path):
    for seed in ("0", "-1", str(2**31), str(2**62 + 1)):
        assert train(arguments("sentiment", "lstm", tmp_path / seed, "--seed", seed, max_steps=1)) == 0


def test_files_and_data_sets_are_not_mixed(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\ngood,1\nbad,0\n")
    with pytest.raises(UserError, match="can't be mixed"):
        read_splits(tasks.load("sentiment"), [str(tmp_path / "a.csv"), "samples"], 10, 13)
