"""Market sentiment of financial news: `python -m tasks.market "Profit doubled."`.  BERT beside a BiLSTM.

Over a file of dated headlines it makes a table per ticker and day, and a curve: see `tasks.daily`.
"""

from tasks import Task, daily
from tasks.floors import bag_of_words

TASK = Task(
    name="market",
    title="tell whether a financial headline is bearish, neutral or bullish; over a dated file, day by day",
    kind="text_classification",
    hub_task="text-classification",
    transformer="bert",
    sources=("takala/financial_phrasebank", "zeroshot/twitter-financial-news-sentiment"),
    licences={
        "takala/financial_phrasebank": "CC BY-NC-SA 3.0, no commercial use (Malo et al. 2014)",
        "zeroshot/twitter-financial-news-sentiment": "MIT; the tweets remain their writers'",
    },
    columns={"input": ("sentence", "text", "headline", "title"), "target": ("label", "sentiment")},
    labels=("bearish", "neutral", "bullish"),  # by the ids of financial_phrasebank: negative, neutral, positive
    aliases={"negative": "bearish", "positive": "bullish"},
    recode={"zeroshot/twitter-financial-news-sentiment": ("bearish", "bullish", "neutral").__getitem__},
    metrics=("accuracy", "f1", "ece"),
    floor="TF-IDF + logistic regression",
    make_floor=bag_of_words,
    example="Operating profit doubled and the company raised its outlook.",
    options=daily.options,
    run=daily.run,
)

if __name__ == "__main__":
    from tasks.cli import main

    raise SystemExit(main(TASK))
