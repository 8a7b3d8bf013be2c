"""Topic of a news text: `python -m tasks.classify "Shares fell in Tokyo."`.  BERT beside a BiLSTM."""

from tasks import Task
from tasks.floors import bag_of_words

TASK = Task(
    name="classify",
    title="tell the topic of a news text: world, sports, business or science and technology",
    kind="text_classification",
    hub_task="text-classification",
    transformer="bert",
    sources=("fancyzhx/ag_news",),
    licences={"fancyzhx/ag_news": "research and other non-commercial use (AG's corpus)"},
    columns={"input": ("text",), "target": ("label",)},
    labels=("World", "Sports", "Business", "Sci/Tech"),
    metrics=("accuracy", "f1", "ece"),
    floor="TF-IDF + logistic regression",
    make_floor=bag_of_words,
    example="Shares in Tokyo fell after the central bank raised interest rates.",
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
