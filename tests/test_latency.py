"""How calls are timed, on a clock that only moves when a callable says so; and what a fresh process reports."""

import pytest

from scripts import latency


class Stage:
    """A clock, callables that take a set time on it, and a log of what happened in what order."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def clock(self):
        self.log.append("clock")
        return self.now

    def synchronize(self):
        self.log.append("synchronize")

    def arm(self, name, seconds):
        def call(value):
            self.log.append((name, value))
            self.now += seconds(value) if callable(seconds) else seconds

        return call

    def calls(self):
        return [entry for entry in self.log if isinstance(entry, tuple)]

    def time(self, arms, inputs, **options):
        timed = {name: self.arm(name, seconds) for name, seconds in arms.items()}
        return latency.interleaved(timed, inputs, clock=self.clock, synchronize=self.synchronize, **options)


def test_arms_take_turns_input_by_input_and_neither_always_first():
    stage = Stage()
    times, failures = stage.time({"a": 0.001, "b": 0.002}, ["x", "yy", "zzz"], runs=6, seconds=0, warm_up=2)
    warm_up = [("a", "x"), ("b", "x"), ("a", "yy"), ("b", "yy")]
    one_pass = [("a", "x"), ("b", "x"), ("b", "yy"), ("a", "yy"), ("a", "zzz"), ("b", "zzz")]
    assert stage.calls() == warm_up + 2 * one_pass
    assert times == {"a": pytest.approx([1.0] * 6), "b": pytest.approx([2.0] * 6)} and not failures


def test_the_device_is_waited_for_before_each_reading_of_the_clock():
    stage = Stage()
    stage.time({"a": 0.001}, ["x"], runs=3, seconds=0, warm_up=1)
    assert stage.log == ["synchronize", "clock", ("a", "x"), "synchronize", "clock"] * 4


def test_each_arm_gets_both_its_runs_and_its_seconds():
    stage = Stage()
    times, _ = stage.time({"slow": 0.5, "quick": 1 / 128}, list(range(8)))
    # quick needs 384 runs for 3 s; slow stays with it until it has LONGEST seconds, in whole passes of 4 s
    assert len(times["quick"]) == 384
    assert len(times["slow"]) == 64 and latency.LONGEST < 32
    stage = Stage()
    times, _ = stage.time({"slower": 2.0, "slow": 1.0}, list(range(7)))
    assert {name: len(each) for name, each in times.items()} == {"slower": 56, "slow": 56}  # 50 runs, in whole passes


def test_runs_tell_their_input():
    stage = Stage()
    lengths = [0.001, 0.005, 0.002]
    times, _ = stage.time({"a": lambda x: x, "b": lambda x: 2 * x}, lengths, runs=9, seconds=0)
    for i, length in enumerate(lengths):
        assert times["a"][i::3] == pytest.approx([1000 * length] * 3)
        assert times["b"][i::3] == pytest.approx([2000 * length] * 3)


def test_what_takes_no_time_ends():
    times, _ = Stage().time({"nothing": 0.0}, ["x", "y"])
    assert len(times["nothing"]) == latency.MOST


def test_an_arm_that_raises_leaves_and_the_other_goes_on():
    stage = Stage()

    def broken(value):
        if value == 3:
            raise MemoryError("no room")
        stage.now += 0.001

    arms = {"broken": broken, "sound": stage.arm("sound", 0.001)}
    times, failures = latency.interleaved(arms, [1, 2, 3, 4], runs=8, seconds=0, clock=stage.clock, warm_up=1)
    assert str(failures.pop("broken")) == "no room" and not failures
    assert list(times) == ["sound"] and len(times["sound"]) == 8
    nothing, failures = latency.interleaved({"broken": broken}, [3], clock=stage.clock)
    assert not nothing and list(failures) == ["broken"]
    assert latency.interleaved({}, [1]) == ({}, {})


def test_progress_is_that_of_the_arm_that_lags():
    shares, stage = [], Stage()
    stage.time({"a": 0.25, "b": 1.0}, ["x", "y"], runs=2, seconds=2.0, progress=shares.append)
    assert shares == pytest.approx([i / 8 for i in range(1, 9)])


def test_summary_by_hand():
    found = latency.summary([float(ms) for ms in range(101)])  # 0 … 100: percentile q is q
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "mean": 50.0, "runs": 101}
    assert latency.summary([1.0, 1.0, 4.0])["mean"] == 2.0
