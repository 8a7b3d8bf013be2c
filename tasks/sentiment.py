"""Sentiment of a sentence or text: `python -m tasks.sentiment "What a film!"`.  BERT beside a BiLSTM."""

from tasks import Task


def bag_of_words(train):
    """The floor: TF-IDF of words and word pairs with logistic regression, fitted on the train rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[!?]")
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000)).fit(train.inputs, train.targets)
    return lambda inputs: model.predict(inputs).tolist()


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
