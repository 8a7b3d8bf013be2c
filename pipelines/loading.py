"""Loads what `pipelines.pipeline` was asked for: model, tokenizer, device, as one `transformers.Pipeline`.

Weights are read from safetensors only and no code of a checkpoint is run. Errors of loading become one line.
"""

import contextlib
import functools
import os
import warnings

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer
from transformers.models import auto
from transformers.utils import logging

import pipelines
import pipelines.lstm  # registers the LSTM family with the Auto classes
from pipelines import adapters, arguments, engines, hub, instructed
from pipelines.errors import UserError, first_line

SHAPES = {  # how a model class ends → shape; "T5ForConditionalGeneration", "MarianMTModel"
    "ForConditionalGeneration": "text2text",
    "MTModel": "text2text",
    "ForSeq2SeqLM": "text2text",
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
    "ForQuestionAnsweringSimple": "question_answering",
    "ForCausalLM": "text_generation",
    "LMHeadModel": "text_generation",
}


def load(task, model, *, tokenizer=None, engine="auto", device=None, revision=None, dtype=None, **kwargs):
    """See `pipelines.pipeline`."""
    how, kwargs = arguments.told_apart(dtype, device, kwargs)
    torch_device(device)  # a wrong one is told before anything is loaded
    named = "a loaded model" if isinstance(model, torch.nn.Module) else how.only_torch()
    if named and engine in engines.RUNS:
        raise UserError(f"engine {engine!r} can't follow {named}: choose from auto, torch.")
    if isinstance(model, torch.nn.Module):
        if tokenizer is None:
            raise UserError("a loaded model needs its tokenizer: pipeline(task, model=model, tokenizer=tokenizer).")
        source, options = None, {}
        hub_task = hub.hub_task(task) or _task_of([type(model).__name__], task)
        config = model.config
    else:
        source, options = _source(task, model, revision)
        if os.path.isdir(source) and not os.path.isfile(os.path.join(source, "config.json")):
            raise UserError(f"{source} is no checkpoint: it has no config.json. {hub.offer(task, str(model))}")
        options |= how.everywhere
        config = _config(task, how.config, source, options)
        hub_task = hub.hub_task(task) or _task_of(config.architectures or [], task)
    kind = hub.kind_of(hub_task)
    shape = pipelines.kind(kind)
    if source is not None and instructed.knows(hub.own_task(task), config):
        kind, hub_task, shape = "instructed", hub.own_task(task), instructed
    elif config.is_encoder_decoder and hasattr(shape, "WRITTEN"):  # a T5 writes what others have a layer for
        shape = pipelines.kind(shape.WRITTEN)
    words = functools.partial(_tokenizer, task, tokenizer, source, options, how.everywhere)
    if source is not None:
        _check_kind(task, shape, source, config)
        if adapters.is_adapter(source) and how.device_map is not None:
            device, how.device_map = arguments.one_device(how.device_map), None
        read = functools.partial(_model, task, shape, source, options, config, how)
        about = (source, options, config, kind, how.precision, torch_device(device))
        model = None if named else engines.opened(engine, engines.Checkpoint(*about, read, words))
        if model is None and how.precision == "int8":
            raise UserError(f"torch doesn't run {source} in int8: choose engine ctranslate2 or onnx where they can.")
        model = read() if model is None else model
    tokenizer = words()
    if device is None and getattr(model, "hf_device_map", None):
        place = None  # accelerate has spread it
    else:
        place = torch_device(device) if how.device_map is None else model.device
    return (how.pipeline_class or shape.make)(task=hub_task, model=model, tokenizer=tokenizer, device=place, **kwargs)


def torch_device(device) -> torch.device:
    """The device meant by None, "auto", a name, an ordinal or a `torch.device`. `UserError` where it isn't here."""
    if device is None or device == "auto":
        here = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(here)
    if isinstance(device, int):
        device = "cpu" if device < 0 else f"cuda:{device}"
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"unknown device {device!r}: choose from auto, cpu, cuda, cuda:N, mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"no device {device} here: {torch.cuda.device_count()} CUDA devices; choose auto or cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("no device mps here: choose auto or cpu.")
    return device


def _source(task: str, model, revision: str | None) -> tuple[str, dict]:
    """What to hand to `from_pretrained`: a folder or Hub id, and the options that both model and tokenizer take."""
    source, named = hub.resolve(task, model)
    if os.path.isdir(source):
        return source, {"local_files_only": True, "trust_remote_code": False}
    if revision and named and revision != named:
        raise UserError(f"two revisions of {source} are named: {named!r} and {revision!r}.")
    return source, {
        "revision": revision or named or "main",
        "local_files_only": hub.offline(),
        "trust_remote_code": False,
    }


def _read(task: str, source: str, options: dict, read):
    """`read()`, with what transformers says of a missing or broken checkpoint as one line."""
    try:
        return read()
    except UserError:
        raise
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError …: the loaders raise what they like
        first = first_line(error)
        if os.path.isdir(source):
            raise UserError(f"{source} can't be loaded: {first}") from error
        where = f"{source}@{options['revision']}" if options["revision"] != "main" else source
        if options["local_files_only"]:
            first = "the Hub is out of reach and its cache doesn't have it"
        raise UserError(f"model {where!r} can't be loaded: {first}. {hub.offer(task, source)}") from error


def _task_of(classes: list[str], task: str) -> str:
    """The Hub task for a name that only the checkpoint can explain, from the model classes it names."""
    for name in classes:
        for ending, shape in SHAPES.items():
            if name.endswith(ending):
                return hub.KINDS[shape]
    named = ", ".join(classes) or "no model class"
    raise UserError(f"can't tell what kind of task {task!r} is: its model is {named}.")


def _config(task: str, given, source: str, options: dict):
    """The configuration: the checkpoint's own, or one that was given, loaded or by name."""
    if given is not None and not isinstance(given, str | os.PathLike):
        return given
    if given is not None:
        source, options = _source(task, given, None)
    return _read(task, source, options, lambda: AutoConfig.from_pretrained(source, **options))


def _check_kind(task: str, shape, source: str, config) -> None:
    if type(config) not in getattr(auto, shape.AUTO)._model_mapping:
        raise UserError(f"{source} is a {config.model_type} model, which can't do {task}.")


def _model(task: str, shape, source: str, options: dict, config, how: arguments.Loading):
    """The model, in float32 unless told otherwise, with every weight from the file."""
    loader = getattr(auto, shape.AUTO)
    bare = shape.AUTO == "AutoModel"  # an encoder, and no matter which head it was trained with
    if adapters.is_adapter(source):
        if bare:  # their weights go by the names of the whole model
            loader = getattr(transformers, config.architectures[0])
        dtype = (config.dtype or torch.float32) if how.dtype == "auto" else how.dtype
        with _no_bar(True):
            return _read(task, source, options, lambda: adapters.load(loader, source, config, dtype))
    more = {"config": None if how.config is None else config, "device_map": how.device_map}
    more = how.model | {name: value for name, value in more.items() if value is not None}
    with _no_bar(os.path.isdir(source)), adapters.quiet() if bare else contextlib.nullcontext():
        model, report = _read(
            task,
            source,
            options,
            lambda: loader.from_pretrained(
                source, dtype=how.dtype, use_safetensors=True, output_loading_info=True, **options, **more
            ),
        )
    parameters = dict(model.named_parameters())
    missing = sorted(name for name in report["missing_keys"] if name in parameters)
    missing = [name for name in missing if not (bare and name.startswith("pooler."))]  # reads the encoder's output
    if missing:
        # transformers would draw these at random and answer nonsense
        raise UserError(f"{source} was not trained for {task}: it has no weights for {', '.join(missing[:3])}.")
    return model


@contextlib.contextmanager
def _no_bar(hide: bool):
    """Without transformers' progress bar while a folder loads: it is there in a moment, and a download has its own."""
    hide = hide and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()


def _tokenizer(task: str, given, source: str | None, options: dict, everywhere: dict):
    if given is not None and not isinstance(given, str | os.PathLike):
        return given
    if given is not None:
        source, options = _source(task, given, None)
        options |= everywhere
    with warnings.catch_warnings():
        # Marian's tokenizer recommends a package that it doesn't use since transformers 4
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        return _read(task, source, options, lambda: AutoTokenizer.from_pretrained(source, **options))
