"""The LSTM that reads: a question and a context → where the answer starts and ends.

Letters in the shape comments: B batch, S packed tokens, Q question tokens, C context tokens, E `d_model`, H
`hidden_size`. The packed input is BERT's, [CLS] question [SEP] context [SEP] with token types 0 and 1, so one pipeline
serves both. Padding may be on either side and never changes a result.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_lstm import LSTMPreTrainedModel, _mask, _mirror, _pick, _places


class LSTMForQuestionAnswering(LSTMPreTrainedModel):
    """A bidirectional reader with attention between question and context at two levels.

    Each context word is read with the question aligned to it and a flag where the question has the same piece (Chen et
    al. 2017, section 3.2); what was read attends to the question and back (Seo et al. 2017, section 2, attention flow);
    `encoder_layers` further layers read the result. The start is scored against a summary of the question, the end
    against that summary and the expected start (Wang & Jiang 2017 condition it so).
    """

    def __init__(self, config: LSTMConfig):
        super().__init__(config)
        width, hidden = config.d_model, config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        self.align = nn.Linear(width, hidden)
        self.read_question = LSTMBidirectional(width, hidden)
        self.read_context = LSTMBidirectional(2 * width + 1, hidden)
        self.flow = LSTMAttentionFlow(hidden)
        self.fuse = nn.Linear(4 * hidden, hidden)
        self.read_fused = nn.ModuleList(LSTMBidirectional(hidden, hidden) for _ in range(config.encoder_layers))
        self.salience = nn.Linear(hidden, 1, bias=False)
        self.start = nn.Linear(hidden, 2 * hidden)
        self.end = nn.Linear(3 * hidden, 2 * hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()
        self.train()

    def train(self, mode: bool = True):
        """As in every module; here also because `from_pretrained`, which ends with it, forgets what is frozen."""
        if self.config.freeze_embeddings:
            self.embed_tokens.weight.requires_grad_(False)
        return super().train(mode)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        start_positions=None,
        end_positions=None,
        return_dict=True,
        **_,
    ):
        """input_ids, attention_mask, token_type_ids (B, S) → start_logits, end_logits (B, S).

        Places outside the context (token type 1) get the lowest finite score. With start_positions and end_positions
        (B,) also the mean cross-entropy of both. Raises `ValueError` without token types: nothing else tells the
        question from the context.
        """
        if token_type_ids is None:
            raise ValueError("LSTMForQuestionAnswering needs token_type_ids: 0 for the question, 1 for the context")
        mask = _mask(input_ids, attention_mask)  # (B, S)
        q_ids, q_mask, _ = _gathered(input_ids, mask * (token_type_ids == 0))  # (B, Q) each
        c_ids, c_mask, places = _gathered(input_ids, mask * (token_type_ids == 1))  # (B, C) each
        scores = self._read(q_ids, q_mask, c_ids, c_mask)  # two of (B, C)
        start, end = (torch.full_like(s[:, :1], _lowest(s)).expand(mask.shape).scatter(1, places, s) for s in scores)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (F.cross_entropy(start, start_positions) + F.cross_entropy(end, end_positions)) / 2
        output = QuestionAnsweringModelOutput(loss=loss, start_logits=start, end_logits=end)
        return output if return_dict else output.to_tuple()

    def _read(self, q_ids, q_mask, c_ids, c_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and masks (B, Q), (B, C) → scores of each context token as start and as end, (B, C) each."""
        # static vectors are short, new ones too (`_init_weights`): made about unit scale for the layers
        scale = self.config.d_model**0.5
        q = self.dropout(self.embed_tokens(q_ids) * scale)  # (B, Q, E)
        c = self.dropout(self.embed_tokens(c_ids) * scale)  # (B, C, E)
        shared = ((c_ids.unsqueeze(2) == q_ids.unsqueeze(1)) & q_mask.bool().unsqueeze(1)).any(2)  # (B, C)
        aligned = _attend(F.relu(self.align(c)), F.relu(self.align(q)), q, q_mask)  # (B, C, E)
        question = self.read_question(q, q_mask)  # (B, Q, H)
        context = self.read_context(torch.cat([c, aligned, shared.unsqueeze(-1).to(c.dtype)], dim=-1), c_mask)
        question, context = self.dropout(question), self.dropout(context)  # (B, Q, H), (B, C, H)
        fused = F.relu(self.fuse(self.flow(context, c_mask, question, q_mask)))  # (B, C, H)
        read = fused
        for layer in self.read_fused:
            read = layer(self.dropout(read), c_mask)  # (B, C, H)
        read = self.dropout(torch.cat([fused, read], dim=-1))  # (B, C, 2H)
        weights = _softmax(self.salience(question).squeeze(-1), q_mask)  # (B, Q)
        asked = _sum(weights, question)  # (B, H)
        start = _score(self.start(asked), read, c_mask)  # (B, C)
        found = _sum(start.softmax(-1), read)  # (B, 2H)
        end = _score(self.end(torch.cat([asked, found], dim=-1)), read, c_mask)  # (B, C)
        return start, end


class LSTMBidirectional(nn.Module):
    """One layer in both directions over right-padded rows; see `LSTMEncoder` for why it isn't torch's own."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.ahead = nn.LSTM(width, hidden // 2, batch_first=True)
        self.behind = nn.LSTM(width, hidden // 2, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (B, C, D), mask (B, C) with the real tokens first → (B, C, H), zero where padded."""
        mirror = _mirror(mask)  # (B, C)
        behind = _pick(self.behind(_pick(x, mirror))[0], mirror)  # (B, C, H/2)
        return torch.cat([self.ahead(x)[0], behind], dim=-1) * mask.unsqueeze(-1).to(x.dtype)


class LSTMAttentionFlow(nn.Module):
    """Question and context attend to each other: Seo et al. 2017, equations 1 to 4."""

    def __init__(self, hidden: int):
        super().__init__()
        self.context = nn.Linear(hidden, 1, bias=False)
        self.question = nn.Linear(hidden, 1, bias=False)
        self.both = nn.Parameter(torch.ones(hidden))

    def forward(self, c, c_mask, q, q_mask):
        """c (B, C, H), q (B, Q, H), their masks → [c, q̃, c∘q̃, c∘c̃] (B, C, 4H)."""
        product = (c * self.both) @ q.transpose(1, 2) * c.shape[-1] ** -0.5  # (B, C, Q)
        scores = product + self.context(c) + self.question(q).transpose(1, 2)  # (B, C, Q)
        scores = scores.masked_fill(q_mask.unsqueeze(1) == 0, _lowest(scores))
        asked = scores.softmax(-1) @ q  # (B, C, H)
        found = _sum(_softmax(scores.amax(-1), c_mask), c).unsqueeze(1)  # (B, 1, H)
        return torch.cat([c, asked, c * asked, c * found], dim=-1)


def _gathered(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The tokens of ids (B, S) where mask (B, S) is 1, moved to the front; their mask; where they stood: (B, most)."""
    most = max(1, int(mask.sum(1).max()))
    order = (_places(mask) + (mask == 0) * mask.shape[1]).argsort(1)[:, :most]  # (B, most)
    return ids.gather(1, order), mask.gather(1, order), order


def _lowest(x: torch.Tensor) -> float:
    return torch.finfo(x.dtype).min


def _softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Over the last dimension of scores (B, N), real tokens only; even over a row that has none."""
    return scores.masked_fill(mask == 0, _lowest(scores)).softmax(-1)


def _sum(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """weights (B, N), x (B, N, D) → (B, D)"""
    return (weights.unsqueeze(1) @ x).squeeze(1)


def _attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """queries (B, C, H), keys (B, Q, H), values (B, Q, E), mask (B, Q) → (B, C, E)"""
    scores = queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5  # (B, C, Q)
    return scores.masked_fill(mask.unsqueeze(1) == 0, _lowest(scores)).softmax(-1) @ values


def _score(query: torch.Tensor, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """query (B, D), x (B, C, D) → (B, C), the lowest where padded"""
    scores = (x @ query.unsqueeze(-1)).squeeze(-1) * query.shape[-1] ** -0.5
    return scores.masked_fill(mask == 0, _lowest(scores))
