"""Puts what transformers 5 removed back into transformers, and takes it out again: `pipelines.restore`.

Three things change, and nothing else does:

- The registry behind `transformers.pipeline` knows the removed tasks; code that took `pipeline` before sees it too.
- `transformers.pipeline` hands these tasks to `pipelines.pipeline`; of other tasks those whose models only we can load:
  an LSTM, bundled adapters, our names.
- The removed classes are back under their names and in their modules. `gradio.Interface.from_pipeline` knows a pipeline
  by the module of its class, so that of ours is one of transformers' meanwhile: what is pickled then is unpickled where
  the same is restored. `evaluate` asks whether a model is a `TFPreTrainedModel`: there is one again, and nothing is.
"""

import contextlib
import functools
import importlib
import json
import os
import sys
import threading
import types
from pathlib import Path

import transformers
from transformers import AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM
from transformers import pipelines as theirs

import pipelines
from pipelines import adapters, hub, removed
from pipelines.errors import UserError
from pipelines.text2text import Text2TextPipeline
from pipelines.text_classification import WindowedTextClassificationPipeline
from pipelines.text_generation import CompletionPipeline
from pipelines.token_classification import EntityPipeline

TASKS = {name: (cls, AutoModelForSeq2SeqLM) for name, cls in removed.TEXT_TO_TEXT.items()}
TASKS["question-answering"] = (removed.QuestionAnsweringPipeline, AutoModelForQuestionAnswering)
OTHERS = (Text2TextPipeline, WindowedTextClassificationPipeline, EntityPipeline, CompletionPipeline)
HOME = "transformers.pipelines.duet"
EVALUATE = "evaluate.evaluator.base"
_lock = threading.RLock()
_active: list["Restored"] = []
_changes = contextlib.ExitStack()


class Restored(contextlib.AbstractContextManager):
    """What was restored, until `undo()` or the end of a `with`; with several of them until the last one's."""

    def __init__(self):
        with _lock:
            if not _active:
                with contextlib.ExitStack() as changes:  # all of them or, where one fails, none
                    _change(changes)
                    _changes.push(changes.pop_all())
            _active.append(self)

    def undo(self) -> None:
        """Leaves transformers as it was before the first of these; what others changed since then stays."""
        with _lock:
            if self in _active:
                _active.remove(self)
                if not _active:
                    _changes.close()

    def __exit__(self, *_):
        self.undo()


def _change(changes: contextlib.ExitStack) -> None:
    registry = theirs.PIPELINE_REGISTRY
    _fill(changes, registry.supported_tasks, registry.supported_tasks | {name: _entry(name) for name in TASKS})
    _fill(changes, theirs.REMOVED_TASKS, {k: v for k, v in theirs.REMOVED_TASKS.items() if k not in TASKS})
    check = registry.check_task
    # translation_en_to_fr stands for translation; the pipeline itself still gets the full name
    _set(changes, registry, "check_task", lambda task: check("translation" if hub.is_pair(task) else task))

    for name, classes in removed.CLASSES.items():
        _add_module(changes, name, classes)
        for cls in classes:
            _set(changes, transformers, cls.__name__, cls)
            _set(changes, theirs, cls.__name__, cls)
    classes = [*OTHERS, *(cls for group in removed.CLASSES.values() for cls in group)]
    _add_module(changes, HOME.rpartition(".")[2], classes)
    for cls in classes:
        _set(changes, cls, "__module__", HOME)
    importlib.import_module("transformers.pipelines.object_detection")  # which gradio takes to be there
    if not hasattr(transformers, "TFPreTrainedModel"):
        _set(changes, transformers, "TFPreTrainedModel", type("TFPreTrainedModel", (), {}))
    _hand_over(changes)


def _entry(task: str) -> dict:
    cls, loader = TASKS[task]
    entry = {"impl": cls, "pt": (loader,), "type": "text"}
    if hub.choices(task):
        folder, _ = hub.resolve(task)
        if not adapters.is_adapter(folder):
            entry["default"] = {"model": (folder, "main")}
    return entry


def _hand_over(changes: contextlib.ExitStack) -> None:
    """Puts a `pipeline` in place of transformers' that asks us for what is ours to answer."""
    ordinary = theirs.pipeline

    @functools.wraps(ordinary)
    def pipeline(task=None, model=None, *args, **kwargs):
        if _active and not args and _is_for_us(task, model):
            if task in ("ner", "token-classification"):
                kwargs = {
                    "aggregation_strategy": "none"
                } | kwargs  # transformers' default, whatever the checkpoint says
            return pipelines.pipeline(task, model, **kwargs)
        return ordinary(task, model, *args, **kwargs)

    def give_back():  # evaluate may have been imported, and have taken ours, since
        base = sys.modules.get(EVALUATE)
        if getattr(base, "pipeline", None) is pipeline:
            base.pipeline = ordinary

    changes.callback(give_back)
    for module in filter(None, (theirs, transformers, sys.modules.get(EVALUATE))):
        _set(changes, module, "pipeline", pipeline)


def _is_for_us(task, model) -> bool:
    """Whether the task was removed, or we can load this model for it and transformers can't."""
    if not isinstance(task, str) or not hub.is_ours(task):
        return False
    if task in TASKS or hub.is_pair(task):
        return True
    if not isinstance(model, str | os.PathLike):
        return getattr(getattr(model, "config", None), "model_type", None) == "lstm"
    name = os.fspath(model)
    if name in hub.ROLES or hub.is_shared(name):
        return True
    config = Path(name) / "config.json"
    if not config.is_file():
        return False
    if not adapters.is_adapter(name):
        return json.loads(config.read_text(encoding="utf-8")).get("model_type") == "lstm"
    try:
        return bool(adapters.base_of(name))
    except UserError:
        return False  # of a base on the Hub: transformers knows what to do


# --- changes that can be undone ---


def _set(changes: contextlib.ExitStack, place, name: str, value) -> None:
    """Sets an attribute of a module, a class or an object."""
    if name in vars(place):
        changes.callback(setattr, place, name, vars(place)[name])
    else:
        changes.callback(delattr, place, name)
    setattr(place, name, value)


def _fill(changes: contextlib.ExitStack, place: dict, new: dict) -> None:
    """Gives a dict this content, and on undo its own again in the old order, with what others have added."""
    old = dict(place)

    def undo():
        added = {key: value for key, value in place.items() if key not in old and new.get(key) is not value}
        place.clear()
        place.update(old | added)

    changes.callback(undo)
    place.clear()
    place.update(new)


def _add_module(changes: contextlib.ExitStack, name: str, classes) -> None:
    module = types.ModuleType(f"{theirs.__name__}.{name}", "Put here by `pipelines.restore()`.")
    vars(module).update({cls.__name__: cls for cls in classes})
    changes.callback(sys.modules.pop, module.__name__, None)
    sys.modules[module.__name__] = module
    _set(changes, theirs, name, module)
