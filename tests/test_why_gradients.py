"""Gradients by distance against products of Jacobians that are known, and the puzzles that need them."""

import math

import pytest
import torch

from scripts.experiments import models, profile, puzzles
from scripts.experiments.told import fits


def network(trunk, width=4, puzzle=puzzles.ADDING) -> models.Network:
    return models.Network(trunk, width, **puzzle.ends()).double()


def by_distance(gradient: torch.Tensor) -> list[float]:
    """Norms of the first row's gradients (1, T, H), the last step first."""
    return gradient[0].norm(dim=-1).flip(0).tolist()


def test_a_known_product_of_jacobians_gives_its_norm():
    """With zero inputs and biases a tanh RNN stays at 0, where each Jacobian is the recurrent matrix itself."""
    torch.manual_seed(0)
    trunk = models.Recurrent("rnn", 4, 6, orthogonal=True)
    with torch.no_grad():
        trunk.cells.weight_hh_l0.mul_(0.5)
        trunk.cells.weight_ih_l0.zero_()
    x = torch.zeros(1, 30, 2, dtype=torch.float64)
    found = profile.gradients(network(trunk), x, lambda out: out.sum())["hidden"]
    norms = by_distance(found)
    assert [norm / norms[0] for norm in norms] == pytest.approx([0.5**d for d in range(30)], rel=1e-5)
    decay = fits.decay(range(1, 30), norms[1:])
    assert decay["per_step"] == pytest.approx(0.5, rel=1e-5)
    assert decay["half_distance"] == pytest.approx(1, rel=1e-5)


def test_any_rnn_against_the_product_written_out():
    torch.manual_seed(1)
    net = network(models.Recurrent("rnn", 4, 5))
    x = torch.randn(1, 8, 2, dtype=torch.float64)
    cells = net.trunk.cells
    hidden, _ = profile.unrolled(cells, net.read(x))
    back = net.head.weight[0] @ net.trunk.out.weight  # ∂out/∂h_T, (H,)
    wanted = [back]
    for state in reversed(hidden[1:]):
        back = (back * (1 - state[0] ** 2)) @ cells.weight_hh_l0  # ∂h_t/∂h_{t-1} = diag(1 - h_t²) W
        wanted.append(back)
    found = profile.gradients(net, x, lambda out: out.sum())["hidden"]
    assert torch.allclose(found[0].flip(0), torch.stack(wanted), atol=1e-12)


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0])
def test_an_lstms_cell_decays_by_its_forget_gate(bias):
    trunk = models.Recurrent("lstm", 4, 5, forget_bias=bias)
    with torch.no_grad():
        for name, weight in trunk.cells.named_parameters():
            if "weight" in name:
                weight.zero_()
    found = profile.gradients(network(trunk), torch.zeros(1, 20, 2, dtype=torch.float64), lambda out: out.sum())
    norms = by_distance(found["cell"])
    gate = 1 / (1 + math.exp(-bias))
    assert [norm / norms[0] for norm in norms] == pytest.approx([gate**d for d in range(20)], rel=1e-5)
    assert by_distance(found["hidden"])[1:] == [0.0] * 19  # nothing reads h: it can only pass through the cell


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_step_by_step_is_torchs_own(kind):
    torch.manual_seed(0)
    cells = models.Recurrent(kind, 4, 6).double().cells
    x = torch.randn(3, 9, 4, dtype=torch.float64)
    whole, last = cells(x)
    hidden, cell = profile.unrolled(cells, x)
    assert torch.allclose(torch.stack(hidden, 1), whole)
    assert (len(cell) == 9) == (kind == "lstm") and (not cell or torch.allclose(cell[-1], last[1][0]))


def test_a_row_does_not_depend_on_the_others():
    torch.manual_seed(0)
    net = network(models.Recurrent("gru", 4, 6))
    x = torch.randn(3, 7, 2, dtype=torch.float64)
    for name, whole in profile.gradients(net, x, lambda out: (out**2).mean()).items():
        for row in range(3):
            alone = profile.gradients(net, x[row : row + 1], lambda out: (out**2).mean())[name]
            assert torch.allclose(whole[row], alone[0]), name


@pytest.mark.parametrize("arm", ["lstm attention", "transformer"])
def test_attention_reaches_every_step_directly(arm):
    net = profile.built(arm, puzzles.COPY, profile.QUICK, 0)
    told = profile.profile(net, puzzles.COPY, 40, seed=0)
    assert told["distances"][0] == 0 and told["distances"][-1] == 39 == max(told["distances"])
    assert all(len(told[name]) == len(told["distances"]) for name in ("hidden", "input"))
    assert min(told["hidden"]) > 1e-3 * told["hidden"][1] and told["float32_zero_from"] is None


def test_what_underflows_in_float32_is_told_and_kept_in_float64():
    net = profile.built("rnn", puzzles.ADDING, profile.QUICK, 0)
    with torch.no_grad():
        net.trunk.cells.weight_hh_l0.mul_(0.02)
    told = profile.profile(net, puzzles.ADDING, 64, seed=0)
    zero = told["float32_zero_from"]
    assert zero is not None and told["hidden"][told["distances"].index(zero)] > 0


# --- the puzzles ---


def test_adding_by_hand():
    x, y = puzzles.ADDING.make(11, 50, torch.Generator().manual_seed(0))
    for numbers, marks, target in zip(x[..., 0], x[..., 1], y, strict=True):
        first, second = marks.nonzero().flatten().tolist()
        assert first < 5 <= second and float(numbers[first] + numbers[second]) == pytest.approx(float(target))


def test_copy_and_distance_by_hand():
    x, y = puzzles.COPY.make(14, 20, torch.Generator().manual_seed(0))
    assert torch.equal(x[:, :5], y) and (x[:, 5:9] == 8).all() and (x[:, 9:] == 9).all() and int(y.max()) < 8
    x, y = puzzles.DISTANCE.make(7, 20, torch.Generator().manual_seed(0))
    assert torch.equal(x[:, :1], y) and (x[:, 1:-1] >= 8).all() and (x[:, -1] == 16).all() and x.shape == (20, 7)


class Knows(torch.nn.Module):
    """Answers the distance task right, or always one symbol beside."""

    def __init__(self, off: int = 0):
        super().__init__()
        self.off, self.weight = off, torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, last):
        return torch.nn.functional.one_hot((x[:, :1] + self.off) % 8, 8).float()


def test_who_knows_the_answer_is_always_right():
    assert puzzles.tested(Knows(), puzzles.DISTANCE, 30) == 1.0
    assert puzzles.tested(Knows(1), puzzles.DISTANCE, 30) == 0.0


def test_learning_learns_and_stops_early():
    net = profile.built("lstm forget 1", puzzles.DISTANCE, profile.QUICK, 0)
    before = puzzles.tested(net, puzzles.DISTANCE, 4)
    told = puzzles.learn(net, puzzles.DISTANCE, 4, steps=300, batch=32, rate=3e-3, seed=0, every=25)
    assert before < 0.5 and told["score"] >= 0.98 and told["steps"] < 300


def test_the_last_answer_depends_on_nothing_behind_the_reach():
    """A change of a step behind it leaves the last answer's target as it was; a change at it does not."""
    for puzzle, length in ((puzzles.COPY, 14), (puzzles.DISTANCE, 7)):
        x, y = puzzle.make(length, 64, torch.Generator().manual_seed(0))
        place = length - 1 - puzzle.reach(length)
        assert torch.equal(x[:, place], y[:, -1]) and place == puzzle.unasked
    told = profile.profile(profile.built("gru", puzzles.COPY, profile.QUICK, 0), puzzles.COPY, 64, seed=0)
    assert told["reach"] == 59 and 59 in told["distances"] and told["distances"] == sorted(set(told["distances"]))
