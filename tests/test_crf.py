"""The conditional random field against brute force over all tag sequences, on rows of different lengths."""

import itertools
import math

import pytest
import torch

from pipelines.lstm.crf import IMPOSSIBLE, LinearChainCRF, iob2

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LENGTHS = (5, 1, 3)


@pytest.fixture
def crf():
    torch.manual_seed(3)
    crf = LinearChainCRF(LABELS)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    return crf


@pytest.fixture
def texts():
    """Emissions (3, 5, 5), with garbage at the padding, and their mask (3, 5)."""
    torch.manual_seed(5)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)
    return torch.randn(len(LENGTHS), max(LENGTHS), len(LABELS)).masked_fill(~mask.unsqueeze(2), 50.0), mask


def valid(tags) -> bool:
    before = ("O", *tags)
    return all(not tag.startswith("I-") or last[2:] == tag[2:] for last, tag in zip(before, tags, strict=False))


def paths(crf, emissions, length) -> dict[tuple, float]:
    """Every valid path of a row and its score, added up by hand."""
    start, move, end, e = (x.tolist() for x in (crf.start, crf.transitions, crf.end, emissions))
    return {
        tags: start[tags[0]] + end[tags[-1]] + sum(e[w][k] for w, k in enumerate(tags))
        + sum(move[a][b] for a, b in itertools.pairwise(tags))
        for tags in itertools.product(range(len(LABELS)), repeat=length)
        if valid([LABELS[k] for k in tags])
    }  # fmt: skip


def log_sum(scores) -> float:
    return math.log(sum(map(math.exp, scores)))


def test_partition_marginals_and_best_path_are_those_of_brute_force(crf, texts):
    emissions, mask = texts
    chain = crf.chain()
    with torch.no_grad():
        partition, marginals = chain.partition(emissions, mask), chain.marginals(emissions, mask)
    best = chain.viterbi(emissions, mask)
    for row, length in enumerate(LENGTHS):
        every = paths(crf, emissions[row], length)
        assert float(partition[row]) == pytest.approx(log_sum(every.values()), abs=1e-4)
        assert best[row].tolist() == [*max(every, key=every.get), *[0] * (max(LENGTHS) - length)]
        for word, label in itertools.product(range(length), range(len(LABELS))):
            share = sum(math.exp(score - float(partition[row])) for tags, score in every.items() if tags[word] == label)
            assert float(marginals[row, word, label]) == pytest.approx(share, abs=1e-5)


def test_likelihoods_of_all_valid_paths_sum_to_one_and_of_invalid_ones_to_nothing(crf, texts):
    emissions, mask = (x[2:, :3] for x in texts)
    every = list(itertools.product(range(len(LABELS)), repeat=3))
    tags = torch.tensor(every)
    many = emissions.expand(len(every), -1, -1), tags, mask.expand(len(every), -1)
    likelihoods = crf.log_likelihood(*many).exp()
    kept = torch.tensor([valid([LABELS[k] for k in path]) for path in every])
    assert 0 < kept.sum() < len(every)
    assert float(likelihoods[kept].sum()) == pytest.approx(1, abs=1e-5)
    assert likelihoods[~kept].max() == 0


def test_a_row_does_not_depend_on_its_batch_nor_on_what_stands_at_padding(crf, texts):
    emissions, mask = texts
    tags = torch.tensor([[0, 1, 2, 2, 3], [3, -100, -100, -100, -100], [1, 2, 0, -100, -100]])
    together = crf.log_likelihood(emissions, tags, mask)
    assert torch.equal(together, crf.log_likelihood(emissions.where(mask.unsqueeze(2), -7.0), tags, mask))
    for row, length in enumerate(LENGTHS):
        alone = crf.log_likelihood(
            emissions[row : row + 1, :length], tags[row : row + 1, :length], mask[row : row + 1, :length]
        )
        assert alone.item() == pytest.approx(together[row].item(), abs=1e-5)


def test_the_partition_sums_gradient_is_the_marginals(crf, texts):
    emissions, mask = texts
    emissions.requires_grad_()
    chain = crf.chain()
    chain.partition(emissions, mask).sum().backward()
    torch.testing.assert_close(emissions.grad[mask], chain.marginals(emissions, mask)[mask].detach(), atol=1e-5, rtol=0)


def test_training_steps_move_every_score_and_raise_the_likelihood(crf, texts):
    emissions, mask = texts
    tags = torch.tensor([[0, 1, 2, 2, 3], [3, 0, 0, 0, 0], [1, 2, 0, 0, 0]])
    before = {name: parameter.detach().clone() for name, parameter in crf.named_parameters()}
    optimizer = torch.optim.SGD(crf.parameters(), lr=0.1)
    scores = []
    for _ in range(20):
        scores.append(-crf.log_likelihood(emissions, tags, mask).sum())
        scores[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert scores[-1] < scores[0]
    assert all(torch.isfinite(x).all() and not torch.equal(x, before[name]) for name, x in crf.named_parameters())


def test_emissions_that_want_the_impossible_still_decode_to_valid_tags(crf):
    emissions = torch.zeros(1, 6, len(LABELS))
    emissions[0, :, LABELS.index("I-PER")] = 100.0
    emissions[0, 3, LABELS.index("I-LOC")] = 300.0
    path = crf.chain().viterbi(emissions, torch.ones(1, 6, dtype=torch.bool))[0]
    tags = [LABELS[k] for k in path]
    assert valid(tags) and "I-PER" in tags and "I-LOC" in tags


def test_labels_of_another_scheme_are_free():
    rules = iob2(("NOUN", "VERB", "I-beam"), torch.device("cpu"))
    assert not rules.transitions.any() and not rules.start.any()
    assert iob2(LABELS, torch.device("cpu")).start.tolist() == [0, 0, IMPOSSIBLE, 0, IMPOSSIBLE]
