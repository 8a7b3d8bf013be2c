"""Weights that are the same to the bit wherever and with whichever version of transformers a model is built.

Needs torch only: it also runs beside transformers 4.
"""

import hashlib
import math

import torch

STEPS = 2**12  # values lie on a grid of so many places either side of 0: exact in float32


def fill(model, seed: int = 0, spread: float = 0.3):
    """The model, its weights drawn anew by their names and in place: matrices with the standard deviation `spread`,
    a sixth of that for biases and around 1 for the scales of norms. Fixed tables (of positions) stay.
    """
    with torch.no_grad():
        for name, parameter in _named(model):
            if not parameter.requires_grad:
                continue
            digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
            chance = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
            # whole numbers: `randn` depends on the processor's vector instructions in the last bit
            places = torch.randint(-STEPS, STEPS + 1, parameter.shape, generator=chance)
            scale = spread * math.sqrt(3) / STEPS  # of a uniform distribution
            if parameter.dim() > 1:
                parameter.copy_(places * scale)
            else:
                is_scale = "norm" in name.lower() and name.endswith("weight")
                parameter.copy_(places * (scale / 6) + is_scale)
    return model.eval()


def digest(model) -> str:
    """A hash of the names and values of all weights, 16 hexadecimal digits."""
    total = hashlib.sha256()
    for name, parameter in _named(model):
        total.update(name.encode() + parameter.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def _named(model) -> list[tuple[str, torch.Tensor]]:
    """Each parameter once, tied ones by the first of their names in alphabetical order."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, parameter in sorted(model.named_parameters(remove_duplicate=False)):
        found.setdefault(id(parameter), (name, parameter))
    return sorted(found.values(), key=lambda pair: pair[0])
