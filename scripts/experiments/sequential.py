"""Claim 1: how time, memory and the number of steps in a row grow with the length, for RNN, GRU, LSTM and Transformer.

Four measures: `train_tokens` and `train_batch`, an optimizer step with a fixed number of tokens or of rows; `encode`,
one text read whole; `decode`, one more token behind a text that was read (with a cache, or a state). Two controls:
`parameters`, one recurrent layer as wide as the Transformer has parameters; `depth`, as many layers of the same width.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
import torch.nn.functional as F

from scripts import latency
from scripts.experiments import models
from scripts.experiments.store import Run, Store

ARMS = ("rnn", "gru", "lstm", "transformer")
MEASURES = ("train_tokens", "train_batch", "encode", "decode")
CONTROLS = ("parameters", "depth")
TIMED = "sequential"  # the part with times; "sizes" is what is counted


@dataclass(frozen=True, kw_only=True)
class Settings:
    lengths: tuple[int, ...]  # tokens
    rounds: int  # over all lengths, in another order each time: a machine that slows down does so for all
    runs: int  # timed runs a round and arm
    tokens: int  # of a step of `train_tokens`
    batch: int  # rows of a step of `train_batch`
    decoded: int = 8  # tokens that are decoded and timed together
    width: int = 128
    heads: int = 4
    layers: int = 4  # of the Transformer, where parameters are equal
    depth: int = 2  # of all, where depth is
    vocabulary: int = 256


FULL = Settings(lengths=tuple(2**i for i in range(4, 13)), rounds=4, runs=5, tokens=4096, batch=4)
QUICK = Settings(lengths=(16, 64, 256, 1024), rounds=3, runs=3, tokens=1024, batch=2, width=64, layers=2)


def measure(run: Run, store: Store) -> None:
    """Fills in the units (control, measure, length, round) with {"ms": {arm: […]}}, and (control, measure, length)
    with what is counted."""
    settings = QUICK if run.quick else FULL
    store.begin(TIMED, settings, timed=True)
    store.begin("sizes", settings)
    arms = lru_cache(maxsize=1)(partial(built, settings=settings, device=run.device))
    counted = [{"part": "sizes", "control": c, "measure": m, "length": n}
               for c in CONTROLS for m in MEASURES for n in settings.lengths]  # fmt: skip
    run.work(store, counted, lambda control, measure, length: sizes(arms(control), measure, length, settings, run))
    for turn in range(settings.rounds):
        order = random.Random(turn).sample(settings.lengths, len(settings.lengths))
        units = [{"part": TIMED, "control": c, "measure": m, "length": n, "round": turn}
                 for c in CONTROLS for m in MEASURES for n in order]  # fmt: skip
        run.work(
            store,
            units,
            lambda control, measure, length, round: times(arms(control), measure, length, settings, run),
        )


def built(control: str, settings: Settings, device: str = "cpu") -> dict[str, models.Network]:
    """The arms of a control, with random weights of a fixed seed."""
    torch.manual_seed(13)
    width = settings.width
    layers = settings.layers if control == "parameters" else settings.depth
    trunks: dict[str, torch.nn.Module] = {"transformer": models.Transformer(width, layers, settings.heads)}
    target = models.count(trunks["transformer"])
    for kind in models.CELLS:
        if control == "parameters":
            hidden = models.matched(lambda n, kind=kind: models.Recurrent(kind, width, n), target)
            trunks[kind] = models.Recurrent(kind, width, hidden)
        else:
            trunks[kind] = models.Recurrent(kind, width, width, layers)
    ends = {"outputs": settings.vocabulary, "vocabulary": settings.vocabulary}
    return {arm: models.Network(trunks[arm], width, **ends).to(device) for arm in ARMS}


def call(network: models.Network, measure: str, length: int, settings: Settings) -> Callable[[object], object]:
    """What is timed: a function of one ignored value. It is made with all that is not to be timed done."""
    device = network.head.weight.device
    rows = {"train_tokens": max(1, settings.tokens // length), "train_batch": settings.batch}.get(measure, 1)
    ids = torch.randint(settings.vocabulary, (rows, length), device=device)  # (B, T)
    if measure.startswith("train"):
        network.train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)  # a rate of 0: the model stays what it is

        def step(_):
            loss = F.cross_entropy(network(ids).flatten(0, 1), ids.flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step
    network.eval()
    if measure == "encode":
        return torch.inference_mode()(lambda _: network.trunk(network.read(ids)))
    with torch.inference_mode():
        state = network.trunk.start(network.read(ids), settings.decoded)

    @torch.inference_mode()
    def decode(_):
        now, token = state, ids[:, -1:]
        for _ in range(settings.decoded):
            made, now = network.trunk.step(network.read(token), now)  # (1, 1, E)
            token = network.head(made).argmax(-1)  # (1, 1)

    return decode


def times(arms: dict, measure: str, length: int, settings: Settings, run: Run) -> dict:
    """{"ms": {arm: milliseconds of each run}}, of a step, a text or a token; {"failed": {arm: why}} where some are."""
    calls, failed = {}, {}
    for arm, network in arms.items():
        try:
            calls[arm] = call(network, measure, length, settings)
        except (RuntimeError, MemoryError) as error:
            failed[arm] = error
    found, more = latency.interleaved(
        calls, range(settings.runs), runs=settings.runs, seconds=0, warm_up=1, synchronize=synchronizer(run.device)
    )
    per_call = settings.decoded if measure == "decode" else 1
    told = {"ms": {arm: [float(f"{ms / per_call:.5g}") for ms in each] for arm, each in found.items()}}
    failed |= more
    if failed:
        told["failed"] = {arm: str(error).splitlines()[0][:200] for arm, error in failed.items()}
    return told


def sizes(arms: dict, measure: str, length: int, settings: Settings, run: Run) -> dict:
    """What is counted for each arm: parameters of the trunk; `steps` that must wait for one another; `kept_mb` that a
    training step holds for its backward pass, or `kept_mb` of cache or state behind a text; on CUDA the `peak_mb` of a
    step and the kernel `launches`."""
    return {"arms": {arm: _size(network, measure, length, settings, run) for arm, network in arms.items()}}


def _size(network: models.Network, measure: str, length: int, settings: Settings, run: Run) -> dict:
    told = {"parameters": models.count(network.trunk), "steps": steps(network.trunk, measure, length)}
    if measure == "decode":
        with torch.inference_mode():
            ids = torch.zeros(1, length, dtype=torch.long, device=run.device)
            told["kept_mb"] = _megabytes(_tensors(network.trunk.start(network.read(ids), 0)))
    if measure.startswith("train"):
        told["kept_mb"] = _held(network, call(network, measure, length, settings))
    if run.device.startswith("cuda"):
        told |= _on_cuda(call(network, measure, length, settings), run.device)
    return told


def steps(trunk: torch.nn.Module, measure: str, length: int) -> int:
    """How many layers' computations must wait for one another in a forward pass: it follows from the architecture. A
    Transformer's layers wait for those below, a recurrent layer for its own state before, too. A token that is decoded
    waits for all layers, in either."""
    layers = len(trunk.blocks) if isinstance(trunk, models.Transformer) else trunk.cells.num_layers
    if measure == "decode" or isinstance(trunk, models.Transformer):
        return layers
    return length + layers - 1  # layer 2 may read the first token while layer 1 reads the second


def _on_cuda(work: Callable, device: str) -> dict:
    from torch.profiler import ProfilerActivity, profile

    work(None)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as traced:
        work(None)
        torch.cuda.synchronize(device)
    launches = sum(event.count for event in traced.key_averages() if "LaunchKernel" in event.key)
    peak = torch.cuda.max_memory_allocated(device) - before
    return {"launches": launches, "peak_mb": float(f"{peak / 1e6:.4g}")}


def _held(network: models.Network, work: Callable) -> float:
    """Megabytes that autograd keeps for the backward pass of `work`, the weights left out."""
    weights, held = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}, []

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held.append(tensor)  # kept to the end, so that no other tensor gets its memory
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        work(None)
    return _megabytes(held)


def _tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []


def _megabytes(tensors) -> float:
    """Of the memory behind some tensors, 10^6 bytes; memory that several share counts once."""
    stores = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return float(f"{sum(stores.values()) / 1e6:.4g}")


def synchronizer(device: str) -> Callable[[], object]:
    """What waits until a device has done its work."""
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device == "mps" else lambda: None
