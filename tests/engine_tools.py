"""What the tests of the engines share: a pipeline in torch beside one in the engine, and how they are compared."""

import importlib.util

import pytest

from pipelines import engines, pipeline

needs = {
    name: pytest.mark.skipif(
        any(importlib.util.find_spec(package) is None for package in packages), reason=f"{name} isn't installed"
    )
    for name, packages in engines.PACKAGES.items()
}
CLASSIFYING = [pytest.param(name, marks=needs[name]) for name in needs]


def both(task, model, engine, dtype=None, **options):
    """The pipeline in torch, and the one in the engine."""
    ours = pipeline(task, model=model, engine="torch", device="cpu", **options)
    return ours, pipeline(task, model=model, engine=engine, device="cpu", dtype=dtype, **options)


def untouched(pipe) -> bool:
    """Whether the engine alone has answered."""
    return pipe.model._torch_model is None


def close(found, expected, by: float) -> bool:
    """Equal but for the scores, which may differ by so much."""
    if isinstance(found, list):
        return len(found) == len(expected) and all(close(a, b, by) for a, b in zip(found, expected, strict=True))
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key], by) for key in found)
    return found == (pytest.approx(expected, abs=by) if isinstance(found, float) else expected)
