"""The encoder alone, and a classifier of texts.

Letters in the shape comments: B batch, S tokens, H `hidden_size`, C classes.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_lstm import LSTMEncoder, LSTMPreTrainedModel, _final_states, _mask


class LSTMModel(LSTMPreTrainedModel):
    """The bidirectional encoder of an encoder-decoder or a classifier, without what was trained on top of it."""

    _keys_to_ignore_on_load_unexpected = [r"^(?!encoder\.)"]

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        self.encoder = LSTMEncoder(config)
        self.post_init()

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, return_dict=True, **_):
        """input_ids, attention_mask (B, S) → last_hidden_state (B, S, H), zero where padded."""
        states = self.encoder(input_ids, attention_mask, inputs_embeds).last_hidden_state
        output = BaseModelOutput(last_hidden_state=states)
        return output if return_dict else output.to_tuple()


class LSTMForSequenceClassification(LSTMPreTrainedModel):
    """Bidirectional LSTM, pooled over the text, with a linear classifier."""

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = LSTMEncoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, labels=None, return_dict=True, **_):
        """input_ids (B, S) → logits (B, C); with labels (B,) also the mean cross-entropy."""
        annotations = self.encoder(input_ids, attention_mask, inputs_embeds).last_hidden_state  # (B, S, H)
        mask = _mask(annotations, attention_mask)  # (B, S)
        logits = self.classifier(self.dropout(self._pool(annotations, mask)))  # (B, C)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output if return_dict else output.to_tuple()

    def _pool(self, annotations: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, S, H) → (B, H)"""
        if self.config.pooling == "last":
            return _final_states(annotations, mask)
        if self.config.pooling == "mean":
            return annotations.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # padded annotations are zero
        # no annotation is below -1; a text without tokens stays finite
        return annotations.masked_fill(mask.unsqueeze(-1) == 0, -1.0).amax(1)
