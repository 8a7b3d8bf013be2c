"""Auto-completion: `python -m tasks.complete "The weath"`.  GPT-2 beside an LSTM language model."""

from tasks import Task, completing


def trigrams(train):
    """The floor: the most frequent continuation of the last two words, measured as the models are."""
    from pipelines import typing_words
    from tasks.ngrams import Trigrams

    counts = Trigrams(train.inputs)

    def answers(texts: list[str]) -> list[dict]:
        return [
            {"bits": counts.bits(text), "bytes": len(text.encode())}
            | typing_words.simulate(text, typing_words.SAMPLED, counts.suggest)
            for text in texts
        ]

    return answers


TASK = Task(
    name="complete",
    title="complete unfinished text, half-typed words too",
    kind="text_generation",
    hub_task="text-generation",
    transformer="gpt2",
    sources=("mix/everyday-english",),
    licences={
        "mix/everyday-english": "mixed, by source: CC BY, CC BY-SA, CC0; captions and news: research and education",
        "wikimedia/wikipedia": "CC BY-SA 3.0",
        "stanfordnlp/imdb": "none stated (Maas et al. 2011)",
    },
    columns={"input": ("text",), "target": ("text",)},
    metrics=("bits_per_byte", "next_word_top1", "next_word_top3", "keystroke_saving"),
    floor="most frequent trigram continuation",
    make_floor=trigrams,
    example="The weath",
    options=completing.add_flags,
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
