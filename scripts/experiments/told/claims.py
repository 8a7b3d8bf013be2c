"""A claim, the cases it is tried in, and the verdict that follows: no verdict is written by hand.

A claim is *supported* where it holds in all cases, *not supported* where it holds in none, and else it *depends on*
what tells the cases apart. A case may tell nothing, as where no arm has learnt its task: it doesn't count, and is told.
"""

from dataclasses import dataclass

CLEARLY = 1.05  # a ratio of costs below this is no difference
LEARNT = 0.9  # share right from which on something counts as learnt


@dataclass(frozen=True)
class Case:
    """One trial of a claim: what it was, whether the claim holds in it (None: it tells nothing), and the figures."""

    name: str
    holds: bool | None
    figures: str

    def __str__(self) -> str:
        return f"{self.name}: {self.figures}"


@dataclass(frozen=True)
class Verdict:
    """A claim with the rule that judges a case, and the cases. `factor` is what the cases differ in, `instead` what was
    measured, in a sentence, where the claim itself names a figure."""

    claim: str
    rule: str
    factor: str
    cases: tuple[Case, ...]
    instead: str = ""

    @property
    def word(self) -> str:
        if not self.cases:
            return "not measured"
        held, failed = len(self.supports), len(self.against)
        if held and failed:
            return f"depends on {self.factor}"
        return "supported" if held else "not supported" if failed else "undecided"

    @property
    def supports(self) -> list[Case]:
        return [case for case in self.cases if case.holds]

    @property
    def against(self) -> list[Case]:
        return [case for case in self.cases if case.holds is False]

    @property
    def silent(self) -> list[Case]:
        return [case for case in self.cases if case.holds is None]


def interval(score: dict, places: int = 2) -> str:
    """A score with its interval."""
    return f"{score['value']:.{places}f} [{score['low']:.{places}f}, {score['high']:.{places}f}]"
