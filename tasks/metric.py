"""What every metric of `tasks.metrics` is: a function of the *sum* of per-sample statistics.

(N-gram counts for BLEU, a cell of the confusion matrix for F1.) So one resampling of rows serves all of them
(`tasks.bootstrap`): draw rows, add up their statistics, score the sum.
"""

import evaluate
import numpy as np
from datasets import Features, Value


class Metric(evaluate.Metric):
    """A corpus metric that is a function of summed per-sample statistics. Needs neither network nor script."""

    key: str
    range: str
    higher_is_better = True
    references = Value("string")
    citation = ""

    def __init__(self, labels: tuple[str, ...] = (), out_of_scope: str = ""):
        self.labels, self.out_of_scope = labels, out_of_scope
        super().__init__(keep_in_memory=True)

    def _info(self):
        features = Features({"predictions": Value("string"), "references": self.references})
        return evaluate.MetricInfo(
            description=type(self).__doc__, citation=self.citation, inputs_description="", features=features
        )

    def _compute(self, predictions, references):
        return {self.key: self.value(self.statistics(predictions, references).sum(0))}

    def statistics(self, predictions: list, references: list) -> np.ndarray:
        """Per-sample statistics, (N, K) float64."""
        raise NotImplementedError

    def value(self, total: np.ndarray) -> float:
        """The score of summed statistics (K,)."""
        raise NotImplementedError
