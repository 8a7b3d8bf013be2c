"""Summaries of news and other texts: `python -m tasks.summarize "$(cat article.txt)"`.  T5 beside an LSTM.

With `--extractive` sentences of the text itself, ranked by an encoder: BERT's beside an LSTM's.
"""

from tasks import Task, extracting
from tasks.headlines import learnable


def lead_sentence(train):
    """The floor: the first sentence as it stands, the baseline that news summarisers are held against."""
    from pipelines import windows

    return lambda inputs: [next((s for s, _ in windows.sentences(text) if s.strip()), "") for text in inputs]


def flags(parser) -> None:
    """The task's own flags."""
    from tasks.flags import one_of

    names = ("short", "medium", "long")
    shown = "short (about eight words), medium (default) or long (a sentence for each part of a long text)"
    parser.add_argument("--length", type=one_of("length", names), metavar="L", help=shown)
    extracting.add_flags(parser)


TASK = Task(
    name="summarize",
    title="sum a text up in a headline",
    kind="text2text",
    hub_task="summarization",
    transformer="t5",
    sources=("news/headlines",),
    licences={
        "news/headlines": "research use only (AG's corpus; headlines of news sites, theirs)",
        "arxiv/abstract-title": "CC0 for the metadata (arXiv.org)",
        "knkarthick/dialogsum": "CC BY-NC-SA 4.0 (Chen et al. 2021)",
    },
    columns={"input": ("document", "text", "article", "dialogue"), "target": ("summary", "headline", "title")},
    metrics=("rougeL", "rouge1", "rouge2"),
    prefix="summarize: ",
    params={"no_repeat_words": 3},
    generation={"num_beams": 4, "early_stopping": True, "no_repeat_ngram_size": 3, "renormalize_logits": True},
    floor="lead sentence",
    make_floor=lead_sentence,
    prepare=learnable,
    options=flags,
    arms=extracting.ARMS,
    example="The city council voted on Tuesday to close the old bridge for repairs until the spring.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
