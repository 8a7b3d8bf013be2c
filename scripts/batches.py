"""Which rows go into which batch: length-grouped under a token budget, the same for the same seed and epoch."""

import random


def batches(lengths: list[int], budget: int, seed: int, epoch: int) -> list[list[int]]:
    """Row indices of each batch of an epoch, in training order. Every row occurs once.

    A batch of n rows with the longest of m tokens costs n*m tokens, padding included, and stays within `budget`; a row
    longer than the budget makes a batch of its own. Rows are shuffled, sorted by length within a pool of about 50
    batches, cut, and the batches shuffled: little padding, and other neighbours in every epoch.
    """
    rng = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = max(1, 50 * budget * len(lengths) // max(1, sum(lengths)))
    found = []
    for start in range(0, len(order), pool):
        rows: list[int] = []
        for row in sorted(order[start : start + pool], key=lengths.__getitem__):
            if rows and (len(rows) + 1) * lengths[row] > budget:
                found.append(rows)
                rows = []
            rows.append(row)
        found.append(rows)
    rng.shuffle(found)
    return found


def steps(found: list[list[int]], per_step: int) -> list[list[list[int]]]:
    """Batches in groups of `per_step` (processes x accumulation), one group an optimizer step.

    What doesn't fill a last group is left out of this epoch (all processes must take part in each step); the next
    epoch shuffles anew. An epoch with too few batches for one group repeats them.
    """
    if len(found) < per_step:
        found = [found[i % len(found)] for i in range(per_step)]
    return [found[i : i + per_step] for i in range(0, len(found) - per_step + 1, per_step)]
