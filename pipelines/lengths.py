"""How long each answer of a batch may get and has become, so that it doesn't depend on the rest of its batch."""

import torch
from transformers import LogitsProcessor, StoppingCriteria


class RowLimits(StoppingCriteria):
    """Ends each answer at its row's own number of new tokens."""

    def __init__(self, limits: torch.Tensor):
        self.limits = limits  # (B,)

    def __call__(self, input_ids, scores, **kwargs):
        """input_ids (B * copies, T), the start token first → (B * copies,) bool."""
        return input_ids.shape[1] - 1 >= _copied(self.limits, input_ids)


class RowEnds(LogitsProcessor):
    """Makes the last of each row's new tokens the end token, as `forced_eos_token_id` does where all have one limit."""

    def __init__(self, limits: torch.Tensor, end: int | list[int]):
        self.limits, self.end = limits, end  # (B,)

    def __call__(self, input_ids, scores):
        """input_ids (B * copies, T), the start token first, and scores (B * copies, V) → scores."""
        last = input_ids.shape[1] == _copied(self.limits, input_ids)  # (B * copies,)
        scores = scores.masked_fill(last[:, None], -torch.inf)
        scores[:, self.end] = scores[:, self.end].masked_fill(last if isinstance(self.end, int) else last[:, None], 0)
        return scores


def forced_end(model) -> dict[str, int]:
    """{"forced_eos_token_id": the token that ends an answer at its limit} for a model without a generation_config.json.

    BART, Marian and their kin have one by the class of their configuration, and transformers 5 reads the file alone.
    """
    end = getattr(model.config, "forced_eos_token_id", None)
    return {} if end is None or not model.generation_config._from_model_config else {"forced_eos_token_id": end}


def answer_lengths(ids: torch.Tensor, ends: int | list[int] | None, limits: torch.Tensor | None):
    """Lengths (N,) of the answers in ids (N, T), start and end token included; and whether each one has its end, (N,).

    `generate` fills up the shorter answers of a batch with padding, or, in a beam search where padding has the id 0,
    with end tokens.
    """
    lengths = ids.new_full((len(ids),), ids.shape[1])
    if limits is not None:
        lengths = lengths.minimum(_copied(limits, ids) + 1)
    if ends is None:
        return lengths, torch.ones_like(lengths, dtype=torch.bool)
    places = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)  # (N, T)
    is_end = torch.isin(ids, torch.tensor(ends, device=ids.device)) & (places > 0)  # some models start with an end
    first = torch.where(is_end, places, ids.shape[1]).amin(1)  # (N,)
    return lengths.minimum(first + 1), first < lengths


def _copied(limits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """limits (B,) for each beam or sample of each row, (N,)."""
    return limits.repeat_interleave(ids.shape[0] // len(limits))
