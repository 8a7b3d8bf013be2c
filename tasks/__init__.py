"""What is asked, and what counts as right: one file per task, and the file's name is its command.

`TASKS` is a literal tuple and `load` imports on demand, so that `python -m tasks.translate` loads its module once and
`--help` answers at once. A task knows data sets, columns, labels and metrics; it knows no tensor and no clock.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TASKS = ("translate", "summarize", "ner", "qa", "sentiment", "complete", "classify", "intents", "chat")
TASKS += ("market", "similarity")
MIXTURES = ("multitask",)  # trained as a task is, to answer the others: no command, no samples, no row of their own


@dataclass(frozen=True, kw_only=True)
class Task:
    """One language task. Each `tasks/<name>.py` holds one instance, `TASK`.

    The order of `metrics` is the order of the result file, the primary metric first; `version` is raised when the
    scores would move (another metric, another reading of the data).
    """

    name: str
    title: str  # one line, for `python -m tasks`
    kind: str  # the shape, a module of `pipelines`: text2text, text_classification, …
    hub_task: str  # what `pipelines.pipeline` and the Hub call it: "translation_en_to_fr", "sentiment-analysis"
    transformer: str  # family of the Transformer arm: t5, bert or gpt2
    further: dict[str, str] = field(default_factory=dict)  # more families to train → their kind
    sources: tuple[str, ...]  # Hub data set ids; the first is the one the harness measures on
    languages: tuple[str, ...] = ("en",)  # for model cards
    licences: dict[str, str] = field(default_factory=dict)  # data set id → licence, for model cards
    split: str = "validation"  # the split that the harness measures on
    columns: dict[str, tuple[str, ...]]  # input(s) and "target" → column names accepted, in order of preference
    aliases: dict[str, str] = field(default_factory=dict)  # what other data sets and models call a label → ours
    recode: dict[str, Callable[[Any], Any]] = field(default_factory=dict)  # data set id → its targets to ours
    labels: tuple[str, ...] = ()  # class names in the order of the data set's ids
    out_of_scope: str = ""  # the one of them that means "none of the others"
    metrics: tuple[str, ...]  # names in `tasks.metrics.METRICS`
    prefix: str = ""  # what a T5 is told before the text
    params: dict[str, Any] = field(default_factory=dict)  # pipeline settings stored with new checkpoints
    generation: dict[str, Any] = field(default_factory=dict)  # `generate` defaults stored with new checkpoints
    floor: str  # what the trivial answer is, in words, for the table
    prepare: Callable[[Any], Any] | None = None  # train `Rows` → what is trained on, where that should differ
    read: Callable | None = None  # (source, split) → `Rows`, of a mixture
    settings: Callable[[], dict] | None = None  # more of a new checkpoint's `task_specific_params`, of a mixture
    make_floor: Callable[[Any], Callable[[list], list]]  # train `Rows` → (inputs → predictions)
    example: str  # a text for help and demonstrations
    example_context: str = ""  # the text that it is asked of, where it is a question; the other one of a pair
    options: Callable | None = None  # adds the task's own flags to an `argparse` parser
    arms: dict[str, dict] = field(default_factory=dict)  # more arms for the harness: what `pipelines.pipeline` is told
    run: Callable | None = None  # (task, args) → exit status where those flags ask for more than answers, else None
    version: int = 1

    @property
    def command(self) -> str:
        """A command line that answers the example, as one would type it."""
        flag = "" if "text_pair" in self.columns else "--context "
        asked_of = f' {flag}"{self.example_context}"' if self.example_context else ""
        return f'python -m tasks.{self.name} "{self.example}"{asked_of}'

    @property
    def call(self) -> str:
        """The arguments of a pipeline's call that answers the example, in Python."""
        if "text_pair" in self.columns:
            return str({"text": self.example, "text_pair": self.example_context})
        if self.example_context:
            return f"question={self.example!r}, context={self.example_context!r}"
        if self.kind == "chat":
            return repr([{"role": "user", "content": self.example}])
        return repr(self.example)

    def told(self, model: str) -> dict:
        """What `pipelines.pipeline` is told for an arm: `model`, unless it names one of `arms`."""
        return {"task": self.name, "model": model} | self.arms.get(model, {})

    @property
    def families(self) -> tuple[str, str]:
        """The two arms of the pairing: the Transformer's family, then `lstm`."""
        return (self.transformer, "lstm")

    def kind_of(self, family: str) -> str:
        """The shape in which a model of this family answers."""
        return self.further.get(family, self.kind)


def load(name: str) -> Task:
    """The task called `name`. Raises `UserError`, with the nearest name, where there is none."""
    if name not in TASKS + MIXTURES:
        from pipelines.errors import unknown

        raise unknown("task", name, TASKS)
    return importlib.import_module(f"tasks.{name}").TASK
