"""What the tests of text generation share: a tiny byte-level tokenizer, both families as tiny models, pipelines."""

import functools

import torch
from conftest import ENGLISH
from lstm_models import spread
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from pipelines import pipeline, scratch
from pipelines.lstm import LSTMConfig
from pipelines.lstm.modeling_lm import LSTMForCausalLM

FAMILIES = ("gpt2", "lstm")
WINDOW = 32
ODD = [
    "naïve — “quoted” 漢字 🙂‍↔️",
    " two  blanks\n\nand\ttabs ",
    "<|endoftext|> is a name here",
    "\u0928\u092e\u0938\u094d\u0924\u0947",
]
# a few pieces, so that all ways to spell a text can be counted: é and « in halves, since they have two bytes
PIECES = ["<|endoftext|>", "a", "b", "ab", "Ġ", "Ġa", "Ġb", ",", "Ċ", "Ã", "©", "Ã©", "Â", "«", "'"]


@functools.cache
def tokenizer() -> GPT2Tokenizer:
    made = scratch.byte_tokenizer(ENGLISH * 3, 400)
    made.model_max_length = WINDOW
    return made


def small_tokenizer() -> GPT2Tokenizer:
    return GPT2Tokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}, merges=[], add_bos_token=True)


def model(family: str, size: int, seed: int = 0, positions: int = WINDOW):
    """Random weights wide enough for some tokens to be far likelier than others."""
    ends = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    if family == "gpt2":
        made = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=2, n_head=2, n_positions=positions, **ends))
    else:
        made = LSTMForCausalLM(LSTMConfig(d_model=8, hidden_size=12, decoder_layers=2, **ends))
    made.generation_config.pad_token_id = 0
    return spread(made, seed)


@functools.cache
def pipe(family: str):
    """The pipeline of a tiny model. Tests must not change it."""
    made = model(family, len(tokenizer()))
    return pipeline("complete", model=made, tokenizer=tokenizer(), device="cpu")


@torch.no_grad()
def log_probabilities(made, ids: list[int]) -> torch.Tensor:
    """(S, V): of the token behind each place, in one plain call without a cache."""
    return made(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)
