"""CTranslate2: converts a checkpoint, once, and opens what it was converted to. On a CPU or on CUDA."""

import copy
import functools
import json
import os
from pathlib import Path

import torch
from ctranslate2.converters import TransformersConverter
from safetensors.torch import save_file

from pipelines import memory
from pipelines.engines import HEADS, Checkpoint
from pipelines.engines.standin import StandIn, converted

VOCABULARY = {"text2text": "shared_vocabulary.json", "text_generation": "vocabulary.json"}
ROWS = 16  # of a batch on a CPU: with 32 and more, what a batch goes through outgrows the cache of a core
HEAD = "head.safetensors"  # the last layer, which CTranslate2 has no form for


def load(checkpoint: Checkpoint) -> StandIn:
    """The stand-in for the checkpoint's model, converted where that hasn't been done yet."""
    from pipelines.engines.encoding import Encoder
    from pipelines.engines.generating import Continuer, Translator

    stands = {"text2text": Translator, "text_generation": Continuer} | dict.fromkeys(HEADS, Encoder)
    folder = converted("ctranslate2", checkpoint, "float32", functools.partial(_convert, checkpoint))
    return stands[checkpoint.shape](checkpoint, folder)


def opened(stand_in: StandIn, runtime: type, precision: str, folder: Path):
    """One of CTranslate2's own models on the stand-in's device.

    On a CPU as many batches are computed at once as torch has threads, each by one: several threads that share a batch
    of models as small as these wait for each other more than they compute (docs/engines.md has figures).
    """
    if stand_in.device.type == "cuda":
        precision = "int8_float16" if precision == "int8" else "float16"
    else:
        stand_in.workers = torch.get_num_threads()
        stand_in.rows = ROWS
        memory.keep()
        if torch.backends.cpu.get_cpu_capability() == "AVX512":
            os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")  # read when the first model is made; else it is AVX2
    stand_in.precision = precision or "float32"
    return runtime(
        str(folder),
        device=stand_in.device.type,
        device_index=stand_in.device.index or 0,
        compute_type=stand_in.precision,
        inter_threads=stand_in.workers,
        intra_threads=1,
    )


def tokens(folder: Path, shape: str) -> list[str]:
    """The tokens by their ids, as CTranslate2 counts them."""
    return json.loads((folder / VOCABULARY[shape]).read_text(encoding="utf-8"))


def _convert(checkpoint: Checkpoint, source: str, folder: Path) -> None:
    model, tokenizer = checkpoint.torch_model(), checkpoint.tokenizer()
    if model.config.model_type == "bart":
        model.config.normalize_before = False  # what transformers 5 no longer writes down, and the converter reads
    if model.config.model_type == "marian":
        # the converter leaves padding out, and has the decoder start from zeros in its place
        padding = model.config.pad_token_id
        if model.config.decoder_start_token_id != padding or model.get_input_embeddings().weight[padding].any():
            raise ValueError("its padding, which the decoder starts with, has an embedding.")
    loaded = model if checkpoint.shape in VOCABULARY else _bare(model)

    class Loaded(TransformersConverter):
        """With our own model, whose weights came from safetensors alone."""

        def load_model(self, *args, **kwargs):
            return loaded

        def load_tokenizer(self, *args, **kwargs):
            return tokenizer

    Loaded(source).convert(str(folder), force=True)
    if loaded is not model:
        last = getattr(model, "qa_outputs" if checkpoint.shape == "question_answering" else "classifier")
        save_file({"weight": last.weight.detach().clone(), "bias": last.bias.detach().clone()}, folder / HEAD)
        return
    known, own = tokenizer.get_vocab(), tokens(folder, checkpoint.shape)
    # the converter puts the tokens in order and counts them: a gap in the ids would shift what comes behind it
    if len(set(own)) != len(own) or any(known.get(token, i) != i for i, token in enumerate(own)):
        raise ValueError("its tokenizer's ids have gaps.")


def _bare(model):
    """The encoder below a head, with what the converter reads and transformers 5 has no more."""
    encoder = model.base_model
    encoder.config = copy.deepcopy(encoder.config)
    encoder.config.position_embedding_type = "absolute"
    if encoder.pooler is None:  # a head for tokens needs none: what this one makes is not looked at
        encoder.pooler = type(encoder)(encoder.config).pooler
    return encoder
