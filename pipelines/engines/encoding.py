"""CTranslate2 in place of a classifying encoder: BERT with heads for texts, tokens or answers.

It computes no padding, and int8 has scales for each token's own vector: answers don't depend on the rest of a batch.
"""

from pathlib import Path

import ctranslate2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pipelines.engines import Checkpoint
from pipelines.engines.ctranslate2 import HEAD, opened
from pipelines.engines.standin import Classifier


class Encoder(Classifier):
    """The model's `forward`: the encoder in CTranslate2, the last layer in torch."""

    engine = "ctranslate2"

    def __init__(self, checkpoint: Checkpoint, folder: Path):
        super().__init__(checkpoint)
        self._runtime = opened(self, ctranslate2.Encoder, checkpoint.precision, folder)
        self._head = load_file(folder / HEAD, device=str(self.device))
        self._pools = checkpoint.shape == "text_classification"

    @torch.no_grad()
    def logits(self, ids, mask, types):
        lengths = mask.sum(1).tolist()
        rows, kinds = ([row[:n] for row, n in zip(x.tolist(), lengths, strict=True)] for x in (ids, types))
        output = self._runtime.forward_batch(rows, token_type_ids=kinds)
        if self._pools:
            return [F.linear(self._tensor(output.pooler_output), **self._head)]  # (B, C)
        logits = F.linear(self._tensor(output.last_hidden_state), **self._head)  # (B, longest, C)
        logits = F.pad(logits, (0, 0, 0, ids.shape[1] - logits.shape[1]))  # (B, S, C)
        return list(logits.unbind(-1)) if len(self.outputs) > 1 else [logits]

    def _tensor(self, values) -> torch.Tensor:
        values = np.array(values) if self.device.type == "cpu" else values
        return torch.as_tensor(values, device=self.device).float()
