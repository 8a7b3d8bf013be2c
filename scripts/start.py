"""What a training starts from: its rows, its tokenizer and model before the first step, its optimizer."""

import dataclasses
from pathlib import Path

import torch

import pipelines
from pipelines import hub, scratch
from pipelines.errors import UserError
from tasks import data

HELD_OUT = 0.05  # share of a user's own file that validates, where no split of its own does


def read_splits(task, sources: list[str], limit: int, seed: int):
    """Train and validation rows. A file of the user's own has no splits: a share of it is held out, by `seed`."""
    files = [source for source in sources if Path(data.bare(source)).suffix in data.FORMATS]
    train = data.read_all(task, sources, "train")
    if not files:
        bare = list(dict.fromkeys(data.bare(source) for source in sources))
        return train, data.read_all(task, bare, "validation", limit)
    if len(files) < len(sources):
        raise UserError("files and Hub data sets can't be mixed in one --data: their validation rows would differ")
    held = train.take(min(limit, max(1, round(HELD_OUT * len(train)))), seed)
    # held-out texts must not be trained on, also where the same text stands in the file twice
    seen = set(map(str, held.inputs))
    keep = [i for i, text in enumerate(train.inputs) if str(text) not in seen]
    rest = dataclasses.replace(train, inputs=[train.inputs[i] for i in keep], targets=[train.targets[i] for i in keep])
    return rest, held


def tokenizer_and_model(task, family: str, recipe, rows, saved: Path | None):
    """Tokenizer and model before the first step: the same on every process and after every resume.

    `saved` is the folder of the tokenizer of a run that goes on; a new vocabulary is not trained again.
    """
    torch.manual_seed(recipe.seed)
    if recipe.init:
        tokenizer, model = _from_checkpoint(task, family, recipe.init)
    else:
        texts = list(_texts(rows))
        tokenizer, table = None, None
        if recipe.embeddings:
            path, revision = hub.resolve(task.name, recipe.embeddings)
            tokenizer, table = _loaded(path, lambda: scratch.static_embeddings(path, revision, texts))
        elif saved:
            import transformers

            tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
        tokenizer = tokenizer or scratch.new_tokenizer(task.kind, texts, recipe.vocabulary, task.prefix)
        torch.manual_seed(recipe.seed)
        model = scratch.new_model(task.kind, family, tokenizer, recipe.sizes, task.labels, table)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and recipe.max_length > positions:
        raise UserError(f"max_length {recipe.max_length} is more than the model's {positions} positions")
    tokenizer.model_max_length = min(tokenizer.model_max_length, max(recipe.max_length, 128))
    _describe(task, family, model)
    return tokenizer, add_lora(model, recipe.lora) if recipe.lora else model


def _texts(rows):
    for text, target in zip(rows.inputs, rows.targets, strict=True):
        yield text
        if isinstance(target, list):
            yield target[0]


def _from_checkpoint(task, family: str, init: str):
    import transformers

    path, revision = hub.resolve(task.name, init)
    options = {"revision": revision, "trust_remote_code": False}
    config = _loaded(path, lambda: transformers.AutoConfig.from_pretrained(path, **options))
    if config.model_type != family:
        raise UserError(f"--init {init} is a {config.model_type} model, not {family}")
    tokenizer = _loaded(path, lambda: transformers.AutoTokenizer.from_pretrained(path, **options))
    auto = getattr(transformers, pipelines.kind(task.kind).AUTO)
    labels = scratch.label_fields(task.labels)
    extra = labels | ({"num_labels": len(task.labels), "ignore_mismatched_sizes": True} if labels else {})
    options |= {"dtype": torch.float32, "use_safetensors": True}
    return tokenizer, _loaded(path, lambda: auto.from_pretrained(path, **options, **extra))


def _loaded(name: str, read):
    """`read()`, with what transformers says of a missing or broken checkpoint as one line."""
    try:
        return read()
    except Exception as error:  # OSError, ValueError, SafetensorError …: the loaders raise what they like
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"{name} can't be loaded: {first}") from error


def _describe(task, family: str, model) -> None:
    """Writes into the checkpoint how the task is asked and answered, where its `config.json` keeps such things."""
    if task.kind != "text2text":
        return
    prefix = {"prefix": task.prefix} if family == "t5" else {}
    model.config.task_specific_params = {task.hub_task: prefix | task.params}
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


def add_lora(model, rank: int):
    """LoRA adapters (Hu et al. 2022) on every linear layer; a new classifier head is trained whole."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UserError("--lora needs peft: pip install 'duet[train]'") from error
    heads = [name for name, _ in model.named_children() if name in ("classifier", "score", "qa_outputs")]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", modules_to_save=heads or None)
    return get_peft_model(model, config)
