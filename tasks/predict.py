"""Answers of a pipeline as the task's metrics take them."""

from collections.abc import Iterable, Iterator

import pipelines
from tasks import Task
from tasks.data import label_name


def prediction(task: Task, output):
    """What the metrics compare, from one pipeline output: the text, the spans, or the label by the task's own name
    with its score."""
    answer = pipelines.kind(task.kind).answer(output)
    if task.kind == "token_classification":
        from tasks.entities import own_types

        return own_types(task, answer)
    return answer | {"label": label_name(task, answer["label"])} if task.kind == "text_classification" else answer


def predict(task: Task, pipe, inputs: Iterable, batch_size: int = 32, **options) -> Iterator:
    """Predictions in the order of `inputs`, as they come. `options` go to the pipeline.

    A kind may have its own way, `measure`: a language model is scored on the text itself, not on an answer.
    """
    measure = getattr(pipelines.kind(task.kind), "measure", None)
    if measure:
        yield from measure(pipe, inputs, batch_size, **options)
        return
    for output in pipe(iter(inputs), batch_size=batch_size, **options):
        yield prediction(task, output)


def asking(task: Task, pipe):
    """input → what a user is shown for it: a call of the pipeline, or what the kind has in its place (`ask`)."""
    ask = getattr(pipelines.kind(task.kind), "ask", None)
    return ask(pipe) if ask else pipe


def predict_all(task: Task, pipe, inputs: list, batch_size: int = 32, progress=lambda n: None, **options) -> list:
    """Predictions for a list, computed longest first (less padding, and too large a batch fails at once)."""
    order = sorted(range(len(inputs)), key=lambda i: len(str(inputs[i])), reverse=True)
    answers: list = [None] * len(inputs)
    for i, answer in zip(order, predict(task, pipe, [inputs[i] for i in order], batch_size, **options), strict=True):
        answers[i] = answer
        progress(1)
    return answers
