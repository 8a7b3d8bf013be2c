"""A chatbot for small talk: `python -m tasks.chat`.  GPT-2 beside an LSTM language model.

Both are small and know little: they keep a conversation going for some turns, and what they say of the world is not to
be relied upon.
"""

from tasks import Task, chatting


def nearest(train):
    """The floor: a word trigram model of the train replies for the bits; the reply that shares most with what was said,
    by TF-IDF, for the ranking; and the reply to the train context nearest to it for the answer."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tasks.ngrams import Trigrams

    pairs = []  # of the train rows: the last two turns, the reply
    for row in train.inputs:
        turns = [*row["turns"], *row["after"]]
        pairs += [(" ".join(turns[max(0, i - 2) : i]), turns[i]) for i in range(1, len(turns))]
    counts = Trigrams([reply for _, reply in pairs])
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[?]").fit([text for text, _ in pairs])
    known = words.transform([text for text, _ in pairs])

    def answer(row: dict) -> dict:
        said, after = row["turns"], row["after"]
        context = words.transform([" ".join(said[max(0, len(said) - 3) : -1])])
        shared = (words.transform([said[-1], *row["others"]]) @ context.T).toarray()[:, 0]
        nearest = (known @ context.T).toarray()[:, 0].argmax()
        replies = [*said, *after][1:]
        return {
            "bits": sum(map(counts.bits, replies)),
            "bytes": sum(len(reply.encode()) for reply in replies),
            "ranked": float((shared[0] > shared[1:]).all()) if row["others"] else None,
            "reply": pairs[nearest][1],
        }

    return lambda inputs: [answer(row) for row in inputs]


TASK = Task(
    name="chat",
    title="talk: each line gets a reply",
    kind="chat",
    hub_task="conversational",
    transformer="gpt2",
    sources=("roskoN/dailydialog", "jfainberg/self_dialogue_corpus"),
    licences={
        "roskoN/dailydialog": "CC BY-NC-SA 4.0 (Li et al. 2017)",
        "jfainberg/self_dialogue_corpus": "BSD 3-Clause (Fainberg et al. 2018)",
    },
    columns={"input": ("utterances", "dialog", "turns"), "target": ("utterances", "dialog", "turns")},
    metrics=("reply_bits_per_byte", "recall_at_1", "distinct_1", "distinct_2"),
    floor="word trigrams; TF-IDF for the ranking; the reply to the nearest train context",
    make_floor=nearest,
    example="Do you like music?",
    options=chatting.add_flags,
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
