"""What the tests of the pipelines share: one pipeline for each tiny checkpoint, and ways to look at it."""

import contextlib

import pytest

from pipelines import pipeline

SEQ2SEQ = ("tiny_t5", "tiny_lstm_seq2seq")
CLASSIFIERS = ("tiny_bert", "tiny_lstm_classifier")
TASK_OF = dict.fromkeys(SEQ2SEQ, "translation_en_to_fr") | dict.fromkeys(CLASSIFIERS, "sentiment-analysis")


def made(request, family: str):
    """A pipeline of the family, on the CPU, with short answers: random weights rarely end one."""
    short = {"max_new_tokens": 6} if family in SEQ2SEQ else {}
    return pipeline(TASK_OF[family], model=request.getfixturevalue(family), device="cpu", **short)


def near(outputs, expected) -> bool:
    """Equal texts and labels; scores within what the order of float32 sums explains."""
    if isinstance(outputs, list):
        return len(outputs) == len(expected) and all(map(near, outputs, expected))
    if isinstance(outputs, dict):
        return outputs.keys() == expected.keys() and all(near(outputs[key], expected[key]) for key in outputs)
    return outputs == (pytest.approx(expected, abs=2e-6) if isinstance(outputs, float) else expected)


def flat(outputs) -> list[dict]:
    """One record an input, from what a stream gives: for a text a list of one, for a classifier the record."""
    return [output[0] if isinstance(output, list) else output for output in outputs]


def prefix_of(pipe) -> str:
    return getattr(pipe, "prefix", None) or ""


@contextlib.contextmanager
def heard(pipe):
    """The token ids (a list a text part, without padding) that reach the model's encoder inside the `with`."""
    texts: list[list[int]] = []

    def note(module, arguments, options):
        ids = options["input_ids"] if "input_ids" in options else arguments[0]
        mask = options.get("attention_mask")
        mask = ids.new_ones(ids.shape) if mask is None else mask
        texts.extend(row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True))

    listener = pipe.model.get_encoder() if pipe.model.config.is_encoder_decoder else pipe.model
    handle = listener.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield texts
    finally:
        handle.remove()


@contextlib.contextmanager
def generating(pipe):
    """The arguments of the last `generate` inside the `with`."""
    used: dict = {}
    generate = pipe.model.generate

    def note(**options):
        used.clear()
        used.update(options)
        return generate(**options)

    pipe.model.generate = note
    try:
        yield used
    finally:
        del pipe.model.generate
