"""ONNX Runtime in place of a classifying encoder: BERT with heads for texts, tokens or answers. CPU.

Exported by torch's own exporter. float32, or int8 in blocks: weights are kept in 8 bits with a scale for every 32 of
them, and activations get theirs within each token's vector as they come. (ONNX Runtime's usual dynamic quantisation
takes one scale over all activations of a batch, so that an answer would depend on what else is asked.)
"""

import contextlib
import functools
import inspect
import logging
import warnings
from pathlib import Path

import onnxruntime
import torch

from pipelines.engines import Checkpoint
from pipelines.engines.standin import Classifier, converted, outputs

FILE = "model.onnx"
NAMES = ("input_ids", "attention_mask", "token_type_ids")
BLOCK = 32  # weights that share a scale
INT8 = 4  # `accuracy_level` of ONNX Runtime's MatMulNBits at which it multiplies in int8


def load(checkpoint: Checkpoint) -> "Encoder":
    """The stand-in for the checkpoint's model, exported where that hasn't been done yet."""
    folder = converted("onnx", checkpoint, "float32", functools.partial(_export, checkpoint))
    if checkpoint.precision == "int8":
        fine = str(folder / FILE)
        folder = converted("onnx", checkpoint, "int8", lambda source, folder: _quantise(fine, str(folder / FILE)))
    return Encoder(checkpoint, folder)


def _export(checkpoint: Checkpoint, source: str, folder: Path) -> None:
    model = checkpoint.torch_model().cpu().eval()
    model.set_attn_implementation("eager")
    taken = inspect.signature(model.forward).parameters
    # two texts of two lengths, so that nothing in the graph takes one text, or texts without padding, for granted
    values = {"input_ids": torch.ones(2, 7, dtype=torch.long), "attention_mask": torch.ones(2, 7, dtype=torch.long)}
    values["token_type_ids"] = torch.zeros(2, 7, dtype=torch.long)
    values["attention_mask"][1, 4:] = 0
    inputs = {name: values[name] for name in NAMES if name in taken}  # (B, S) each
    with _quiet("torch.onnx", logging.ERROR):
        torch.onnx.export(
            model,
            kwargs=inputs,
            f=str(folder / FILE),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs(checkpoint.shape)),
            dynamic_shapes={name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in inputs},
            external_data=False,
            verbose=False,
        )


def _quantise(fine: str, coarse: str) -> None:
    handlers = list(logging.root.handlers)
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.root.handlers[:] = handlers  # the module sets up the application's log
    with _quiet("onnxruntime.quantization", logging.WARNING):
        made = MatMulNBitsQuantizer(onnx.load(fine), bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=INT8)
        made.process()
        made.model.save_model_to_file(coarse)


@contextlib.contextmanager
def _quiet(name: str, level: int):
    """Without what a converter says that concerns nobody here."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


class Encoder(Classifier):
    """The model's `forward` in ONNX Runtime."""

    engine = "onnx"

    def __init__(self, checkpoint: Checkpoint, folder: Path):
        super().__init__(checkpoint)
        self.precision = checkpoint.precision or "float32"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        self._runtime = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])
        self._inputs = tuple(node.name for node in self._runtime.get_inputs())

    def logits(self, ids, mask, types):
        values = dict(zip(NAMES, (ids, mask, types), strict=True))
        found = self._runtime.run(list(self.outputs), {name: values[name].numpy() for name in self._inputs})
        return [torch.from_numpy(values) for values in found]
