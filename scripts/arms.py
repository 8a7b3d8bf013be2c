"""One competitor: a model behind its pipeline, or the task's floor. The harness asks both in the same way."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from tasks import Task, data

FLOOR = "floor"
ROOT = Path(__file__).parents[1]


@dataclass
class Arm:
    """`one(input)` answers a single input as a user would ask; `many(inputs, batch_size, progress)` predicts a list.

    `fixed(input, n)` generates exactly n tokens, greedily; it is None for what generates nothing.
    """

    model: str  # what the result is named for
    asked: str = ""  # the model that was asked for
    engine: str = "torch"  # what computes it, and how exactly
    precision: str = "float32"
    checkpoint: str = ""
    family: str = ""
    parameters: int = 0
    size_mb: float = 0.0
    one: Callable[[Any], Any] | None = None
    many: Callable[..., list] | None = None
    fixed: Callable[[Any, int], Any] | None = None
    load_ms: float | None = None
    problem: str = ""  # what went wrong, one line: an arm that has one is asked nothing more
    mistake: bool = False  # the problem is the user's: a name that isn't there, say
    predictions: list = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)  # metric → (N, K) array
    costs: dict[str, Any] = field(default_factory=dict)  # latency_ms, throughput, memory_mb
    runs: list[dict] = field(default_factory=list)  # every timed run

    def fail(self, error: Exception) -> None:
        """Keeps what went wrong as text (the error holds the frames, they the model) and lets go of the model."""
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        self.mistake = isinstance(error, UserError)
        self.problem = said if self.mistake else f"{type(error).__name__}: {said}"
        self.one = self.many = self.fixed = None


def sound(arms: list[Arm]) -> list[Arm]:
    """Those that nothing went wrong with."""
    return [arm for arm in arms if not arm.problem]


def labelled(model: str, engine: str) -> str:
    """What the result of a model is named for: the engine too where it isn't torch. `auto` is none: it chooses one."""
    return model if engine in ("auto", "torch") or model == FLOOR else f"{model}-{engine}"


def open_arm(task: Task, model: str, rows: data.Rows, device: str, engine: str = "torch") -> Arm:
    """The arm called `model`: "floor", or whatever `pipelines.pipeline` takes."""
    return _floor(task, rows) if model == FLOOR else _model(task, model, device, engine)


def _model(task: Task, model: str, device: str, engine: str) -> Arm:
    import pipelines
    from pipelines import hub
    from tasks.predict import asking, predict_all

    told, kind = task.told(model), pipelines.kind(task.kind)
    given = getattr(kind, "asked", lambda x: x)  # what the pipeline takes, where a row is more than that
    pipe = pipelines.pipeline(**told, device=device, engine=engine)
    engine = getattr(pipe.model, "engine", "torch")  # which one `auto` has chosen
    place, revision = hub.resolve(told["task"], told["model"])
    # one generation per text whatever its length: truncation keeps the pipeline from answering it in parts
    plain = {"num_beams": 1, "do_sample": False, "early_stopping": False, "truncation": True}
    return Arm(
        model=labelled(model, engine),
        asked=model,
        engine=engine,
        precision=getattr(pipe.model, "precision", "float32"),
        checkpoint=_shown(place) + (f"@{revision}" if revision else ""),
        family=pipe.model.config.model_type,
        parameters=sum(p.numel() for p in pipe.model.parameters()),  # tied ones count once
        size_mb=sum(file.stat().st_size for file in _weights(place, revision)) / 1e6,
        one=asking(task, pipe),
        many=lambda inputs, size, progress=lambda n: None: predict_all(task, pipe, inputs, size, progress),
        fixed=(lambda x, n: pipe(given(x), min_new_tokens=n, max_new_tokens=n, **plain))
        if getattr(pipe, "_pipeline_calls_generate", False) and task.kind in ("text2text", "text_generation", "chat")
        else None,
    )


def _shown(place) -> str:
    """A folder of the project by its path in it (the same on every machine), anything else as it is."""
    path = Path(place)
    return (
        str(path.resolve().relative_to(ROOT)) if path.exists() and path.resolve().is_relative_to(ROOT) else str(place)
    )


def _weights(place, revision: str | None) -> list[Path]:
    """The safetensors files of a folder, or of a Hub id in the cache."""
    if not Path(place).is_dir():
        from huggingface_hub import snapshot_download

        place = snapshot_download(str(place), revision=revision, local_files_only=True)
    from pipelines import adapters

    base = _weights(adapters.base_of(place), None) if adapters.is_adapter(place) else []  # they need it too
    return base + sorted(Path(place).glob("*.safetensors"))


class _Later:
    """Train rows that are read when they are first looked at: a floor that copies its input needs none."""

    def __init__(self, read: Callable[[], data.Rows]):
        self._read = functools.cache(read)

    def __getattr__(self, name: str):
        return getattr(self._read(), name)

    def __len__(self) -> int:
        return len(self._read())


def _floor(task: Task, rows: data.Rows) -> Arm:
    from scripts.latency import once

    fitted_on, reading = [], [0.0]

    def read() -> data.Rows:
        reading[0], train = once(lambda: _train_rows(task, rows.source))
        fitted_on.append(f", fitted on {train.source} ({train.split}, {len(train):,} rows)")
        return train

    making, answer = once(lambda: task.make_floor(_Later(read)))

    def many(inputs, batch_size, progress=lambda n: None):
        predictions = list(answer(inputs))
        progress(len(inputs))
        return predictions

    return Arm(
        model=FLOOR,
        asked=FLOOR,
        checkpoint=task.floor + "".join(fitted_on),
        family=FLOOR,
        one=lambda x: answer([x]),
        many=many,
        load_ms=making - reading[0],
    )


def _train_rows(task: Task, source: str) -> data.Rows:
    """The train split of what is measured on; the task's own where that has none. A single file is one split, so it
    never serves: a floor fitted on the rows it is scored on would be none."""
    if not Path(source).is_file():
        try:
            return data.read(task, source, "train")
        except UserError:
            pass
    return data.read(task, split="train")
