"""Sentiment of a sentence or text: `python -m tasks.sentiment "What a film!"`.  BERT beside a BiLSTM."""

from tasks import Task
from tasks.floors import bag_of_words

TASK = Task(
    name="sentiment",
    title="tell whether a text is positive or negative",
    kind="text_classification",
    hub_task="sentiment-analysis",
    transformer="bert",
    sources=("stanfordnlp/sst2",),
    licences={"stanfordnlp/sst2": "none stated (Socher et al. 2013; GLUE)"},
    columns={"input": ("sentence", "text"), "target": ("label",)},
    labels=("negative", "positive"),
    metrics=("accuracy", "f1"),
    floor="TF-IDF + logistic regression",
    make_floor=bag_of_words,
    example="A moving and funny film.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
