"""Headlines made fit to learn from: what `tasks.summarize` trains on.

A headline of which less than half of the words stand in its text is left out: what can't be known from the text
teaches a model to make things up (Nan et al. 2021, "Entity-level Factual Consistency of Abstractive Text
Summarization", filter for the same reason).

Headlines In Title Case are put into sentence case. American papers capitalise each word of a headline. A model that is
to copy "guilty" from the text must then learn that here it is another word, "Guilty". In sentence case most words of a
headline stand in the text as they are.

Scores are not touched: rouge ignores case, and the rows measured on stay as they came.
"""

import dataclasses
from collections import Counter, defaultdict

GROUNDED = 0.5  # share of a headline's words that must stand in its text
MOSTLY = 0.7  # share of capitalised words from which a headline counts as in title case
EDGES = "\"'`“”‘’()[]{}.,;:!?-–—…"


def learnable(rows):
    """The rows whose references can be written from their texts, in sentence case."""
    kept = [
        i
        for i, (text, (headline, *_)) in enumerate(zip(rows.inputs, rows.targets, strict=True))
        if _grounded(headline, text)
    ]
    rows = dataclasses.replace(rows, inputs=[rows.inputs[i] for i in kept], targets=[rows.targets[i] for i in kept])
    return sentence_case(rows)


def _grounded(headline: str, text: str) -> bool:
    words = [word.lower() for word in _words(headline) if word]
    there = {word.lower() for word in _words(text)}
    return sum(word in there for word in words) >= GROUNDED * len(words) > 0


def sentence_case(rows):
    """The rows with their references in sentence case.

    A word is written as the row's own text has it, else as most texts do within a sentence, else as it is.
    """
    usual = _usual_forms(rows.inputs)
    targets = [
        [_headline(text, document, usual) for text in references]
        for document, references in zip(rows.inputs, rows.targets, strict=True)
    ]
    return dataclasses.replace(rows, targets=targets)


def _words(text: str) -> list[str]:
    return [word.strip(EDGES) for word in text.split()]


def _usual_forms(documents: list[str]) -> dict[str, str]:
    """Lower-cased word → its most frequent form, not counting the first words of sentences."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for document in documents:
        before = "."
        for word in document.split():
            core = word.strip(EDGES)
            if core and before[-1] not in ".!?:":
                counts[core.lower()][core] += 1
            before = word
    return {lower: forms.most_common(1)[0][0] for lower, forms in counts.items()}


def _headline(text: str, document: str, usual: dict[str, str]) -> str:
    words = [word for word in _words(text) if len(word) > 3 and word.isalpha()]
    if sum(word[0].isupper() for word in words) <= MOSTLY * len(words):
        return text
    here = set(_words(document))
    shown = []
    for word in text.split():
        core = word.strip(EDGES)
        form = core if core in here else core.lower() if core.lower() in here else usual.get(core.lower(), core)
        shown.append(word.replace(core, form) if core else word)
    joined = " ".join(shown)
    return joined[:1].upper() + joined[1:]
