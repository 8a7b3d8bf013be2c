"""What the engines keep: made once, whole or not at all, anew when what it was made of changes. Needs no engine."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from pipelines.engines import cache


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("DUET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "duet"


def make(folder: Path, said: str = "x") -> None:
    """Fills a folder, and notes beside the cache that it did."""
    (folder / "sub").mkdir()
    (folder / "sub" / "weights").write_text(said)
    with open(cache.root().parent / "made", "a") as notes:
        notes.write(f"{os.getpid()}\n")


def made() -> int:
    notes = cache.root().parent / "made"
    return len(notes.read_text().split()) if notes.exists() else 0


def test_the_folder_is_the_users_cache(cache_folder, monkeypatch):
    assert cache.root() == cache_folder
    for unset in ("", "relative/path"):  # the standard: only an absolute path counts
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache.root() == Path.home() / ".cache" / "duet"
    monkeypatch.setenv("DUET_CACHE", "~/elsewhere")
    assert cache.root() == Path.home() / "elsewhere"


def test_a_second_use_makes_nothing(cache_folder):
    first = cache.kept("onnx/abc", make)
    assert first == cache_folder / "onnx" / "abc" and (first / "sub" / "weights").read_text() == "x"
    assert cache.kept("onnx/abc", make) == first and made() == 1
    assert cache.kept("onnx/other", make) != first and made() == 2


@pytest.mark.parametrize("harm", ["cut", "lost", "unmarked", "garbled"])
def test_what_is_not_whole_is_made_again(harm):
    place = cache.kept("onnx/abc", lambda folder: make(folder, "twelve bytes"))
    if harm == "cut":
        (place / "sub" / "weights").write_text("twelve")
    elif harm == "lost":
        (place / "sub" / "weights").unlink()
    else:
        (place / cache.WHOLE).unlink() if harm == "unmarked" else (place / cache.WHOLE).write_text('{"sub')
    (place / "left over").write_text("")
    assert cache.kept("onnx/abc", lambda folder: make(folder, "twelve bytes")) == place and made() == 2
    assert (place / "sub" / "weights").read_text() == "twelve bytes" and not (place / "left over").exists()


def test_a_conversion_that_fails_leaves_nothing(cache_folder):
    def fail(folder):
        make(folder)
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.kept("onnx/abc", fail)
    assert [path.name for path in (cache_folder / "onnx").iterdir() if path.suffix != ".lock"] == []
    assert cache.kept("onnx/abc", make) and made() == 2


def slowly(folder: Path) -> None:
    import time

    make(folder)
    time.sleep(0.3)  # long enough for the other to come


def use(barrier, name: str) -> None:
    barrier.wait()
    cache.kept(name, slowly)


def test_two_processes_make_one():
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [context.Process(target=use, args=(barrier, "onnx/abc")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0] and made() == 1


def test_a_key_depends_on_all_that_a_conversion_does(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, text in (("config.json", "{}"), ("model.safetensors", "abc"), ("README.md", "words")):
        (folder / name).write_text(text)

    def key(*said):
        return cache.key(cache.files(folder), *said)

    first = key("onnx", "int8")
    assert key("onnx", "int8") == first and key("onnx", "float32") != first
    (folder / "README.md").write_text("other words")
    assert key("onnx", "int8") == first
    (folder / "model.safetensors").write_text("abd")
    second = key("onnx", "int8")
    assert second != first
    (folder / "tokenizer.json").write_text("{}")
    assert key("onnx", "int8") not in (first, second)


def test_the_base_of_adapters_is_part_of_the_checkpoint(tmp_path):
    base, folder = tmp_path / "base", tmp_path / "adapters"
    for place in (base, folder):
        place.mkdir()
        (place / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("abc")
    settings = {"peft_type": "LORA", "base_model_name_or_path": "../base", "task_type": None}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    before = cache.key(cache.files(folder))
    (base / "model.safetensors").write_text("abd")
    assert cache.key(cache.files(folder)) != before
