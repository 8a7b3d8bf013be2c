"""Tiny readers for the tests of question answering, and one whose scores are a formula: the same under any version."""

import torch
from transformers import BertConfig, BertTokenizer, PreTrainedModel
from transformers.modeling_outputs import QuestionAnsweringModelOutput

SIZES = {
    "bert": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    },
    "lstm": {"d_model": 16, "hidden_size": 16},
}
WORDS = (
    "i am happy in the old park while two young men are play ##ing foot ##ball ; didn ' t answer cost ##s 12 . 50 euro"
)
VOCABULARY = {
    word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), "?", "who"])
}


class Formula(PreTrainedModel):
    """Scores that depend on nothing but the tokens and their places; `lift` is added to those of single tokens."""

    config_class = BertConfig

    def __init__(self, config, lift: dict[int, tuple[float, float]] | None = None):
        super().__init__(config)
        self.lift = lift or {}
        self.batches: list[tuple[int, int]] = []  # shapes seen
        self.dummy = torch.nn.Parameter(torch.zeros(1))
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        self.batches.append(tuple(input_ids.shape))
        places = torch.arange(input_ids.shape[1])
        start = 4 * torch.sin(1.7 * input_ids + 0.9 * places)
        end = 4 * torch.sin(2.3 * input_ids + 0.4 * places)
        for token, (first, last) in self.lift.items():
            start, end = start + first * (input_ids == token), end + last * (input_ids == token)
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end)


def words_tokenizer() -> BertTokenizer:
    """A BERT tokenizer over `VOCABULARY`."""
    return BertTokenizer(vocab=dict(VOCABULARY), model_max_length=64)


def formula(lift: dict[str, tuple[float, float]] | None = None) -> Formula:
    return Formula(
        BertConfig(vocab_size=len(VOCABULARY)), {VOCABULARY[word]: both for word, both in (lift or {}).items()}
    )


def reader(family: str, tokenizer):
    """A model with random weights that answers differently from text to text."""
    from conftest import seeded

    from pipelines.scratch import new_model

    torch.manual_seed(0)
    return seeded(new_model("question_answering", family, tokenizer, SIZES[family]), scale=5.0)
