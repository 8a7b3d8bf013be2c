"""Claim 3, by translation: BLEU and chrF by the length of the source, for LSTMs without and with attention and T5.

Each arm is trained through scripts.finetune with the recipe of its family, but for its size, a smaller vocabulary,
smaller batches, less dropout, and its rows: those of the recipe, and once more joined by two to four at random, so that
long sources are nothing new. What is measured are sentences, and two to four of them joined, read as one text: a model
with one vector for all of it should fall where they get long. The bundled pair, trained on single sentences, is
measured too.
"""

import json
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.errors import UserError
from scripts import results
from scripts.experiments import models
from scripts.experiments.store import Run, Store, TimeUp

PART = "translation"
TASK = "translate"
SOURCES = (("multi30k/en-fr", "test"), ("multi30k/en-fr", "validation"), ("tatoeba/en-fr", "validation"))
ARMS = {"lstm": {"attention": "none"}, "lstm attention": {"attention": "dot"}, "transformer": {}}
ENOUGH = 100  # rows that a bin must have


@dataclass(frozen=True, kw_only=True)
class Settings:
    hidden: tuple[int, ...]  # units of the LSTM's decoder; () for the bundled pair alone
    bins: tuple[tuple[int, int], ...]  # words of the source, from … to
    rows: int  # of a bin, at most
    joined: int = 4  # sentences in a source, at most
    batch: int = 32  # rows that are translated at once
    vocabulary: int = 2000  # pieces: with the recipe's 6,000 half of a small arm's time goes into the softmax
    tokens: int = 1250  # of a training batch: half the recipe's, for twice the steps
    dropout: float = 0.1  # of the LSTM: the recipe's T5 has as much; few epochs leave little to overfit


FULL = Settings(
    hidden=(128, 256, 512),
    bins=((1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, 40), (41, 60)),
    rows=200,
)
QUICK = Settings(hidden=(), bins=((1, 5), (11, 15), (31, 40)), rows=ENOUGH)


def measure(run: Run, store: Store) -> None:
    """Fills in the units (arm, hidden, share of the recipe's epochs) with {"bins": [{"words", "rows", "metrics", …}]};
    hidden 0 and share 0 stand for what is bundled. Trainings lie in RUNS/why and go on where they stopped."""
    settings = QUICK if run.quick else FULL
    store.begin(PART, settings)
    try:
        binned = rows(settings, run.seed)
    except UserError as error:
        run.say(f"{PART}: left out: {error}")
        return
    units = [
        {"part": PART, "arm": arm, "hidden": 0, "share": 0}
        for arm, model in (("lstm attention", "lstm"), ("transformer", "transformer"))
        if _bundled(model)
    ]
    units += [
        {"part": PART, "arm": arm, "hidden": hidden, "share": run.share} for hidden in settings.hidden for arm in ARMS
    ]

    def one(arm: str, hidden: int, share: float) -> dict:
        if not hidden:
            return scored("lstm" if arm == "lstm attention" else "transformer", binned, settings, run)
        folder, record = trained(arm, hidden, share, run, settings)
        return scored(str(folder), binned, settings, run) | record

    run.work(store, units, one, bar=False)


def _bundled(model: str) -> bool:
    from pipelines import hub

    try:
        return bool(hub.resolve(TASK, model))
    except UserError:
        return False


# --- the rows ---


def rows(settings: Settings, seed: int) -> list[tuple[tuple[int, int], list[dict]]]:
    """(words from … to, rows {"input", "target", "joined"}) of each bin with `ENOUGH` of them.

    Raises `UserError` where the data can't be had: the samples would not do, they are too few.
    """
    import tasks
    from tasks import data

    task, pool, chance = tasks.load(TASK), [], random.Random(seed)
    for name, split in SOURCES:
        found = data.read(task, name, split)
        pairs = list(zip(found.inputs, found.targets, strict=True))
        for count in range(1, settings.joined + 1):
            pool += joined(chance.sample(pairs, len(pairs)), count)
    chance.shuffle(pool)
    bins = []
    for low, high in settings.bins:
        own = [row for row in pool if low <= len(row["input"].split()) <= high][: settings.rows]
        if len(own) >= ENOUGH:
            bins.append(((low, high), own))
    return bins


def joined(pairs: list[tuple[str, list[str]]], count: int) -> list[dict]:
    """Rows of `count` sentences each, no sentence twice; of several references the first."""
    groups = [pairs[i : i + count] for i in range(0, len(pairs) - count + 1, count)]
    return [
        {
            "input": " ".join(source.strip() for source, _ in group),
            "target": " ".join(references[0].strip() for _, references in group),
            "joined": count,
        }
        for group in groups
    ]


# --- training and scoring ---


def sizes(arm: str, hidden: int, lstm: dict, t5: dict, vocabulary: int) -> dict:
    """The sizes of an arm, from those of both families' recipes: the LSTM's decoder has `hidden` units, and T5 the
    parameters of the LSTM with attention, ± 2 %, at the greatest width that leaves some for its feed-forward layers."""
    if arm != "transformer":
        return lstm | ARMS[arm] | {"hidden_size": hidden}
    target = _parameters("lstm", lstm | ARMS["lstm attention"] | {"hidden_size": hidden}, vocabulary)
    for heads in range(hidden // 32, 0, -1):
        width = heads * t5["d_kv"]
        own = t5 | {"d_model": width, "num_heads": heads}
        if _parameters("t5", own | {"d_ff": width // 2}, vocabulary) <= target:
            break
    return own | {"d_ff": models.matched(lambda n: _network("t5", own | {"d_ff": n}, vocabulary), target)}


def _parameters(family: str, own: dict, vocabulary: int) -> int:
    with torch.device("meta"):
        return models.count(_network(family, own, vocabulary))


def _network(family: str, own: dict, vocabulary: int):
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    import pipelines.lstm  # noqa: F401  registers the family

    config = AutoConfig.for_model(family, vocab_size=vocabulary, pad_token_id=0, decoder_start_token_id=0, **own)
    return AutoModelForSeq2SeqLM.from_config(config)


def trained(arm: str, hidden: int, share: float, run: Run, settings: Settings = FULL) -> tuple[Path, dict]:
    """The folder of a training that is finished, and of its record what tells how it went. Raises `TimeUp`."""
    from scripts import recipe as recipes

    family = "t5" if arm == "transformer" else "lstm"
    folder = run.runs / "why" / f"{TASK}-{arm.replace(' ', '-')}-{hidden}-{share:g}"
    if not (folder / "training" / "record.json").is_file():
        command = ["--output-dir", str(folder), "--results", str(folder)]
        if run.deadline < float("inf"):
            command += ["--max-minutes", f"{max(run.left() / 60, 0.01):.2f}"]
        if (folder / "training" / "run.json").is_file():
            command.append("--resume")
        else:
            both = {each: recipes.read(TASK, each, run.device.partition(":")[0], None, {}) for each in ("lstm", "t5")}
            recipe = both[family]
            lstm = both["lstm"].sizes | {"dropout": settings.dropout}
            own = sizes(arm, hidden, lstm, both["t5"].sizes, settings.vocabulary)
            inline = ", ".join(f"{key} = {json.dumps(value)}" for key, value in own.items())
            command += ["--task", TASK, "--family", family, f"--set=sizes={{{inline}}}"]
            command += [f"--set=epochs={round(recipe.epochs * share, 3)}"]
            command += [f"--set=vocabulary={settings.vocabulary}", f"--set=tokens_per_batch={settings.tokens}"]
            command += ["--data", str(training_rows(recipe.data, folder.parent, run.seed))]
        run.say(f"{PART}: training {arm}, hidden {hidden}: {folder}")
        _finetune(command, run.device)
        written = list((folder / "training").glob(f"{TASK}--{family}--*.json"))
        if not written:
            raise TimeUp
        written[0].replace(folder / "training" / "record.json")
    record = json.loads((folder / "training" / "record.json").read_text(encoding="utf-8"))
    kept = ("parameters", "epochs", "steps", "tokens_per_s", "minutes", "validation")
    return folder, {"training": {key: record[key] for key in kept}}


def training_rows(sources: tuple[str, ...], folder: Path, seed: int, most: int = FULL.joined) -> Path:
    """The file of rows to train on: every row of the sources alone, and once more in two to `most` of a source joined
    at random. Without those that stand alone, few of all tokens would be short sources. It is made once for each seed.
    """
    import tasks
    from tasks import data

    file = folder / f"joined-{seed}.jsonl"
    if file.is_file():
        return file
    task, chance, made = tasks.load(TASK), random.Random(seed), []
    for source in sources:
        found = data.read(task, source, "train")
        pairs = chance.sample(list(zip(found.inputs, found.targets, strict=True)), len(found))
        made += joined(pairs, 1)
        first = 0
        while first < len(pairs):
            size = min(len(pairs) - first, chance.randint(2, most))
            made += joined(pairs[first : first + size], size)
            first += size
    results.write_lines(file, ({"en": row["input"], "fr": row["target"]} for row in made))
    return file


def _finetune(command: list[str], device: str) -> None:
    """Runs `scripts.finetune` in this process. Raises `KeyboardInterrupt` and `UserError` as it ended."""
    from scripts import finetune

    before, forced = signal.getsignal(signal.SIGINT), os.environ.get("ACCELERATE_USE_CPU")
    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    try:
        status = finetune.main(command)
    finally:
        signal.signal(signal.SIGINT, before)
        if device == "cpu" and forced is None:
            del os.environ["ACCELERATE_USE_CPU"]
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise UserError("the training above could not be done; the same command goes on")


def scored(model: str, binned: list, settings: Settings, run: Run) -> dict:
    """{"bins": […], "parameters"} of a model: its metrics by bin, each with its interval, and how much shorter or
    longer its answers are than the references, in words."""
    import tasks
    from pipelines import pipeline
    from tasks.bootstrap import interval
    from tasks.metrics import metrics_of
    from tasks.predict import predict_all

    task = tasks.load(TASK)
    pipe = pipeline(TASK, model=model, device=run.device, engine="torch")
    # the pipeline would answer sentence by sentence: here the whole source must pass through the model at once
    whole = {"split_sentences": False, "window": 10_000, "num_beams": 1}
    told = []
    for (low, high), some in binned:
        targets = [[row["target"]] for row in some]
        longest = max(len(ids) for ids in pipe.tokenizer([row["target"] for row in some])["input_ids"])
        limit = {"max_new_tokens": 2 * longest}
        predicted = predict_all(task, pipe, [row["input"] for row in some], settings.batch, **whole, **limit)
        metrics = [metric for metric in metrics_of(task) if metric.key in ("bleu", "chrf")]
        told.append({
            "words": [low, high],
            "mean_words": round(sum(len(row["input"].split()) for row in some) / len(some), 2),
            "mean_joined": round(sum(row["joined"] for row in some) / len(some), 2),
            "rows": len(some),
            "metrics": {m.key: interval(m, m.statistics(predicted, targets), run.seed) for m in metrics},
            "length_ratio": round(_words(predicted) / _words([row["target"] for row in some]), 3),
        })  # fmt: skip
        run.say(f"{PART}: {model}: {low} to {high} words, BLEU {told[-1]['metrics']['bleu']['value']:.1f}")
    return {"bins": told, "parameters": pipe.model.num_parameters()}


def _words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)
