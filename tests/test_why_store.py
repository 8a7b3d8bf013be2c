"""Units of work: done once, kept at once, and never mixed with those of other settings."""

import dataclasses
import json

import pytest

from pipelines.errors import UserError
from scripts.experiments import store
from scripts.experiments.store import Run, Store, TimeUp

ENVIRONMENT = {"device": "cpu", "hardware": "x", "torch": "2", "threads": 2, "commit": "abcdef123", "seed": 13}


@dataclasses.dataclass(frozen=True)
class Settings:
    lengths: tuple = (1, 2)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "results" / "sequential--cpu.json"


def opened(file, quick=False, **changes) -> Store:
    return Store(file, "sequential", ENVIRONMENT | changes, quick)


def work(file, units, fail_at=None, run=None) -> list[int]:
    """The lengths that were worked on."""
    done = []

    def do(length):
        if length == fail_at:
            raise KeyboardInterrupt
        done.append(length)
        return {"value": length}

    kept = opened(file)
    kept.begin("p", Settings())
    (run or Run(device="cpu")).work(kept, [{"part": "p", "length": n} for n in units], do)
    return done


def test_nothing_is_done_twice(file):
    with pytest.raises(KeyboardInterrupt):
        work(file, [1, 2, 3], fail_at=3)
    assert [unit["value"] for unit in store.read(file)["units"]] == [1, 2]  # what was done is on the disk
    assert work(file, [1, 2, 3, 4]) == [3, 4]
    assert work(file, [1, 2, 3, 4]) == []
    content = json.loads(file.read_text())
    assert content["schema"] == 1 and content["settings"] == {"p": {"lengths": [1, 2]}} and not content["quick"]
    assert content["units"][0]["unit"] == {"part": "p", "length": 1} and content["units"][0]["commit"] == "abcdef1"
    assert content["environment"] == ENVIRONMENT and content["units"][0]["seconds"] >= 0


def test_a_unit_a_line(file):
    work(file, [1, 2])
    assert sum('"unit":' in line for line in file.read_text().splitlines()) == 2


def test_a_unit_done_again_replaces_the_old_one(file):
    kept = opened(file)
    kept.begin("p", Settings())
    kept.add({"part": "p"}, {"value": 1})
    kept.add({"part": "p"}, {"value": 2})
    assert [unit["value"] for unit in store.read(file)["units"]] == [2] and kept.get({"part": "p"})["value"] == 2


def test_two_commands_fill_one_file(file):
    work(file, [1])
    one, other = opened(file), opened(file)
    file.unlink()  # and begun anew: what one read when it was opened is not written again
    for kept, part in ((opened(file), "r"), (one, "q"), (other, "s"), (one, "q"), (other, "s")):
        kept.begin(part, Settings())
        kept.add({"part": part, "length": len(kept.of(part))}, {})
    content = store.read(file)
    done = [tuple(each["unit"].values()) for each in content["units"]]
    assert done == [("r", 0), ("q", 0), ("s", 0), ("q", 1), ("s", 1)] and content["settings"].keys() == {"q", "r", "s"}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_other_settings_are_refused_and_other_parts_are_free(file):
    work(file, [1])
    with pytest.raises(UserError, match="p was begun with another lengths: move the file away"):
        opened(file).begin("p", Settings(lengths=(1, 2, 3)))
    opened(file).begin("other", Settings(lengths=(5,)))


def test_timings_of_two_machines_are_not_mixed(file):
    work(file, [1])
    again = opened(file, threads=8)
    again.begin("p", Settings())  # what isn't timed may go on elsewhere
    with pytest.raises(UserError, match="another threads"):
        again.begin("p", Settings(), timed=True)


def test_quick_and_full_are_not_mixed(file):
    work(file, [1])
    with pytest.raises(UserError, match="another experiment"):
        opened(file, quick=True)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 1}', '{"schema": 7, "experiment": "x"}'])
def test_a_file_of_another_kind(file, content):
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(UserError, match="no result of an experiment"):
        opened(file)
    assert file.read_text() == content


def test_time_is_up_between_units(file):
    with pytest.raises(TimeUp):
        work(file, [1, 2], run=Run(device="cpu", deadline=0.0))
    assert not file.exists()


def test_what_has_no_room_stays_as_an_error_and_what_is_wrong_raises(file):
    kept = opened(file)
    kept.begin("p", Settings())

    def do(length):
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB" if length == 1 else "shapes differ")

    run = Run(device="cpu")
    run.work(kept, [{"part": "p", "length": 1}], do)
    assert "out of memory" in store.read(file)["units"][0]["error"]
    with pytest.raises(RuntimeError, match="shapes differ"):
        run.work(kept, [{"part": "p", "length": 2}], do)


def test_progress_is_told_in_lines_where_there_is_no_terminal(file, capsys):
    work(file, [7])
    assert "why: p 1/1: 7" in capsys.readouterr().err
