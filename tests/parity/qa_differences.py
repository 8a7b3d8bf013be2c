"""Where our answers differ from transformers 4.57.6's on purpose, and what ours are instead: see docs/parity-qa.md."""

from collections.abc import Callable
from fnmatch import fnmatch

from .qa_cases import CASES
from .qa_folders import FOLDERS


def same(ours, theirs) -> bool:
    """Equal keys, types, nesting, spans and texts; scores within 1e-4, small ones within a thousandth of themselves."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return abs(ours - theirs) <= min(1e-4, 1e-3 * theirs + 1e-6) if isinstance(ours, float) else ours == theirs


def kind(name: str, theirs) -> str | None:
    """The difference that a case belongs to; `theirs` is what 4.57.6 gave."""
    for kind, (patterns, _) in DIFFERENCES.items():
        if any(fnmatch(name, pattern) for pattern in patterns):
            return kind
    raised = theirs.get("error", "ValueError") if isinstance(theirs, dict) else "ValueError"
    return "class of an error" if raised != "ValueError" else None


def ours_is_right(name: str, theirs, ours, ask: Callable) -> bool:
    """Whether ours is what docs/parity-qa.md says of this difference. `ask(name, **changes)`: ours, asked otherwise."""
    if kind(name, theirs) == "class of an error":
        return ours == {"error": "UserError"}
    return DIFFERENCES[kind(name, theirs)][1](name, theirs, ours, ask)


# --- what ours must be ---


def _rows(output) -> list:
    """The answers to each question, a dict or a list."""
    output = output.get("iterator", output) if isinstance(output, dict) else output
    return output if isinstance(output, list) and any(isinstance(row, list) for row in output) else [output]


def _only_spans(name, theirs, ours, ask) -> bool:
    """Theirs without what is no span, a list of one bare; others may take the places that became free."""
    no_answer = {"start": 0, "end": 0, "answer": ""} if "handle_impossible_answer" in CASES[name]["call"] else {}
    for row, mine in zip(_rows(theirs), _rows(ours), strict=True):
        listed, mine = ([row] if isinstance(row, dict) else row), ([mine] if isinstance(mine, dict) else mine)
        kept = [one for one in listed if one["score"] and (one["answer"] or (no_answer and one | no_answer == one))]
        if not same(mine[: len(kept)], kept) or not all(one["score"] for one in mine) or len(mine) > len(listed):
            return False
    return all(isinstance(row, dict) or len(row) > 1 for row in _rows(ours))


def _at_most_one(name, theirs, ours, ask) -> bool:
    listed = [theirs] if isinstance(theirs, dict) else theirs
    capped = [one | {"score": min(one["score"], 1.0)} for one in listed]
    return max(one["score"] for one in listed) > 1 and same(ours, capped if len(capped) > 1 else capped[0])


def _spans(name, theirs, ours, ask) -> bool:
    """Spans of the context, whole words of it, with probabilities as scores; and no answer where that is asked for."""
    call, answers = CASES[name]["call"], ours if isinstance(ours, list) else [ours]
    context = call["context"]
    for answer in answers:
        start, end, text = answer["start"], answer["end"], answer["answer"]
        if not text and call.get("handle_impossible_answer") and start == end == 0:
            continue
        if not (0 <= start < end and text == context[start:end] and 0 < answer["score"] <= 1):
            return False
        edges = ((context[:start][-1:], text[0]), (text[-1], context[end:][:1]))
        if any(left.isalnum() and right.isalnum() for left, right in edges):
            return False
    return True


def _narrower(name, theirs, ours, ask) -> bool:
    """As with the widest window that the model can read."""
    widest = FOLDERS[CASES[name]["folder"]][3]
    return (
        theirs == {"error": "RuntimeError"}
        and _spans(name, theirs, ours, ask)
        and ours == ask(name, max_seq_len=widest)
    )


def _crash(name, theirs, ours, ask) -> bool:
    return theirs == {"error": "PanicException"} and _spans(name, theirs, ours, ask)


def _refused(name, theirs, ours, ask) -> bool:
    return ours == {"error": "UserError"}


def _as(form: str) -> Callable:
    """Answered as the same input in another form is."""
    return lambda name, theirs, ours, ask: ours == ask(f"{name.rpartition('/')[0]}/{form}")


# name, a row of docs/parity-qa.md → (cases, what ours must be). One more, "class of an error", is told by the error.
DIFFERENCES: dict[str, tuple[tuple[str, ...], Callable]] = {
    "answers that are no span": (
        (
            "option/top_k=20/distilbert/word-short",
            "option/handle_impossible_answer=True,top_k=3/electra/number-short",
            "many/roberta/blanks-shout-*",
            "form/*/keywords-lists-top-k",
            "form/*/list-top-k",
            "form/*/dict-of-lists-top-k",
            "form/*/examples",
        ),
        _only_spans,
    ),
    "score above 1": (
        (
            "windows/max_seq_len=48,doc_stride=24/bert/*",
            "windows/max_seq_len=32,doc_stride=20,batch_size=8/distilbert/*",
        ),
        _at_most_one,
    ),
    "a span of the question": (("left/*", "text/bert/special-special*"), _spans),
    "long question": (
        ("text/bert-cased/scripts-long", "text/electra/accents-long", "wrong/question-near-window"),
        _crash,
    ),
    "window wider than the model": (
        (
            "windows/max_seq_len=200,doc_stride=64/albert/*",
            "windows/max_seq_len=384,doc_stride=128/albert/*",
            "windows/max_seq_len=1000/electra/*",
        ),
        _narrower,
    ),
    "dict of a list and a text": (("form/*/dict-of-list-and-text",), _as("keywords-one-context")),
    "dict of lists of two lengths": (("form/*/dict-of-ragged-lists",), _refused),
    "a single SquadExample": (("form/*/example",), _as("dict-alone")),
    "other keys in a dict": (("form/*/squad-row",), _as("dict")),
    "tuples": (("form/*/keywords-tuples",), _as("keywords-lists")),
    "blank text": (("wrong/question-blank", "wrong/context-blank", "wrong/context-unreadable"), _refused),
    "parameters": (
        ("wrong/max_seq_len-0", "wrong/no-such-parameter", "wrong/parameter-of-generation"),
        _refused,
    ),
}
