"""The end of a training: its best weights as a Hub-style checkpoint with a card, and the record of how it went."""

import copy
import dataclasses
import json
from pathlib import Path

import torch

from pipelines import adapters, hub
from scripts import card, state
from scripts.environment import environment
from scripts.probe import resident_peak
from scripts.start import goes_on, tokenizer_and_model


def write(training, results: Path) -> None:
    """Writes the best weights as a checkpoint with its card, and the record of the training."""
    training.accelerator.wait_for_everyone()
    if training.accelerator.log_with:
        training.accelerator.end_training()
    model, recipe = training.bare, training.recipe
    state.load_model(model, str(training.own / "best" / "model.safetensors"))
    base = _base(training)
    if recipe.compress and base and not recipe.lora:
        start = dataclasses.replace(recipe, init=base)
        whole = tokenizer_and_model(training.task, training.family, start, training.train_rows, None)[1]
        model = adapters.extract(model, whole.to(model.device), recipe.compress)
        training.progress["scores"] = training.validate(copy.deepcopy(model).merge_and_unload())
    if not training.accelerator.is_main_process:
        return
    if base and (recipe.lora or recipe.compress):
        adapters.save(model.to(getattr(torch, recipe.dtype)), training.folder, base)
    else:
        model = model.merge_and_unload() if recipe.lora else model
        model.to(getattr(torch, recipe.dtype)).save_pretrained(training.folder)
    for name in ("is_local", "local_files_only"):  # where it was read from is no property of it
        training.tokenizer.init_kwargs.pop(name, None)
    training.tokenizer.backend_tokenizer.no_truncation()  # nor is what its last call was told
    training.tokenizer.backend_tokenizer.no_padding()
    training.tokenizer.save_pretrained(training.folder)
    words = training.folder / "tokenizer.json"  # a third of it is blanks, of each bundled checkpoint
    words.write_text(
        json.dumps(json.loads(words.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":")) + "\n",
        encoding="utf-8",
    )
    record = _record(training, model)
    (training.folder / "README.md").write_text(card.render(training.task, training.recipe, record), encoding="utf-8")
    target = results / "training" / f"{training.task.name}--{training.family}--{training.accelerator.device.type}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    training.say(f"wrote {training.folder} (best at step {training.progress['best_step']:,}) and {target}")


def _base(training) -> str:
    """The bundled encoder that this run's adapters are kept over; "" where the weights are kept whole."""
    recipe = training.recipe
    folder = hub.resolve(training.task.name, recipe.init)[0] if recipe.init else ""
    again = recipe.lora and folder and adapters.is_adapter(folder) and goes_on(training.task, folder)
    name = recipe.base or (adapters.base_name(folder) if again else recipe.init)
    return name if hub.is_shared(name) else ""


def _record(training, model) -> dict:
    cuda = training.accelerator.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else resident_peak()
    progress = training.progress
    return {
        "task": training.task.name,
        "family": training.family,
        "parameters": adapters.merged_size(model),
        "data": {
            "train": training.train_rows.source,
            "rows": training.count,
            "validation": len(training.validation_rows),
        },
        "epochs": training.recipe.epochs if not training.recipe.max_steps else len(training.plan),
        "steps": progress["step"],
        "best_step": progress["best_step"],
        "validation": progress["scores"],
        "tokens": progress["tokens"],
        "tokens_per_s": progress["tokens"] / progress["seconds"],
        "target_tokens_per_s": progress["targets"] / progress["seconds"],  # what has a loss: tokens written, or labels
        "real_tokens_per_padded": progress["tokens"] / progress["padded"],
        "minutes": progress["seconds"] / 60,
        "peak_memory_mb": peak / 1e6,
        "base": _base(training) if training.recipe.lora or training.recipe.compress else "",
        "recipe": dataclasses.asdict(training.recipe),
        "environment": environment(training.accelerator.device.type, training.recipe.seed)
        | {"processes": training.accelerator.num_processes, "mixed_precision": training.accelerator.mixed_precision},
    }
