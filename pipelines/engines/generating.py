"""CTranslate2 in place of `generate`: T5, Marian, BART (text to text) and GPT-2 (text that goes on).

Answers are those of transformers' `generate` up to the order of sums (float32) or the rounding of weights (int8,
float16). What CTranslate2 has no equal for, the torch model answers, and the log says so.
"""

from dataclasses import replace
from pathlib import Path

import ctranslate2
import torch

from pipelines.calls import Call, CannotDo, read
from pipelines.engines import Checkpoint
from pipelines.engines.ctranslate2 import opened, tokens
from pipelines.engines.standin import StandIn


class Generator(StandIn):
    """`generate` as transformers has it, in CTranslate2; any other call goes to the torch model."""

    engine = "ctranslate2"
    runtime: type

    def __init__(self, checkpoint: Checkpoint, folder: Path):
        super().__init__(checkpoint)
        self._tokens = tokens(folder, checkpoint.shape)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        self._runtime = opened(self, self.runtime, checkpoint.precision, folder)

    def __call__(self, *args, **kwargs):
        self.tell("only generates whole answers: torch does the rest.")
        return self.torch_model(*args, **kwargs)

    def generate(self, input_ids=None, attention_mask=None, **options) -> torch.Tensor:
        """input_ids and attention_mask (B, S) → the ids that `generate` gives (B * num_return_sequences, T)."""
        try:
            if input_ids is None:
                raise CannotDo("inputs without input_ids")
            call = read(self, options, self._prompt(input_ids))
            self._check(call)
            answers = self._answers(input_ids, attention_mask, call)
        except CannotDo as reason:
            self.tell(f"has no {reason}: torch answers such calls.")
            return self.torch_model.generate(input_ids=input_ids, attention_mask=attention_mask, **options)
        width = max(map(len, answers))
        found = torch.tensor([answer + [call.pad] * (width - len(answer)) for answer in answers], device=self.device)
        before = self._before(input_ids, call).repeat_interleave(call.several, 0)
        return torch.cat([before, found], 1)

    def _prompt(self, ids: torch.Tensor) -> int | None:
        """As `calls.read` takes it."""
        raise NotImplementedError

    def _before(self, ids: torch.Tensor, call: Call) -> torch.Tensor:
        """What stands before the answers, (B, …)."""
        raise NotImplementedError

    def _run(self, rows: list[list[str]], limit: int, least: int, plan: dict) -> list[list[list[str]]]:
        """The tokens of each row's answers, of at most so many tokens and at least so many before the end."""
        raise NotImplementedError

    def _check(self, call: Call) -> None:
        """Raises `CannotDo` for what this model can't do, and says what it does otherwise."""
        if call.banned:
            raise CannotDo("bad_words_ids")
        if call.beams == 1:
            return
        if call.early_stopping is not True:
            if self.quiet:
                raise CannotDo("beam search without early_stopping=True")
            self.tell("ends a beam search with the first num_beams answers, as early_stopping=True does.")
        if (call.ngram or call.least) and not call.renormalized:
            self.tell("shares out the probability of forbidden tokens among beams, as renormalize_logits=True does.")

    def _answers(self, ids: torch.Tensor, mask: torch.Tensor | None, call: Call) -> list[list[int]]:
        """The answers' ids without what stands before them, `call.several` for each row of ids (B, S)."""
        masks = torch.ones_like(ids).tolist() if mask is None else mask.tolist()
        rows = [
            [self._tokens[i] for i, kept in zip(row, kept_ones, strict=True) if kept]
            for row, kept_ones in zip(ids.tolist(), masks, strict=True)
        ]
        limits = call.limits.tolist() if isinstance(call.limits, torch.Tensor) else [call.limits] * len(rows)
        plan = {"beam_size": call.beams, "num_hypotheses": call.several, "end_token": call.ends}
        plan |= {"length_penalty": call.length_penalty, "no_repeat_ngram_size": call.ngram, "return_end_token": True}
        plan["first"] = call.first
        answers: list = [None] * len(rows)
        for limit in sorted(set(limits)):  # one for all, unless long texts meet short ones
            some = [i for i, own in enumerate(limits) if own == limit]
            for i, found in zip(some, self._run([rows[i] for i in some], limit, call.least, dict(plan)), strict=True):
                found = [[self._ids[token] for token in answer] for answer in found]
                answers[i] = [self._ended(answer, limit, call) for answer in found]
        return [answer for found in answers for answer in found]

    def _ended(self, answer: list[int], limit: int, call: Call) -> list[int]:
        """An answer that met its limit, with its end in place of the last token where that is forced."""
        if not call.forced or len(answer) < limit or answer[-1] in call.forced:
            return answer
        if call.beams > 1:  # another beam might have won
            raise CannotDo("forced_eos_token_id for an answer of several beams that meets its limit")
        return [*answer[:-1], call.forced[0]]


class Translator(Generator):
    """Encoder-decoders: T5, Marian, BART."""

    runtime = ctranslate2.Translator

    def _prompt(self, ids):
        return None

    def _before(self, ids, call):
        return ids.new_full((len(ids), 1), call.start)

    def _check(self, call):
        if call.start != self.config.decoder_start_token_id:
            raise CannotDo("other decoder_start_token_id")
        # CTranslate2's Marian has no padding token, so that it can't write one
        missing = self.config.model_type == "marian" and call.banned == [[self.config.pad_token_id]]
        super()._check(replace(call, banned=[]) if missing else call)

    def _run(self, rows, limit, least, plan):
        first = plan.pop("first")
        results = self._runtime.translate_batch(
            rows,
            target_prefix=None if first is None else [[self._tokens[first]]] * len(rows),
            max_decoding_length=limit,
            min_decoding_length=least,
            max_input_length=0,
            **plan,
        )
        return [result.hypotheses for result in results]


class Continuer(Generator):
    """Language models: GPT-2."""

    runtime = ctranslate2.Generator

    def _prompt(self, ids):
        return ids.shape[1]

    def _before(self, ids, call):
        return ids

    def _check(self, call):
        if call.first is not None:
            raise CannotDo("forced_bos_token_id")
        if call.ngram:
            raise CannotDo("no_repeat_ngram_size that counts the prompt")
        super()._check(call)

    def _run(self, rows, limit, least, plan):
        if not all(rows):
            raise CannotDo("prompt without tokens")
        plan.pop("first")
        results = self._runtime.generate_batch(
            rows, max_length=limit, min_length=least, include_prompt_in_result=False, **plan
        )
        return [result.sequences for result in results]
