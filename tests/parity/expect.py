"""Writes expected/*.json, what transformers 4.57.6 answers: `python -m tests.parity.expect [text2text] [qa]`.

Makes a virtual environment for it, with torch as here, and asks there: a minute or two once PyPI has delivered.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from importlib import import_module, metadata
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HALVES = {"text2text": "text2text_asking", "qa": "qa_cases"}  # modules with a `run(pipeline)`
VERSION = "4.57.6"
TORCH = "torch>=2.11,<2.14"  # as pyproject.toml has it
NEEDS = (f"transformers=={VERSION}", TORCH, "sentencepiece>=0.2", "protobuf>=4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("halves", nargs="*", metavar="HALF", help=f"of {', '.join(HALVES)}; default: all")
    parser.add_argument("--venv", type=Path, default=ROOT / "runs" / "parity-venv", help="where to make or find it")
    chosen = parser.parse_args()
    for half in chosen.halves:
        if half not in HALVES:
            parser.error(f"no half is called {half!r}: choose from {', '.join(HALVES)}")
    if _version() == VERSION:
        for half in chosen.halves or HALVES:
            write(half)
        return
    python = chosen.venv / "bin" / "python"
    if not python.exists():
        venv.create(chosen.venv, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(
        [python, "-m", "tests.parity.expect", *chosen.halves], check=True, cwd=ROOT, env={**os.environ, **quiet}
    )


def _version() -> str | None:
    try:
        return metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return None


def write(half: str) -> None:
    """Asks the transformers of this process, and writes what it answers."""
    from transformers import logging, pipeline

    logging.set_verbosity_error()
    module = import_module(f".{HALVES[half]}", __package__)
    found = module.run(pipeline)
    answers = dict(found["cases"])
    unsteady: list[str] = []
    if nudge := getattr(module, "NUDGE", 0):
        moved = module.run(pipeline, nudge)["cases"]
        unsteady = [name for name in answers if answers[name] != moved[name]]
    versions = {name: metadata.version(name) for name in ("transformers", "tokenizers", "torch")}
    head = {"versions": versions, "folders": found["folders"]} | ({"unsteady": unsteady} if unsteady else {})
    lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in head.items()]
    kept = [name for name in answers if name not in unsteady]
    cases = [
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(answers[name], ensure_ascii=False)}" for name in kept
    ]
    text = "{" + ",\n".join([*lines, '"cases": {\n' + ",\n".join(cases)]) + "\n}}\n"
    (HERE / "expected" / f"{half}.json").write_text(text, encoding="utf-8")
    print(f"{half}: {len(kept)} cases, {len(unsteady)} left out as unsteady", file=sys.stderr)


if __name__ == "__main__":
    main()
