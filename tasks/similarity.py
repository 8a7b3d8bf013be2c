"""How alike two texts mean, 0 to 5: `python -m tasks.similarity "A dog runs." "A dog is running."`.

BERT reads both texts at once, a siamese BiLSTM each alone; a T5 (`--model t5-multitask`) writes the number.
"""

from tasks import Task


def overlap(train):
    """The floor: the cosine of both texts' TF-IDF vectors, made a score by a line that is fitted to the train rows."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    vectors.fit([text for row in train.inputs for text in row.values()])

    def cosine(inputs: list[dict]):
        one, other = (vectors.transform([row[name] for row in inputs]) for name in ("text", "text_pair"))  # (N, V)
        return np.asarray(one.multiply(other).sum(1)).ravel()  # (N,)

    slope, start = np.polyfit(cosine(train.inputs), train.targets, 1)
    return lambda inputs: np.clip(start + slope * cosine(inputs), 0, 5).tolist()


TASK = Task(
    name="similarity",
    title="tell how alike two texts are in meaning, from 0 (unrelated) to 5 (the same)",
    kind="text_similarity",
    hub_task="sentence-similarity",
    transformer="bert",
    further={"t5": "written_similarity"},
    sources=("sentence-transformers/stsb",),
    licences={"sentence-transformers/stsb": "scores CC BY-SA 4.0; the texts as their sources (Cer et al. 2017)"},
    columns={
        "text": ("sentence1", "text", "premise"),
        "text_pair": ("sentence2", "text_pair", "hypothesis"),
        "target": ("score", "label"),
    },
    recode={"sentence-transformers/stsb": lambda score: 5 * score},
    metrics=("pearson", "spearman"),
    prefix="stsb sentence1: ",
    params={"range": [0.0, 5.0]},
    floor="TF-IDF cosine on a fitted line",
    make_floor=overlap,
    example="A man is playing a guitar.",
    example_context="Someone plays the guitar.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
