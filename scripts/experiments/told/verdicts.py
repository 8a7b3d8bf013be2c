"""The verdicts of an experiment, from the content of its result file."""

from scripts.experiments.told import quality, speed
from scripts.experiments.told.claims import Verdict

RULES = {
    "sequential": speed.sequential,
    "gradients": quality.gradients,
    "bottleneck": quality.bottleneck,
    "costs": speed.costs,
}


def of(data: dict) -> list[Verdict]:
    """All claims of the experiment, measured or not, in a fixed order."""
    return RULES[data["experiment"]](data)
