"""Tiny trainings for tests: their command lines, and processes that can be killed at a chosen line."""

import importlib
import itertools
import json
import multiprocessing
import os
import signal
import socket
import sys
from pathlib import Path

SIZES = {
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.1},
    "bert": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
    },
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "lstm": {"d_model": 16, "hidden_size": 16, "dropout": 0.1},
}
# one task of each kind, and both of its arms
ARMS = [
    (task, family)
    for task, transformer in (
        ("translate", "t5"),
        ("sentiment", "bert"),
        ("ner", "bert"),
        ("qa", "bert"),
        ("complete", "gpt2"),
        ("chat", "gpt2"),
    )
    for family in (transformer, "lstm")
]
SETTINGS = {
    "data": ["samples"],
    "init": "",
    "embeddings": "",
    "vocabulary": 200,
    "max_length": 64,
    "max_steps": 24,
    "tokens_per_batch": 200,
    "warmup": 4,
    "schedule": "linear",
    "learning_rate": 1e-2,
    "evaluate_every": 8,
    "save_every": 6,
    "validation_limit": 7,
    "patience": 0,
}


def toml(value) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def arguments(task: str, family: str, folder: Path, *more: str, **settings) -> list[str]:
    """The command line of a tiny training that writes `folder`; its record goes to `folder/results`."""
    validation = {"num_beams": 1, "max_new_tokens": 8} if task in ("translate", "summarize") else {}
    chosen = SETTINGS | {"sizes": SIZES[family], "validation": validation} | settings
    argv = ["--task", task, "--family", family, "--output-dir", str(folder), "--results", str(folder / "results")]
    argv += ["--init", chosen.pop("init"), "--max-steps", str(chosen.pop("max_steps"))]
    for source in chosen.pop("data"):
        argv += ["--data", str(source)]
    for key, value in chosen.items():
        argv += ["--set", f"{key}={toml(value)}"]
    return [*argv, *more]


def train(argv: list[str]) -> int:
    """Runs `scripts.finetune` in this process; its exit status. Ctrl-C means what it meant before."""
    from scripts import finetune

    before = signal.getsignal(signal.SIGINT)
    try:
        return finetune.main(argv)
    finally:
        signal.signal(signal.SIGINT, before)


def log_of(folder: Path, name: str = "log.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / "training" / name).read_text().splitlines()]


def record_of(folder: Path) -> dict:
    (file,) = (folder / "results" / "training").iterdir()
    return json.loads(file.read_text())


# --- in processes of their own ---

# Children are forked from a server that has imported everything and run nothing: they start at once.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "scripts.finetune",
        "scripts.training",
        "pipelines.loading",
        "pipelines.text2text",
        "pipelines.text_classification",
        "transformers.models.t5.modeling_t5",
        "transformers.models.bert.modeling_bert",
        "torch.nn.parallel.distributed",
    ]
)


def start(argv: list[str], said: Path, at: str = "", nth: int = 1, sent=signal.SIGKILL, **env):
    """A process that runs `scripts.finetune` and writes what it says to `said`.

    It gets the signal `sent` (or those in it) just before the `nth` call of `at`: "module:name", "module:class.method".
    """
    process = SERVER.Process(target=_run, args=(argv, said, at, nth, sent, env))
    process.start()
    return process


def run(argv: list[str], said: Path, *place, **more) -> tuple[int, str]:
    """Exit status (minus the signal where one ended it) and all that was said, of `start` with these arguments."""
    process = start(argv, said, *place, **more)
    process.join(300)
    assert process.exitcode is not None, f"still running: {said.read_text()}"
    return process.exitcode, said.read_text()


def run_pair(argv: list[str], said: Path, *place, ranks: tuple = (0, 1)) -> list[int]:
    """Exit statuses of two processes that train together, as a launcher would start them.

    They write `said` with the ending .0 and .1; the signal goes to those of `ranks`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    pair = [
        start(argv, Path(f"{said}.{rank}"), *(place if rank in ranks else ()), **shared, RANK=rank, LOCAL_RANK=rank)
        for rank in (0, 1)
    ]
    for process in pair:
        process.join(300)
    return [process.exitcode for process in pair]


def _run(argv: list[str], said: Path, at: str, nth: int, sent, env: dict) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a fork server's children ignore it
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update({key: str(value) for key, value in env.items()})
    if env:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if at:
        _interrupt(at, nth, sent)
    from scripts import finetune

    sys.exit(finetune.main(argv))


def _interrupt(at: str, nth: int, sent) -> None:
    module, _, name = at.partition(":")
    owner, (*path, last) = importlib.import_module(module), name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), itertools.count(1)

    def signalled(*args, **kwargs):
        for number in (sent if isinstance(sent, list) else [sent]) if next(calls) == nth else ():
            os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    setattr(owner, last, signalled)
