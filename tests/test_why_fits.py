"""What measured points say: slopes of known functions, crossings, kinds of growth, decays."""

import math

import pytest

from scripts import latency
from scripts.experiments.told import fits

LENGTHS = [2**i for i in range(4, 11)]


def timed(cost) -> dict[int, list[float]]:
    """Milliseconds of a function that takes `cost(n)` on a clock that nothing else moves, as `latency` has them."""
    now = 0.0
    found = {}
    for n in LENGTHS:

        def work(_, n=n):
            nonlocal now
            now += cost(n) / 1000

        times, _ = latency.interleaved({"it": work}, [None], runs=5, seconds=0, clock=lambda: now)
        found[n] = times["it"]
    return found


@pytest.mark.parametrize(("cost", "power"), [(lambda n: 3 * n, 1), (lambda n: n * n / 50, 2), (lambda n: 7, 0)])
def test_a_known_function_has_its_slope(cost, power):
    times = timed(cost)
    fit = fits.slope(LENGTHS, [fits.quartiles(ms)["median"] for ms in times.values()])
    assert fit["slope"] == pytest.approx(power, abs=1e-6)
    assert fit["low"] == pytest.approx(power, abs=1e-4) and fit["high"] == pytest.approx(power, abs=1e-4)


def test_the_interval_of_a_slope_is_students():
    # by hand: x = 0, 1, 2, 3 in logs of 10; y = 0, 1.1, 1.9, 3 → slope 0.98, residual variance 0.016/2, Sxx = 5
    fit = fits.slope([1, 10, 100, 1000], [1, 10**1.1, 10**1.9, 1000])
    reach = 4.302653 * math.sqrt(0.018 / 2 / 5)
    assert fit["slope"] == pytest.approx(0.98)
    assert (fit["low"], fit["high"]) == (pytest.approx(0.98 - reach, rel=1e-5), pytest.approx(0.98 + reach, rel=1e-5))
    assert math.isnan(fits.slope([1, 2], [1, 2])["slope"])


def test_the_longer_half_has_three_lengths_at_least():
    assert [fits.upper(range(n)) for n in (2, 3, 4, 6, 9)] == [0, 0, 1, 3, 4]


def test_exponential_growth_is_told_from_powers():
    lengths = [16, 32, 64, 128, 256]
    assert fits.exponential(lengths, [1.02**n for n in lengths]) is True
    assert fits.exponential(lengths, [n**2 for n in lengths]) is False
    longer = LENGTHS[fits.upper(LENGTHS) :]
    assert fits.exponential(longer, [100 + n for n in longer]) is False  # a fixed cost, then linear
    assert fits.exponential([16, 32, 64], [5.0, 3.0, 5.0]) is None  # neither


def test_curves_cross_where_they_should():
    both = [[10 * n for n in LENGTHS], [n * n / 10 for n in LENGTHS]]
    assert fits.crossings(LENGTHS, *both) == [pytest.approx(100)]
    assert fits.crossings(LENGTHS, both[0], [2 * t for t in both[0]]) == []


def test_decay_of_a_known_factor():
    distances = [1, 2, 5, 20, 50]
    found = fits.decay(distances, [3 * 0.8**d for d in distances])
    assert found["per_step"] == pytest.approx(0.8) and found["half_distance"] == pytest.approx(3.10628, rel=1e-5)
    assert fits.decay(distances, [2.0] * 5) == {"per_step": pytest.approx(1), "half_distance": None}
    assert fits.decay([1, 2, 3], [0.5, 0.25, 0.0])["half_distance"] == pytest.approx(1)  # what underflowed says nothing
    assert fits.decay([1, 2], [0.0, 0.0])["per_step"] is None


def test_quartiles_by_hand():
    assert fits.quartiles([1, 2, 3, 4, 100]) == {"median": 3, "q1": 2, "q3": 4, "runs": 5}
