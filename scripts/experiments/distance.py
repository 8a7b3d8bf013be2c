"""Claim 2, what it costs: how often the answer is right when it depends on a token k steps back.

Every arm is trained anew for each distance, with several learning rates; the best one, by seed 0, is trained with the
other seeds too, so that no arm loses by a bad setting.
"""

from dataclasses import dataclass

from scripts.experiments import models, profile, puzzles
from scripts.experiments.store import Run, Store

PART = "distance"


@dataclass(frozen=True, kw_only=True)
class Settings:
    distances: tuple[int, ...]  # steps back
    rates: tuple[float, ...]
    seeds: int
    steps: int  # of training, at most
    batch: int = 16
    width: int = 32
    layers: int = 2
    heads: int = 4


FULL = Settings(distances=(4, 16, 64, 128, 256, 512), rates=(3e-4, 1e-3, 3e-3, 1e-2), seeds=3, steps=500)
QUICK = Settings(distances=(4, 16, 64), rates=(3e-3,), seeds=1, steps=300)


def measure(run: Run, store: Store) -> None:
    """Fills in the units (arm, distance, rate, seed) with {"score": share right, "steps_taken", "parameters"}."""
    settings = QUICK if run.quick else FULL
    store.begin(PART, settings)

    def one(arm: str, distance: int, rate: float, seed: int) -> dict:
        network = profile.built(arm, puzzles.DISTANCE, settings, seed).to(run.device)
        learnt = puzzles.learn(
            network, puzzles.DISTANCE, distance + 1, steps=settings.steps, batch=settings.batch, rate=rate, seed=seed
        )
        return {
            "score": learnt["score"],
            "steps_taken": learnt["steps"],
            "parameters": models.count(network.trunk),
        }

    def unit(arm: str, distance: int, rate: float, seed: int) -> dict:
        return {"part": PART, "arm": arm, "distance": distance, "rate": rate, "seed": seed}

    pairs = [(arm, distance) for distance in settings.distances for arm in profile.ARMS]
    run.work(store, [unit(*pair, rate, 0) for pair in pairs for rate in settings.rates], one)
    best = {pair: max(settings.rates, key=lambda rate: _score(store, unit(*pair, rate, 0))) for pair in pairs}
    run.work(store, [unit(*pair, best[pair], s) for pair in pairs for s in range(1, settings.seeds)], one)


def _score(store: Store, unit: dict) -> float:
    return store.get(unit).get("score", 0.0)
