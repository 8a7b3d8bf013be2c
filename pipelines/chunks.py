"""What the pipelines share: inputs of any iterable kind, and how many tokens a model can read at once."""

import functools
import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch.utils.data import Dataset, IterableDataset
from transformers.pipelines.base import ChunkPipeline

from pipelines import scheduling

# A fast tokenizer holds what a call asks of truncation as its own state while it works: threads must take turns.
READING = threading.RLock()
logger = logging.getLogger(__name__)


def normal(inputs):
    """The inputs in one of the forms that `transformers.Pipeline` tells apart.

    A text or dict stays one input; lists, generators and torch data sets stay; any other iterator becomes a generator
    and any other collection (a tuple, a column of a `datasets` table, a pandas series) a list.
    """
    if isinstance(inputs, str | dict | list | Dataset) or not isinstance(inputs, Iterable):
        return inputs
    return (item for item in inputs) if isinstance(inputs, Iterator) else list(inputs)


def stream(inputs) -> Iterator:
    """One pass over the inputs, without a length: a text can become several parts, and torch's loader would warn."""
    if isinstance(inputs, Dataset) and not isinstance(inputs, IterableDataset):
        return map(inputs.__getitem__, range(len(inputs)))
    return iter(inputs)


class Parted(ChunkPipeline):
    """What our pipelines share whose texts may be read in parts; it stands behind transformers' own class.

    Of a list or a data set, texts of like length are computed together, as many as `pipelines.scheduling` finds good.
    With a `batch_size` it is so many at a time, in the order they come, also of a generator, whose inputs go one by one
    otherwise. Lists and data sets are read in a thread beside the model, so `num_workers` changes nothing.
    """

    together = False  # whether `preprocess_all` gains by several inputs

    def check_model_type(self, supported_models):
        pass  # the Auto class that loaded the model has decided

    def __call__(self, inputs, **kwargs):
        inputs = normal(inputs)
        if isinstance(inputs, list) and not inputs:
            return []
        unsaid = self._batch_size is None and kwargs.get("batch_size") is None
        if unsaid and isinstance(inputs, str | dict | list | Dataset) and self.tokenizer.pad_token_id is not None:
            kwargs["batch_size"] = 0
        return super().__call__(inputs, **kwargs)

    def get_iterator(self, inputs, num_workers, batch_size, *parameters):
        before, forward, after = parameters
        if isinstance(inputs, list) and len(inputs) == 1:
            parts = list(islice(self.preprocess(inputs[0], **before), 2))
            if len(parts) == 1:  # the usual case
                output = self.forward(parts[0], **forward)
                output.pop("is_last")
                return iter([self.postprocess([output], **after)])
        draws, whole, there = self.draws(forward), isinstance(inputs, list), isinstance(inputs, list | Dataset)
        plan = scheduling.Plan(
            batch_size=1 if draws and not batch_size else batch_size,
            # a list's answers come all at once: its first window is as large as reading it may hold up the model
            first=(4 if len(inputs) > 1 else 0) if whole else 1,
            ahead=there,
            once=there and not draws and not cuts(before.get("truncation")),  # what is cut is counted, each time
        )
        return scheduling.answers(self, stream(inputs), parameters, plan)

    def preprocess_all(self, inputs: list, **parameters) -> Iterator[Iterable[dict]]:
        """The parts of each of a few inputs. Pipelines that can tokenise all of them at once do."""
        return (self.preprocess(one, **parameters) for one in inputs)

    def draws(self, forward: dict) -> bool:
        """Whether an answer hangs on chance or on the order of inputs, given the parameters of `forward`."""
        return False


def in_turn(preprocess):
    """`preprocess`, a generator of parts, with no two threads in a step of it at once."""

    @functools.wraps(preprocess)
    def taking_turns(*args, **kwargs):
        parts = preprocess(*args, **kwargs)
        while True:
            with READING:
                part = next(parts, None)
            if part is None:
                return
            yield part

    return taking_turns


def dropped(pipe, count: int, of: int, how: str) -> None:
    """Adds to `pipe.dropped_tokens`; the first time the log says how many of the tokens are not read, and why."""
    if count > 0:
        if not pipe.dropped_tokens:
            logger.warning(f"{count} of {of} tokens are not read: {how}; pipe.dropped_tokens goes on counting")
        pipe.dropped_tokens += count


def cuts(truncation) -> bool:
    """Whether this value of the tokenizers' `truncation` asks for texts to be cut."""
    return bool(truncation) and truncation != "do_not_truncate"


def window(tokenizer, model) -> int | None:
    """The most tokens the model reads at once, special tokens included; None where nothing sets a bound.

    The tokenizer's `model_max_length` and the number of learned positions, whichever is less. T5's positions are
    relative: its `n_positions` counts only where the tokenizer is silent.
    """
    limits = []
    if 0 < tokenizer.model_max_length < 10**9:  # transformers writes 10**30 for "not known"
        limits.append(tokenizer.model_max_length)
    if positions(model):
        limits.append(positions(model))
    if not limits and getattr(model.config, "n_positions", None):
        limits.append(model.config.n_positions)
    return min(limits, default=None)


def positions(model) -> int | None:
    """The most tokens that the model has learned positions for; None where it has none."""
    size = getattr(model.config, "max_position_embeddings", None) or 0
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    # RoBERTa and its kin number positions from padding_idx + 1, so that many places of the table go unused
    return size - (0 if padding is None else padding + 1) if size > 0 else None


def given(parameters: dict) -> dict:
    """The parameters that are not None: a call must not undo what the pipeline was made with."""
    return {name: value for name, value in parameters.items() if value is not None}


def never_empty(features: dict, tokenizer) -> dict:
    """The features (1, S) of one text; a text of no token at all, not even an end, becomes one end or unknown token."""
    if features["input_ids"].shape[1]:
        return dict(features)
    nothing = next(i for i in (tokenizer.eos_token_id, tokenizer.unk_token_id, 0) if i is not None)
    fill = {"input_ids": nothing, "attention_mask": 1}
    return {name: torch.full((1, 1), fill.get(name, 0), dtype=torch.long) for name in features}
