"""What a training starts from: its rows, its tokenizer and model before the first step, its optimizer."""

import dataclasses
import math
from pathlib import Path

import torch

import pipelines
from pipelines import adapters, hub, scratch
from pipelines.errors import UserError, first_line
from tasks import data

HELD_OUT = 0.05  # share of a user's own file that validates, where no split of its own does


def read_splits(task, sources: list[str], limit: int, seed: int):
    """Train and validation rows. A file of the user's own has no splits: a share of it is held out, by `seed`."""
    files = [source for source in sources if Path(data.bare(source)).suffix in data.FORMATS]
    train = data.read_all(task, sources, "train")
    train = task.prepare(train) if task.prepare else train
    if not files:
        bare = list(dict.fromkeys(data.bare(source) for source in sources))
        return train, data.read_all(task, bare, "validation", limit)
    if len(files) < len(sources):
        raise UserError("files and Hub data sets can't be mixed in one --data: their validation rows would differ")
    held = train.take(min(limit, max(1, round(HELD_OUT * len(train)))), seed)
    # held-out texts must not be trained on, also where the same text stands in the file twice
    seen = {str(_parts(given)) for given in held.inputs}
    keep = [i for i, given in enumerate(train.inputs) if str(_parts(given)) not in seen]
    rest = dataclasses.replace(train, inputs=[train.inputs[i] for i in keep], targets=[train.targets[i] for i in keep])
    return rest, held


def tokenizer_and_model(task, family: str, recipe, rows, saved: Path | None):
    """Tokenizer and model before the first step: the same on every process and after every resume.

    `saved` is the folder of the tokenizer of a run that goes on; a new vocabulary is not trained again.
    """
    torch.manual_seed(recipe.seed)
    kind = task.kind_of(family)
    answers = getattr(pipelines.kind(kind), "ANSWERS", ())  # a vocabulary must have them, whatever the texts do
    if recipe.init:
        tokenizer, model = _from_checkpoint(task, family, recipe)
    else:
        texts = list(texts_of(rows))
        tokenizer, table = None, None
        if recipe.embeddings:
            path, revision = hub.resolve(task.name, recipe.embeddings)
            width = recipe.sizes.get("d_model")
            least = recipe.least_uses
            tokenizer, table = _loaded(path, lambda: scratch.static_embeddings(path, revision, texts, width, least))
        elif saved:
            import transformers

            tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
        tokenizer = tokenizer or scratch.new_tokenizer(kind, texts + list(answers), recipe.vocabulary, task.prefix)
        torch.manual_seed(recipe.seed)
        model = scratch.new_model(kind, family, tokenizer, recipe.sizes, task.labels, table)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and recipe.max_length > positions:
        raise UserError(f"max_length {recipe.max_length} is more than the model's {positions} positions")
    # of what it starts from, only the positions bind: a shorter limit was that training's own
    tokenizer.model_max_length = min(positions or math.inf, max(recipe.max_length, 128))
    _describe(task, family, model)
    return tokenizer, adapters.add(model, recipe.lora) if recipe.lora and not hasattr(model, "peft_config") else model


def _parts(given) -> list[str]:
    """The texts that an input of any shape is made of; of a conversation its own, not what it is to be told from."""
    if not isinstance(given, dict):
        return [given if isinstance(given, str) else " ".join(given)]
    if "tokens" in given:
        return [" ".join(given["tokens"])]
    parts = [part for name, part in given.items() if name != "others"]
    return [text for part in parts for text in ([part] if isinstance(part, str) else part)]


def texts_of(rows):
    """The texts that a new vocabulary is made for: inputs of any shape, and targets that are texts."""
    for given, target in zip(rows.inputs, rows.targets, strict=True):
        yield from _parts(given)
        if isinstance(target, list) and target and isinstance(target[0], str):
            yield target[0]


def _from_checkpoint(task, family: str, recipe):
    import transformers

    init = recipe.init
    path, revision = hub.resolve(task.name, init)
    options = {"revision": revision, "trust_remote_code": False}
    config = _loaded(path, lambda: transformers.AutoConfig.from_pretrained(path, **options))
    if config.model_type != family:
        raise UserError(f"--init {init} is a {config.model_type} model, not {family}")
    tokenizer = _loaded(path, lambda: transformers.AutoTokenizer.from_pretrained(path, **options))
    kind = task.kind_of(family)
    auto = getattr(transformers, pipelines.kind(kind).AUTO)
    labels = scratch.head_fields(kind, task.labels)
    if task.kind == "question_answering":
        labels = {"num_labels": 2}  # start and end, whatever the checkpoint had
    for name, value in labels.items():
        setattr(config, name, value)
    config.__dict__.pop("calibration", None)  # of another head
    if recipe.random_weights:
        return tokenizer, auto.from_config(config, dtype=torch.float32)
    if adapters.is_adapter(path) and not (recipe.lora and goes_on(task, path)):
        return tokenizer, _loaded(path, lambda: adapters.on_base(auto, path, config, torch.float32))
    if adapters.is_adapter(path):
        model = _loaded(path, lambda: adapters.load(auto, path, config, torch.float32, merge=False))
        if model.peft_config["default"].r != recipe.lora:
            raise UserError(f"{init} holds adapters of rank {model.peft_config['default'].r}: set lora to that")
        return tokenizer, model
    options |= {"dtype": torch.float32, "use_safetensors": True, "ignore_mismatched_sizes": bool(labels)}
    return tokenizer, _loaded(path, lambda: auto.from_pretrained(path, config=config, **options))


def goes_on(task, folder: str) -> bool:
    """Whether the adapters in `folder` are this task's: LoRA goes on with them, or else begins anew on top of them."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    wanted = pipelines.kind(task.kind).AUTO.removeprefix("AutoModel")  # "ForTokenClassification"
    fields = scratch.head_fields(task.kind, task.labels)
    labels = all(getattr(config, name) == value for name, value in fields.items())
    return labels and config.architectures[0].endswith(wanted)


def _loaded(name: str, read):
    """`read()`, with what transformers says of a missing or broken checkpoint as one line."""
    try:
        return read()
    except Exception as error:  # OSError, ValueError, SafetensorError …: the loaders raise what they like
        raise UserError(f"{name} can't be loaded: {first_line(error)}") from error


def _describe(task, family: str, model) -> None:
    """Writes into the checkpoint how the task is asked and answered, where its `config.json` keeps such things."""
    if hasattr(model.config, "calibration"):
        del model.config.calibration  # of the weights that this training starts from
    if not scratch.writes(task.kind_of(family)):
        if task.params:
            model.config.task_specific_params = {task.hub_task: dict(task.params)}
        return
    prefix = {"prefix": task.prefix} if family == "t5" else {}
    model.config.task_specific_params = {task.hub_task: prefix | task.params} | (task.settings or dict)()
    for name, value in task.generation.items():
        setattr(model.generation_config, name, value)
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        setattr(model.generation_config, name, getattr(model.config, name))


def make_optimizer(recipe, model):
    """AdamW (no decay on biases and norms), or Adafactor scaled by parameter size (Shazeer & Stern 2018, section 8)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(
            trained, lr=recipe.learning_rate, scale_parameter=True, relative_step=False,
            weight_decay=recipe.weight_decay,
        )  # fmt: skip
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
