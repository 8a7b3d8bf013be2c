"""A bidirectional LSTM encoder, which all tasks share, and text to text: the encoder with an attentive decoder.

Letters in the shape comments: B batch, S source tokens, T target tokens, E `d_model`, H `hidden_size`, L decoder
layers, V vocabulary. Padding of the source may be on either side and never changes a result.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from pipelines.calls import CannotDo, Stated, read
from pipelines.lstm.configuration_lstm import CACHE, LSTMConfig
from pipelines.lstm.decoding import read_on, search


class LSTMState:
    """What the decoder remembers between steps: the cache of `generate`, of a size that doesn't grow.

    hidden, cell (L, B, H); feed (B, E), the last attentional vector, with input feeding only; keys (B, S, H), the
    attention's view of the source, computed once.
    """

    is_compileable = False

    def __init__(self, hidden, cell, feed=None, keys=None, length: int = 0):
        self.hidden, self.cell, self.feed, self.keys, self.length = hidden, cell, feed, keys, length

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Target tokens read so far."""
        return self.length

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Row i goes on from what was row `beam_idx[i]`. The keys stay: beams change places within one source only."""
        self.hidden = self.hidden.index_select(1, beam_idx)
        self.cell = self.cell.index_select(1, beam_idx)
        if self.feed is not None:
            self.feed = self.feed.index_select(0, beam_idx)


class LSTMPreTrainedModel(PreTrainedModel):
    config_class = LSTMConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, nn.Embedding):
            # with tied output embeddings this makes logits of unit scale
            init.normal_(module.weight, std=self.config.d_model**-0.5)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    init.orthogonal_(parameter)
                else:
                    # torch adds two biases and orders the gates input, forget, cell, output: the forget gate's
                    # initial bias is set in the first and is zero in the second
                    start = torch.zeros_like(parameter)
                    if name.startswith("bias_ih"):
                        start[module.hidden_size : 2 * module.hidden_size] = self.config.forget_bias
                    init.copy_(parameter, start)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)


@dataclass
class LSTMEncoderOutput(BaseModelOutput):
    """`generate` hands it from the encoder to each step of the decoder, repeated for beams."""

    source_ids: torch.LongTensor | None = None  # (B, S), for a decoder that copies


class LSTMEncoder(nn.Module):
    """Embeddings and stacked bidirectional layers.

    The backward direction runs over each text reversed within its own length, so it starts at the last real token
    and padding can't reach a real position. This needs no packing: on 2 CPU cores it is twice as fast as
    `pack_padded_sequence`, and on a GPU it doesn't wait for the lengths.
    """

    main_input_name = "input_ids"

    def __init__(self, config: LSTMConfig, width: int | None = None):
        """`width` of what the layers read, where it is more than the embeddings: pass it as `inputs_embeds` then."""
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        widths = [width or config.d_model] + [config.hidden_size] * (config.encoder_layers - 1)
        half = config.hidden_size // 2
        self.forward_layers = nn.ModuleList(nn.LSTM(width, half, batch_first=True) for width in widths)
        self.backward_layers = nn.ModuleList(nn.LSTM(width, half, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, **_) -> LSTMEncoderOutput:
        """input_ids (B, S), attention_mask (B, S) → last_hidden_state (B, S, H), zero where padded."""
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, S, E)
        mask = _mask(x, attention_mask)  # (B, S)
        # real tokens first, in their order, wherever the padding was; put back at the end
        order = (_places(mask) + (mask == 0) * mask.shape[1]).argsort(1)  # (B, S)
        x, mask = _pick(x, order), mask.gather(1, order)
        mirror, real = _mirror(mask), mask.unsqueeze(-1).to(x.dtype)  # (B, S), (B, S, 1)
        for forward, backward in zip(self.forward_layers, self.backward_layers, strict=True):
            x = self.dropout(x)
            ahead = forward(x)[0]  # (B, S, H/2)
            behind = _pick(backward(_pick(x, mirror))[0], mirror)  # (B, S, H/2)
            x = torch.cat([ahead, behind], dim=-1) * real  # (B, S, H)
        return LSTMEncoderOutput(last_hidden_state=_pick(x, order.argsort(1)), source_ids=input_ids)


def _mask(x: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """(B, S), 1 at real tokens. Whole numbers, because lengths are summed from it: bfloat16 can't count to 257."""
    return x.new_ones(x.shape[:2], dtype=torch.long) if attention_mask is None else attention_mask.long()


def _places(mask: torch.Tensor) -> torch.Tensor:
    """0 … S-1 in each row, (B, S)"""
    return torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)


def _mirror(mask: torch.Tensor) -> torch.Tensor:
    """Positions (B, S) that reverse each row's first `sum(mask)` places and leave the padding where it is."""
    places = _places(mask)
    last = mask.sum(1, keepdim=True) - 1  # (B, 1)
    return torch.where(places <= last, last - places, places)


def _pick(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """x (B, S, D) at places (B, S)."""
    return x.gather(1, places.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def _final_states(annotations: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state in which each direction ended, (B, H): forward at the last real token, backward at the first."""
    half = annotations.shape[-1] // 2
    first, last = mask.argmax(1), (_places(mask) * mask).argmax(1)  # (B,) each; 0 in an empty row
    rows = torch.arange(len(last), device=last.device)
    return torch.cat([annotations[rows, last, :half], annotations[rows, first, half:]], dim=-1)


class LSTMAttention(nn.Module):
    """Weights over the source for each decoder state; see `LSTMConfig.attention` for the two scores."""

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.additive = config.attention == "additive"
        self.key = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        if self.additive:
            self.query = nn.Linear(config.hidden_size, config.hidden_size)
            self.score = nn.Linear(config.hidden_size, 1, bias=False)

    def forward(self, states, keys, annotations, mask):
        """states (B, T, H), keys and annotations (B, S, H), mask (B, S) → context (B, T, H), weights (B, T, S)."""
        if self.additive:
            joint = torch.tanh(self.query(states).unsqueeze(2) + keys.unsqueeze(1))  # (B, T, S, H)
            scores = self.score(joint).squeeze(-1)  # (B, T, S)
        else:
            scores = states @ keys.transpose(1, 2) * states.shape[-1] ** -0.5  # (B, T, S)
        scores = scores.masked_fill(mask.unsqueeze(1) == 0, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        return weights @ annotations, weights


class LSTMDecoder(nn.Module):
    """Reads the target so far and attends to the source; starts from the encoder's final states."""

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.layers, self.feeding = config.decoder_layers, config.input_feeding
        self.start_hidden = nn.Linear(config.hidden_size, config.decoder_layers * config.hidden_size)
        self.start_cell = nn.Linear(config.hidden_size, config.decoder_layers * config.hidden_size)
        self.lstm = nn.LSTM(
            config.d_model * (2 if self.feeding else 1),
            config.hidden_size,
            config.decoder_layers,
            batch_first=True,
            dropout=config.dropout if config.decoder_layers > 1 else 0.0,
        )
        self.attention = LSTMAttention(config) if config.attention != "none" else None
        self.combine = nn.Linear(config.hidden_size * (2 if self.attention else 1), config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def start(self, annotations: torch.Tensor, mask: torch.Tensor) -> LSTMState:
        """The state before the first target token, from annotations (B, S, H) and mask (B, S)."""
        final = _final_states(annotations, mask)  # (B, H)
        batch, width = final.shape

        def stacked(flat):  # (B, L*H) → (L, B, H)
            return flat.view(batch, self.layers, width).transpose(0, 1).contiguous()

        return LSTMState(
            hidden=stacked(torch.tanh(self.start_hidden(final))),
            cell=stacked(self.start_cell(final)),
            feed=final.new_zeros(batch, self.combine.out_features) if self.feeding else None,
            keys=self.attention.key(annotations) if self.attention else None,
        )

    def forward(self, embedded, annotations, mask, state: LSTMState):
        """embedded (B, T, E) → attentional vectors (B, T, E), weights (B, T, S) or None, the state after.

        Of K beams a source, (B * K, 1, E), the vectors come as (B, K, E), the weights as (B, K, S).
        """
        x = self.dropout(embedded)
        if not self.feeding:
            out, weights, state = self._read(x, annotations, mask, state)
            return out, weights, state
        steps = []
        for step in x.split(1, dim=1):  # (B, 1, E)
            fed = torch.cat([step, state.feed.unsqueeze(1)], dim=-1)  # (B, 1, 2E)
            steps.append(self._read(fed, annotations, mask, state))
            state = steps[-1][2]
            state.feed = steps[-1][0].flatten(0, 1)
        weights = torch.cat([step[1] for step in steps], dim=1) if self.attention else None
        return torch.cat([step[0] for step in steps], dim=1), weights, state

    def _read(self, x, annotations, mask, state: LSTMState):
        hidden, (last, cell) = read_on(self.lstm, x, (state.hidden, state.cell))  # (B, T, H); (L, B, H) each
        state = LSTMState(last, cell, state.feed, state.keys, state.length + x.shape[1])
        hidden, weights = self.dropout(hidden).reshape(len(annotations), -1, hidden.shape[2]), None
        if self.attention:
            context, weights = self.attention(hidden, state.keys, annotations, mask)
            hidden = torch.cat([context, hidden], dim=-1)  # (B, T, 2H)
        return torch.tanh(self.combine(hidden)), weights, state  # Luong et al. 2015, equation 5


class LSTMForConditionalGeneration(LSTMPreTrainedModel, GenerationMixin):
    """Encoder-decoder for text to text. Source and target share one vocabulary and one embedding.

    With `copying`, a pointer-generator (See et al. 2017, section 2.2): a step writes a token of the vocabulary or, with
    a probability of its own, copies the source token attended to. The gate reads the attentional vector, which sums up
    what theirs reads.
    """

    _tied_weights_keys = {"lm_head.weight": "encoder.embed_tokens.weight"}

    def __init__(self, config: LSTMConfig):
        config.is_encoder_decoder = True
        super().__init__(config)
        self.encoder = LSTMEncoder(config)
        self.decoder = LSTMDecoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)
        self.gate = nn.Linear(config.d_model, 1) if config.copying else None
        self.stated = Stated()
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the first step makes its own `LSTMState`

    def get_encoder(self, *_, **__):
        return self.encoder

    def get_decoder(self):
        return self.decoder

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """The target moved one place right behind the start token, (B, T); -100 becomes padding."""
        start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1]], dim=1).masked_fill_(
            torch.cat([torch.zeros_like(start), labels[:, :-1]], dim=1) == -100, self.config.pad_token_id
        )

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        encoder_outputs=None,
        past_key_values: LSTMState | None = None,
        cache: LSTMState | None = None,
        inputs_embeds=None,
        labels=None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool = True,
        **_,
    ):
        """input_ids (B, S) and decoder_input_ids (B, T), or labels (B, T), → logits (B, T, V).

        With labels also the mean cross-entropy. `past_key_values`, or `cache` as transformers 5.24 and
        later say, holds what came before decoder_input_ids. `cross_attentions`, on request, is one (B, 1, T, S): a
        layer with one head. A model that copies gives log-probabilities as logits, and raises `ValueError` where it
        has embeddings alone to copy from.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds)
        annotations = encoder_outputs[0]  # (B, S, H)
        mask = _mask(annotations, attention_mask)  # (B, S)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("LSTMForConditionalGeneration needs decoder_input_ids or labels")
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        state = cache or past_key_values or self.decoder.start(annotations, mask)
        embedded = self.encoder.embed_tokens(decoder_input_ids)  # (B, T, E)
        out, weights, state = self.decoder(embedded, annotations, mask, state)  # (B, T, E)
        logits = self.lm_head(self.dropout(out))  # (B, T, V)
        if self.gate is not None:
            source = encoder_outputs.get("source_ids") if input_ids is None else input_ids
            if source is None:
                raise ValueError("an LSTM that copies needs input_ids, not inputs_embeds")
            logits = self._copy(logits, torch.sigmoid(self.gate(out)), weights, source)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            cross_attentions=(weights.unsqueeze(1),) if output_attentions and weights is not None else None,
            encoder_last_hidden_state=annotations,
            **{CACHE: None if use_cache is False else state},
        )
        return output if return_dict else output.to_tuple()

    def generate(self, input_ids=None, generation_config=None, **options):
        """`GenerationMixin.generate`; greedy and beam search, where nothing but answers is asked for, are our own."""
        try:
            if input_ids is None or self.training or options.get("use_cache") is False:
                raise CannotDo("such a call")
            call = read(self, options | {"generation_config": generation_config, "attention_mask": None}, None)
            if call.start is None or call.first is not None or call.banned or call.early_stopping == "never":
                raise CannotDo("such a search")
            return search(self, input_ids, options.get("attention_mask"), call)
        except CannotDo:
            return super().generate(input_ids=input_ids, generation_config=generation_config, **options)

    @staticmethod
    def _copy(logits, written, weights, source):
        """logits (B, T, V), share written (B, T, 1), attention (B, T, S), source (B, S) → log-probabilities (B, T, V).

        A token that stands in the source more than once gets the sum of its places.
        """
        chosen = logits.softmax(-1) * written  # (B, T, V)
        places = source.unsqueeze(1).expand_as(weights)  # (B, T, S)
        mixed = chosen.scatter_add(2, places, weights * (1 - written))  # (B, T, V)
        return mixed.clamp(min=torch.finfo(mixed.dtype).tiny).log()
