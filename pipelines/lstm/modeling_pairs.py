"""How the two texts of a pair compare, for a siamese classifier.

Letters in the shape comments: B pairs, S tokens of a pair, T tokens of a text, E `d_model`, H `hidden_size`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_lstm import LSTMEncoder, _pick


class LSTMComparison(nn.Module):
    """Each text summed up alone, by the same layers, and the two sums held against each other.

    A text's tokens are weighed by a learned score, as in a bag of words its rare ones count for more; the sum has two
    halves, one of the LSTM's states and one of the token embeddings themselves, each brought to unit spread. What is
    compared is the distance |u - v| and the product u * v, place by place (Tai et al. 2015, section 4.2): the same for
    (A, B) and (B, A).
    """

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.width = 2 * (config.hidden_size + config.d_model)  # of what comes out
        self.weigh = nn.Linear(config.hidden_size + config.d_model, 1)

    def forward(self, encoder: LSTMEncoder, x, attention_mask, token_type_ids) -> torch.Tensor:
        """Embeddings x (B, S, E), attention_mask and token_type_ids (B, S) → (B, 2(H + E))."""
        mask = texts(attention_mask, token_type_ids)  # (2B, S)
        places = (mask == 0).long().argsort(dim=1, stable=True)[:, : max(1, int(mask.sum(1).max()))]  # (2B, T)
        x, mask = _pick(x.repeat(2, 1, 1), places), mask.gather(1, places)  # (2B, T, E), (2B, T)
        states = encoder(inputs_embeds=x, attention_mask=mask).last_hidden_state  # (2B, T, H)
        scores = self.weigh(torch.cat([states, x], -1)).squeeze(-1)  # (2B, T)
        shares = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(1).unsqueeze(1)  # (2B, 1, T)
        halves = [(shares @ (part * mask.unsqueeze(-1))).squeeze(1) for part in (states, x)]  # (2B, H), (2B, E)
        one, other = torch.cat([F.layer_norm(half, half.shape[-1:]) for half in halves], -1).chunk(2)  # (B, H + E)
        return torch.cat([(one - other).abs(), one * other], -1)


def texts(attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
    """(2B, S): 1 at the tokens of the first text of each pair, then at those of the second.

    Each ends with its [SEP]; the [CLS] in front belongs to neither, or (A, B) would not be read as (B, A) is.
    """
    first, second = attention_mask * (token_type_ids == 0), attention_mask * (token_type_ids == 1)
    return torch.cat([first * (first.cumsum(1) > 1), second])
