"""Trivial answers that several tasks are held against; each takes train `Rows` and returns inputs → predictions."""


def bag_of_words(train):
    """TF-IDF of words and word pairs with logistic regression, fitted on the train rows; scores are its own."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[!?]")
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000)).fit(train.inputs, train.targets)

    def answer(inputs: list[str]) -> list[dict]:
        scores = model.predict_proba(inputs)  # (N, C)
        best = zip(scores.argmax(1), scores.max(1), strict=True)
        return [{"label": str(model.classes_[label]), "score": float(score)} for label, score in best]

    return answer
