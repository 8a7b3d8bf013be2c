"""Tiny LSTM models and ragged input for the tests of `pipelines.lstm`. No randomness but seeded."""

import functools
import itertools

import torch

from pipelines.lstm import LSTMConfig, LSTMForConditionalGeneration, LSTMForSequenceClassification

PAD, EOS = 0, 1  # what LSTMConfig takes by default; decoding starts with PAD
LENGTHS = (5, 1, 7, 3)
# attention × input feeding × layers: what the decoder can be
VARIANTS = [
    {"attention": attention, "input_feeding": feeding, "encoder_layers": layers, "decoder_layers": layers}
    for attention, feeding, layers in itertools.product(("none", "additive", "dot"), (False, True), (1, 2))
] + [
    {"attention": "dot", "input_feeding": feeding, "encoder_layers": 1, "decoder_layers": 1, "copying": True}
    for feeding in (False, True)
]


def name(value: dict) -> str:
    """A readable test id for a variant."""
    extras = "".join(f"{what}-" for what in ("input_feeding", "copying") if value.get(what))
    return f"{value['attention']}-{extras}{value['encoder_layers']}"


def config(**settings) -> LSTMConfig:
    return LSTMConfig(**{"vocab_size": 13, "d_model": 6, "hidden_size": 8, **settings})


def spread(model, seed: int = 0, scale: float = 0.8):
    """Every parameter random, biases too: with the zeros of a fresh model many mistakes can't be seen."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.rand(parameter.shape, generator=chance) * 2 - 1) * scale)
    return model.eval()


def seq2seq(seed: int = 0, scale: float = 0.8, **settings) -> LSTMForConditionalGeneration:
    return spread(LSTMForConditionalGeneration(config(**settings)), seed, scale)


def classifier(seed: int = 0, **settings) -> LSTMForSequenceClassification:
    return spread(LSTMForSequenceClassification(config(**{"num_labels": 3, **settings})), seed)


def rows(lengths=LENGTHS, vocab: int = 13, seed: int = 0) -> list[torch.Tensor]:
    """Random texts of these lengths, without special tokens."""
    chance = torch.Generator().manual_seed(seed)
    return [torch.randint(2, vocab, (length,), generator=chance) for length in lengths]


def batch(texts: list[torch.Tensor], fill: int = PAD) -> dict[str, torch.Tensor]:
    """Right-padded with `fill`, with the attention mask."""
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=fill)
    mask = torch.stack([(torch.arange(ids.shape[1]) < len(text)).long() for text in texts])
    return {"input_ids": ids, "attention_mask": mask}


def left_batch(texts: list[torch.Tensor], fill: int = PAD) -> dict[str, torch.Tensor]:
    """Left-padded with `fill`, with the attention mask."""
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=fill, padding_side="left")
    mask = torch.stack([(torch.arange(ids.shape[1]) >= ids.shape[1] - len(text)).long() for text in texts])
    return {"input_ids": ids, "attention_mask": mask}


def answer(generated: torch.Tensor) -> list[int]:
    """The tokens of one row of `generate` behind the start token, up to and with the end token."""
    tokens = generated.tolist()[1:]
    return tokens[: tokens.index(EOS) + 1] if EOS in tokens else tokens


def learn_to_copy(model: LSTMForConditionalGeneration, texts: list[torch.Tensor], steps: int, rate: float):
    """Plain training on texts that are their own answers; they end with EOS."""
    source, labels = batch(texts), batch(texts, fill=-100)["input_ids"]
    optimizer = torch.optim.Adam(model.train().parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**source, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


def ended(texts: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.cat([text, torch.tensor([EOS])]) for text in texts]


@functools.cache
def half_trained(kind: str) -> LSTMForConditionalGeneration:
    """The variant of this name after a little training: unsure, but with answers that differ in words and length
    from text to text, which random weights seldom give. Tests must not change it."""
    (variant,) = [variant for variant in VARIANTS if name(variant) == kind]
    torch.manual_seed(0)
    model = LSTMForConditionalGeneration(config(**variant, d_model=12, hidden_size=24, dropout=0.0))
    return learn_to_copy(model, ended(rows((5, 1, 7, 3, 6, 2))), steps=60, rate=0.01)
