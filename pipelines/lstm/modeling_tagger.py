"""BiLSTM-CRF for words (Lample et al. 2016; character features by convolution as in Ma & Hovy 2016).

Letters in the shape comments: B texts, S word pieces, W words, C characters of a word, E `d_model`, F `char_filters`,
H `hidden_size`, K labels.
"""

import unicodedata
from functools import lru_cache

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import TokenClassifierOutput

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.crf import LinearChainCRF
from pipelines.lstm.modeling_lstm import LSTMEncoder, LSTMPreTrainedModel

PAD, UNKNOWN = 0, 1  # character ids; those of `config.characters` follow


class LSTMForTokenClassification(LSTMPreTrainedModel):
    """A label for each word.

    A word's vector is the mean of its pieces' embeddings and, beside it, the largest answers of a convolution over its
    characters, which keep the case that the pieces may have lost. The logits are the CRF's emissions, a row a word.
    """

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = LSTMEncoder(config, width=config.d_model + config.char_filters)
        self.char_embeddings = nn.Embedding(2 + len(config.characters), config.char_size)
        self.char_convolution = nn.Conv1d(config.char_size, config.char_filters, 3, padding=1)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.crf = LinearChainCRF(tuple(config.id2label[i] for i in range(config.num_labels)))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Conv1d):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, LinearChainCRF):
            for parameter in module.parameters():
                init.zeros_(parameter)

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def forward(
        self, input_ids=None, attention_mask=None, word_ids=None, char_ids=None, labels=None, return_dict=True, **_
    ):
        """input_ids (B, S), word_ids (B, S), char_ids (B, W, C) → logits (B, W, K).

        word_ids give each piece's word, -1 for special tokens and padding; char_ids are those of `characters`, 0 in
        all places of a padded word. With labels (B, W) also the mean negative log-likelihood of a text.
        """
        mask = word_mask(char_ids)  # (B, W)
        words = torch.cat([self._pieces(input_ids, word_ids, mask.shape[1]), self._characters(char_ids)], -1)
        annotations = self.encoder(attention_mask=mask, inputs_embeds=words).last_hidden_state  # (B, W, H)
        logits = self.classifier(self.dropout(annotations))  # (B, W, K)
        loss = None if labels is None else -self.crf.log_likelihood(logits, labels, mask).mean()
        output = TokenClassifierOutput(loss=loss, logits=logits)
        return output if return_dict else output.to_tuple()

    def decode(self, logits: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The most likely valid labels of logits (B, W, K), (B, W), and the posterior probability of each, (B, W)."""
        chain, logits = self.crf.chain(), logits.float()
        path = chain.viterbi(logits, mask)  # (B, W)
        return path, chain.marginals(logits, mask).gather(2, path.unsqueeze(2)).squeeze(2)

    def _pieces(self, input_ids, word_ids, count: int) -> torch.Tensor:
        """The mean of each word's piece embeddings, (B, W, E); zero for a word without pieces."""
        x = self.encoder.embed_tokens(input_ids)  # (B, S, E)
        place = (word_ids + 1).unsqueeze(2)  # (B, S, 1); what belongs to no word is summed up at 0 and dropped
        total = x.new_zeros(len(x), count + 1, x.shape[2]).scatter_add(1, place.expand_as(x), x)  # (B, 1 + W, E)
        pieces = x.new_zeros(len(x), count + 1, 1).scatter_add(1, place, x.new_ones(place.shape))  # (B, 1 + W, 1)
        return (total / pieces.clamp(min=1))[:, 1:]

    def _characters(self, char_ids: torch.Tensor) -> torch.Tensor:
        """(B, W, C) → (B, W, F), zero for a padded word."""
        real = (char_ids != PAD).flatten(0, 1).unsqueeze(1)  # (B W, 1, C)
        x = self.dropout(self.char_embeddings(char_ids.flatten(0, 1))).transpose(1, 2)  # (B W, E', C)
        x = self.char_convolution(x * real).masked_fill(~real, 0)  # (B W, F, C)
        return x.amax(2).relu().view(*char_ids.shape[:2], -1)  # relu(max) = max(relu): the masked zeros never win


def word_mask(char_ids: torch.Tensor) -> torch.Tensor:
    """True at real words, (B, W), from char_ids (B, W, C)."""
    return char_ids[:, :, 0] != PAD


def char_ids(texts: list[list[str]], config: LSTMConfig) -> torch.Tensor:
    """Character ids (B, W, C) of the words of each text, cased. Of a word longer than `max_characters` its two ends
    are taken; a letter with an accent that is not in `characters` counts as its base letter, any other as unknown."""
    table, most = _table(config.characters), config.max_characters
    ends = most - most // 2, most // 2
    rows = [
        [
            [table[c] for c in (word if len(word) <= most else word[: ends[0]] + word[-ends[1] :])] or [UNKNOWN]
            for word in words
        ]
        for words in texts
    ]
    width, longest = max(map(len, rows)), max(len(word) for row in rows for word in row)
    padded = [
        [word + [PAD] * (longest - len(word)) for word in row] + [[PAD] * longest] * (width - len(row)) for row in rows
    ]
    return torch.tensor(padded)


class _Table(dict):
    def __missing__(self, character: str) -> int:
        self[character] = self.get(unicodedata.normalize("NFKD", character)[0], UNKNOWN)
        return self[character]


@lru_cache(maxsize=8)
def _table(characters: str) -> _Table:
    return _Table({c: i for i, c in enumerate(characters, start=UNKNOWN + 1)})
