"""What counts as right: metrics of the `evaluate` library that need no network.

References are as `tasks.data.Rows.targets` gives them.
"""

import re
import string
from collections import Counter

import numpy as np
from datasets import Features, List, Value

from tasks.language_metrics import (
    BitsPerByte,
    Distinct1,
    Distinct2,
    KeystrokeSaving,
    NextWordTop1,
    NextWordTop3,
    RecallAt1,
    ReplyBitsPerByte,
)
from tasks.metric import Metric


class _Sacrebleu(Metric):
    references = List(Value("string"))

    def scorer(self):
        raise NotImplementedError

    def statistics(self, predictions, references):
        # sacrebleu takes one stream per reference position; None marks a row with fewer references than another
        width = max(map(len, references))
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(width)]
        return np.array(self.scorer()._extract_corpus_statistics(predictions, streams), dtype=np.float64)

    def value(self, total):
        return float(self.scorer()._compute_score_from_stats(total.astype(int).tolist()).score)


class Bleu(_Sacrebleu):
    """Corpus BLEU 0-100, sacrebleu's default: 13a tokens, cased, exponential smoothing."""

    key, range, lowercase = "bleu", "0-100", False
    citation = "Papineni et al. 2002; Post 2018, A Call for Clarity in Reporting BLEU Scores"

    def scorer(self):
        from sacrebleu.metrics import BLEU

        return BLEU(lowercase=self.lowercase)


class BleuLowercase(Bleu):
    """Corpus BLEU 0-100 of lower-cased text (13a tokens), as most Multi30k papers report it."""

    key, lowercase = "bleu_lowercase", True


class Chrf(_Sacrebleu):
    """chrF2, 0-100: F-score of character n-grams up to 6."""

    key, range = "chrf", "0-100"
    citation = "Popović 2015, chrF: character n-gram F-score"

    def scorer(self):
        from sacrebleu.metrics import CHRF

        return CHRF()


class _OfLabels(Metric):
    """Takes predictions as `tasks.predict` gives them, {"label", "score"}, or the labels alone."""

    def _info(self):
        info, references = super()._info(), {"references": self.references}
        scored = {"label": Value("string"), "score": Value("float64")}
        info.features = [Features({"predictions": kind, **references}) for kind in (scored, Value("string"))]
        return info

    def right(self, predictions, references) -> np.ndarray:
        """Whether each label is the reference, (N,) float64."""
        pairs = zip(map(_label, predictions), references, strict=True)
        return np.array([label == real for label, real in pairs], dtype=np.float64)


def _label(prediction) -> str:
    return prediction["label"] if isinstance(prediction, dict) else prediction


class Accuracy(_OfLabels):
    """Share of predictions equal to the reference, 0-1."""

    key, range = "accuracy", "0-1"

    def statistics(self, predictions, references):
        return self._share(self.right(predictions, references), [True] * len(references))

    def _share(self, right, counted) -> np.ndarray:
        counted = np.array(counted, dtype=np.float64)
        return np.stack([right * counted, counted], axis=1)  # (N, 2): right, counted

    def value(self, total):
        return float(total[0] / max(total[1], 1))  # 0 where no row is counted


class InScopeAccuracy(Accuracy):
    """Share of the rows in scope that are answered right, 0-1; rows whose reference is out of scope don't count."""

    citation = "Larson et al. 2019, An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction"

    def statistics(self, predictions, references):
        return self._share(self.right(predictions, references), [r != self.out_of_scope for r in references])


class OutOfScopeRecall(InScopeAccuracy):
    """Share of the rows out of scope that are answered so, 0-1."""

    key = "out_of_scope_recall"

    def statistics(self, predictions, references):
        return self._share(self.right(predictions, references), [r == self.out_of_scope for r in references])


class CalibrationError(_OfLabels):
    """Expected calibration error, 0-1: how far the scores are from the share of right answers, in 15 bins of scores."""

    key, range, higher_is_better, bins = "ece", "0-1", False, 15
    citation = "Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3"

    def statistics(self, predictions, references):
        scores = np.array([prediction["score"] for prediction in predictions], dtype=np.float64)
        bins = np.clip(np.ceil(scores * self.bins).astype(int) - 1, 0, self.bins - 1)  # (N,): ((m - 1)/M, m/M]
        cells = np.zeros((len(scores), 3, self.bins))  # (N, 3, M): counted, score, right
        rows = np.arange(len(scores))
        for place, values in enumerate((1.0, scores, self.right(predictions, references))):
            cells[rows, place, bins] = values
        return cells.reshape(len(scores), -1)

    def value(self, total):
        counted, scores, right = total.reshape(3, -1)
        return float(np.abs(right - scores).sum() / counted.sum())


class MacroF1(_OfLabels):
    """Mean over the classes of the F1 of each, 0-1; a class on neither side counts 0, as in scikit-learn."""

    key, range = "f1", "0-1"

    def statistics(self, predictions, references):
        index = {name: i for i, name in enumerate(self.labels)}
        cells = np.zeros((len(predictions), 3, len(index)))  # (N, 3, C): true positive, predicted, real
        for row, (predicted, real) in enumerate(zip(map(_label, predictions), references, strict=True)):
            cells[row, 0, index[real]] = predicted == real
            cells[row, 1, index[predicted]] += 1
            cells[row, 2, index[real]] += 1
        return cells.reshape(len(predictions), -1)

    def value(self, total):
        right, predicted, real = total.reshape(3, -1)
        return float(np.mean(2 * right / np.maximum(predicted + real, 1)))


class RougeL(Metric):
    """Mean F-measure of the longest common subsequence of stemmed words, 0-1, as the rouge-score package counts it."""

    key, range = "rougeL", "0-1"
    references = List(Value("string"))
    citation = "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries"

    def statistics(self, predictions, references):
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([self.key], use_stemmer=True)
        best = [  # of several references the nearest, as the package's own `score_multi`
            max(scorer.score(text, predicted)[self.key].fmeasure for text in row)
            for predicted, row in zip(predictions, references, strict=True)
        ]
        return np.stack([np.array(best), np.ones(len(best))], axis=1)  # (N, 2): score, counted

    def value(self, total):
        return float(total[0] / total[1])


class Rouge1(RougeL):
    """Mean F-measure of shared stemmed words, 0-1."""

    key = "rouge1"


class Rouge2(RougeL):
    """Mean F-measure of shared pairs of neighbouring stemmed words, 0-1."""

    key = "rouge2"


class ExactMatch(Metric):
    """Share of answers equal to one of the annotators', 0-1, both normalised as the official SQuAD script does."""

    key, range = "exact_match", "0-1"
    references = {"text": List(Value("string")), "answer_start": List(Value("int64"))}
    citation = "Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text"

    def statistics(self, predictions, references):
        best = [
            # no annotated answer: only the empty one is right, as in SQuAD 2
            max(self.score(normalized(predicted), normalized(text)) for text in reference["text"] or [""])
            for predicted, reference in zip(predictions, references, strict=True)
        ]
        return np.stack([np.array(best), np.ones(len(best))], axis=1)  # (N, 2): score, counted

    def value(self, total):
        return float(total[0] / total[1])

    def score(self, predicted: str, real: str) -> float:
        return float(predicted == real)


class AnswerF1(ExactMatch):
    """Mean over the questions of the F1 of the answer's words, 0-1, against the nearest annotated answer."""

    key = "f1"

    def score(self, predicted, real):
        ours, theirs = Counter(predicted.split()), Counter(real.split())
        if not ours or not theirs:
            return float(ours == theirs)
        return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def normalized(answer: str) -> str:
    """Lower case, without ASCII punctuation, English articles and superfluous white space, in that order."""
    words = answer.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", words).split())


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class EntityF1(Metric):
    """F1 of entities over all texts together, 0-1: right are those whose type and both ends are; seqeval's strict
    value for IOB2. An entity is [type, start, end]."""

    key, range = "f1", "0-1"
    entities = List(List(Value("string")))
    references = entities
    citation = "Tjong Kim Sang & De Meulder 2003, Introduction to the CoNLL-2003 Shared Task; Nakayama 2018, seqeval"

    def _info(self):
        info = super()._info()
        info.features = Features({"predictions": self.entities, "references": self.entities})
        return info

    def statistics(self, predictions, references):
        pairs = [
            [{tuple(map(str, entity)) for entity in row} for row in pair]
            for pair in zip(predictions, references, strict=True)
        ]
        return np.array([[len(p & r), len(p), len(r)] for p, r in pairs], dtype=np.float64)  # right, predicted, real

    def value(self, total):
        return float(2 * total[0] / max(total[1] + total[2], 1))


class EntityPrecision(EntityF1):
    """Share of the predicted entities that are right, 0-1."""

    key = "precision"

    def value(self, total):
        return float(total[0] / max(total[1], 1))


class EntityRecall(EntityF1):
    """Share of the real entities that are found, 0-1."""

    key = "recall"

    def value(self, total):
        return float(total[0] / max(total[2], 1))


class Pearson(Metric):
    """Correlation of predicted and real numbers, -1 to 1; 0 where either side is all the same."""

    key, range = "pearson", "-1 to 1"
    references = Value("float64")

    def _info(self):
        info = super()._info()
        info.features = Features({"predictions": Value("float64"), "references": Value("float64")})
        return info

    def statistics(self, predictions, references):
        x, y = (np.array(numbers, dtype=np.float64) for numbers in (predictions, references))  # (N,) each
        return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)  # (N, 6)

    def value(self, total):
        x, y, xx, yy, xy = total[1:] / max(total[0], 1)
        spread = xx - x * x, yy - y * y
        if spread[0] <= 1e-14 * xx or spread[1] <= 1e-14 * yy:  # all the same, but for what float64 can't tell
            return 0.0
        return float(np.clip((xy - x * y) / np.sqrt(spread[0] * spread[1]), -1, 1))


class Spearman(Pearson):
    """Correlation of the ranks of predicted and real numbers, -1 to 1; equal numbers share their mean rank.

    A row's rank is its place among all rows that are scored together, so an interval takes the ranks as they are and
    not anew from each draw; and scores of parts of a data set are correlations of its ranks.
    """

    key = "spearman"

    def statistics(self, predictions, references):
        return super().statistics(_ranks(predictions), _ranks(references))


def _ranks(numbers) -> np.ndarray:
    """Places from 1 on in ascending order, (N,); equal numbers share the mean of theirs."""
    _, which, counts = np.unique(np.array(numbers, dtype=np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


_OWN_KEY = (
    Bleu,
    Chrf,
    BleuLowercase,
    RougeL,
    Rouge1,
    Rouge2,
    Accuracy,
    MacroF1,
    OutOfScopeRecall,
    CalibrationError,
    ExactMatch,
    BitsPerByte,
    NextWordTop1,
    NextWordTop3,
    KeystrokeSaving,
    RecallAt1,
    Distinct1,
    Distinct2,
    Pearson,
    Spearman,
)
# What tasks name their metrics by; results call them by their `key`, which another metric may share.
METRICS = {metric.key: metric for metric in _OWN_KEY} | {"in_scope_accuracy": InScopeAccuracy, "answer_f1": AnswerF1}
METRICS |= {"entity_f1": EntityF1, "entity_precision": EntityPrecision, "entity_recall": EntityRecall}
METRICS |= {"reply_bits_per_byte": ReplyBitsPerByte}


def metrics_of(task) -> list[Metric]:
    """The task's metrics, the primary one first."""
    return [METRICS[name](task.labels, task.out_of_scope) for name in task.metrics]
