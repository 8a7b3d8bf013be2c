"""Where our text-to-text answers differ from those of transformers 4.57.6 on purpose: which cases, why, and what holds.

Each check gets `ask` (`text2text_asking.Asker`), the case, our answer and theirs. See docs/parity-text2text.md.
"""

from fnmatch import fnmatch

from .text2text_asking import encoded


def blank(ask, case, ours, theirs):
    """A blank text has a blank answer; the texts beside it have theirs."""
    texts = case["input"] if isinstance(case["input"], list) else [case["input"]]
    for text, mine, their in zip(texts, ours, theirs, strict=True):
        assert mine == (their if text.strip() else dict.fromkeys(their, ""))


def refused(ask, case, ours, theirs):
    """A `UserError`."""
    assert ours == {"error": "UserError"}


def accepted(ask, case, ours, theirs):
    """The answers that the same texts have in another form."""
    form, texts = case["input"]["as"], case["input"]["of"]
    plain = {"as": "generator", "of": texts} if form == "iterator" else texts
    assert "error" in theirs and "error" not in ours and ours == ask(case, input=plain)


def in_parts(ask, case, ours, theirs):
    """Parts that each fit the model, all of the text among them, have an answer each or are summarised again."""
    from pipe_tools import heard

    pipe = ask.pipe(case)
    with heard(pipe) as parts:
        (answer,) = pipe(case["input"], **case["call"])
    decode = pipe.tokenizer.decode
    prefix = decode(pipe.tokenizer(pipe.prefix)["input_ids"], skip_special_tokens=True)
    texts = [decode(ids, skip_special_tokens=True).removeprefix(prefix.strip()) for ids in parts]
    whole = decode(pipe.tokenizer(case["input"], verbose=False)["input_ids"], skip_special_tokens=True)
    assert "".join("".join(texts).split()).startswith("".join(whole.split()))
    assert max(map(len, parts)) <= pipe._room() and len(parts) > 1
    assert ours == [encoded(answer)] and any(answer.values())


def limited(ask, case, ours, theirs):
    """No answer is longer than the caller's, else the checkpoint's, `max_length`; a greedy one begins as theirs."""
    call, settings = case["call"], ask.pipe(case)._settings
    limit = call.get("max_length", settings.get("max_length"))
    sizes = [len(record[key]["tensor"]) for record in ask(case, call=call | {"return_tensors": True}) for key in record]
    assert max(sizes) == limit
    if call.get("num_beams") == 1:
        assert all(text(their).startswith(text(mine)) for mine, their in zip(ours, theirs, strict=True))


def longer(ask, case, ours, theirs):
    """The answer may have 256 tokens; theirs stopped after 20."""
    own = case["call"]["generation_config"]
    limit = {"as": "config", "of": own["of"] | {"max_new_tokens": 256}}
    assert ours == ask(case, call=case["call"] | {"generation_config": limit})


def as_in_the_call(ask, case, ours, theirs):
    """What the pipeline was made with, or a `GenerationConfig` says, holds as if the call said it."""
    said = case["made"] | case["call"]
    said |= said.pop("generation_config", {"of": {}})["of"]
    assert ours == ask(case, made={}, call=said)


def unpadded(ask, case, ours, theirs):
    """The same tokens without the padding that came from the rest of the batch."""
    tokenizer = ask.pipe(case).tokenizer
    for mine, their in zip(ours, theirs, strict=True):
        ((key, mine),), ((other, their),) = mine.items(), their.items()
        assert key == other and their["tensor"][: len(mine["tensor"])] == mine["tensor"]
        assert set(their["tensor"][len(mine["tensor"]) :]) <= {tokenizer.pad_token_id, tokenizer.eos_token_id}


def both(ask, case, ours, theirs):
    """Their tokens, and the text of them."""
    tokenizer = ask.pipe(case).tokenizer
    for mine, their in zip(ours, theirs, strict=True):
        ((key, ids),) = their.items()
        words = tokenizer.decode(ids["tensor"], skip_special_tokens=True)
        assert mine == their | {key.removesuffix("token_ids") + "text": words}


def text(record: dict) -> str:
    return next(iter(record.values()))


LIMITS = [f"max-length/6/{folder}" for folder in ("t5", "bart-base", "mbart")]
LIMITS += [f"max-length/12/{folder}" for folder in ("bart-base", "mbart")]
LIMITS += ["max-length/20-min-5/flan", "max-length/20-min-5/mbart", "max-length/of-the-checkpoint/t5"]
WORDS = ["language/unknown/mbart", "language/task-of-words/mbart", "language/no-target/mbart"]
MADE = ["overruled/*", "language/made/mbart", "language/made-over-task/m2m"]
# name, as in docs/parity-text2text.md → (patterns of the cases' names, what ours does)
DIFFERENCES = {
    "blank texts": (["blank/*"], blank),
    "texts beyond the model": (["long/*"], in_parts),
    "`max_length`": (LIMITS, limited),
    "no length at all": ([f"config/no-length/{folder}" for folder in ("t5", "flan", "bart-base")], longer),
    "settings of the pipeline": (MADE, as_in_the_call),
    "unknown languages": (WORDS, refused),
    "tokens of a batch": (["option/tensors-batch/*"], unpadded),
    "tokens and text": (["option/tensors-and-text/*"], both),
    "texts that got lost": (["nested/*", "two-texts/*"], refused),
    "other forms of input": (["accepted/*"], accepted),
}


def kind(name: str) -> str | None:
    """Which of `DIFFERENCES` a case belongs to; None for those that have one answer."""
    return next((key for key, (patterns, _) in DIFFERENCES.items() if any(fnmatch(name, p) for p in patterns)), None)
