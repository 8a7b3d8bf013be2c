"""Metrics of language models: of how they go on with a text (`tasks.complete`) and what they reply (`tasks.chat`).

Predictions are a dictionary for each row, as `measure` of `pipelines.text_generation` and `pipelines.chat` gives it.
"""

import re

import numpy as np
from datasets import Features, List, Value

from tasks.metric import Metric


class BitsPerByte(Metric):
    """-log2 of the probability of the texts, over their UTF-8 bytes: comparable across vocabularies; lower is better.

    The references aren't read.
    """

    key, range, higher_is_better = "bits_per_byte", "0-inf", False
    counted = ("bits", "bytes")
    fields = dict.fromkeys(("bits", "bytes", "words", "top1", "top3", "typed", "saved"), Value("float64"))

    def _info(self):
        info = super()._info()
        info.features = Features({"predictions": self.fields, "references": self.references})
        return info

    def statistics(self, predictions, references):
        return np.array([[sums[name] for name in self.counted] for sums in predictions], dtype=np.float64)  # (N, 2)

    def value(self, total):
        return float(total[0] / max(total[1], 1))


class NextWordTop1(BitsPerByte):
    """Share of sampled words that were the first suggestion before any letter of theirs was typed, 0-1."""

    key, range, higher_is_better, counted = "next_word_top1", "0-1", True, ("top1", "words")


class NextWordTop3(NextWordTop1):
    """Share of sampled words that were among the three suggestions before any letter of theirs was typed, 0-1."""

    key, counted = "next_word_top3", ("top3", "words")


class KeystrokeSaving(NextWordTop1):
    """Share of keystrokes saved over sampled words, 0-1, in the simulation of `pipelines.typing_words.simulate`."""

    key, counted = "keystroke_saving", ("saved", "typed")


class ReplyBitsPerByte(BitsPerByte):
    """`BitsPerByte` of the replies of conversations."""

    fields = dict.fromkeys(("bits", "bytes", "ranked"), Value("float64")) | {"reply": Value("string")}
    references = List(Value("string"))


class RecallAt1(ReplyBitsPerByte):
    """Share of replies that are ranked first among replies of other conversations, 0-1; nine of them: chance is 0.1.

    Rows that have no nine others beside them are not counted; 0 where that is all of them.
    """

    key, range, higher_is_better, counted = "recall_at_1", "0-1", True, ("ranked", "one")
    citation = "Lowe et al. 2015, The Ubuntu Dialogue Corpus, section 4.3: Recall@k of 10"

    def statistics(self, predictions, references):
        ranked = [row["ranked"] for row in predictions]  # None where a row has no others
        counted = [{"ranked": best or 0.0, "one": float(best is not None)} for best in ranked]
        return super().statistics(counted, references)


class Distinct1(ReplyBitsPerByte):
    """Share of the words of all replies that are new, i.e. distinct words over all words, 0-1: the higher, the more
    various. It falls with the number of replies, so compare equal numbers.

    A row's statistics are its n-grams that no row before has, and all it has: their sum is the corpus value, whatever
    the order, and a bootstrap of rows keeps it in its middle.
    """

    key, range, higher_is_better, size = "distinct_1", "0-1", True, 1
    citation = "Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models, section 5.2"

    def statistics(self, predictions, references):
        seen: set[tuple] = set()
        counts = []
        for row in predictions:
            words = re.findall(r"\w[\w']*|[^\w\s]", row["reply"].lower())
            found = [tuple(words[i : i + self.size]) for i in range(len(words) - self.size + 1)]
            new = set(found) - seen
            seen |= new
            counts.append([len(new), len(found)])
        return np.array(counts, dtype=np.float64)  # (N, 2)


class Distinct2(Distinct1):
    """Share of the pairs of neighbouring words of all replies that are new, 0-1."""

    key, size = "distinct_2", 2
