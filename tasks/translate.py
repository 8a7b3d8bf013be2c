"""Translation, English to French: `python -m tasks.translate "I am happy"`.  T5 beside an LSTM encoder-decoder."""

from tasks import Task


def copy_source(train):
    """The floor: the source as it stands, as Multi30k's and WMT's tables report it (names and numbers still match)."""
    return lambda inputs: list(inputs)


TASK = Task(
    name="translate",
    title="translate English into French",
    kind="text2text",
    hub_task="translation_en_to_fr",
    transformer="t5",
    sources=("multi30k/en-fr", "tatoeba/en-fr"),
    languages=("en", "fr"),
    licences={
        "multi30k/en-fr": "research and education only (Elliott et al. 2016)",
        "tatoeba/en-fr": "CC BY 2.0 (tatoeba.org, manythings.org/anki)",
        "isi/hansard-en-fr": "research use (Parliament of Canada; Aligned Hansards of the 36th Parliament, USC/ISI)",
    },
    split="test",
    columns={"input": ("en",), "target": ("fr",)},
    metrics=("bleu", "chrf", "bleu_lowercase"),
    prefix="translate English to French: ",
    params={"split_sentences": True, "answer_limit": [64, 2.5]},
    generation={"num_beams": 4, "early_stopping": True},
    floor="copy of the source",
    make_floor=copy_source,
    example="I am happy",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
