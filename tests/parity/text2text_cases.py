"""What is asked of the small text-to-text checkpoints: plain data, one entry of `CASES` a question.

A case is {"folder", "task", "made", "input", "call"}: `pipeline(task, model=folder, **made)(input, **call)`. What JSON
can't hold stands as {"as": …, "of": …}, see `text2text_asking`. Imports nothing that needs transformers 5.
"""

from collections.abc import Iterator

from .text2text_texts import ARTICLE, DIALOGUE, ENGLISH, FRENCH, ODD, OTHERS

RAGGED = [ENGLISH[3], ENGLISH[1], ENGLISH[4], ENGLISH[10], ENGLISH[6]]
LONG = " ".join((*ENGLISH, *ENGLISH[::-1], ARTICLE, *ENGLISH[::2], *ENGLISH[1::2])) * 2
LANGUAGES = {"mbart": {"src_lang": "en_XX", "tgt_lang": "ro_RO"}, "m2m": {"src_lang": "en", "tgt_lang": "fr"}}
TASKS = {
    "t5": "translation_en_to_fr",
    "flan": "text2text-generation",
    "marian": "translation_en_to_fr",
    "bart-cnn": "summarization",
    "bart-base": "text2text-generation",
    "mbart": "translation",
    "m2m": "translation",
}
FOLDERS = tuple(TASKS)
SHORT = {"max_new_tokens": 16}

# name → (how many texts: 1, a list of one, a ragged list; the call)
OPTIONS: dict[str, tuple[str, dict]] = {
    "greedy": ("text", {"num_beams": 1}),
    "greedy-list": ("list", {"num_beams": 1}),
    "beams": ("text", {}),
    "beams-2": ("text", {"num_beams": 2}),
    "beams-3-list": ("list", {"num_beams": 3}),
    "beams-7": ("text", {"num_beams": 7, "max_new_tokens": 9}),
    "batch-2": ("list", {"batch_size": 2}),
    "batch-3-greedy": ("list", {"batch_size": 3, "num_beams": 1}),
    "batch-8-beams-2": ("list", {"batch_size": 8, "num_beams": 2}),
    "truncation": ("text", {"truncation": True}),
    "truncation-longest-first": ("list", {"truncation": "longest_first", "num_beams": 1}),
    "truncation-only-first": ("text", {"truncation": "only_first", "num_beams": 1}),
    "truncation-off": ("text", {"truncation": False, "num_beams": 2}),
    "truncation-do-not": ("text", {"truncation": "do_not_truncate", "num_beams": 1}),
    "new-1": ("text", {"max_new_tokens": 1}),
    "new-5": ("list", {"max_new_tokens": 5, "num_beams": 1}),
    "new-60": ("text", {"max_new_tokens": 60, "num_beams": 1}),
    "min-new": ("list", {"min_new_tokens": 12, "num_beams": 1}),
    "min-length": ("text", {"min_length": 14, "num_beams": 2}),
    "return-2": ("text", {"num_return_sequences": 2, "num_beams": 2}),
    "return-2-of-one": ("one", {"num_return_sequences": 2, "num_beams": 3}),
    "return-3-list": ("list", {"num_return_sequences": 3, "num_beams": 3, "max_new_tokens": 9}),
    "return-2-batch": ("list", {"num_return_sequences": 2, "num_beams": 2, "batch_size": 3}),
    "clean-up": ("list", {"clean_up_tokenization_spaces": True}),
    "clean-up-off": ("text", {"clean_up_tokenization_spaces": False, "num_beams": 3}),
    "tensors": ("text", {"return_tensors": True}),
    "tensors-list": ("list", {"return_tensors": True, "num_beams": 1}),
    "tensors-return-3": ("one", {"return_tensors": True, "num_beams": 3, "num_return_sequences": 3}),
    "tensors-batch": ("list", {"return_tensors": True, "num_beams": 2, "batch_size": 4}),
    "tensors-and-text": ("text", {"return_tensors": True, "return_text": True, "num_beams": 2}),
    "tensors-off": ("text", {"return_tensors": False, "num_beams": 3}),
    "return-text": ("list", {"return_text": True, "num_beams": 2}),
    "return-text-off": ("text", {"return_text": False, "num_beams": 3}),
    "sample-off": ("list", {"do_sample": False, "num_beams": 2, "early_stopping": True}),
    "length-penalty-low": ("text", {"length_penalty": 0.2}),
    "length-penalty-high": ("list", {"length_penalty": 3.0, "num_beams": 3}),
    "length-penalty-negative": ("text", {"length_penalty": -2.0}),
    "no-repeat-2": ("text", {"no_repeat_ngram_size": 2, "max_new_tokens": 30}),
    "no-repeat-1": ("list", {"no_repeat_ngram_size": 1, "num_beams": 1, "max_new_tokens": 24}),
    "no-repeat-off": ("text", {"no_repeat_ngram_size": 0, "max_new_tokens": 30}),
    "no-source-repeat": ("text", {"encoder_no_repeat_ngram_size": 2, "num_beams": 1, "max_new_tokens": 24}),
    "early-stopping": ("list", {"early_stopping": True, "num_beams": 4}),
    "early-stopping-off": ("text", {"early_stopping": False, "num_beams": 3, "max_new_tokens": 24}),
    "early-stopping-never": ("text", {"early_stopping": "never", "num_beams": 3, "length_penalty": 0.5}),
    "repetition-penalty": ("list", {"repetition_penalty": 1.8, "num_beams": 1, "max_new_tokens": 24}),
    "source-repetition-penalty": ("text", {"encoder_repetition_penalty": 1.5, "num_beams": 1}),
    "bad-words": ("text", {"bad_words_ids": [[40], [41, 42], [60]], "num_beams": 1}),
    "suppress": ("text", {"suppress_tokens": [30, 31, 32, 33, 34], "num_beams": 2}),
    "begin-suppress": ("text", {"begin_suppress_tokens": list(range(40, 90)), "num_beams": 1}),
    "forced-end": ("text", {"forced_eos_token_id": 50, "num_beams": 1, "max_new_tokens": 4}),
    "decay": ("list", {"exponential_decay_length_penalty": [3, 1.4], "num_beams": 1, "max_new_tokens": 30}),
    "renormalized": ("text", {"renormalize_logits": True, "repetition_penalty": 1.3}),
    "no-cache": ("text", {"use_cache": False, "num_beams": 2, "max_new_tokens": 10}),
}


def _grid() -> Iterator[tuple]:
    """Each option for five checkpoints, and each of these times for another text."""
    for i, (name, (form, call)) in enumerate(OPTIONS.items()):
        for k in range(5):
            folder = FOLDERS[(i + k + k // 3) % 7]
            text = (*ENGLISH, *FRENCH, *OTHERS)[(5 * i + 7 * k) % 26]
            several = RAGGED[: 2 + (i + k) % 4] + [text]
            given = {"text": text, "one": [text], "list": several}[form]
            extra = {"min_length": 0} if folder == "bart-cnn" else LANGUAGES.get(folder, {})
            yield f"option/{name}/{folder}", folder, TASKS[folder], {}, given, SHORT | extra | call


def _texts() -> Iterator[tuple]:
    """Odd texts for tokenizers, texts of several sentences and lines, no text at all."""
    for k, folder in enumerate(FOLDERS):
        extra = LANGUAGES.get(folder, {}) | {"num_beams": 2, "max_new_tokens": 12}
        for i, text in enumerate(ODD):
            if (i + k) % 7 < 5:
                yield f"text/odd-{i}/{folder}", folder, TASKS[folder], {}, text, extra
        extra |= {"max_new_tokens": 40}
        form = "long" if folder == "m2m" else "text"  # beyond the 200 tokens that it was made for
        yield f"{form}/article/{folder}", folder, TASKS[folder], {}, ARTICLE, extra
        yield f"text/dialogue/{folder}", folder, TASKS[folder], {}, DIALOGUE, extra | {"num_beams": 1}
        two = [f"{ENGLISH[k]} {ENGLISH[k + 4]}", f"{ENGLISH[k]}\n{ENGLISH[k + 4]}\n"]
        yield f"text/two-sentences/{folder}", folder, TASKS[folder], {}, two, extra | {"batch_size": 2}
        yield f"blank/empty/{folder}", folder, TASKS[folder], {}, "", extra
        if k % 2:
            yield f"blank/spaces/{folder}", folder, TASKS[folder], {}, " \n\t ", extra
        else:
            blanks = ["", ENGLISH[k], "  "]
            yield f"blank/among-others/{folder}", folder, TASKS[folder], {}, blanks, extra | {"batch_size": 3}
        cut = extra | {"truncation": True, "max_new_tokens": 8}
        yield f"text/very-long-cut/{folder}", folder, TASKS[folder], {}, LONG, cut
        yield f"long/very-long/{folder}", folder, TASKS[folder], {}, LONG, extra | {"max_new_tokens": 4}


FORMS = {
    "str": ENGLISH[0],
    "list-of-one": [ENGLISH[8]],
    "list": RAGGED[:3],
    "empty-list": [],
    "generator": {"as": "generator", "of": RAGGED[:3]},
    "dataset": {"as": "dataset", "of": RAGGED[1:4]},
    "key-dataset": {"as": "key_dataset", "of": RAGGED[2:5]},
}
WRONG = {
    "none": None,
    "number": 7,
    "dict": {"text": ENGLISH[0]},
    "list-with-number": [ENGLISH[0], 3],
    "list-of-dicts": [{"text": ENGLISH[0]}],
    "bytes": {"as": "bytes", "of": ENGLISH[0]},
}
ONLY_OURS = {
    "tuple": {"as": "tuple", "of": RAGGED[:2]},
    "iterator": {"as": "iterator", "of": RAGGED[:2]},
    "keyword": {"as": "keyword", "of": RAGGED[0]},
    "keyword-list": {"as": "keyword", "of": RAGGED[:2]},
}


def _forms() -> Iterator[tuple]:
    for folder in ("t5", "marian", "bart-cnn", "m2m"):
        call = LANGUAGES.get(folder, {}) | {"num_beams": 2, "max_new_tokens": 8, "min_length": 0}
        for name, given in FORMS.items():
            yield f"form/{name}/{folder}", folder, TASKS[folder], {}, given, call
            if isinstance(given, dict):
                several = call | {"batch_size": 2, "num_return_sequences": 2}
                yield f"form/{name}-batch/{folder}", folder, TASKS[folder], {}, given, several
    for i, (name, given) in enumerate(WRONG.items()):
        folder = FOLDERS[i]
        yield f"wrong/{name}/{folder}", folder, TASKS[folder], {}, given, SHORT | LANGUAGES.get(folder, {})
    unknown = SHORT | {"num_beam": 2}
    yield "wrong/unknown-option/t5", "t5", TASKS["t5"], {}, ENGLISH[0], unknown
    more = SHORT | {"num_beams": 2, "num_return_sequences": 5}
    yield "wrong/more-answers-than-beams/flan", "flan", TASKS["flan"], {}, ENGLISH[0], more
    yield "wrong/no-beams/marian", "marian", TASKS["marian"], {}, ENGLISH[0], SHORT | {"num_beams": 0}
    for i, (name, given) in enumerate(ONLY_OURS.items()):
        folder = FOLDERS[i]
        yield f"accepted/{name}/{folder}", folder, TASKS[folder], {}, given, SHORT | {"min_length": 0, "num_beams": 1}
    nested = [RAGGED[:2], RAGGED[2:4]]
    yield "nested/lists/marian", "marian", TASKS["marian"], {}, nested, SHORT
    yield "nested/list/t5", "t5", TASKS["t5"], {}, [RAGGED[:3]], SHORT
    yield "two-texts/t5", "t5", TASKS["t5"], {}, {"as": "arguments", "of": RAGGED[:2]}, SHORT


def _settings() -> Iterator[tuple]:
    """Prefixes and settings of the checkpoint, the pipeline and the call, and which of them wins."""
    for i, task in enumerate(("translation_en_to_de", "translation_en_to_ro", "translation", "text2text-generation")):
        yield f"settings/prefix-{task}/t5", "t5", task, {}, ENGLISH[i + 2], SHORT
    yield "settings/prefix-twice/t5", "t5", "translation_en_to_fr", {}, f"translate English to French: {ENGLISH[0]}", {}
    yield "settings/prefix-by-hand/t5", "t5", "text2text-generation", {}, f"summarize: {ENGLISH[3]}", SHORT
    yield "settings/other-pair/t5", "t5", "translation_en_to_es", {}, ENGLISH[5], SHORT
    for i, folder in enumerate(FOLDERS):  # as an app calls them, with nothing more said
        for k in (0, 6, 10):
            text, call = ENGLISH[(i + k) % 15], LANGUAGES.get(folder, {})
            yield f"settings/none-{k}/{folder}", folder, TASKS[folder], {}, text, call
        for n in (6, 12):
            call = LANGUAGES.get(folder, {}) | {"max_length": n}
            yield f"max-length/{n}/{folder}", folder, TASKS[folder], {}, [ENGLISH[i], FRENCH[i]], call
        call = LANGUAGES.get(folder, {}) | {"max_length": 20, "min_length": 5, "num_beams": 1}
        yield f"max-length/20-min-5/{folder}", folder, TASKS[folder], {}, ENGLISH[i + 7], call
    for folder in ("t5", "bart-cnn", "bart-base", "flan"):
        yield f"settings/summary/{folder}", folder, "summarization", {}, ARTICLE, {}
        yield f"settings/summary-list/{folder}", folder, "summarization", {}, [DIALOGUE, ARTICLE], {"batch_size": 2}
        call = {"min_length": 5, "max_new_tokens": 20}
        yield f"settings/summary-short/{folder}", folder, "summarization", {}, DIALOGUE, call
    for folder in ("marian", "bart-base", "flan"):
        yield f"settings/translation/{folder}", folder, "translation", {}, ENGLISH[9], SHORT
        yield f"settings/other-pair/{folder}", folder, "translation_de_to_en", {}, OTHERS[0], SHORT
        yield f"settings/text2text/{folder}", folder, "text2text-generation", {}, ENGLISH[12], SHORT | {"num_beams": 3}
    for code in ("fra", "ron", "deu"):
        yield f"settings/target-{code}/marian", "marian", "translation", {}, f">>{code}<< {ENGLISH[2]}", SHORT
    stammer = {"num_beams": 1, "max_new_tokens": 30}
    yield "settings/stammer/mbart", "mbart", "summarization", {}, [*ENGLISH[:4], *FRENCH[:3]], stammer
    endless = {"num_beams": 1, "suppress_tokens": [1]}
    yield "max-length/of-the-checkpoint/t5", "t5", "summarization", {}, ENGLISH[3], endless
    made: dict[str, dict] = {
        "new": {"max_new_tokens": 5},
        "length": {"max_length": 8},
        "beams": {"num_beams": 2, "max_new_tokens": 14},
        "batch": {"batch_size": 3, "max_new_tokens": 14},
        "clean-up": {"clean_up_tokenization_spaces": True, "max_new_tokens": 14},
        "tensors": {"return_tensors": True, "max_new_tokens": 14},
        "truncation": {"truncation": True, "max_new_tokens": 14, "num_beams": 3},
        "no-repeat": {"no_repeat_ngram_size": 1, "max_new_tokens": 14},
    }
    for i, (name, options) in enumerate(made.items()):
        for folder in ("flan", "marian", "bart-base"):
            given = [*RAGGED[i % 3 :], FRENCH[i % 7]]
            yield f"made/{name}/{folder}", folder, TASKS[folder], options, given, {"num_beams": 1} if i % 2 else {}
    again = {"num_beams": 3, "max_new_tokens": 12, "return_tensors": True}
    for folder in ("flan", "marian"):
        call = {"num_beams": 1, "max_new_tokens": 6, "return_tensors": False}
        yield f"made/call-over-made/{folder}", folder, TASKS[folder], again, ENGLISH[7], call
    ignored = ("t5", {"max_length": 9}, 10), ("t5", {"num_beams": 1}, 10), ("bart-cnn", {"min_length": 2}, 1)
    for folder, options, k in ignored:
        name = next(iter(options))
        call = {"max_length": {"num_beams": 1}, "num_beams": SHORT, "min_length": SHORT | {"num_beams": 1}}[name]
        yield f"overruled/{name}/{folder}", folder, TASKS[folder], options, ENGLISH[k], call
    one = {"generation_config": {"as": "config", "of": {"num_beams": 1, "max_new_tokens": 10}}}
    yield "overruled/one-beam-of-a-config/marian", "marian", TASKS["marian"], {}, ENGLISH[10], one
    for i, folder in enumerate(("t5", "flan", "marian", "bart-base", "m2m")):
        own = {"as": "config", "of": {"max_new_tokens": 10, "num_beams": 2}}
        call = LANGUAGES.get(folder, {}) | {"generation_config": own}
        yield f"config/two-beams/{folder}", folder, TASKS[folder], {}, ENGLISH[i + 3], call
        own = {"as": "config", "of": {"max_new_tokens": 11}}
        call = LANGUAGES.get(folder, {}) | {"generation_config": own}
        yield f"config/length/{folder}", folder, TASKS[folder], {}, ENGLISH[i + 4], call
        own = {"as": "config", "of": {"num_beams": 2, "min_new_tokens": 30}}
        call = LANGUAGES.get(folder, {}) | {"generation_config": own}
        yield f"config/no-length/{folder}", folder, TASKS[folder], {}, ENGLISH[i + 6], call
        stop = SHORT | LANGUAGES.get(folder, {}) | {"num_beams": 1, "stop_sequence": "e"}
        yield f"stop/e/{folder}", folder, TASKS[folder], {}, ENGLISH[i + 5], stop
    stop = SHORT | {"num_beams": 2, "batch_size": 3, "stop_sequence": "s"}
    yield "stop/s-batch/flan", "flan", TASKS["flan"], {}, RAGGED[:3], stop


def _languages() -> Iterator[tuple]:
    pairs = {"mbart": ("en_XX", "ro_RO", "fr_XX", "zh_CN"), "m2m": ("en", "fr", "de", "zu")}
    for folder, (a, b, c, d) in pairs.items():
        for i, (source, target) in enumerate(((a, b), (a, c), (c, a), (d, b), (b, b))):
            call = SHORT | {"src_lang": source, "tgt_lang": target, "num_beams": 1 + i % 2}
            yield f"language/{source}-{target}/{folder}", folder, "translation", {}, [FRENCH[i], ENGLISH[i + 2]], call
        half = SHORT | {"src_lang": a, "num_beams": 1}
        yield f"language/no-target/{folder}", folder, "translation_xx_to_yy", {}, ENGLISH[0], half
        wrong = SHORT | {"src_lang": a, "tgt_lang": "klingon"}
        yield f"language/unknown/{folder}", folder, "translation", {}, ENGLISH[0], wrong
        made = {"src_lang": c, "tgt_lang": a}
        yield f"language/made/{folder}", folder, "translation", made, FRENCH[1], SHORT
        yield f"language/none/{folder}", folder, "text2text-generation", {}, ENGLISH[4], SHORT
        yield f"language/call-over-made/{folder}", folder, "translation", made, FRENCH[2], SHORT | {"tgt_lang": d}
    yield "language/none-given/m2m", "m2m", "translation", {}, ENGLISH[0], SHORT
    for i, task in enumerate(("translation_en_to_fr", "translation_de_to_zu", "translation_fr_to_en")):
        yield f"language/{task}/m2m", "m2m", task, {}, [OTHERS[i % 4], ENGLISH[i]], SHORT | {"batch_size": 2}
    call = SHORT | {"src_lang": "de"}
    yield "language/task-and-source/m2m", "m2m", "translation_en_to_fr", {}, OTHERS[1], call
    yield "language/task-and-target/m2m", "m2m", "translation_en_to_fr", {}, ENGLISH[1], SHORT | {"tgt_lang": "ro"}
    yield "language/task-of-words/mbart", "mbart", "translation_en_to_ro", {}, ENGLISH[6], SHORT
    made = {"src_lang": "de", "tgt_lang": "zu"}
    yield "language/made-over-task/m2m", "m2m", "translation_en_to_fr", made, OTHERS[0], SHORT


def _named(*parts) -> dict[str, dict]:
    keys = ("folder", "task", "made", "input", "call")
    found = [(name, dict(zip(keys, rest, strict=True))) for part in parts for name, *rest in part]
    assert len(dict(found)) == len(found), "two cases of one name"
    return dict(found)


CASES = _named(_grid(), _texts(), _forms(), _settings(), _languages())
