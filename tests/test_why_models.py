"""The arms: equal where they are said to be, cached steps like whole sequences, attention like torch's own."""

import dataclasses

import pytest
import torch

from scripts.experiments import models, profile, puzzles, recall, sequential
from scripts.experiments.store import Run

QUICK = sequential.QUICK
TINY = dataclasses.replace(
    QUICK, lengths=(4, 6), rounds=1, runs=1, tokens=12, width=16, heads=2, layers=2, depth=2, vocabulary=11, decoded=2
)


def near(counts) -> bool:
    return max(counts) - min(counts) <= 2 * models.NEAR * min(counts)


@pytest.mark.parametrize("settings", [sequential.QUICK, sequential.FULL], ids=["quick", "full"])
def test_equal_parameters_are_equal(settings):
    arms = sequential.built("parameters", settings)
    counts = {arm: models.count(network.trunk) for arm, network in arms.items()}
    goal = counts["transformer"]
    assert list(arms) == list(sequential.ARMS)
    assert all(abs(count - goal) <= models.NEAR * goal for count in counts.values()), counts
    ends = {models.count(network) - counts[arm] for arm, network in arms.items()}
    assert len(ends) == 1  # what is around the trunks is the same


def test_equal_depth_is_equal():
    arms = sequential.built("depth", TINY)
    assert len(arms["transformer"].trunk.blocks) == 2
    for arm in ("rnn", "gru", "lstm"):
        cells = arms[arm].trunk.cells
        assert (cells.num_layers, cells.hidden_size) == (2, 16)


def test_arms_of_gradients_and_of_recall_are_equal():
    counts = [models.count(profile.built(arm, puzzles.COPY, profile.FULL, 0).trunk) for arm in profile.ARMS]
    assert near(counts) and len(counts) == 8
    for hidden in (64, 128):
        counts = [models.count(recall.built(arm, hidden, 0)) for arm in ("lstm attention", "transformer")]
        assert near(counts)


def test_what_is_too_coarse_is_refused():
    with pytest.raises(ValueError, match="too coarse"):
        models.matched(lambda n: torch.nn.Linear(100, n), 333)
    assert models.matched(lambda n: torch.nn.Linear(99, n), 100 * 77) == 77


@pytest.mark.parametrize("control", sequential.CONTROLS)
def test_cached_steps_are_the_whole_sequence(control):
    settings = dataclasses.replace(QUICK, width=32, heads=4, layers=2, vocabulary=11)
    for arm, network in sequential.built(control, settings).items():
        ids = torch.randint(11, (1, 9))
        with torch.no_grad():
            whole = network.trunk(network.read(ids))
            state = network.trunk.start(network.read(ids[:, :4]), 5)
            for place in range(4, 9):
                step, state = network.trunk.step(network.read(ids[:, place : place + 1]), state)
                assert torch.allclose(step, whole[:, place : place + 1], atol=1e-5), (arm, place)


def test_a_block_is_torchs_own_layer():
    torch.manual_seed(0)
    ours = models.Block(16, 4).eval()
    theirs = torch.nn.TransformerEncoderLayer(16, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    pairs = {"norm1": ours.norm, "norm2": ours.norm_wide, "linear1": ours.wide, "linear2": ours.narrow,
             "self_attn.out_proj": ours.out}  # fmt: skip
    for name, module in pairs.items():
        theirs.get_submodule(name).load_state_dict(module.state_dict())
    theirs.self_attn.in_proj_weight.data.copy_(ours.qkv.weight)
    theirs.self_attn.in_proj_bias.data.copy_(ours.qkv.bias)
    x = torch.randn(2, 7, 16)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(7)
    assert torch.allclose(ours(x), theirs(x, src_mask=mask, is_causal=True), atol=1e-5)


def test_nothing_looks_ahead():
    torch.manual_seed(0)
    for trunk, attention in ((models.Transformer(16, 2), False), (models.Recurrent("gru", 16, 8), True)):
        network = models.Network(trunk, 16, outputs=3, vocabulary=9, attention=attention).eval()
        ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
        other = torch.tensor([[1, 2, 3, 8, 5, 7]])
        one, two = network(ids), network(other)
        assert torch.allclose(one[:, :3], two[:, :3], atol=1e-6) and not torch.allclose(one[:, 3:], two[:, 3:])
        assert torch.allclose(network(ids, last=2), one[:, -2:], atol=1e-6)


def test_positions_tell_places_apart_and_can_be_left_out():
    ids = torch.tensor([[1, 1, 1, 1]])
    for positions in (True, False):
        network = models.Network(models.Transformer(16, 1, positions=positions), 16, outputs=3, vocabulary=9)
        out = network(ids)[0]
        assert torch.allclose(out[0], out[3], atol=1e-5) != positions
    table = models.sinusoids(5, 4)
    assert table[3].tolist() == pytest.approx([0.14112, -0.98999, 0.0299955, 0.99955], abs=1e-5)  # sin 3, cos 3 …


def test_initial_biases_and_orthogonal_weights():
    trunk = models.Recurrent("lstm", 8, 6, forget_bias=3.0)
    total = trunk.cells.bias_ih_l0 + trunk.cells.bias_hh_l0
    assert total.tolist() == [0.0] * 6 + [3.0] * 6 + [0.0] * 12
    weight = models.Recurrent("rnn", 8, 6, orthogonal=True).cells.weight_hh_l0
    assert torch.allclose(weight @ weight.T, torch.eye(6), atol=1e-5)


# --- what is timed and counted ---


def test_steps_in_a_row():
    arms = sequential.built("depth", TINY)
    assert sequential.steps(arms["lstm"].trunk, "train_batch", 100) == 101
    assert sequential.steps(arms["transformer"].trunk, "train_batch", 100) == 2
    assert {sequential.steps(arms[arm].trunk, "decode", 100) for arm in arms} == {2}


def test_what_is_counted():
    run = Run(device="cpu")
    arms = sequential.built("depth", TINY)
    behind = {n: sequential.sizes(arms, "decode", n, TINY, run)["arms"] for n in (5, 10)}
    keys = 2 * 2 * 16 * 4 / 1e6  # two layers' keys and values of 16 numbers, 4 bytes each
    assert behind[10]["transformer"]["kept_mb"] == pytest.approx(10 * keys)
    assert behind[5]["transformer"]["kept_mb"] == pytest.approx(5 * keys)
    assert behind[10]["lstm"]["kept_mb"] == behind[5]["lstm"]["kept_mb"] == pytest.approx(2 * 2 * 16 * 4 / 1e6)
    held = {n: sequential.sizes(arms, "train_batch", n, TINY, run)["arms"]["rnn"]["kept_mb"] for n in (40, 80)}
    assert 1.7 < held[80] / held[40] < 2.3  # the weights, which don't grow, are no part of it


@pytest.mark.parametrize("measure", sequential.MEASURES)
def test_every_arm_is_timed_as_often_as_asked(measure):
    settings = dataclasses.replace(TINY, runs=3)
    told = sequential.times(sequential.built("depth", settings), measure, 6, settings, Run(device="cpu"))
    assert list(told) == ["ms"] and {arm: len(ms) for arm, ms in told["ms"].items()} == dict.fromkeys(
        sequential.ARMS, 3
    )
    assert all(value > 0 for ms in told["ms"].values() for value in ms)


def test_training_steps_have_the_tokens_or_rows_that_are_said():
    network = sequential.built("depth", TINY)["rnn"]
    seen = []
    network.read.register_forward_hook(lambda module, given, made: seen.append(tuple(given[0].shape)))
    for measure in ("train_tokens", "train_batch", "encode"):
        sequential.call(network, measure, 6, TINY)(None)
    assert seen == [(2, 6), (TINY.batch, 6), (1, 6)]


def test_an_arm_without_room_leaves_and_is_told(monkeypatch):
    arms = sequential.built("depth", TINY)
    real = sequential.call

    def call(network, *rest):
        if network is arms["transformer"]:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return real(network, *rest)

    monkeypatch.setattr(sequential, "call", call)
    told = sequential.times(arms, "encode", 6, TINY, Run(device="cpu"))
    assert list(told["ms"]) == ["rnn", "gru", "lstm"] and "out of memory" in told["failed"]["transformer"]
