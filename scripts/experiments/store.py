"""The result file of an experiment, `<experiment>--<device>.json`, and the work that fills it.

    {"schema", "experiment", "quick", "settings": {part: …}, "environment", "units": [{"unit": {"part", …}, …}]}

A unit is the least piece of work that is kept. Its figures are written as soon as it is done, with the seconds that it
took and the commit that it was made with, so a run may end at any moment and the same command goes on: what is there is
not measured again. Two commands may fill one file side by side, a part each. `environment` is that of the newest unit.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import UserError
from scripts import results
from scripts.experiments import SCHEMA

BINDING = ("hardware", "torch", "threads")  # timings made with another one of these can't stand in one table
PAUSE = 10.0  # seconds between two lines of progress where there is no terminal


class TimeUp(Exception):
    """The minutes that the user gave are over; what is done is kept."""


class Store:
    """The units of one experiment on one device. Raises `UserError` for a file that is of another kind."""

    def __init__(self, file: Path, experiment: str, environment: dict, quick: bool = False):
        self.file = file
        self.head = {"schema": SCHEMA, "experiment": experiment, "quick": quick, "settings": {}}
        self.environment, self.units, self._begun = environment, [], {}
        if before := self._read():
            self._before = before["environment"]
            if (before["experiment"], before["quick"]) != (experiment, quick):
                raise UserError(f"{file} holds another experiment: move it away, or choose another --output")

    def _read(self) -> dict | None:
        """What is in the file; its units and the settings of parts not begun here are taken over."""
        if not self.file.is_file():
            return None
        content = read(self.file)
        self.units, self.head["settings"] = content["units"], content["settings"] | self._begun
        return content

    def begin(self, part: str, settings, timed: bool = False) -> None:
        """Says with which settings (a dataclass) a part is about to be measured.

        Raises `UserError` where some of it was measured with others already; `timed` parts bind the machine too.
        """
        said = json.loads(json.dumps(dataclasses.asdict(settings)))
        if self.of(part):
            was = self.head["settings"][part]
            changed = [key for key in said.keys() | was.keys() if said.get(key) != was.get(key)]
            if timed:
                changed += [key for key in BINDING if self._before.get(key) != self.environment.get(key)]
            if changed:
                raise UserError(
                    f"{self.file}: {part} was begun with another {' and '.join(sorted(changed))}: "
                    "move the file away, or choose another --output"
                )
        self._begun[part] = self.head["settings"][part] = said

    def of(self, part: str) -> list[dict]:
        """The units of a part that are done."""
        return [done for done in self.units if done["unit"]["part"] == part]

    def __contains__(self, unit: dict) -> bool:
        return any(done["unit"] == unit for done in self.units)

    def get(self, unit: dict) -> dict | None:
        """The figures of a unit; None where it isn't done."""
        return next((done for done in self.units if done["unit"] == unit), None)

    def add(self, unit: dict, figures: dict) -> None:
        """Keeps a unit's figures, in place of older ones, on the disk too, beside what others wrote there since."""
        done = {"unit": unit} | figures | {"commit": (self.environment.get("commit") or "")[:7]}
        with _alone(self.file.parent):
            self._read()
            self.units = [other for other in self.units if other["unit"] != unit] + [done]
            head = json.dumps(self.head | {"environment": self.environment}, ensure_ascii=False, indent=1)
            lines = ",\n".join(f"  {json.dumps(each, ensure_ascii=False, allow_nan=False)}" for each in self.units)
            results.write_text(self.file, f'{head[:-2]},\n "units": [\n{lines}\n ]\n}}\n')


@contextmanager
def _alone(folder: Path):
    """Keeps other processes out of here for as long; it is the folder that is locked, so that no file is left over."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read(file: Path) -> dict:
    """The content of a result file. Raises `UserError` for one that is not of the schema."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        wanted = {"schema": int, "experiment": str, "quick": bool, "settings": dict, "environment": dict, "units": list}
        wrong = [key for key, kind in wanted.items() if not isinstance(content.get(key), kind)]
        wrong += [] if content.get("schema") == SCHEMA else [f"schema {content.get('schema')}"]
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise UserError(f"{file} is no result of an experiment: {error}") from error
    if wrong:
        raise UserError(f"{file} is no result of an experiment: {', '.join(wrong)}")
    return content


@dataclass
class Run:
    """What every part is given: the device, where things lie, when to stop, how to talk."""

    device: str
    seed: int = 13
    quick: bool = False
    runs: Path = Path("runs")  # where trainings lie
    results: Path = Path("results")  # where the harness and finetune write
    deadline: float = float("inf")  # of `time.monotonic`
    share: float = 1.0  # of the recipe's epochs, for trainings by recipe

    def left(self) -> float:
        """Seconds until the deadline. Raises `TimeUp` behind it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeUp
        return left

    def say(self, line: str) -> None:
        """One line of talk on stderr."""
        print(f"why: {line}", file=sys.stderr, flush=True)

    def work(self, store: Store, units: Iterable[dict], do: Callable[..., dict], bar: bool = True) -> None:
        """Does the units that are not in the store: `do(**unit)` without its part gives the figures to keep.

        What does not fit into memory is kept as {"error"}. `bar=False` for work that shows progress of its own.
        """
        units = list(units)
        todo = [unit for unit in units if unit not in store]
        with self._progress(units[0]["part"] if units else "", len(units), len(units) - len(todo), bar) as show:
            for unit in todo:
                self.left()
                show(unit, 0)
                began = time.monotonic()
                figures = _tried(do, {key: value for key, value in unit.items() if key != "part"})
                store.add(unit, figures | {"seconds": round(time.monotonic() - began, 2)})
                show(unit, 1)

    @contextmanager
    def _progress(self, part: str, total: int, done: int, bar: bool):
        if not (bar and sys.stderr.isatty()):
            spoken = 0.0

            def line(unit: dict, more: int) -> None:
                nonlocal done, spoken
                done += more
                if not more and time.monotonic() - spoken > PAUSE:
                    spoken = time.monotonic()
                    self.say(f"{part} {done + 1}/{total}: {_name(unit)}")

            yield line
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
            shown = progress.add_task(part, total=total, completed=done)
            yield lambda unit, more: progress.update(shown, advance=more, description=f"{part}: {_name(unit)}")


def _name(unit: dict) -> str:
    return " ".join(str(value) for key, value in unit.items() if key != "part")


def _tried(do: Callable[..., dict], unit: dict) -> dict:
    try:
        return do(**unit)
    except (MemoryError, RuntimeError) as error:
        if not no_room(error):
            raise
        return {"error": f"no room in memory: {str(error).splitlines()[0][:200]}"}


def no_room(error: Exception) -> bool:
    """Whether an exception says that memory didn't suffice, in torch's words for each device."""
    return isinstance(error, MemoryError) or any(
        word in str(error).lower() for word in ("out of memory", "can't allocate memory", "not enough memory")
    )
