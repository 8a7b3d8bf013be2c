"""Made-up tasks whose answer lies a known number of steps back, and the loop that learns them.

Letters in the shape comments: B batch, T steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

SYMBOLS = 8
COPIED = 5  # symbols of the copy task
# An answer to the adding task that is off by less is right: the bound of Hochreiter & Schmidhuber 1997, section 5.4,
# whose targets span 1 where these span 2, so it is twice as strict here.
CLOSE = 0.04


@dataclass(frozen=True)
class Puzzle:
    """`make(length, rows, chance)` gives inputs (B, T) or (B, T, features) and targets; the answer is read from the
    outputs of the last `last` steps, which are `outputs` numbers each. `unasked` first steps have no part in the last
    answer."""

    name: str
    make: Callable[[int, int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]
    outputs: int
    last: int
    vocabulary: int = 0
    features: int = 0
    unasked: int = 0

    def reach(self, length: int) -> int:
        """Steps from the last one back to the farthest that its answer depends on."""
        return length - 1 - self.unasked

    def ends(self) -> dict[str, int]:
        """What a `Network` must know of it."""
        return {"outputs": self.outputs, "vocabulary": self.vocabulary, "features": self.features}

    def loss(self, answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of answers (B, last, outputs): squared error for numbers, cross-entropy for symbols."""
        if self.features:
            return F.mse_loss(answers.squeeze(-1), targets)
        return F.cross_entropy(answers.flatten(0, 1), targets.flatten())

    def right(self, answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each answer is right, (B, last)."""
        if self.features:
            return (answers.squeeze(-1) - targets).abs() < CLOSE
        return answers.argmax(-1) == targets


def _adding(length: int, rows: int, chance: torch.Generator):
    """Numbers of [0, 1) and marks; the sum of the two marked ones, one of either half, is asked for."""
    numbers = torch.rand(rows, length, generator=chance)
    half = length // 2
    first = torch.randint(half, (rows, 1), generator=chance)
    second = torch.randint(half, length, (rows, 1), generator=chance)
    marks = torch.zeros(rows, length).scatter_(1, first, 1.0).scatter_(1, second, 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(1, keepdim=True)


def _copy(length: int, rows: int, chance: torch.Generator):
    """Symbols, then blanks, then as many marks as symbols: at each of these one of the symbols is asked for, in order
    (Arjovsky et al. 2016, section 5.1)."""
    symbols = torch.randint(SYMBOLS, (rows, COPIED), generator=chance)
    blanks = torch.full((rows, length - 2 * COPIED), SYMBOLS)
    return torch.cat([symbols, blanks, torch.full((rows, COPIED), SYMBOLS + 1)], 1), symbols


def _distance(length: int, rows: int, chance: torch.Generator):
    """A symbol, then symbols of another alphabet, then a mark: the first symbol is asked for."""
    symbol = torch.randint(SYMBOLS, (rows, 1), generator=chance)
    others = torch.randint(SYMBOLS, 2 * SYMBOLS, (rows, length - 2), generator=chance)
    return torch.cat([symbol, others, torch.full((rows, 1), 2 * SYMBOLS)], 1), symbol


ADDING = Puzzle("adding", _adding, outputs=1, last=1, features=2)
COPY = Puzzle("copy", _copy, outputs=SYMBOLS, last=COPIED, vocabulary=SYMBOLS + 2, unasked=COPIED - 1)
DISTANCE = Puzzle("distance", _distance, outputs=SYMBOLS, last=1, vocabulary=2 * SYMBOLS + 1)


def learn(network, puzzle: Puzzle, length: int, *, steps: int, batch: int, rate: float, seed: int, every: int = 50,
          enough: float = 0.98) -> dict:  # fmt: skip
    """Trains with AdamW, the rate rising over the first 5 % of the steps and falling to 0, and stops early once the
    share of right answers on fresh rows is `enough`. {"score": that share at the end, "steps": those it took}."""
    chance = torch.Generator().manual_seed(seed)
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
    )
    score = 0.0
    for step in range(1, steps + 1):
        network.train()
        x, y = (part.to(device) for part in puzzle.make(length, batch, chance))
        optimizer.zero_grad()
        puzzle.loss(network(x, puzzle.last), y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % every == 0 or step == steps:
            score = tested(network, puzzle, length)
            if score >= enough:
                break
    return {"score": score, "steps": step}


@torch.inference_mode()
def tested(network, puzzle: Puzzle, length: int, rows: int = 256, seed: int = 0) -> float:
    """The share of right answers on rows that are drawn apart from those of training."""
    network.eval()
    x, y = puzzle.make(length, rows, torch.Generator().manual_seed(2**31 + seed))
    device = next(network.parameters()).device
    right = torch.cat([
        puzzle.right(network(some.to(device), puzzle.last), wanted.to(device))
        for some, wanted in zip(x.split(64), y.split(64), strict=True)
    ])  # fmt: skip
    return float(right.float().mean())
