"""Claim 3, by made-up tasks: copying a source, and answering several queries about it, up to lengths never trained on.

Encoder-decoders as the project's own: its LSTM without attention, where one vector carries the source, with attention,
and T5. Exact match: the share of answers that are right to the last symbol.

Letters in the shape comments: B batch, S source and T target tokens, V vocabulary.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pipelines.text2text import pad
from scripts.experiments import models
from scripts.experiments.store import Run, Store

PART = "recall"
ARMS = ("lstm", "lstm attention", "transformer")
PAD, END, ASK, FIRST = 0, 1, 2, 3  # token ids; ASK begins the queries
KEYS = 30  # and as many values; the symbols that are copied are the keys
VOCABULARY = FIRST + 2 * KEYS


@dataclass(frozen=True, kw_only=True)
class Settings:
    hidden: tuple[int, ...]  # units of the LSTM: what one vector can hold
    lengths: dict[str, tuple[int, ...]]  # task → symbols, or pairs, that are tested
    trained: dict[str, int]  # task → the most that training shows
    steps: int  # of training, at most
    seeds: int
    rates: dict[str, tuple[float, ...]]  # family → learning rates; the best by seed 0 serves all
    tested: int  # rows of each length
    batch: int = 32
    keys: int = KEYS  # that are in use


FULL = Settings(
    hidden=(128, 256, 512),
    lengths={"copy": (2, 5, 10, 15, 20, 25, 30, 40, 60), "recall": (1, 2, 4, 6, 8, 10, 12, 16, 24)},
    trained={"copy": 20, "recall": 8},
    steps=2000,
    seeds=2,
    rates={"lstm": (1e-3, 3e-3), "t5": (2e-2, 4e-2)},
    tested=200,
)
QUICK = Settings(
    hidden=(64,),
    lengths={"copy": (2, 4, 6, 9, 12), "recall": (1, 2, 3, 4)},
    trained={"copy": 6, "recall": 2},
    steps=400,
    seeds=1,
    rates={"lstm": (5e-3,), "t5": (4e-2,)},
    tested=100,
    keys=10,
)


def measure(run: Run, store: Store) -> None:
    """Fills in the units (task, arm, hidden, rate, seed) with {"exact_match": [[length, interval]], …}."""
    settings = QUICK if run.quick else FULL
    store.begin(PART, settings)

    def one(task: str, arm: str, hidden: int, rate: float, seed: int) -> dict:
        model = built(arm, hidden, seed).to(run.device)
        told = {"parameters": models.count(model), "trained_up_to": settings.trained[task]}
        told |= learn(model, task, settings, rate, seed)
        return told | {"exact_match": _by_length(model, task, settings, run.seed)}

    def unit(task: str, arm: str, hidden: int, rate: float, seed: int) -> dict:
        return {"part": PART, "task": task, "arm": arm, "hidden": hidden, "rate": rate, "seed": seed}

    kinds = [(task, arm, hidden) for hidden in settings.hidden for task in settings.lengths for arm in ARMS]
    tried = {kind: [unit(*kind, rate, 0) for rate in settings.rates[family(kind[1])]] for kind in kinds}
    run.work(store, [each for some in tried.values() for each in some], one)
    best = {kind: max(some, key=lambda each: known(store.get(each)))["rate"] for kind, some in tried.items()}
    run.work(store, [unit(*kind, best[kind], seed) for kind in kinds for seed in range(1, settings.seeds)], one)


def known(done: dict) -> float:
    """How well a model does on lengths it was trained on: what decides between learning rates."""
    found = [score["value"] for length, score in done.get("exact_match", []) if length <= done["trained_up_to"]]
    return sum(found) / len(found) if found else -1.0


def family(arm: str) -> str:
    return "t5" if arm == "transformer" else "lstm"


def built(arm: str, hidden: int, seed: int):
    """An arm with fresh weights. T5 has as many parameters, ± 2 %, as the LSTM with attention of that size."""
    from transformers import T5Config, T5ForConditionalGeneration

    from pipelines.lstm import LSTMConfig, LSTMForConditionalGeneration

    ends = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD}
    torch.manual_seed(seed)
    if arm != "transformer":
        attention = "dot" if arm == "lstm attention" else "none"
        config = LSTMConfig(d_model=hidden // 2, hidden_size=hidden, attention=attention, dropout=0.0, **ends)
        return LSTMForConditionalGeneration(config)

    def t5(wide: int):
        return T5ForConditionalGeneration(
            T5Config(d_model=hidden // 2, d_kv=hidden // 8, num_heads=4, d_ff=wide, num_layers=2, num_decoder_layers=2,
                     dropout_rate=0.0, **ends)
        )  # fmt: skip

    with torch.device("meta"):
        target = built("lstm attention", hidden, seed).num_parameters()
    wide = models.matched(t5, target)
    torch.manual_seed(seed)
    return t5(wide)


def rows(
    task: str, length: int, count: int, chance: random.Random, known: int = KEYS
) -> tuple[list[list[int]], list[list[int]]]:
    """Sources and targets of one length, each with its end token, of `known` keys and values.

    copy: symbols → the same. recall: pairs of a key and a value, then all keys in another order → each of these keys
    with its value behind it (so one look at the source is enough for each token).
    """
    sources, targets = [], []
    for _ in range(count):
        if task == "copy":
            source = target = [FIRST + chance.randrange(known) for _ in range(length)]
        else:
            keys = chance.sample(range(known), length)
            values = {key: chance.randrange(known) for key in keys}
            pairs = [token for key in keys for token in (FIRST + key, FIRST + KEYS + values[key])]
            asked = chance.sample(keys, length)
            source = [*pairs, ASK, *(FIRST + key for key in asked)]
            target = [token for key in asked for token in (FIRST + key, FIRST + KEYS + values[key])]
        sources.append([*source, END])
        targets.append([*target, END])
    return sources, targets


def _batch(task: str, settings: Settings, chance: random.Random) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of all lengths that are trained on: ids (B, S), mask (B, S), labels (B, T) with -100 where padded."""
    lengths = [chance.randint(1, settings.trained[task]) for _ in range(settings.batch)]
    pairs = [rows(task, length, 1, chance, settings.keys) for length in lengths]
    ids, mask = pad([source for (source,), _ in pairs], PAD)
    labels, _ = pad([target for _, (target,) in pairs], -100)
    return ids, mask, labels


def learn(model, task: str, settings: Settings, rate: float, seed: int, every: int = 100) -> dict:
    """Trains on lengths up to `trained`, and stops early once 99 % of the last batches' targets were right, token by
    token given those before. {"steps_taken", "teacher_forced": that share at the end}."""
    from scripts.recipe import Recipe
    from scripts.start import make_optimizer
    from scripts.training import learning_rate

    kind = "adafactor" if model.config.model_type == "t5" else "adamw"  # as in the recipes, and for their reasons
    recipe = Recipe(optimizer=kind, learning_rate=rate, warmup=max(1, settings.steps // 20))
    optimizer, chance = make_optimizer(recipe, model), random.Random(seed)
    device, recent = model.device, []
    model.train()
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, settings.steps)
        ids, mask, labels = (part.to(device) for part in _batch(task, settings, chance))
        logits = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).logits  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent.append(((logits.argmax(-1) == labels) | (labels == -100)).all(1).float().mean().detach())
        if (step + 1) % every == 0 and float(torch.stack(recent[-20:]).mean()) >= 0.99:
            break
    return {"steps_taken": step + 1, "teacher_forced": round(float(torch.stack(recent[-20:]).mean()), 4)}


def _by_length(model, task: str, settings: Settings, seed: int) -> list[list]:
    """[[length, exact match with its bootstrap interval], …]"""
    import numpy as np

    from tasks.bootstrap import interval
    from tasks.metrics import Accuracy

    found, chance = [], random.Random(f"test {seed}")
    for length in settings.lengths[task]:
        sources, targets = rows(task, length, settings.tested, chance, settings.keys)
        right = exact_match(lambda some: answers(model, some), sources, targets)
        statistics = np.array([[float(good), 1.0] for good in right])
        found.append([length, interval(Accuracy(), statistics, seed)])
    return found


def exact_match(answer: Callable, sources: Sequence, targets: Sequence, size: int = 50) -> list[bool]:
    """Whether each answer of `answer(sources) → answers` is its target, token for token, end token included."""
    given = [one for i in range(0, len(sources), size) for one in answer(sources[i : i + size])]
    return [list(one) == list(wanted) for one, wanted in zip(given, targets, strict=True)]


@torch.inference_mode()
def answers(model, sources: list[list[int]]) -> list[list[int]]:
    """The likeliest token at each step, up to and with the end token, for sources of any length."""
    model.eval()
    ids, mask = pad(sources, PAD)
    most = max(map(len, sources)) + 1
    made = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=most, num_beams=1,
        do_sample=False,
    )  # fmt: skip
    found = []
    for row in made[:, 1:].tolist():
        found.append(row[: row.index(END) + 1] if END in row else row)
    return found
