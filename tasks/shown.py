"""Inputs, references and predictions of any task as people read them, by their shape. Knows no file and no page."""

import json


def text(value, source: str = "") -> str:
    """One value as text; `source` is the text that spans in it point into.

    A text is itself; texts are alternatives with a bar between them; entities [type, start, end] are their words with
    the type behind; a label has its score behind; a score alone has two decimals; annotated answers are their texts;
    sums are named numbers; of an input with several parts each part has a line.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return _object(value)
    if value == []:
        return "none"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " | ".join(dict.fromkeys(value))
    if isinstance(value, list) and all(_is_span(part) for part in value):
        return ", ".join(f"{source[start:end]} ({kind})" for kind, start, end in value)
    return json.dumps(value, ensure_ascii=False)


def _is_span(value) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [str, int, int]


def _object(value: dict) -> str:
    if set(value) == {"label", "score"}:
        return f"{value['label']} ({value['score']:.2f})"
    if set(value) == {"text", "answer_start"}:
        return text(value["text"])
    if value and all(isinstance(part, int | float) for part in value.values()):
        return ", ".join(f"{key} {part:.4g}" for key, part in value.items())
    parts = {key: " ".join(part) if _is_words(part) else text(part) for key, part in value.items()}
    return "".join(parts.values()) if len(parts) == 1 else "\n".join(f"{key}: {part}" for key, part in parts.items())


def _is_words(value) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def exact(prediction, references) -> bool:
    """Whether a prediction is a reference to the letter, whatever a metric makes of it: BLEU gives 0 for two right
    words, the F1 of entities 0 for a text that has none."""
    answer = prediction["label"] if isinstance(prediction, dict) and "label" in prediction else prediction
    return answer == references or isinstance(references, list) and answer in references
