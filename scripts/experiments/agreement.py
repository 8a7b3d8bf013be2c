"""Claim 2, in language: does a language model prefer the verb that agrees with a subject far back?

The two `complete` models are asked for P(right form) and P(wrong form) behind a prefix; the share in which the right
one is the more probable is the score (Linzen et al. 2016, section 6, and Marvin & Linzen 2018).
"""

from dataclasses import dataclass
from functools import partial

import torch

from pipelines.errors import UserError
from scripts.experiments import grammar
from scripts.experiments.store import Run, Store

PART = "agreement"
TASK = "complete"
MODELS = ("transformer", "lstm")


@dataclass(frozen=True, kw_only=True)
class Settings:
    sentences: int  # of each sort
    nouns: tuple[int, ...] = (1, 2, 3, 4)  # between subject and verb
    ways: tuple[int, ...] = (0, 1, 2, 3, 4, 6, 8)  # adverbs between, no noun
    batch: int = 32  # sequences


FULL = Settings(sentences=400)
QUICK = Settings(sentences=40, nouns=(1, 3), ways=(0, 2, 6))


def measure(run: Run, store: Store) -> None:
    """Fills in the units (model) with {"rows": [{"sort", "nouns", "attractors", "distance", "score": interval}]}."""
    settings = QUICK if run.quick else FULL
    store.begin(PART, settings)
    found = {}
    for model in MODELS:
        try:
            found[model] = _resolved(model)
        except UserError as error:
            run.say(f"{PART}: left out for {model}: {error}")
    run.work(
        store,
        [{"part": PART, "model": model} for model in found],
        lambda model: judged(_loaded(found[model], run.device), settings, run.seed),
    )


def _resolved(model: str) -> str:
    from pipelines import hub

    return hub.resolve(TASK, model)[0]


def _loaded(folder: str, device: str):
    from pipelines import pipeline

    return pipeline(TASK, model=folder, device=device, engine="torch")


def sentences(settings: Settings, seed: int) -> list[tuple[str, list[grammar.Sentence]]]:
    """(sort, sentences of that sort): nouns between that attract, as many that don't, and no noun between."""
    sorts = [("attractors", partial(grammar.chain, nouns=n, attracting=True)) for n in settings.nouns]
    sorts += [("same number", partial(grammar.chain, nouns=n, attracting=False)) for n in settings.nouns]
    sorts += [("no noun", partial(grammar.clause, ways=n)) for n in settings.ways]
    return [(sort, grammar.distinct(draw, settings.sentences, seed)) for sort, draw in sorts]


def judged(pipe, settings: Settings, seed: int) -> dict:
    """The rows of a model: for each sort the share of right preferences with its bootstrap interval."""
    import numpy as np

    from tasks.bootstrap import interval
    from tasks.metrics import Accuracy

    rows = []
    for sort, some in sentences(settings, seed):
        right = preferred(pipe, some, settings.batch)
        statistics = np.array([[float(good), 1.0] for good in right])
        distances = [sentence.distance for sentence in some]
        rows.append({
            "sort": sort,
            "nouns": some[0].nouns,
            "attractors": some[0].attractors,
            "distance": round(sum(distances) / len(distances), 2),
            "sentences": len(some),
            "score": interval(Accuracy(), statistics, seed),
        })  # fmt: skip
    forms = [f" {form}" for pair in grammar.VERBS for form in pair]
    single = [len(ids) == 1 for ids in pipe.tokenizer(forms, add_special_tokens=False)["input_ids"]]
    return {"rows": rows, "single_token_forms": sum(single) / len(single), "parameters": pipe.model.num_parameters()}


def preferred(pipe, some: list[grammar.Sentence], batch: int) -> list[bool]:
    """Whether the right form is more probable than the wrong one, for each sentence."""
    pairs = [(sentence.prefix, form) for sentence in some for form in (sentence.right, sentence.wrong)]
    scores = []
    for i in range(0, len(pairs), batch):
        scores += log_probabilities(pipe, pairs[i : i + batch])
    return [right > wrong for right, wrong in zip(scores[::2], scores[1::2], strict=True)]


@torch.inference_mode()
def log_probabilities(pipe, pairs: list[tuple[str, str]]) -> list[float]:
    """log P(the next word is `word` | prefix) of each (prefix, word), in nats: of all its tokens, and that none behind
    them goes on with it. Without the last part "run" would win over "runs", whose beginning it is."""
    from pipelines.completion import WORD
    from pipelines.text2text import pad
    from pipelines.text_generation import start_and

    goes_on = pipe.vocabulary.kinds[:, WORD].bool()  # (V,): tokens that are more of the same word
    before = start_and(pipe.tokenizer, [prefix for prefix, _ in pairs])
    words = pipe.tokenizer([f" {word}" for _, word in pairs], add_special_tokens=False)["input_ids"]
    ids, mask = pad([[*left, *right] for left, right in zip(before, words, strict=True)], 0)  # (B, T)
    logits = pipe.model(input_ids=ids.to(pipe.device), attention_mask=mask.to(pipe.device), use_cache=False).logits
    logs = logits.float().log_softmax(-1).cpu()  # (B, T, V)
    found = []
    for row, left, right in zip(logs, before, words, strict=True):
        ends = torch.logsumexp(row[len(left) + len(right) - 1].masked_fill(goes_on, float("-inf")), 0)
        spelt = sum(row[len(left) + i - 1, token] for i, token in enumerate(right))
        found.append(float(spelt + ends))
    return found
