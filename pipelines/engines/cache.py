"""Converted models: made once, kept in `$DUET_CACHE`, else the user's cache: `$XDG_CACHE_HOME/duet`, `~/.cache/duet`.

A conversion goes by a hash of all that it depends on, so a changed checkpoint or converter means a new one. It is made
in a folder of its own which gets its name when it is whole; a lock keeps processes from making the same one twice.
Any of them may be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

WHOLE = "whole.json"  # written last: the size of each file


def root() -> Path:
    """Where conversions are kept."""
    if os.environ.get("DUET_CACHE"):
        return Path(os.environ["DUET_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "duet"


def key(files: Iterable[Path], *said: object) -> str:
    """A hash of the names and contents of files, and of what else a conversion depends on."""
    digest = hashlib.sha256(repr(said).encode())
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        digest.update(f"\0{path.name}\0".encode())
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def files(folder: str | os.PathLike) -> list[Path]:
    """What a checkpoint is made of: its weights, settings and vocabulary, and those of the base of its adapters."""
    from pipelines import adapters

    endings = (".json", ".safetensors", ".model", ".txt", ".spm")
    own = [path for path in Path(folder).iterdir() if path.is_file() and path.suffix in endings]
    return own + (files(adapters.base_of(folder)) if adapters.is_adapter(folder) else [])


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder called `name`; where it isn't there, or not whole, `make` fills it first."""
    from filelock import FileLock

    place = root() / name
    if _whole(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if _whole(place):  # another process has made it meanwhile
            return place
        shutil.rmtree(place, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as work:
            fresh = Path(work, "model")
            fresh.mkdir()
            make(fresh)
            sizes = {str(path.relative_to(fresh)): path.stat().st_size for path in fresh.rglob("*") if path.is_file()}
            (fresh / WHOLE).write_text(json.dumps(sizes), encoding="utf-8")
            fresh.rename(place)
    return place


def _whole(place: Path) -> bool:
    try:
        sizes = json.loads((place / WHOLE).read_text(encoding="utf-8"))
        return all((place / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
