"""What the question-answering pipeline stands on: the forms of its calls, and windows as tensors with their offsets.

Letters in the shape comments: B windows, S tokens, L lengths of an answer, K spans kept.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from pipelines.errors import UserError

NEVER = float("-inf")


def asked(inputs: tuple, options: dict):
    """The question or questions of a call, in whatever form they came; takes what it uses out of `options`."""
    named = [options.pop(name) for name in ("data", "X") if name in options]
    if "question" in options or "context" in options:
        question, context = options.pop("question", None), options.pop("context", None)
        if isinstance(question, str) and isinstance(context, str):
            return {"question": question, "context": context}
        if isinstance(question, Iterable) and not isinstance(question, str):
            question = list(question)
            context = [context] * len(question) if isinstance(context, str) else list(context or ())
            if len(question) != len(context):
                raise UserError(
                    f"{len(question)} questions, but {len(context)} contexts: give one each, or one for all."
                )
            return [{"question": q, "context": c} for q, c in zip(question, context, strict=True)]
        return {"question": question, "context": context}
    inputs = (*inputs, *named)
    if not inputs:
        raise UserError("nothing is asked: give question=… and context=…, or a dict of both.")
    if len(inputs) == 2 and all(isinstance(text, str) for text in inputs):
        return dict(zip(("question", "context"), inputs, strict=True))
    return inputs[0] if len(inputs) == 1 else list(inputs)


def checked(example) -> tuple[str, str]:
    """Question and context of a dict. Raises `UserError` where one is missing or blank."""
    if not isinstance(example, dict):
        raise UserError(f"question-answering takes a dict of question and context, not {type(example).__name__}.")
    for name in ("question", "context"):
        text = example.get(name)
        if not isinstance(text, str):
            raise UserError(f"{name} is missing." if text is None else f"{name} must be a text, not {text!r:.60}.")
        if not text.strip():
            raise UserError(f"{name} is empty.")
    return example["question"], example["context"]


def places(window, side: int, none: int | None, align: bool) -> dict[str, torch.Tensor]:
    """Of each token of a window (a `tokenizers.Encoding`): mine, is it of the context, the sequence `side`; none, is it
    the no-answer token, the id `none`; begin and end of an answer there, in characters of the context. (1, S) each.

    With `align` an answer takes in the whole word; of a word that the window cuts, what the window has of it.
    """
    mine = [sequence == side for sequence in window.sequence_ids]
    begin, end = (list(edge) for edge in zip(*window.offsets, strict=True))
    if align:
        words = [word if own else None for word, own in zip(window.word_ids, mine, strict=True)]
        for i in range(1, len(words)):
            if words[i] is not None and words[i] == words[i - 1]:
                begin[i] = begin[i - 1]
        for i in range(len(words) - 1, 0, -1):
            if words[i] is not None and words[i] == words[i - 1]:
                end[i - 1] = end[i]
    found = {"mine": mine, "none": [token == none for token in window.ids], "begin": begin, "end": end}
    return {name: torch.tensor([values], dtype=torch.long) for name, values in found.items()}


def best(starts: torch.Tensor, ends: torch.Tensor, mine: torch.Tensor, none: torch.Tensor, longest: int, count: int):
    """The `count` best spans of each window, from its logits (B, S) and the masks of `places`.

    → {"scores" (B, K), the sums of both logits; "first", "last" (B, K), tokens; "total" (B,), log of what all pairs of
    start and end weigh; "nothing" (B,), the no-answer token's sum of logits}. Where there are fewer spans than K, and
    where there is no such token, -inf.
    """
    outside = (mine | none) == 0  # (B, S)
    starts, ends = starts.float().masked_fill(outside, NEVER), ends.float().masked_fill(outside, NEVER)
    total = starts.logsumexp(1) + ends.logsumexp(1)  # (B,)
    nothing = (starts + ends).masked_fill(none == 0, NEVER).amax(1)  # (B,)
    starts, ends = starts.masked_fill(mine == 0, NEVER), ends.masked_fill(mine == 0, NEVER)
    # only ends that are near enough are looked at: no matrix of S by S
    reach = F.pad(ends, (0, longest - 1), value=NEVER).unfold(1, longest, 1)  # (B, S, L)
    spans = (starts.unsqueeze(2) + reach).flatten(1)  # (B, S*L)
    scores, found = spans.topk(min(count, spans.shape[1]))  # (B, K) each
    first = found // longest
    last = (first + found % longest).clamp(max=ends.shape[1] - 1)
    return {"scores": scores, "first": first, "last": last, "total": total, "nothing": nothing}
