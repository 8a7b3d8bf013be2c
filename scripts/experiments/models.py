"""The arms that are compared: RNN, GRU and LSTM of torch.nn and a causal Transformer, between the same ends.

Letters in the shape comments: B batch, T tokens, E width, H hidden units, N heads.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
NEAR = 0.02  # arms of "equal" parameters differ by no more than this share


class Recurrent(nn.Module):
    """Layers of torch.nn's tanh RNN, GRU or LSTM, and a projection back to the width of what comes in.

    forget_bias: None for torch's own initial biases, else zero biases but for the forget gates. orthogonal: recurrent
    weights that start as a random orthogonal matrix, and zero biases (Saxe et al. 2014).
    """

    def __init__(self, kind: str, width: int, hidden: int, layers: int = 1, forget_bias=None, orthogonal=False):
        super().__init__()
        self.cells = CELLS[kind](width, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, width)
        for name, parameter in self.cells.named_parameters():
            if orthogonal and "weight_hh" in name:
                nn.init.orthogonal_(parameter)
            if "bias" in name and (orthogonal or forget_bias is not None):
                nn.init.zeros_(parameter)
                if forget_bias is not None and "bias_ih" in name:  # gates in torch's order: input, forget, cell, output
                    nn.init.constant_(parameter[hidden : 2 * hidden], forget_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, E) → (B, T, E)"""
        return self.out(self.cells(x)[0])

    def start(self, x: torch.Tensor, room: int):
        """The state after x (B, T, E), for `step`; it needs no room."""
        return self.cells(x)[1]

    def step(self, x: torch.Tensor, state) -> tuple[torch.Tensor, object]:
        """One more token, (B, 1, E) → (B, 1, E), and the state behind it."""
        hidden, state = self.cells(x, state)  # (B, 1, H)
        return self.out(hidden), state


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer of 4E, each behind a layer norm and beside a residual path."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def _split(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, T, E) → queries, keys, values (B, N, T, E/N)"""
        parts = self.qkv(self.norm(x)).chunk(3, dim=-1)
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]

    def _rest(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = x + self.out(context.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm_wide(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, E) → (B, T, E)"""
        return self._rest(x, F.scaled_dot_product_attention(*self._split(x), is_causal=True))

    def start(self, x: torch.Tensor, room: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """What the block makes of x (B, T, E), and its keys and values with room for more tokens behind them."""
        q, k, v = self._split(x)
        context = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._rest(x, context), tuple(F.pad(kept, (0, 0, 0, room)) for kept in (k, v))

    def step(self, x: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor], place: int) -> torch.Tensor:
        """One more token (B, 1, E), at `place`; its key and value are written into `kept` (B, N, T + room, E/N)."""
        q, *new = self._split(x)
        for cache, value in zip(kept, new, strict=True):
            cache[:, :, place] = value[:, :, 0]
        keys, values = (cache[:, :, : place + 1] for cache in kept)
        return self._rest(x, F.scaled_dot_product_attention(q, keys, values))


class Transformer(nn.Module):
    """Causal blocks with sinusoids for positions (Vaswani et al. 2017, section 3.5), or without positions."""

    def __init__(self, width: int, layers: int, heads: int = 4, positions: bool = True):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.positions = nn.LayerNorm(width), positions
        self._table = torch.empty(0, width)  # of the places met so far: made once, for it would cost time at each step

    def _placed(self, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        if not self.positions:
            return x
        end = first + x.shape[1]
        if len(self._table) < end or (self._table.device, self._table.dtype) != (x.device, x.dtype):
            self._table = sinusoids(end, x.shape[2]).to(x)  # (end, E)
        return x + self._table[first:end]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, E) → (B, T, E)"""
        x = self._placed(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def start(self, x: torch.Tensor, room: int) -> tuple[list, int]:
        """What `step` needs to go on behind x (B, T, E) by at most `room` tokens: caches, and the place of the next."""
        length, caches = x.shape[1], []
        x = self._placed(x)
        for block in self.blocks:
            x, kept = block.start(x, room)
            caches.append(kept)
        return caches, length

    def step(self, x: torch.Tensor, state: tuple[list, int]) -> tuple[torch.Tensor, tuple[list, int]]:
        """One more token, (B, 1, E) → (B, 1, E), and the state behind it. The caches are written in place."""
        caches, place = state
        x = self._placed(x, place)
        for block, kept in zip(self.blocks, caches, strict=True):
            x = block.step(x, kept, place)
        return self.norm(x), (caches, place + 1)


def sinusoids(length: int, width: int) -> torch.Tensor:
    """(T, E) float64, of the places from 0 on."""
    places = torch.arange(length, dtype=torch.float64).unsqueeze(1)  # (T, 1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10_000.0) / width))  # (E/2,)
    return torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=-1).flatten(1)[:, :width]


class Network(nn.Module):
    """A trunk between ends that are alike for all arms: `features` numbers a step, or tokens of a `vocabulary`, come
    in; `outputs` numbers come out, at the last places. `attention`: the readout also attends to what the trunk made of
    each step up to its own (a dot product, as in Luong et al. 2015)."""

    def __init__(self, trunk: nn.Module, width: int, outputs: int, vocabulary=0, features=0, attention=False):
        super().__init__()
        self.read = nn.Embedding(vocabulary, width) if vocabulary else nn.Linear(features, width)
        self.trunk = trunk
        self.query = nn.Linear(width, width) if attention else None
        self.head = nn.Linear(width * (2 if attention else 1), outputs)

    def forward(self, x: torch.Tensor, last: int = 0) -> torch.Tensor:
        """Tokens (B, T) or numbers (B, T, features) → (B, last, outputs); `last` 0: all places."""
        return self.readout(self.trunk(self.read(x)), last)

    def readout(self, made: torch.Tensor, last: int = 0) -> torch.Tensor:
        """What the trunk made (B, T, E) → (B, last, outputs)."""
        length = made.shape[1]
        own = made[:, length - (last or length) :]  # (B, last, E)
        if self.query is None:
            return self.head(own)
        scores = self.query(own) @ made.transpose(1, 2) * made.shape[-1] ** -0.5  # (B, last, T)
        places = torch.arange(length, device=made.device)
        later = places > places[length - own.shape[1] :].unsqueeze(1)  # (last, T)
        context = scores.masked_fill(later, float("-inf")).softmax(-1) @ made  # (B, last, E)
        return self.head(torch.cat([own, context], dim=-1))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def matched(build: Callable[[int], nn.Module], target: int, step: int = 1) -> int:
    """The size, a multiple of `step`, with which `build(size)` has the number of parameters nearest to `target`.

    Raises `ValueError` where that is off by more than `NEAR`: a size of less than some 60 units is too coarse.
    """

    def size(n: int) -> int:
        with torch.device("meta"):
            return count(build(n * step))

    low, high = 1, 2
    while size(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < target else (low, middle)
    best = min((low, high), key=lambda n: abs(size(n) - target))
    if abs(size(best) - target) > NEAR * target:
        raise ValueError(f"{size(best):,} parameters is the nearest to {target:,}: too coarse, take larger models")
    return best * step
