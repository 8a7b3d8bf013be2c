"""Answers from a text: `python -m tasks.qa "Who wrote it?" --context-file book.txt`.  BERT beside an LSTM reader."""

import math
import re
from collections import Counter
from collections.abc import Iterable

from tasks import Task

WIDEST = 3  # words of the floor's answer; on SQuAD's train rows F1 0.165, with 5 words 0.158, whole sentences 0.148


def best_overlap(train):
    """The floor: of the sentence that shares most of the question's words, the rarest words in a row that it adds.

    How rare a word is (its inverse document frequency) comes from the contexts of the train rows.
    """
    from pipelines import windows

    contexts = {given["context"] for given in train.inputs}
    known = Counter(word for context in contexts for word in _words(context))

    def rarity(words: Iterable[str]) -> float:
        return sum(math.log(len(contexts) / (1 + known[word])) for word in words)

    def answer(question: str, context: str) -> str:
        asked = _words(question)
        sentences = [sentence for sentence, _ in windows.sentences(context)]
        best = max(sentences, key=lambda sentence: rarity(asked & _words(sentence))).split()
        spans = [best[i : i + n] for n in range(1, WIDEST + 1) for i in range(len(best) - n + 1)]
        added = [span for span in spans if not any(_words(word) <= asked for word in span)]
        return " ".join(max(added, key=lambda span: sum(rarity(_words(word)) for word in span), default=best))

    return lambda inputs: [answer(**given) for given in inputs]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


TASK = Task(
    name="qa",
    title="answer a question with the words of a text",
    kind="question_answering",
    hub_task="question-answering",
    transformer="bert",
    sources=("rajpurkar/squad", "ludwigschmidt/squadshifts"),
    licences={"rajpurkar/squad": "CC BY-SA 4.0", "ludwigschmidt/squadshifts": "CC BY 4.0"},
    columns={"question": ("question",), "context": ("context", "text"), "target": ("answers", "answer")},
    metrics=("answer_f1", "exact_match"),
    params={"joint": True},
    floor="rarest words of the sentence with the best overlap",
    make_floor=best_overlap,
    example="Who repaired the bridge?",
    example_context="The old bridge was repaired by monks in 1512.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
