"""The settings of a training: defaults, then the recipe's, then the command line's.

A recipe is a TOML file, one per task: `[all]` for both arms, `[<family>]` for one, `[….cuda]` for what differs on a
GPU.
"""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import hub
from pipelines.errors import UserError, unknown

FOLDER = Path(__file__).parent / "recipes"
NAMES = {
    bool: "true or false",
    tuple: "a list of names",
    str: "text",
    dict: "a table",
    int: "a whole number",
    float: "a number",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training, fully said. Equal recipes on equal data and hardware give equal weights."""

    data: tuple[str, ...] = ()  # sources; one named twice counts twice; "id:N" takes N rows; empty: the task's own
    init: str = ""  # Hub id or folder to start from; "" starts from random weights
    embeddings: str = ""  # Hub id or folder whose static input embeddings a new model starts with
    least_uses: int = 1  # in the training texts, of a piece whose embedding is taken; rarer ones come apart
    vocabulary: int = 8000  # pieces of a new vocabulary
    sizes: dict[str, Any] = field(default_factory=dict)  # fields of a new model's configuration
    max_length: int = 128  # tokens a side
    epochs: float = 3.0
    max_steps: int = 0  # optimizer steps; 0: by epochs
    tokens_per_batch: int = 4000  # padded tokens a process and batch
    accumulate: int = 1  # batches a process and step
    compress: int = 0  # of a model trained whole: rank at which its difference to a bundled `base` is kept; 0: whole
    base: str = ""  # bundled folder that adapters are kept over; "": `init`, or what its adapters are over
    copy_steps: int = 0  # of text to text: so many steps copy a source's beginning, the later the fewer rows
    optimizer: str = "adamw"  # adamw | adafactor (scaled by parameter size)
    learning_rate: float = 1e-3
    warmup: int = 100  # steps
    schedule: str = "linear"  # linear | cosine | constant, after the warm-up
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clip: float = 1.0  # largest gradient norm; 0: off
    random_weights: bool = False  # of `init` take the tokenizer and the sizes, not the weights
    lora: int = 0  # rank of LoRA adapters, 0: train all weights; merged at the end, but over a bundled base kept apart
    evaluate_every: int = 500  # steps
    save_every: int = 200  # steps between states to resume from
    patience: int = 0  # evaluations without a better score before it stops; 0: off
    validation_limit: int = 1000  # rows
    validation: dict[str, Any] = field(default_factory=dict)  # what the pipeline is told while validating
    dtype: str = "float16"  # of the weights written at the end
    seed: int = 13
    note: str = ""  # for the model card: why this arm's settings differ from the other's

    def __post_init__(self):
        for item in dataclasses.fields(self):
            default = item.default_factory() if item.default is dataclasses.MISSING else item.default
            value, wanted = getattr(self, item.name), type(default)
            fits = isinstance(value, (int, float) if wanted is float else wanted)
            if not fits or isinstance(value, bool) != (wanted is bool):
                raise UserError(f"{item.name} must be {NAMES[wanted]}; got {value!r}")
        if not all(isinstance(source, str) for source in self.data):
            raise UserError(f"data must be {NAMES[tuple]}; got {list(self.data)}")
        for name, choices in (
            ("optimizer", ("adamw", "adafactor")),
            ("schedule", ("linear", "cosine", "constant")),
            ("dtype", ("float16", "bfloat16", "float32")),
        ):
            if getattr(self, name) not in choices:
                raise unknown(name, str(getattr(self, name)), choices)
        for name in (
            "vocabulary", "max_length", "epochs", "tokens_per_batch", "accumulate", "learning_rate", "evaluate_every",
            "save_every", "validation_limit",
        ):  # fmt: skip
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} must be above 0; got {getattr(self, name)}")
        for name in ("max_steps", "compress", "copy_steps", "warmup", "weight_decay", "clip", "lora", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} can't be below 0; got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing must be from 0 to below 1; got {self.label_smoothing}")


def read(task: str, family: str, device: str, file: str | None, given: dict[str, Any]) -> Recipe:
    """The recipe of (task, family) on a device type, with what the command line gave on top.

    Raises `UserError` for a missing or unreadable file and for a setting that no recipe has.
    """
    path = Path(file) if file else FOLDER / f"{task}.toml"
    table: dict[str, Any] = {}
    if path.is_file():
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not a TOML file: {error}") from error
    elif file:
        there = ", ".join(sorted(p.name for p in FOLDER.glob("*.toml")))
        raise UserError(f"no such recipe: {file}. Bundled: {there}.")
    sections = ("all", *hub.FAMILIES)
    for section in table:
        if section not in sections:
            raise unknown(f"section in {path.name}", section, sections)
    settings: dict[str, Any] = {}
    for section in ("all", family):
        values = dict(table.get(section, {}))
        special = {name: values.pop(name, {}) for name in ("cpu", "cuda")}
        settings |= values | special.get(device, {})
    settings |= given
    known = [f.name for f in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            raise unknown(f"setting in {path.name}", name, known)
    if isinstance(settings.get("data"), list):
        settings["data"] = tuple(settings["data"])
    return Recipe(**settings)
