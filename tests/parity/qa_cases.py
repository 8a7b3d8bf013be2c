"""Calls of the question-answering pipeline as plain data, and how one is made: the same under any transformers.

`run(pipeline)` makes all of them and returns what came back; it imports nothing that needs transformers 5.
"""

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from . import qa_folders

BRIDGE = (
    "The old bridge was repaired by monks in 1512. Two centuries later, after the great flood of 1743, its wooden roof "
    "was lost; Anna Kowalski, an engineer from Łódź, rebuilt it in stone for 12,500 crowns. Today it carries about "
    "3,000 people a day, most of them on foot."
)
REPEATED = (
    "The cat saw the cat. THE CAT SAW THE CAT! The dog saw the cat, the cat saw the dog, and the dog saw the Dog; "
    "the cat's dog and the dog's cat saw the cat."
)
_NAMES = ("Anna", "Bruno", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ingrid", "João", "Kofi")
_DEEDS = ("repaired", "painted", "sold", "lost", "described", "measured", "bought")
_THINGS = ("wooden bridge", "blue boat", "lighthouse", "old clock", "railway station", "garden wall", "bell tower",
           "town library", "stone oven")  # fmt: skip
_PLACES = ("Lisbon", "Kraków", "a village in the north", "Aarhus", "St. Ives", "the harbour of Split")


def _chronicle(first: int, count: int) -> str:
    """Sentences of ragged length, all different: a context of many windows."""
    sentences = []
    for i in range(first, first + count):
        name, deed, thing = _NAMES[i % 11], _DEEDS[i % 7], _THINGS[i % 9]
        cost = f"{37 * i % 400 + 5},{i % 10}0 euros"
        more = "" if i % 3 else f", which had cost {cost} and nearly {i % 5 + 2} years of work"
        sentences.append(f"In {1500 + 7 * i % 500} {name} {deed} the {thing} of {_PLACES[i % 6]}{more}.")
    return " ".join(sentences)


CONTEXTS = {
    "bridge": BRIDGE,
    "one": "Lighthouse",
    "number": "42",
    "two": "Blue boat",
    "accents": "Zoë’s café in Århus serves crème brûlée; the señor pays 12,50 € – naïvely, says Łukasz. Größe: 5½ m².",
    "combining": "Noe\u0308l opened the cafe\u0301 in A\u030arhus on e\u0301te\u0301 street, near I\u0307stanbul.",
    "emoji": "Mia 👩\u200d👩\u200d👧 won 🏆🏆 in 2019 🎉! She said 👍🏽, then flew home ✈\ufe0f to 3 friends 🏖\ufe0f.",
    "chinese": "東京タワーは1958年に完成した。The tower is 333 m tall. 北京是中国的首都，人口很多。",
    "scripts": "Москва основана в 1147 году. القاهرة عاصمة مصر. Η Αθήνα είναι όμορφη. תל אביב is on the coast.",
    "lines": "Name: Ada Lovelace\n\nBorn:\t10 December 1815\r\nWork:  notes on engines\n - a program\n\n\n * London\n",
    "repeated": REPEATED,
    "punctuation": "...!? (see «x», [y], {z}) -- e.g. 3.14; 50% & #7 @home_now: https://example.org/a?b=c#d 'n' \"q\"",
    "blanks": "   Padded   with  many     blanks ,  and a\u00a0hard\u2009one   ",
    "hidden": "zero\u200bwidth joiner\u200d and soft\u00adhyphen, \ufeffmark and \x07bell\x00 nul, \u202eright to left",
    "word": "Donau" + "dampfschifffahrts" * 6 + "gesellschaft",
    "hyphens": "The well-known mother-in-law’s state-of-the-art 1990s-style low-cost co-op didn't, won't re-open.",
    "special": "The marks [CLS], [SEP] and [MASK], or <s>, </s> and <pad>, stand for nothing: monks wrote them so.",
    "chronicle": _chronicle(0, 60),
    "echo": f"{BRIDGE} {REPEATED} " * 6,
    "tale": _chronicle(60, 14),
}  # fmt: skip
QUESTIONS = {
    "who": "Who repaired the bridge?",
    "when": "When was the lighthouse sold, and by whom?",
    "short": "?",
    "plain": "cat",
    "shout": "WHAT DID THE CAT SEE?!",
    "accents": "Où est le café de Zoë, s'il vous plaît ?",
    "chinese": "東京タワーはいつ完成しましたか？",
    "emoji": "Who won 🏆?",
    "lines": "Where\nis\tthe   boat",
    "long": "Given that the old bridge was repaired by monks long before the great flood took its wooden roof, "
    "who, of all the people named in this text, rebuilt it in stone?",
    "special": "What do [CLS] and [SEP], or <s> and </s>, stand for?",
}
LONG = {"chronicle", "echo", "tale"}
TEXTS = [*CONTEXTS.values(), *QUESTIONS.values()]
_SHORT = [name for name in CONTEXTS if name not in LONG]
_KEYS = tuple(QUESTIONS)[:10]


def _ask(question: str, context: str, **options) -> dict:
    return {"question": QUESTIONS[question], "context": CONTEXTS[context], **options}


def _cases() -> Iterator[tuple[str, str, dict, dict]]:
    """(name, folder, parameters of the pipeline, the call's arguments)."""
    folders = [name for name in qa_folders.FOLDERS if name != "bert-left"]
    # each text for each kind of model
    for place, folder in enumerate(folders):
        for i, context in enumerate(_SHORT):
            question = _KEYS[(i + place) % len(_KEYS)]
            yield f"text/{folder}/{context}-{question}", folder, {}, _ask(question, context)
        for i, context in enumerate(sorted(LONG)):
            question = _KEYS[(i + place) % 9]
            yield f"long/{folder}/{context}-{question}", folder, {}, _ask(question, context)
    # each option for some of them
    for i, options in enumerate(OPTIONS):
        named = ",".join(f"{name}={value}" for name, value in options.items())
        for place in range(3):
            folder, context = folders[(i + 2 * place) % 6], (_SHORT + ["bridge", "tale"] * 4)[(7 * i + 5 * place) % 25]
            question = _KEYS[(i + 3 * place) % 9]
            yield f"option/{named}/{folder}/{context}-{question}", folder, {}, _ask(question, context, **options)
    # windows: sizes, strides, batches
    for i, (size, stride, batch) in enumerate(WINDOWS):
        for place in range(2):
            folder, context = folders[(i + place) % 6], ("tale", "echo", "chronicle", "bridge")[(i + 2 * place) % 4]
            given = {"max_seq_len": size, "doc_stride": stride, "batch_size": batch}
            given = {name: value for name, value in given.items() if value is not None}
            named = ",".join(f"{name}={value}" for name, value in given.items())
            options = given | ({"top_k": 3} if place else {})
            yield f"windows/{named}/{folder}/{context}", folder, {}, _ask("who", context, **options)
    for folder, context in (("bert", "special"), ("roberta", "special"), ("albert", "special"), ("bert", "bridge")):
        yield f"text/{folder}/{context}-special", folder, {}, _ask("special", context, top_k=3)
        no_answer = {"handle_impossible_answer": True, "top_k": 40}
        yield f"text/{folder}/{context}-special-impossible", folder, {}, _ask("special", context, **no_answer)
    # spans of blanks, of marks, of pieces
    for folder in ("roberta", "albert", "bert-cased"):
        for context in ("blanks", "lines", "hidden", "emoji", "combining"):
            for options in ({"top_k": 20}, {"top_k": 11, "align_to_words": False}):
                pieces = "pieces" if len(options) > 1 else "words"
                yield f"many/{folder}/{context}-{pieces}", folder, {}, _ask("short", context, **options)
    for name, options in (("words", {"top_k": 20}), ("pieces", {"top_k": 11, "align_to_words": False})):
        yield f"many/roberta/blanks-shout-{name}", "roberta", {}, _ask("shout", "blanks", **options)
    # settings of the pipeline, under those of a call
    for name, made, options in SETTINGS:
        yield f"setting/{name}", "bert-cased", made, _ask("when", "tale", **options)
    rows = [_ask("who", "tale"), _ask("plain", "one"), _ask("long", "lines")]
    for folder in ("bert", "roberta"):
        for name, call in _forms(rows):
            yield f"form/{folder}/{name}", folder, {}, call
    for name, call in WRONG.items():
        yield f"wrong/{name}", "bert", {}, call
    for i, context in enumerate(("bridge", "tale", "lines", "one")):
        yield f"left/{context}", "bert-left", {}, _ask(_KEYS[i], context, top_k=1 + i % 2)


OPTIONS = (
    {"top_k": 2}, {"top_k": 5}, {"top_k": 20}, {"topk": 3}, {"max_answer_len": 1}, {"max_answer_len": 3},
    {"max_answer_len": 60}, {"align_to_words": False}, {"align_to_words": False, "top_k": 4},
    {"align_to_words": False, "max_answer_len": 2, "top_k": 2}, {"handle_impossible_answer": True},
    {"handle_impossible_answer": True, "top_k": 3}, {"padding": "max_length"}, {"padding": True, "top_k": 2},
    {"padding": "longest"}, {"max_question_len": 5}, {"max_question_len": 5, "top_k": 2}, {"batch_size": 4},
    {"batch_size": 3, "padding": "max_length"}, {"top_k": 1, "doc_stride": 10}, {"max_answer_len": 200, "top_k": 2},
)  # fmt: skip
WINDOWS = (
    (64, None, None), (64, 0, None), (64, 1, None), (64, 16, None), (64, 32, 4), (80, None, 8), (48, 24, None),
    (40, 20, 3), (32, 8, None), (96, 48, 2), (90, 5, None), (None, 8, None), (None, 60, None), (None, 30, 5),
    (33, None, None), (200, 64, None), (384, 128, None), (1000, None, None), (40, 30, None), (32, 20, 8),
)  # fmt: skip
SETTINGS = (
    ("top_k", {"top_k": 3}, {}),
    ("top_k-undone", {"top_k": 3}, {"top_k": 1}),
    ("sizes", {"max_seq_len": 60, "doc_stride": 12}, {}),
    ("stride-undone", {"max_seq_len": 60, "doc_stride": 12}, {"doc_stride": 24}),
    ("answer", {"max_answer_len": 2, "align_to_words": False, "handle_impossible_answer": True}, {"top_k": 2}),
    ("batch", {"batch_size": 4, "padding": "max_length"}, {}),
)


def _forms(rows: list[dict]) -> Iterator[tuple[str, dict]]:
    """The forms of a call. {"as": …, "of": …} is what JSON can't hold; "args" are given by their places."""
    questions, contexts = ([row[name] for row in rows] for name in ("question", "context"))
    extra = [row | {"id": "7", "answers": {"text": ["x"], "answer_start": [0]}} for row in rows]
    yield "keywords", rows[0]
    yield "keywords-lists", {"question": questions, "context": contexts}
    yield "keywords-list-of-one", {"question": questions[:1], "context": contexts[:1]}
    yield "keywords-one-context", {"question": questions, "context": contexts[0]}
    yield "keywords-one-question-list", {"question": questions[1:2], "context": contexts[0]}
    yield "keywords-lists-top-k", {"question": questions, "context": contexts, "top_k": 2}
    yield "keywords-lists-batch", {"question": questions, "context": contexts, "batch_size": 2}
    yield "keywords-empty-lists", {"question": [], "context": []}
    yield "two-texts", {"args": [questions[0], contexts[2]]}
    yield "dict", {"args": [rows[0]]}
    yield "dict-alone", {"args": [rows[2]]}
    yield "dict-top-k", {"args": [rows[0]], "top_k": 4}
    yield "dicts", {"args": [rows[0], rows[2]]}
    yield "list", {"args": [rows]}
    yield "list-of-one", {"args": [rows[:1]]}
    yield "list-empty", {"args": [[]]}
    yield "list-top-k", {"args": [rows], "top_k": 3}
    yield "list-batch", {"args": [rows * 3], "batch_size": 4}
    yield "list-impossible", {"args": [rows], "handle_impossible_answer": True}
    yield "tuple", {"args": [{"as": "tuple", "of": rows}]}
    yield "data", {"data": rows[0]}
    yield "data-list", {"data": rows}
    yield "X", {"X": rows[:2]}
    yield "dict-of-lists", {"args": [{"question": questions, "context": contexts}]}
    yield "dict-of-lists-top-k", {"args": [[{"question": questions, "context": contexts}]], "top_k": 2}
    yield "dict-of-lists-data", {"data": {"question": questions[:1], "context": contexts[:1]}}
    yield "dict-of-list-and-text", {"args": [{"question": questions, "context": contexts[0]}]}
    yield "dict-of-ragged-lists", {"args": [{"question": questions, "context": contexts[:2]}]}
    yield "generator", {"args": [{"as": "generator", "of": rows}]}
    yield "generator-of-one", {"args": [{"as": "generator", "of": rows[:1]}], "top_k": 2}
    yield "generator-batch", {"args": [{"as": "generator", "of": rows * 2}], "batch_size": 3}
    yield "generator-of-squad-rows", {"args": [{"as": "generator", "of": extra}]}
    yield "dataset", {"args": [{"as": "dataset", "of": rows}]}
    yield "dataset-batch", {"data": {"as": "dataset", "of": rows}, "batch_size": 2}
    yield "example", {"args": [{"as": "example", "of": rows[2]}]}
    yield "examples", {"args": [[{"as": "example", "of": row} for row in rows]], "top_k": 2}
    yield "examples-and-dicts", {"args": [[rows[1], {"as": "example", "of": rows[2]}]]}
    yield "examples-generator", {"args": [{"as": "generator", "of": [{"as": "example", "of": row} for row in rows]}]}
    yield "squad-row", {"args": [extra[0]]}
    yield "keywords-tuples", {"question": {"as": "tuple", "of": questions}, "context": {"as": "tuple", "of": contexts}}


WRONG = {
    "nothing": {},
    "none": {"args": [None]},
    "number": {"args": [7]},
    "text-alone": {"args": ["Who?"]},
    "three-texts": {"args": ["Who?", BRIDGE, BRIDGE]},
    "question-alone": {"question": "Who?"},
    "context-alone": {"context": BRIDGE},
    "question-empty": {"question": "", "context": BRIDGE},
    "context-empty": {"question": "Who?", "context": ""},
    "question-none": {"question": None, "context": BRIDGE},
    "context-none": {"question": "Who?", "context": None},
    "question-number": {"question": 7, "context": BRIDGE},
    "context-number": {"question": "Who?", "context": 7},
    "contexts-for-a-question": {"question": "Who?", "context": [BRIDGE, REPEATED]},
    "lists-of-two-lengths": {"question": ["Who?", "When?"], "context": [BRIDGE]},
    "list-with-empty": {"question": ["Who?", ""], "context": [BRIDGE, BRIDGE]},
    "list-with-none": {"question": ["Who?", None], "context": BRIDGE},
    "list-of-texts": {"args": [["Who?", BRIDGE]]},
    "dict-without-context": {"args": [{"question": "Who?"}]},
    "dict-without-question": {"args": [{"context": BRIDGE}]},
    "dict-empty": {"args": [{}]},
    "dict-context-none": {"args": [{"question": "Who?", "context": None}]},
    "dict-context-empty": {"args": [{"question": "Who?", "context": ""}]},
    "dict-context-number": {"args": [{"question": "Who?", "context": 7}]},
    "dict-other-key": {"args": [{"question": "Who?", "text": BRIDGE}]},
    "generator-without-context": {"args": [{"as": "generator", "of": [{"question": "Who?"}]}]},
    "question-blank": {"question": " ", "context": BRIDGE},
    "context-blank": {"question": "Who?", "context": " \n\t "},
    "context-unreadable": {"question": "Who?", "context": "\u200d\u200b"},
    "top_k-0": {"question": "Who?", "context": BRIDGE, "top_k": 0},
    "top_k-negative": {"question": "Who?", "context": BRIDGE, "top_k": -2},
    "top_k-text": {"question": "Who?", "context": BRIDGE, "top_k": "3"},
    "top_k-fraction": {"question": "Who?", "context": BRIDGE, "top_k": 1.5},
    "max_answer_len-0": {"question": "Who?", "context": BRIDGE, "max_answer_len": 0},
    "max_seq_len-0": {"question": "Who?", "context": BRIDGE, "max_seq_len": 0},
    "max_seq_len-text": {"question": "Who?", "context": BRIDGE, "max_seq_len": "64"},
    "doc_stride-over-window": {"question": "Who?", "context": BRIDGE, "max_seq_len": 32, "doc_stride": 40},
    "doc_stride-over-room": {"question": "Who?", "context": BRIDGE, "max_seq_len": 32, "doc_stride": 31},
    "doc_stride-negative": {"question": "Who?", "context": BRIDGE, "max_seq_len": 32, "doc_stride": -1},
    "question-over-window": {"question": "Who repaired it? " * 30, "context": BRIDGE, "max_seq_len": 64},
    "question-near-window": {"question": "Who repaired it? " * 8, "context": BRIDGE, "max_seq_len": 64},
    "no-such-parameter": {"question": "Who?", "context": BRIDGE, "max_seq_length": 32},
    "parameter-of-generation": {"question": "Who?", "context": BRIDGE, "truncation": True},
}
CASES = {name: {"folder": folder, "made": made, "call": call} for name, folder, made, call in _cases()}


def _input(given):
    """What stands for a {"as": …, "of": …}, and all else as it is."""
    if isinstance(given, list):
        return [_input(one) for one in given]
    if not isinstance(given, dict) or "as" not in given:
        return given
    of = _input(given["of"])
    return {"tuple": tuple, "generator": _generator, "dataset": _dataset, "example": _example}[given["as"]](of)


def _generator(rows: list) -> Iterator:
    yield from rows


def _dataset(rows: list):
    from torch.utils.data import Dataset

    class Rows(Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, i):
            return rows[i]

    return Rows()


def _example(row: dict):
    """transformers 4's `SquadExample`, or where it is gone what an app has instead: an object with its attributes."""
    try:
        from transformers import SquadExample
    except ImportError:
        from types import SimpleNamespace

        return SimpleNamespace(question_text=row["question"], context_text=row["context"])
    return SquadExample(None, row["question"], row["context"], None, None, None)


def answered(pipe, call: dict):
    """What a call gives, for JSON: {"iterator": [...]} for what is none of dict and list, {"error": its class}."""
    options = {name: _input(value) for name, value in call.items()}
    try:
        output = pipe(*options.pop("args", ()), **options)
        return output if isinstance(output, dict | list) else {"iterator": list(output)}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what tokenizers' Rust code raises is no Exception
        return {"error": type(error).__name__}


def run(pipeline) -> dict:
    """All cases by `pipeline`, of whichever version: {"folders": {name: hashes}, "cases": {name: output}}."""
    folders, outputs, made = {}, {}, partial(pipeline, "question-answering", device="cpu")
    with tempfile.TemporaryDirectory() as parent:
        for folder in qa_folders.FOLDERS:
            path = str(qa_folders.build(folder, Path(parent)))
            pipe = made(path)
            folders[folder] = qa_folders.fingerprint(pipe, TEXTS)
            for name, case in CASES.items():
                if case["folder"] == folder:
                    mine = made(path, **case["made"]) if case["made"] else pipe
                    outputs[name] = answered(mine, case["call"])
    return json.loads(json.dumps({"folders": folders, "cases": {name: outputs[name] for name in CASES}}))
