"""What a call of `generate` asks for, in plain numbers, for those who answer it in transformers' place."""

import copy
from dataclasses import dataclass

import torch

from pipelines.lengths import RowEnds, RowLimits

# Settings of `generate` that change no answer, those of sampling where nothing is sampled, and those that are followed
# with certain values only.
IDLE = {"transformers_version", "_from_model_config", "use_cache", "bos_token_id"}
SAMPLING = {"temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
ONLY = {
    "do_sample": (False,),
    "output_attentions": (False,),
    "output_hidden_states": (False,),
    "output_scores": (False,),
    "output_logits": (False,),
    "return_dict_in_generate": (False,),
    "num_beam_groups": (1,),
    "repetition_penalty": (1.0,),
    "diversity_penalty": (0.0,),
    "remove_invalid_values": (False,),
}
READ = {
    *("num_beams", "num_return_sequences", "early_stopping", "length_penalty", "no_repeat_ngram_size"),
    *("max_length", "max_new_tokens", "min_length", "min_new_tokens", "stopping_criteria", "logits_processor"),
    *("decoder_start_token_id", "eos_token_id", "forced_eos_token_id", "pad_token_id", "renormalize_logits"),
    *("forced_bos_token_id", "bad_words_ids"),
}
LONGEST = 20  # tokens, what `generate` has where nobody says


class Stated:
    """What a generation config states, less what is so by default, worked out again only where it was changed.

    transformers copies all of it twice to see that, and asks several times a batch.
    """

    def __init__(self):
        self._known: tuple[dict, dict] = {}, {}

    def by(self, config) -> dict:
        was, found = self._known
        if vars(config) != was:
            found = config.to_diff_dict()
            self._known = copy.deepcopy(vars(config)), found
        return found

    def over(self, config, options: dict) -> dict:
        """What `generate(…, **options)` is told: by the options, by a config among them, by the model's own config."""
        chosen = options.get("generation_config")
        return self.by(config) | ({} if chosen is None else chosen.to_diff_dict()) | options


class CannotDo(Exception):
    """A call that transformers itself must answer; its text says why."""


@dataclass
class Call:
    """A greedy or a beam search."""

    beams: int
    several: int  # answers to each input
    early_stopping: bool | str
    length_penalty: float
    ngram: int  # so many tokens in a row come once only; 0: any number of times
    limits: torch.Tensor | int  # new tokens, (B,) or for all
    least: int  # new tokens before the end
    ends: list[int]  # tokens
    forced: list[int]  # tokens, one of which an answer that meets its limit ends with; none: it may just stop
    renormalized: bool  # the probability of forbidden tokens is shared out
    start: int | None  # of a decoder
    first: int | None  # what answers begin with
    banned: list[list[int]]
    pad: int


def read(model, options: dict, prompt: int | None) -> Call:
    """What `model.generate(…, **options)` asks for. prompt: tokens of it that count as written already; None for those
    of an encoder-decoder, where it is the start token. The model has its `Stated` as `stated`.

    Raises `CannotDo` for what isn't among `READ`.
    """
    said = model.stated.over(model.generation_config, options)
    said = {name: value for name, value in said.items() if value is not None and name != "generation_config"}
    idle = IDLE if said.get("do_sample") else IDLE | SAMPLING
    for name, value in said.items():
        if name not in idle | READ and value not in ONLY.get(name, ()):
            raise CannotDo(name)
    if said.get("num_return_sequences", 1) > said.get("num_beams", 1):
        raise CannotDo("num_return_sequences without beams")
    before = 1 if prompt is None else prompt
    limits = said.get("max_new_tokens", said.get("max_length", LONGEST + before) - before)
    for criterion in said.get("stopping_criteria", ()):
        if not isinstance(criterion, RowLimits):
            raise CannotDo("stopping_criteria")
        limits = criterion.limits
    forced = said.get("forced_eos_token_id")
    for processor in said.get("logits_processor", ()):
        if not isinstance(processor, RowEnds):
            raise CannotDo("logits_processor")
        forced = processor.end
    ends = _listed(said.get("eos_token_id", model.config.eos_token_id))
    start = None if prompt is not None else said.get("decoder_start_token_id", model.config.decoder_start_token_id)
    pads = said.get("pad_token_id"), model.config.pad_token_id, *ends
    return Call(
        beams=said.get("num_beams", 1),
        several=said.get("num_return_sequences", 1),
        early_stopping=said.get("early_stopping", False),
        length_penalty=said.get("length_penalty", 1.0),
        ngram=said.get("no_repeat_ngram_size", 0),
        limits=limits,
        least=max(0, said.get("min_length", 0) - before, said.get("min_new_tokens", 0)),
        ends=ends,
        forced=_listed(forced),
        renormalized=bool(said.get("renormalize_logits")),
        start=start,
        first=said.get("forced_bos_token_id"),
        banned=said.get("bad_words_ids", []),
        pad=next((token for token in pads if token is not None), 0),
    )


def _listed(tokens: int | list[int] | None) -> list[int]:
    return [] if tokens is None else [tokens] if isinstance(tokens, int) else list(tokens)
