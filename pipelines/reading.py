"""What the question-answering pipeline stands on: the forms of its calls, and windows as tensors with their offsets.

Letters in the shape comments: B windows, S tokens, L lengths of an answer, K spans kept.
"""

import inspect
import math
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


def spread(inputs):
    """A dict of lists, {"question": […], "context": […] or a text for all}, as a list of dicts; all else as it is."""
    if isinstance(inputs, dict) and isinstance(inputs.get("question"), list):
        return asked((), {name: inputs[name] for name in ("question", "context") if name in inputs})
    return inputs


def checked(example) -> tuple[str, str]:
    """Question and context of a dict, or of an object such as transformers 4's `SquadExample`.

    Raises `UserError` where one is missing or blank.
    """
    if hasattr(example, "question_text") and hasattr(example, "context_text"):
        example = {"question": example.question_text, "context": example.context_text}
    if not isinstance(example, dict):
        raise UserError(f"question-answering takes a dict of question and context, not {type(example).__name__}.")
    for name in ("question", "context"):
        text = example.get(name)
        if not isinstance(text, str):
            raise UserError(f"{name} is missing." if text is None else f"{name} must be a text, not {text!r:.60}.")
        if not text.strip():
            raise UserError(f"{name} is empty.")
    return example["question"], example["context"]


def names(tokenizer, model) -> list[str]:
    """Which of the tokenizer's outputs the model is given: token types too wherever transformers 4 gave them.

    transformers 5's tokenizers of ALBERT, RemBERT, Splinter, XLNet … no longer name them, and so would have a model
    read the question and the context as one text; some others do for a model that takes none.
    """
    config, kept = model.config, [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if "token_type_ids" not in inspect.signature(model.forward).parameters:
        return kept
    two = (getattr(config, "type_vocab_size", None) or 0) > 1 and config.model_type != "big_bird"  # it never got them
    named = "token_type_ids" in tokenizer.model_input_names
    return [*kept, "token_type_ids"] if named or two or config.model_type == "xlnet" else kept


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
    first = none.argmax(1, keepdim=True)  # (B, 1): what follows is a text's own "[CLS]"
    nothing = (starts + ends).masked_fill(none == 0, NEVER).gather(1, first).squeeze(1)  # (B,)
    starts, ends = starts.masked_fill(mine == 0, NEVER), ends.masked_fill(mine == 0, NEVER)
    # only ends that are near enough are looked at: no matrix of S by S
    reach = F.pad(ends, (0, longest - 1), value=NEVER).unfold(1, longest, 1)  # (B, S, L)
    spans = (starts.unsqueeze(2) + reach).flatten(1)  # (B, S*L)
    scores, found = spans.topk(min(count, spans.shape[1]))  # (B, K) each
    first = found // longest
    last = (first + found % longest).clamp(max=ends.shape[1] - 1)
    return {"scores": scores, "first": first, "last": last, "total": total, "nothing": nothing}


def answers(windows: list[dict], context: str, joint: bool, no_answer: bool) -> list[dict]:
    """{"score", "start", "end", "answer"}, the best first, from what `best` kept of each window, edges in characters.

    See `QuestionAnsweringPipeline` for `joint`; with `no_answer`, "" is one of the answers.
    """
    totals = torch.cat([window["total"].view(1) for window in windows])  # (W,)
    if joint:
        totals = totals.logsumexp(0).expand(len(windows))
    spans, nothing = [], []
    for window, total in zip(windows, totals.tolist(), strict=True):
        columns = (window[name][0].tolist() for name in ("scores", "begin", "end"))
        spans += [(score - total, begin, end) for score, begin, end in zip(*columns, strict=True)]
        nothing.append(window["nothing"].item() - total)
    if joint:
        spans.sort(reverse=True)
    found: dict[str, dict] = {}
    for score, begin, end in spans:
        text = context[begin:end]
        if text and score > NEVER:  # else the window has fewer spans than were asked for
            record = found.setdefault(text.lower(), {"score": 0.0, "start": begin, "end": end, "answer": text})
            record["score"] += math.exp(score)
    if no_answer:
        # the least of all windows: a single one that sees an answer is enough
        found[""] = {"score": math.exp(min(nothing)), "start": 0, "end": 0, "answer": ""}
    ranked = sorted(found.values(), key=lambda record: record["score"], reverse=True)
    # neighbours share tokens: an answer there has counted twice, and could have more than all of the probability
    return [record | {"score": min(record["score"], 1.0)} for record in ranked]
