"""What classification adds to the command line: its flags, and labels as the task names them."""

from collections.abc import Callable

from pipelines import hub
from pipelines.errors import UserError
from tasks import Task
from tasks.flags import whole

FLAGS = (("--top-k", {"type": whole, "metavar": "N", "help": "how many labels to show, the best first (default 1)"}),)


def reader(task: Task, pipe) -> tuple[Callable, Callable, Callable, Callable]:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed.

    Raises `UserError` for a model of another shape: of a task without a Hub name the checkpoint says which it has.
    """
    from transformers import TextClassificationPipeline

    model = pipe.model.name_or_path
    if not isinstance(pipe, TextClassificationPipeline):
        raise UserError(f"{model} is a model for {pipe.task}, not for {task.name}. {hub.offer(task.name, model)}")
    if pipe.model.config.num_labels == 1:
        raise UserError(f"{model} gives a number and no labels: not for {task.name}. {hub.offer(task.name, model)}")
    names, spoken = _names(task, pipe), {task.out_of_scope: "out of scope"}

    def value(output):
        rows = output if isinstance(output, list) else [output]
        rows = [{"label": names.get(row["label"], row["label"]), "score": row["score"]} for row in rows]
        return rows if isinstance(output, list) else rows[0]

    def fields(output):
        rows = value(output if isinstance(output, list) else [output])
        return [field for row in rows for field in (spoken.get(row["label"], row["label"]), f"{row['score']:.4f}")]

    return pipe, value, fields, lambda output, text, alone: plain(fields(output), text, alone)


def plain(fields: list[str], text: str, alone: bool) -> str:
    """Of one text a line a label, `label  score`; of several one line a text, label, score, text by tabs."""
    if not alone:
        return "\t".join([*fields, " ".join(text.split())])
    width = max(map(len, fields[::2]))
    return "\n".join(f"{label:{width}}  {score}" for label, score in zip(fields[::2], fields[1::2], strict=True))


def _names(task: Task, pipe) -> dict[str, str]:
    """The model's labels → the task's (`POSITIVE`, `LABEL_1` → positive); nothing where they are other classes."""
    from tasks.data import label_name

    theirs = list(pipe.model.config.id2label.values())
    try:
        ours = [label_name(task, label) for label in theirs]
    except UserError:
        return {}
    return dict(zip(theirs, ours, strict=True)) if len(set(ours)) == len(task.labels) == len(theirs) else {}
