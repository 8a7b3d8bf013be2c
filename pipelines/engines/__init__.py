"""Other runtimes behind the same model call: which one runs a checkpoint, how exactly, and what happens where it can't.

CTranslate2 runs T5, Marian, BART, BERT with a head and what GPT-2 generates; ONNX Runtime runs BERT with a head. A
pipeline gets a stand-in for its model (`standin.StandIn`), so that what goes before and after the model stays the same.
A checkpoint is converted once and kept (`cache`). Both packages are extras: `pip install 'duet[fast]'`. Figures and
limits: docs/engines.md.
"""

import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pipelines import hub
from pipelines.errors import UserError, first_line, unknown

ENGINES = ("auto", "torch", "ctranslate2", "onnx")
PACKAGES = {"ctranslate2": ("ctranslate2",), "onnx": ("onnxruntime", "onnx", "onnxscript")}
HEADS = ("text_classification", "token_classification", "question_answering")
# What each engine runs: shape of task → model types. Those whose answers the tests compare with torch's.
RUNS = {
    "ctranslate2": dict.fromkeys(HEADS, ("bert",))
    | {"text2text": ("t5", "marian", "bart"), "text_generation": ("gpt2",)},
    "onnx": dict.fromkeys(HEADS, ("bert",)),
}
# What `auto` takes on a CPU: (shape, model type) → engine. In float32 answers are torch's but for the order of sums.
AUTO = {("text2text", "t5"): "ctranslate2"} | dict.fromkeys([(shape, "bert") for shape in HEADS], "ctranslate2")
# Bundled checkpoints that CTranslate2 runs in int8 on a CPU unless float32 is asked for: those whose metric on
# validation rows was within 0.5 % of torch's in float32. (Measure again when one is replaced: docs/engines.md.)
INT8 = ("translate-t5", "summarize-t5", "sentiment-bert", "intents-bert", "ner-bert", "qa-bert", "classify-bert")
logger = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """What an engine makes a model of."""

    source: str  # a folder or a Hub id
    options: dict  # for transformers' `from_pretrained`
    config: object
    shape: str  # "text2text", …
    precision: str  # "float32", "int8", or "" for what is best
    device: object  # a torch.device
    torch_model: object  # () → the model in torch
    tokenizer: object  # () → its tokenizer
    quiet: bool = False  # `auto` has chosen: what torch does instead is nothing to warn of


def check(name: str) -> None:
    """Raises `UserError` for an engine that there isn't, or that isn't installed."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    absent = [package for package in PACKAGES.get(name, ()) if not installed(package)]
    if absent:
        raise UserError(f"engine {name!r} needs {' and '.join(absent)}: pip install 'duet[fast]', or choose torch.")


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def why_not(name: str, checkpoint: Checkpoint) -> str:
    """Why an engine can't run a checkpoint, as the end of a sentence; "" where it can."""
    kind, place = checkpoint.config.model_type, checkpoint.device.type
    known = RUNS[name].get(checkpoint.shape, ())
    if kind not in known:
        return f"can't run {kind} for {checkpoint.shape.replace('_', ' ')}"
    if place not in (("cpu", "cuda") if name == "ctranslate2" else ("cpu",)):
        return f"doesn't run on {place}"
    return ""


def opened(name: str, checkpoint: Checkpoint):
    """The stand-in for a checkpoint's model, or None where torch is to run it.

    An engine that was named and can't run it raises `UserError`; of `auto` the log says it, for whoever listens.
    """
    checkpoint.quiet = name == "auto"
    if checkpoint.quiet:
        pair = checkpoint.shape, checkpoint.config.model_type
        name = AUTO.get(pair, "torch") if checkpoint.device.type == "cpu" else "torch"
    if name == "torch":
        return None
    absent = [package for package in PACKAGES[name] if not installed(package)]
    problem = f"isn't installed (pip install 'duet[fast]' has {', '.join(absent)})" if absent else ""
    problem = problem or why_not(name, checkpoint)
    if not checkpoint.precision and name == "ctranslate2" and checkpoint.device.type == "cpu":
        checkpoint.precision = "int8" if _measured(checkpoint.source) else "float32"
    if not problem:
        try:
            return importlib.import_module(f"pipelines.engines.{name}").load(checkpoint)
        except UserError:
            raise
        except Exception as error:  # converters and runtimes raise what they like
            problem = f"can't run {checkpoint.source}: {first_line(error)}"
    if checkpoint.quiet:
        logger.info(f"torch runs {checkpoint.source}: {name} {problem}")
        return None
    others = [e for e in ENGINES if e != name and (e not in RUNS or not why_not(e, checkpoint))]
    raise UserError(f"engine {name!r} {problem}: choose from {', '.join(others)}.")


def _measured(source: str) -> bool:
    place = Path(os.path.abspath(source))
    return place.name in INT8 and place.parent == hub.CHECKPOINTS
