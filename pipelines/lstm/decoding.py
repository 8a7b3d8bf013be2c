"""Steps of one token, and greedy and beam search of the encoder-decoder: those of transformers' `generate`, faster.

An answer that is found leaves the batch, the beams of a source share its annotations, and nothing else is computed.
Letters: B sources still being answered, K beams (1 at the first step), V vocabulary, T tokens so far.
"""

import torch
from torch import nn
from transformers.generation import NoRepeatNGramLogitsProcessor

from pipelines.calls import Call, CannotDo
from pipelines.lstm.configuration_lstm import CACHE

NEVER = float("-inf")
FEW = 32  # rows


def read_on(lstm: nn.LSTM, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]):
    """`lstm(x, state)` of one direction, batch first.

    A single token of a few rows is computed cell by cell on a CPU: the fused kernel packs its weights anew for each
    call, and so takes up to ten times as long.
    """
    if x.shape[1] > 1 or len(x) > FEW or x.device.type != "cpu" or lstm.training:
        return lstm(x, state)
    x, hidden, cells = x.squeeze(1), [], []
    for weights, before in zip(lstm.all_weights, zip(*state, strict=True), strict=True):
        x, cell = torch.lstm_cell(x, before, *weights)  # (B, H) each
        hidden.append(x)
        cells.append(cell)
    return x.unsqueeze(1), (torch.stack(hidden), torch.stack(cells))


@torch.no_grad()
def search(model, ids: torch.Tensor, mask: torch.Tensor | None, call: Call) -> torch.Tensor:
    """The answers to ids and mask (B, S), each behind the start token, (B * call.several, T). Raises `CannotDo`."""
    kept = max(2, 1 + len(call.ends)) * call.beams  # candidates: so many that enough of them aren't ends
    if kept > model.config.vocab_size:
        raise CannotDo("so few tokens")
    count = len(ids)
    found: list[list[tuple[float, list[int]]]] = [[] for _ in range(count)]  # of each source, best first
    left = list(range(count))  # sources still being answered
    limits = call.limits if isinstance(call.limits, torch.Tensor) else torch.full((count,), call.limits)
    limits = limits.to(ids.device)  # (B,)
    mask = torch.ones_like(ids) if mask is None else mask
    encoded, state = model.encoder(ids, mask), None
    texts, scores = ids.new_full((count, 1, 1), call.start), torch.zeros(count, 1, device=ids.device)
    ends = ids.new_tensor(call.ends)
    for length in range(1, int(limits.max()) + 1):
        width = texts.shape[1]
        output = model(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=texts[:, :, -1].reshape(-1, 1),
            **{CACHE: state},
        )
        state = output[CACHE]
        following = _following(output.logits.float().log_softmax(-1), texts, length, limits, call)  # (B, K, V)
        best, places = (following + scores.unsqueeze(2)).flatten(1).topk(kept)  # (B, kept)
        origins, tokens = places // following.shape[2], places % following.shape[2]
        over = torch.isin(tokens, ends) | (limits <= length).unsqueeze(1)  # (B, kept)
        for row, place in over[:, : call.beams].nonzero().tolist():
            text = [*texts[row, origins[row, place], 1:].tolist(), int(tokens[row, place])]
            _add(found[left[row]], float(best[row, place]) / length**call.length_penalty, text, call.beams)
        scores, chosen = (best + over * -1e9).topk(call.beams)  # (B, K)
        origins, tokens = origins.gather(1, chosen), tokens.gather(1, chosen)
        leading, limited = scores[:, 0].tolist(), (limits <= length).tolist()
        going = [
            row
            for row, source in enumerate(left)
            if not limited[row] and _may_gain(found[source], leading[row], length, call)
        ]
        if not going:
            break
        rows = ids.new_tensor(going)
        if len(going) < len(left):
            left, limits, mask, scores = [left[row] for row in going], limits[rows], mask[rows], scores[rows]
            origins, tokens, state.keys = origins[rows], tokens[rows], None if state.keys is None else state.keys[rows]
            source = None if encoded.source_ids is None else encoded.source_ids[rows]
            encoded = type(encoded)(last_hidden_state=encoded.last_hidden_state[rows], source_ids=source)
        if len(going) < len(texts) or call.beams > 1:
            state.reorder_cache((rows.unsqueeze(1) * width + origins).flatten())
        texts = torch.cat([texts[rows.unsqueeze(1), origins], tokens.unsqueeze(2)], 2)  # (B, K, T + 1)
    return _together(found, call, ids)


def _following(scores, texts, length: int, limits, call: Call) -> torch.Tensor:
    """Logarithms of the probabilities of what may follow texts (B, K, T), (B, K, V)."""
    if call.ngram:
        once = NoRepeatNGramLogitsProcessor(call.ngram)
        scores = once(texts.flatten(0, 1), scores.flatten(0, 1)).view_as(scores)
    if length <= call.least:
        scores[:, :, call.ends] = NEVER
    if call.forced:
        last = limits == length  # (B,)
        scores = scores.masked_fill(last[:, None, None], NEVER)
        scores[:, :, call.forced] = scores[:, :, call.forced].masked_fill(last[:, None, None], 0)
    return scores.log_softmax(-1) if call.renormalized else scores


def _add(answers: list[tuple[float, list[int]]], score: float, text: list[int], most: int) -> None:
    if score > -1e8:  # else a beam that there isn't
        answers.append((score, text))
        answers.sort(key=lambda answer: -answer[0])
        del answers[most:]


def _may_gain(answers: list, leading: float, length: int, call: Call) -> bool:
    """Whether a source with these answers goes on, its best beam having the score `leading`."""
    if len(answers) < call.beams:
        return True
    if call.beams == 1 or call.early_stopping is True:
        return False
    return leading / length**call.length_penalty > answers[-1][0]


def _together(found: list, call: Call, ids: torch.Tensor) -> torch.Tensor:
    """As `generate` has it: filled up with padding, or in a beam search, where padding has the id 0, with ends."""
    fill = call.pad if call.beams == 1 or not call.ends else call.pad or call.ends[0]
    texts = [text for answers in found for _, text in (answers + [(NEVER, [])] * call.several)[: call.several]]
    width = max(map(len, texts))
    return ids.new_tensor([[call.start, *text, *[fill] * (width - len(text))] for text in texts])
