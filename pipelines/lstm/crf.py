"""Linear-chain conditional random field (Lafferty et al. 2001) over the tags of the words of a text.

Exact: the partition sum by the forward algorithm in log space, the best path by Viterbi, marginals by forward-backward.
Everything is vectorised over the batch, in float32. Letters: B texts, W words, K tags; the real words of a row come
first, at least one a row, and `mask` (B, W) is true there.
"""

from functools import lru_cache

import torch
from torch import nn

IMPOSSIBLE = -1e4  # exp(-10,000) is 0 in float32, and unlike -inf it gives no NaN in a gradient


class Chain:
    """What leads from tag to tag: transitions (K, K), from row to column; start and end (K,)."""

    def __init__(self, transitions: torch.Tensor, start: torch.Tensor, end: torch.Tensor):
        self.transitions, self.start, self.end = transitions, start, end

    def score(self, emissions, tags, mask):
        """Scores of the paths tags (B, W), (B,)."""
        real = mask.to(emissions.dtype)  # (B, W)
        words = emissions.gather(2, tags.unsqueeze(2)).squeeze(2) * real  # (B, W)
        steps = self.transitions[tags[:, :-1], tags[:, 1:]] * real[:, 1:]  # (B, W - 1)
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)  # (B,)
        return words.sum(1) + steps.sum(1) + self.start[tags[:, 0]] + self.end[last]

    def partition(self, emissions, mask):
        """log of the sum of exp(score) over all paths, (B,)."""
        return (self._forward(emissions, mask)[-1] + self.end).logsumexp(1)

    def marginals(self, emissions, mask):
        """p(tag of word w is k | text), (B, W, K); what stands at padding means nothing."""
        ahead = self._forward(emissions, mask)
        behind = [self.end.expand_as(ahead[0])]  # of the last word; padding passes it on to the left
        for w in range(emissions.shape[1] - 1, 0, -1):
            arriving = (emissions[:, w] + behind[-1]).unsqueeze(1)  # (B, 1, K)
            step = (self.transitions + arriving).logsumexp(2)  # (B, K)
            behind.append(torch.where(mask[:, w, None], step, behind[-1]))
        return (torch.stack(ahead, 1) + torch.stack(behind[::-1], 1)).softmax(2)

    def viterbi(self, emissions, mask):
        """The best paths, (B, W) int64; 0 at padding."""
        best, origins = self.start + emissions[:, 0], []  # (B, K)
        stay = torch.arange(emissions.shape[2], device=emissions.device)
        for w in range(1, emissions.shape[1]):
            step, origin = (best.unsqueeze(2) + self.transitions).max(1)  # (B, K) each
            real = mask[:, w, None]
            best = torch.where(real, step + emissions[:, w], best)
            origins.append(torch.where(real, origin, stay))
        path = [(best + self.end).argmax(1, keepdim=True)]  # (B, 1)
        for origin in reversed(origins):
            path.append(origin.gather(1, path[-1]))
        return torch.cat(path[::-1], 1) * mask

    def _forward(self, emissions, mask) -> list[torch.Tensor]:
        """log of the summed weight of all paths up to each word and tag: W of (B, K)."""
        ahead = [self.start + emissions[:, 0]]
        for w in range(1, emissions.shape[1]):
            step = (ahead[-1].unsqueeze(2) + self.transitions).logsumexp(1) + emissions[:, w]
            ahead.append(torch.where(mask[:, w, None], step, ahead[-1]))
        return ahead


class LinearChainCRF(nn.Module):
    """Learned transitions, start and end scores. What IOB2 forbids (`iob2`) has no weight, in decoding and in the
    partition sum alike, whatever the parameters are."""

    def __init__(self, labels: tuple[str, ...]):
        super().__init__()
        self.labels = labels
        self.transitions = nn.Parameter(torch.zeros(len(labels), len(labels)))
        self.start = nn.Parameter(torch.zeros(len(labels)))
        self.end = nn.Parameter(torch.zeros(len(labels)))

    def chain(self) -> Chain:
        rules = iob2(self.labels, self.start.device)
        return Chain(self.transitions.float() + rules.transitions, self.start.float() + rules.start, self.end.float())

    def log_likelihood(self, emissions, tags, mask):
        """log p(tags | text), (B,), of emissions (B, W, K) and tags (B, W), any number at padding."""
        emissions, tags, chain = emissions.float(), tags.where(mask, 0), self.chain()
        return chain.score(emissions, tags, mask) - chain.partition(emissions, mask)


@lru_cache(maxsize=32)
def iob2(labels: tuple[str, ...], device: torch.device) -> Chain:
    """0 where IOB2 allows a step and IMPOSSIBLE where not: I-X follows only B-X and I-X. Other labels are free."""

    def cost(before: str | None, after: str) -> float:
        inside = after.startswith("I-") and "B-" + after[2:] in labels
        return IMPOSSIBLE if inside and before not in (after, "B-" + after[2:]) else 0.0

    transitions = torch.tensor([[cost(a, b) for b in labels] for a in labels], device=device)  # (K, K)
    start = torch.tensor([cost(None, label) for label in labels], device=device)  # (K,)
    return Chain(transitions, start, torch.zeros_like(start))


def best_iob2(scores: torch.Tensor, labels: tuple[str, ...]) -> torch.Tensor:
    """The most likely label ids (W,) that IOB2 allows, from the words' label probabilities (W, K)."""
    rules, path = iob2(labels, scores.device), scores.argmax(1)  # (W,)
    if rules.start[path[0]] == 0 and bool((rules.transitions[path[:-1], path[1:]] == 0).all()):
        return path  # nearly always
    mask = torch.ones(1, len(path), dtype=torch.bool, device=scores.device)
    return Chain(rules.transitions, rules.start, rules.end).viterbi(scores.clamp(min=1e-30).log().unsqueeze(0), mask)[0]
