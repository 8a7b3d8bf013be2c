"""Recipes: the bundled ones are whole and fit their models, and a slip in one is told."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import tasks
from pipelines.errors import UserError
from pipelines.scratch import new_model
from scripts.recipe import FOLDER, Recipe, read

ARMS = [
    (name, family, device) for name in tasks.TASKS for family in tasks.load(name).families for device in ("cpu", "cuda")
]


def test_each_task_has_a_recipe_and_each_recipe_a_task():
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(tasks.TASKS + tasks.MIXTURES)
    assert len(ARMS) == 4 * len(tasks.TASKS) >= 8


@pytest.mark.parametrize(("name", "family", "device"), ARMS)
def test_bundled_recipe_fits_its_task_and_model(name, family, device):
    task, recipe = tasks.load(name), read(name, family, device, None, {})
    assert recipe.data and all(source.partition(":")[0] in task.licences for source in recipe.data)
    assert recipe.init or recipe.sizes
    assert recipe.epochs < 100 and recipe.max_steps == 0
    if recipe.init:
        assert not recipe.sizes  # a checkpoint has its own
        return
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=1, bos_token_id=1, __len__=None)
    tokenizer.convert_tokens_to_ids = {"<|end|>": 2}.get
    tokenizer = type("Sized", (SimpleNamespace,), {"__len__": lambda self: recipe.vocabulary})(**vars(tokenizer))
    with torch.device("meta"):
        model = new_model(task.kind, family, tokenizer, recipe.sizes, task.labels)
    for key, value in recipe.sizes.items():
        assert getattr(model.config, key) == value
    if (name, device) == ("translate", "cpu"):
        assert 5e6 <= model.num_parameters() <= 12e6


def test_a_family_beside_the_pairing_has_a_recipe_that_fits():
    further = [(name, family) for name in tasks.TASKS for family in tasks.load(name).further]
    assert ("similarity", "t5") in further
    for name, family in further:
        task, recipe = tasks.load(name), read(name, family, "cpu", None, {})
        assert recipe.data == read(name, "lstm", "cpu", None, {}).data and "epochs" in recipe.note
        tokenizer = type("Sized", (SimpleNamespace,), {"__len__": lambda self, size=recipe.vocabulary: size})
        with torch.device("meta"):
            model = new_model(task.kind_of(family), family, tokenizer(pad_token_id=0, eos_token_id=1), recipe.sizes)
        assert model.num_parameters() < 2.3e6  # 4.5 MB in float16


@pytest.mark.parametrize("name", tasks.TASKS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_both_arms_see_the_same_or_the_recipe_says_why(name, device):
    arms = [read(name, family, device, None, {}) for family in tasks.load(name).families]
    assert len(arms) == 2
    same = {
        (arm.data, arm.vocabulary if not (arm.init or arm.embeddings) else "", arm.epochs, arm.max_length)
        for arm in arms
    }
    assert len(same) == 1 or any("epoch" in arm.note for arm in arms)
    assert len({arm.data for arm in arms}) == 1


def test_a_gpu_gets_more():
    for name in tasks.TASKS:
        for family in tasks.load(name).families:
            cpu, gpu = (read(name, family, device, None, {}) for device in ("cpu", "cuda"))
            assert gpu.tokens_per_batch >= cpu.tokens_per_batch and gpu.epochs >= cpu.epochs
    assert set(read("translate", "t5", "cuda", None, {}).data) > {"isi/hansard-en-fr", "tatoeba/en-fr"}


def recipe_of(tmp_path: Path, text: str, **given) -> Recipe:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return read("translate", "lstm", "cuda", str(tmp_path / "mine.toml"), given)


def test_the_nearer_section_wins_and_the_command_line_over_all(tmp_path):
    text = """
    [all]
    warmup = 1
    seed = 1
    clip = 0.1
    data = ["a", "b"]
    [all.cuda]
    seed = 2
    clip = 0.2
    [all.cpu]
    warmup = 9
    [lstm]
    clip = 0.3
    [lstm.cuda]
    patience = 4
    [t5]
    warmup = 8
    """
    recipe = recipe_of(tmp_path, text, save_every=7, seed=5)
    told = {"warmup": 1, "seed": 5, "clip": 0.3, "data": ("a", "b"), "patience": 4, "save_every": 7}
    assert recipe == Recipe(**told)
    defaults = dataclasses.asdict(Recipe())
    assert {key for key, value in dataclasses.asdict(recipe).items() if value != defaults[key]} == set(told)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[all]\nwarm_up = 3", "unknown setting in mine.toml 'warm_up'"),
        ("[all]\nwarm_up = 3", "Did you mean 'warmup'?"),
        ("[lstmm]\nwarmup = 3", "unknown section in mine.toml 'lstmm': choose from all, t5, bert, gpt2, lstm. Did you"),
        ("warmup = 3", "unknown section in mine.toml 'warmup'"),
        ("[lstm.gpu]\nwarmup = 3", "unknown setting in mine.toml 'gpu'"),
        ("[all]\nwarmup = ", "not a TOML file"),
        ("[all]\nwarmup = 1.5", "warmup must be a whole number; got 1.5"),
        ("[all]\nwarmup = -1", "warmup can't be below 0; got -1"),
        ("[all]\nlearning_rate = true", "learning_rate must be a number; got True"),
        ("[all]\nlearning_rate = inf", "learning_rate must be above 0; got inf"),
        ("[all]\nlearning_rate = nan", "learning_rate must be above 0; got nan"),
        ("[all]\nlabel_smoothing = 1", "label_smoothing must be from 0 to below 1; got 1"),
        ("[all]\ndata = 'multi30k/en-fr'", "data must be a list of names; got 'multi30k/en-fr'"),
        ("[all]\ndata = [1]", "data must be a list of names; got [1]"),
        ("[all]\nsizes = 3", "sizes must be a table; got 3"),
        ("[all]\nschedule = 'cosin'", "Did you mean 'cosine'?"),
    ],
)
def test_a_slip_is_told(tmp_path, text, says):
    with pytest.raises(UserError) as error:
        recipe_of(tmp_path, text)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_recipe_that_is_not_there_names_the_bundled_ones():
    with pytest.raises(
        UserError,
        match=r"no such recipe: other\.toml\. Bundled: chat\.toml, classify\.toml, complete\.toml, .*translate\.toml",
    ):
        read("translate", "t5", "cpu", "other.toml", {})


def test_a_task_without_a_recipe_takes_the_defaults():
    assert read("no-such-task", "lstm", "cpu", None, {}) == Recipe()
