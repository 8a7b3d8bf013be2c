"""Asks a pipeline what the text-to-text cases say, by either version of transformers; makes JSON of the answers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import folders
from .text2text_cases import CASES
from .text2text_texts import TEXTS

NUDGE = 1e-4  # of each weight; an answer that so little changes could change with the processor


def run(pipeline, nudge: float = 0.0) -> dict:
    """All cases by `pipeline`: {"folders": {name: hashes}, "cases": {name: answer}}."""
    with tempfile.TemporaryDirectory() as parent:
        ask = Asker(pipeline, Path(parent), nudge)
        return {"cases": {name: ask(case) for name, case in CASES.items()}, "folders": ask.hashes}


class Asker:
    """A case → its answer; makes checkpoints and pipelines as they are needed, and keeps them.

    nudge: by which part of themselves, at most, all weights are moved first.
    """

    def __init__(self, pipeline, parent: Path, nudge: float = 0.0):
        self.pipeline, self.parent, self.nudge = pipeline, parent, nudge
        self.pipes: dict[str, object] = {}
        self.hashes: dict[str, dict] = {}  # of each checkpoint

    def __call__(self, case: dict, **changes):
        case = case | changes
        return answered(self.pipe(case), case["input"], case["call"])

    def pipe(self, case: dict):
        folder, task, made = (case[name] for name in ("folder", "task", "made"))
        key = f"{folder} {task} {made}"
        if key not in self.pipes:
            if folder not in self.hashes:
                folders.build(folder, self.parent)
            pipe = self.pipeline(task, model=str(self.parent / folder), device="cpu", **made)
            self.hashes.setdefault(folder, folders.fingerprint(pipe, TEXTS))
            self.pipes[key] = _nudged(pipe, self.nudge)
        return self.pipes[key]


def _nudged(pipe, nudge: float):
    import torch

    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in pipe.model.parameters() if nudge else ():
            parameter *= 1 + nudge * torch.rand(parameter.shape, generator=chance)
    return pipe


def answered(pipe, given, call: dict):
    """What a call gives, for JSON: tensors are {"tensor": [...]}, iterators {"stream": [...]}, an error its class."""
    kind = given["as"] if isinstance(given, dict) and "as" in given else None
    arguments = tuple(given["of"]) if kind == "arguments" else () if kind == "keyword" else (_meant(given),)
    options = {name: _meant(value) for name, value in call.items()}
    if kind == "keyword":
        options["inputs"] = given["of"]
    try:
        return encoded(pipe(*arguments, **options))
    except Exception as error:
        return {"error": type(error).__name__}


def encoded(output):
    """An output as JSON holds it."""
    if isinstance(output, dict):
        return {name: encoded(value) for name, value in output.items()}
    if isinstance(output, list):
        return [encoded(value) for value in output]
    if hasattr(output, "tolist"):
        return {"tensor": output.tolist()}
    return {"stream": encoded(list(output))} if isinstance(output, Iterator) else output


def _meant(value):
    """What stands for a {"as": …, "of": …}, and all else as it is."""
    if not isinstance(value, dict) or "as" not in value:
        return value
    kinds = {"tuple": tuple, "iterator": iter, "bytes": str.encode, "generator": lambda of: (one for one in of)}
    kinds |= {"config": _config, "dataset": _dataset, "key_dataset": _key_dataset}
    return kinds[value["as"]](value["of"])


def _config(settings: dict):
    from transformers import GenerationConfig

    return GenerationConfig(**settings)


def _dataset(texts: list):
    from torch.utils.data import Dataset

    class Texts(Dataset):
        def __len__(self):
            return len(texts)

        def __getitem__(self, i):
            return texts[i]

    return Texts()


def _key_dataset(texts: list):
    from transformers.pipelines.pt_utils import KeyDataset

    return KeyDataset([{"text": text, "n": i} for i, text in enumerate(texts)], "text")
