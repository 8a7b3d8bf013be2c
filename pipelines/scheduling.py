"""In which batches a pipeline's inputs are computed. Answers come in the order of the inputs, as early as they can.

Inputs become parts (`preprocess`), one or more each. Parts are gathered in windows; within a window those of like
length go together, so that little is padded; an input is answered as soon as it and all before it are done. An input
that was there a moment ago is not computed again. Two windows are held at any time, however many inputs there are.
A model that can compute several batches at once (`workers`) gets a window's batches side by side.
"""

import copy
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from transformers.pipelines.base import pad_collate_fn

WINDOW = 1024  # parts gathered at most
CPU = (32, 2048)  # rows of a batch and tokens in it, padding included, at most, where nobody says how many ...
ELSEWHERE = (128, 16384)  # ... and on other devices
CHARACTERS = 20_000  # of a batch's inputs, which are read at once, unless a single one has more


@dataclass(eq=False)
class _Input:
    """An input on its way. Reading it and computing it go on in two threads, each with fields of its own."""

    outputs: list = field(default_factory=list)  # of its parts, None where one is still to be computed
    read: bool = False  # there are no more parts
    computed: int = 0
    error: Exception | None = None  # what reading it raised
    like: "_Input | None" = None  # an earlier one that has its answer
    answer: object = None


@dataclass
class _Part:
    of: _Input
    place: int
    features: dict

    @property
    def size(self) -> int:
        return self.features["input_ids"].shape[1]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the inputs of a call are computed."""

    batch_size: int  # rows of a batch, which then has parts in their order; 0 to choose and order them
    first: int  # batches in the first window that is put in order, 0: no order; the next are doubled up to `WINDOW`
    ahead: bool  # the next window is read in a thread of its own while the model computes
    once: bool  # an input that was there before is not computed again


def answers(pipe, inputs: Iterable, parameters: tuple, plan: Plan) -> Iterator:
    """The answers of a `ChunkPipeline` to its inputs, in order. `parameters` of preprocess, forward and postprocess."""
    before, forward, after = parameters
    rows, tokens = (plan.batch_size, 0) if plan.batch_size else CPU if pipe.device.type == "cpu" else ELSEWHERE
    rows = plan.batch_size or min(rows, getattr(pipe.model, "rows", rows))
    ordered = plan.first > 0 and not plan.batch_size
    collate = None if rows == 1 else pad_collate_fn(pipe.tokenizer, None)
    workers = 1 if plan.batch_size else getattr(pipe.model, "workers", 1)
    waiting: deque[_Input] = deque()
    known = _Known() if plan.once else None
    sizes = (min(plan.first * rows, WINDOW), WINDOW) if ordered else (rows, rows)
    windows = _windows(_read(pipe, inputs, before, waiting, known, rows if plan.ahead and pipe.together else 1), *sizes)

    def chosen() -> Iterator[list[_Part]]:
        for window in _one_ahead(windows) if plan.ahead else windows:
            # no more rows than give each worker as many batches
            most = -(-len(window) // (workers * -(-len(window) // (workers * rows))))
            for places in batches([part.size for part in window], most, tokens, ordered):
                yield [window[i] for i in places]

    def computed(batch: list[_Part]) -> tuple[list[_Part], list[dict]]:
        return batch, _forward(pipe, batch, forward, collate, halves=not plan.batch_size)

    for batch, outputs in _side_by_side(computed, chosen(), workers) if workers > 1 else map(computed, chosen()):
        for part, output in zip(batch, outputs, strict=True):
            part.of.outputs[part.place] = output
            part.of.computed += 1
        yield from _finished(pipe, waiting, after)
    yield from _finished(pipe, waiting, after)


def _side_by_side(computed, chosen: Iterator[list[_Part]], workers: int) -> Iterator[tuple]:
    """`map`, by so many threads; twice as many batches are under way, so that none waits for the first to finish."""
    under_way: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        for batch in chosen:
            under_way.append(pool.submit(computed, batch))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def batches(sizes: list[int], rows: int, tokens: int, ordered: bool = True) -> Iterator[list[int]]:
    """The places of `sizes` in batches of at most `rows` and, with padding, `tokens` (0: no bound), unless a single one
    has more; longest first where `ordered`."""
    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True) if ordered else range(len(sizes)):
        longest = max(longest, sizes[i])
        if batch and (len(batch) == rows or tokens and (len(batch) + 1) * longest > tokens):
            yield batch
            batch, longest = [], sizes[i]
        batch.append(i)
    if batch:
        yield batch


def _read(pipe, inputs: Iterable, parameters: dict, waiting: deque, known: "_Known | None", at_once: int):
    """The parts of all inputs, which join `waiting`; at most so many inputs are read at once. Ends at the first that
    can't be read: those before it count."""
    inputs, error = iter(inputs), None
    while error is None:
        some, error = _some(inputs, at_once)
        fresh: list[_Input] = []
        texts = []
        for given in some:
            one = _Input()
            one.like = known.find(given, one) if known is not None else None
            one.read = one.like is not None
            waiting.append(one)
            if not one.read:
                fresh.append(one)
                texts.append(given)
        read = iter(pipe.preprocess_all(texts, **parameters))
        for one in fresh:
            try:
                for place, features in enumerate(next(read)):
                    one.outputs.append(None)
                    one.read = features["is_last"]
                    yield _Part(one, place, features)
            except Exception as raised:
                one.error, one.read = raised, True
                return
            one.read = True
    if not isinstance(error, StopIteration):
        waiting.append(_Input(read=True, error=error))


def _some(inputs: Iterator, most: int) -> tuple[list, Exception | None]:
    """The next inputs, and what the iterator raised: `StopIteration` where there are no more."""
    taken, size = [], 0
    while len(taken) < most and size < CHARACTERS:
        try:
            taken.append(next(inputs))
        except Exception as raised:
            return taken, raised
        size += len(taken[-1]) if isinstance(taken[-1], str) else 0
    return taken, None


class _Known:
    """The latest inputs, by what they say."""

    def __init__(self):
        self._inputs: OrderedDict[Hashable, _Input] = OrderedDict()

    def find(self, given, fresh: _Input) -> _Input | None:
        """An earlier input that says the same; else `fresh` is kept for later ones."""
        key = given if isinstance(given, str) else tuple(given.items()) if isinstance(given, dict) else None
        try:
            earlier = self._inputs.get(key)
        except TypeError:  # a list in it
            return None
        if earlier is None and key is not None:
            self._inputs[key] = fresh
            if len(self._inputs) > WINDOW:
                self._inputs.popitem(last=False)
        return earlier


def _windows(parts: Iterator[_Part], size: int, most: int) -> Iterator[list[_Part]]:
    window: list[_Part] = []
    for part in parts:
        window.append(part)
        if len(window) >= size:
            yield window
            window, size = [], min(2 * size, most)
    if window:
        yield window


def _one_ahead(windows: Iterator[list[_Part]]) -> Iterator[list[_Part]]:
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, windows, None)
        while (window := coming.result()) is not None:
            coming = pool.submit(next, windows, None)
            yield window


def _forward(pipe, batch: list[_Part], parameters: dict, collate, halves: bool) -> list[dict]:
    """The outputs of the parts. Where memory is short and `halves`, half of them at a time."""
    single = len(batch) == 1
    try:
        features = dict(batch[0].features) if single else collate([part.features for part in batch])
        output = pipe.forward(features, **parameters)
    except torch.OutOfMemoryError:
        if single or not halves:
            raise
        torch.cuda.empty_cache()
        both = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        return [output for half in both for output in _forward(pipe, half, parameters, collate, halves)]
    return [output] if single else [_row(output, row) for row in range(len(batch))]


def _row(output: dict, i: int) -> dict:
    """One row of the output of a batch: tensors (1, …), other values as they stand in their list."""
    return {
        name: value[i : i + 1] if isinstance(value, torch.Tensor) else None if value is None else value[i]
        for name, value in output.items()
    }


def _finished(pipe, waiting: deque, parameters: dict) -> Iterator:
    """The answers to those in front that are done. Raises what reading the next one raised."""
    while waiting and waiting[0].read and waiting[0].computed == len(waiting[0].outputs):
        done = waiting.popleft()
        if done.error:
            raise done.error
        if done.like:
            done.answer = copy.deepcopy(done.like.answer)
        else:
            for output in done.outputs:
                output.pop("is_last")
            done.answer = pipe.postprocess(done.outputs, **parameters)
            done.outputs, done.computed = [], 0
        yield done.answer
