"""The LSTM as a language model: each token from those before it.

Letters in the shape comments: B batch, T tokens, E `d_model`, H `hidden_size`, L `decoder_layers`, V vocabulary.
Padding may be anywhere in a row and never changes a result: a padded place doesn't touch the state.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from pipelines.lstm.configuration_lstm import CACHE, LSTMConfig
from pipelines.lstm.decoding import read_on
from pipelines.lstm.modeling_lstm import LSTMPreTrainedModel, LSTMState, _pick, _places


class LSTMForCausalLM(LSTMPreTrainedModel, GenerationMixin):
    """Stacked LSTM layers, a projection to the width of the embeddings, and a softmax tied to them.

    Tying: Press & Wolf 2017, Inan et al. 2017. The projection, which lets the state be wider than the embeddings, is
    that of Sak et al. 2014, at the output only. Dropout: on embeddings, between layers and on the last state.
    """

    _tied_weights_keys = {"lm_head.weight": "embed_tokens.weight"}

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.lstm = nn.LSTM(
            config.d_model,
            config.hidden_size,
            config.decoder_layers,
            batch_first=True,
            dropout=config.dropout if config.decoder_layers > 1 else 0.0,
        )
        self.combine = nn.Linear(config.hidden_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the first step makes its own `LSTMState`

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values: LSTMState | None = None,
        cache: LSTMState | None = None,
        inputs_embeds=None,
        labels=None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool = True,
        **_,
    ):
        """input_ids (B, T) → logits (B, T, V), or those of the last `logits_to_keep` places where it is above 0.

        attention_mask (B, past + T): 0 where padded; only the last T columns are looked at. `past_key_values`, or
        `cache` as transformers 5.24 and later say, holds what came before input_ids. With labels (B, T), -100 where
        none, also the mean cross-entropy of each token from those before it, as the Hub's language models have it:
        labels are the input_ids themselves, not moved.
        """
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, E)
        mask = None if attention_mask is None else attention_mask[:, -x.shape[1] :].long()  # (B, T)
        state = cache or past_key_values or self._start(x)
        hidden, state = self._read(self.dropout(x), mask, state)  # (B, T, H)
        hidden = hidden[:, -logits_to_keep:] if logits_to_keep else hidden
        logits = self.lm_head(self.combine(self.dropout(hidden)))  # (B, T, V)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        output = CausalLMOutputWithPast(loss=loss, logits=logits, **{CACHE: None if use_cache is False else state})
        return output if return_dict else output.to_tuple()

    def _start(self, x: torch.Tensor) -> LSTMState:
        zeros = x.new_zeros(self.config.decoder_layers, x.shape[0], self.config.hidden_size)  # (L, B, H)
        return LSTMState(zeros, zeros)

    def _read(self, x, mask, state: LSTMState) -> tuple[torch.Tensor, LSTMState]:
        """x (B, T, E), mask (B, T) or None → hidden (B, T, H), whatever where padded, and the state after."""
        length = state.length + x.shape[1]
        if mask is None or bool(mask.all()):
            hidden, (last, cell) = read_on(self.lstm, x, (state.hidden, state.cell))  # (B, T, H); (L, B, H) each
            return hidden, LSTMState(last, cell, length=length)
        order = (_places(mask) + (mask == 0) * mask.shape[1]).argsort(1)  # (B, T): real tokens first, in their order
        real = mask.sum(1)  # (B,)
        packed = pack_padded_sequence(  # takes no row of nothing: such a row reads one token, and is put back below
            _pick(x, order), real.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        packed, (last, cell) = self.lstm(packed, (state.hidden, state.cell))
        hidden = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])[0]
        empty = (real == 0).view(1, -1, 1)
        last, cell = torch.where(empty, state.hidden, last), torch.where(empty, state.cell, cell)
        return _pick(hidden, order.argsort(1)), LSTMState(last, cell, length=length)
