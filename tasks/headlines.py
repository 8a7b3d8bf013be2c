"""Headlines In Title Case, to sentence case: what `tasks.summarize` trains on.

American papers capitalise each word of a headline. A model that is to copy "guilty" from the text must then learn that
here it is another word, "Guilty". In sentence case most words of a headline stand in the text as they are. Scores are
not touched: rouge ignores case, and the rows measured on stay as they came.
"""

import dataclasses
from collections import Counter, defaultdict

MOSTLY = 0.7  # share of capitalised words from which a headline counts as in title case
EDGES = "\"'`“”‘’()[]{}.,;:!?-–—…"


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
