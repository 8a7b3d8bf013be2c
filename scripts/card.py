"""The model card of a trained checkpoint: what it was made from, how, on what, and how well it does."""

import json
from datetime import date

from tasks import data, load

PAIRING = """One arm of a pairing of the Duet toolkit; the other arm was trained on the
same data by the same loop."""
FURTHER = """It stands beside a pairing of the Duet toolkit, whose arms were trained on
the same data by the same loop."""
MIXTURE = """One model for several tasks of the Duet toolkit, which it is told
apart by words in front of the text."""


def render(task, recipe, record: dict) -> str:
    """The card as Markdown with the Hub's YAML head, from a training's record (`results/training/*.json`)."""
    env, family = record["environment"], record["family"]
    arm = "LSTM baseline" if family == "lstm" else f"{family.upper()} arm"
    sources = list(dict.fromkeys(data.bare(source) for source in (recipe.data or task.sources)))
    licences = "\n".join(f"- `{source}`: {task.licences.get(source, 'see its own page')}" for source in sources)
    scores = "\n".join(f"| {key} | {value:.4g} |" for key, value in record["validation"].items())
    start = (
        f"random weights, sizes and tokenizer of `{recipe.init}`" if recipe.init and recipe.random_weights
        else f"fine-tuned from `{recipe.init}`" if recipe.init
        else f"random weights, token embeddings from `{recipe.embeddings}` (as GloVe served once)" if recipe.embeddings
        else "random weights"
    )  # fmt: skip
    over = record.get("base", "")
    how = [
        f"through LoRA adapters of rank {recipe.lora}{'' if over else ', merged'}" if recipe.lora else "",
        f"all weights, their difference to `{over}` kept at rank {recipe.compress}" if recipe.compress and over else "",
        f"copying sources' beginnings in the first {recipe.copy_steps:,} steps, less and less"
        if recipe.copy_steps
        else "",
        f"stored as adapters over `{over}`, which are merged when they load" if over else "",
    ]
    lora = "".join(f", {part}" for part in how if part)
    best = next(iter(record["validation"]))
    sizes = f" New model's sizes: `{recipe.sizes}`." if not recipe.init else ""
    note = f"- {recipe.note}\n" if recipe.note else ""
    base = over or ("" if recipe.random_weights else recipe.init)
    base = f"base_model: {json.dumps(base)}\n" if base else ""  # as JSON: a path may hold YAML's signs
    asked, model, beside = task, "transformer" if family == task.transformer else family, PAIRING
    if family in task.further:
        beside = FURTHER
    if task.read:  # a mixture
        asked, model, beside = load(task.sources[0]), f"{family}-{task.name}", MIXTURE
    return f"""---
library_name: transformers
license: other
language: {json.dumps(task.languages)}
datasets: {json.dumps(sources)}
{base}tags: [duet, {task.name}, {family}]
---
# {task.name}: {arm}

{task.title[0].upper() + task.title[1:]}. {beside}

    from pipelines import pipeline
    pipeline("{asked.name}", model="{model}")({asked.call})

## Scores on the validation split ({record["data"]["validation"]:,} rows)

| metric | value |
|---|---|
{scores}

The weights with the best {best} in the evaluations along the way were kept, so other rows may score a little lower.
The harness's table, with intervals and cost, is in the project's README.

## How it was made

- Start: {start}{lora}. {record["parameters"]:,} parameters, stored as {recipe.dtype}.
- Data: {record["data"]["train"]}, train splits, {record["data"]["rows"]:,} rows (a source named twice counts twice).
- Training: {record["steps"]:,} steps ({record["epochs"]:g} epochs at most; best at step {record["best_step"]:,}),
  {record["tokens"]:,} tokens in {record["minutes"]:.0f} minutes, {record["tokens_per_s"]:,.0f} tokens/s.
- Recipe: {recipe.optimizer}, learning rate {recipe.learning_rate:g}, warm-up {recipe.warmup} steps, {recipe.schedule}
  decay, batches of {recipe.tokens_per_batch:,} tokens x {recipe.accumulate} x {env["processes"]} processes, label
  smoothing {recipe.label_smoothing:g}, seed {recipe.seed}.{sizes}
- Hardware: {env["hardware"]}, {env["threads"]} threads, {env["device"]}, {env["mixed_precision"]} mixed precision,
  torch {env["torch"]}, transformers {env["transformers"]}, Python {env["python"]}, {date.today()}.
{note}
## Licences of the data

{licences}

## Limits

A small model, fitted to the data named above: it knows that domain and little beyond it. It is made
for measuring one architecture against another and for working offline, not for decisions about people.
"""
