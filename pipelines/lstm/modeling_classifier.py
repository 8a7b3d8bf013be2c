"""The encoder alone, and a classifier of texts or of pairs.

Letters in the shape comments: B batch, S tokens, H `hidden_size`, C classes.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_lstm import LSTMEncoder, LSTMPreTrainedModel, _final_states, _mask
from pipelines.lstm.modeling_pairs import LSTMComparison


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
    """Bidirectional LSTM, pooled over the text, with a linear classifier; where `siamese`, over each text of a pair
    alone, with a linear layer on how the two compare."""

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = LSTMEncoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.compare = LSTMComparison(config) if config.siamese else None
        self.classifier = nn.Linear(self.compare.width if self.compare else config.hidden_size, config.num_labels)
        self.post_init()
        self.train()

    def train(self, mode: bool = True):
        """As in every module; here also because `from_pretrained`, which ends with it, forgets what is frozen."""
        if self.config.freeze_embeddings:
            self.get_input_embeddings().weight.requires_grad_(False)
        return super().train(mode)

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        inputs_embeds=None,
        labels=None,
        return_dict=True,
        **_,
    ):
        """input_ids (B, S) → logits (B, C); with labels (B,) also the mean cross-entropy, of a single output the mean
        squared error. Only where `siamese` are token_type_ids (B, S) read: 0 the first text, 1 the second."""
        if self.compare:
            x = self.encoder.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, S, E)
            mask = _mask(x, attention_mask)  # (B, S)
            if token_type_ids is None:
                raise ValueError("a siamese model needs token_type_ids, which tell the two texts of a pair apart")
            pooled = self.compare(self.encoder, x, mask, token_type_ids)  # (B, 2(H + E))
        else:
            annotations = self.encoder(input_ids, attention_mask, inputs_embeds).last_hidden_state  # (B, S, H)
            pooled = self._pool(annotations, _mask(annotations, attention_mask))  # (B, H)
        logits = self.classifier(self.dropout(pooled))  # (B, C)
        loss = None if labels is None else self._loss(logits, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output if return_dict else output.to_tuple()

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.problem_type == "regression":
            return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        return F.cross_entropy(logits, labels)

    def _pool(self, annotations: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, S, H) → (B, H)"""
        if self.config.pooling == "last":
            return _final_states(annotations, mask)
        if self.config.pooling == "mean":
            return annotations.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # padded annotations are zero
        # no annotation is below -1; a text without tokens stays finite
        return annotations.masked_fill(mask.unsqueeze(-1) == 0, -1.0).amax(1)
