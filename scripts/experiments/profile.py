"""Claim 2, the gradients: ‖∂loss at the last step / ∂h_t‖ by the distance from step t to the last one.

h_t is what a recurrent layer hands to the next step (of an LSTM the cell c_t is looked at too), and for the
Transformer what its first block makes of step t. Untrained, and after training on the adding and the copy task. All is
computed in float64, since in float32 small gradients become 0; where they would is told.
"""

import copy
from dataclasses import dataclass

import torch

from scripts.experiments import models, puzzles
from scripts.experiments.store import Run, Store

PART = "profile"
LSTM = {"kind": "lstm"}
ARMS = {  # settings of the trunk; "attention" is the readout's
    "rnn": {"kind": "rnn"},
    "rnn orthogonal": {"kind": "rnn", "orthogonal": True},
    "gru": {"kind": "gru"},
    "lstm forget 0": LSTM | {"forget_bias": 0.0},
    "lstm forget 1": LSTM | {"forget_bias": 1.0},
    "lstm forget 3": LSTM | {"forget_bias": 3.0},
    "lstm attention": LSTM | {"forget_bias": 1.0, "attention": True},
    "transformer": {},
}
PUZZLES = {puzzle.name: puzzle for puzzle in (puzzles.ADDING, puzzles.COPY)}
POINTS = 40  # distances that are kept, evenly spread on a log axis


@dataclass(frozen=True, kw_only=True)
class Settings:
    seeds: int
    length: int  # steps, of what is trained on
    long: int  # steps, untrained
    steps: int  # of training, at most
    batch: int = 32
    rate: float = 8e-3
    width: int = 32
    layers: int = 2  # of the Transformer; the recurrent arms have one, with as many parameters
    heads: int = 4


FULL = Settings(seeds=10, length=48, long=512, steps=1500)
QUICK = Settings(seeds=3, length=40, long=128, steps=100, batch=16)


def measure(run: Run, store: Store) -> None:
    """Fills in the units (arm, task, length, steps, seed) with {"before": profile} and, where it was trained,
    {"after": profile, "score", "steps_taken"}."""
    settings = QUICK if run.quick else FULL
    store.begin(PART, settings)
    kinds = [("adding", settings.long, 0), *((task, settings.length, settings.steps) for task in PUZZLES)]
    units = [
        {"part": PART, "arm": arm, "task": task, "length": length, "steps": steps, "seed": seed}
        for seed in range(settings.seeds) for task, length, steps in kinds for arm in ARMS
    ]  # fmt: skip

    def one(arm: str, task: str, length: int, steps: int, seed: int) -> dict:
        puzzle = PUZZLES[task]
        network = built(arm, puzzle, settings, seed).to(run.device)
        told = {"parameters": models.count(network.trunk), "before": profile(network, puzzle, length, seed)}
        if steps:
            learnt = puzzles.learn(
                network, puzzle, length, steps=steps, batch=settings.batch, rate=settings.rate, seed=seed
            )
            told |= {"after": profile(network, puzzle, length, seed), "score": learnt["score"]}
            told["steps_taken"] = learnt["steps"]
        return told

    run.work(store, units, one)


def built(arm: str, puzzle: puzzles.Puzzle, settings, seed: int) -> models.Network:
    """An arm with fresh weights. All have as many parameters between the ends as the Transformer, ± 2 %."""
    options = dict(ARMS[arm])
    attention = options.pop("attention", False)
    torch.manual_seed(seed)
    trunk: torch.nn.Module = models.Transformer(settings.width, settings.layers, settings.heads)
    if options:
        kind, target = options.pop("kind"), models.count(trunk)
        hidden = models.matched(lambda n: models.Recurrent(kind, settings.width, n), target)
        trunk = models.Recurrent(kind, settings.width, hidden, **options)
    return models.Network(trunk, settings.width, attention=attention, **puzzle.ends())


def profile(network: models.Network, puzzle: puzzles.Puzzle, length: int, seed: int, rows: int = 16) -> dict:
    """{"distances": […], "reach", "hidden": [norm at each], "input": […], "float32_zero_from"}; of an LSTM "cell".

    Norms are medians over `rows` sequences. "input" is ∂loss/∂x_t, of what the trunk reads at step t: the one place
    that is the same in all arms. "float32_zero_from" is the least distance kept at which "hidden" is 0 in float32, or
    None. Of a task with several answers the last one's loss is taken; "reach" is how far back lies what it depends on.
    """
    x, y = puzzle.make(length, rows, torch.Generator().manual_seed(2**31 + seed))
    reach = puzzle.reach(length)
    kept = sorted({reach, *_points(length)})
    told: dict = {"distances": kept, "reach": reach}
    for dtype in (torch.float64, torch.float32):
        exact = copy.deepcopy(network).cpu().to(dtype)  # on the CPU: not every device knows float64
        given, wanted = (part.to(dtype) if part.is_floating_point() else part for part in (x, y[:, -1:]))
        found = gradients(exact, given, lambda out, wanted=wanted: puzzle.loss(out, wanted))
        norms = {name: gradient.norm(dim=-1).median(0).values.flip(0) for name, gradient in found.items()}  # (T,) each
        if dtype == torch.float64:
            told |= {name: [float(f"{float(norm[d]):.4g}") for d in kept] for name, norm in norms.items()}
        else:
            told["float32_zero_from"] = next((d for d in kept if norms["hidden"][d] == 0), None)
    return told


def _points(length: int) -> list[int]:
    most = length - 1
    return sorted({0, *(round(most ** (i / (POINTS - 1))) for i in range(POINTS))})


def gradients(network: models.Network, x: torch.Tensor, loss) -> dict[str, torch.Tensor]:
    """Gradients of the summed `loss(outputs of the last step (B, 1, outputs))` of each row, by step: "input"
    (B, T, E), "hidden" (B, T, H or E), and for an LSTM "cell" (B, T, H). `loss` gives a mean over rows."""
    read = network.read(x).detach().requires_grad_()  # (B, T, E)
    if isinstance(network.trunk, models.Transformer):
        first = []
        hook = network.trunk.blocks[0].register_forward_hook(lambda module, given, made: first.append(made))
        made = network.trunk(read)  # (B, T, E)
        hook.remove()
        traces = {"hidden": first}
    else:
        hidden, cell = unrolled(network.trunk.cells, read)
        made = network.trunk.out(torch.stack(hidden, 1))  # (B, T, E)
        traces = {"hidden": hidden} | ({"cell": cell} if cell else {})
    total = loss(network.readout(made, 1)) * len(x)
    places = [read, *(tensor for trace in traces.values() for tensor in trace)]
    found = torch.autograd.grad(total, places, allow_unused=True, materialize_grads=True)
    told, rest = {"input": found[0]}, list(found[1:])
    for name, trace in traces.items():
        own, rest = rest[: len(trace)], rest[len(trace) :]
        told[name] = own[0] if own[0].dim() == 3 else torch.stack(own, 1)  # (B, T, ·)
    return told


def unrolled(cells: torch.nn.RNNBase, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What `cells`, one layer of torch.nn, computes of x (B, T, E), step by step: its states h_t, T of (B, H), and of
    an LSTM c_t. torch's own call has no place at which the gradient of a single state could be read."""
    weights = [getattr(cells, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    h = c = x.new_zeros(len(x), cells.hidden_size)  # (B, H)
    hidden, cell = [], []
    for step in x.unbind(1):  # (B, E)
        if isinstance(cells, torch.nn.LSTM):
            h, c = torch.lstm_cell(step, (h, c), *weights)
            cell.append(c)
        else:
            h = (torch.gru_cell if isinstance(cells, torch.nn.GRU) else torch.rnn_tanh_cell)(step, h, *weights)
        hidden.append(h)
    return hidden, cell
