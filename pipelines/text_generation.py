"""Text that goes on: GPT-2 and other causal language models, and our LSTM language model.

transformers' own pipeline for whole continuations, with suggestions for unfinished text beside it.
"""

import codecs
import functools
import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from transformers import TextGenerationPipeline
from transformers.generation import NoRepeatNGramLogitsProcessor
from transformers.utils.chat_template_utils import Chat

from pipelines import chunks, typing_words
from pipelines.completion import BEAMS, STEPS_A_WORD, Branches, Vocabulary, phrases
from pipelines.errors import UserError
from pipelines.lstm.configuration_lstm import CACHE
from pipelines.text2text import pad

AUTO = "AutoModelForCausalLM"
SPARE = 64  # tokens of the model's window left for what is typed and suggested
SCORED = 2048  # tokens scored at once: the softmax over the vocabulary is what memory goes into
LONGEST = 1024  # tokens of a window where the model has no bound
LETTERS = 10  # of a token, at most, on the average of a text
REPEATED = 4  # so many tokens in a row come once only in a completion
logger = logging.getLogger(__name__)


def make(task: str, **kwargs) -> "CompletionPipeline":
    """The pipeline for a Hub task of this shape."""
    return CompletionPipeline(task=task, **kwargs)


def answer(output) -> str:
    """The text in one output of the pipeline."""
    return (output[0] if isinstance(output, list) else output)["generated_text"]


class CompletionPipeline(TextGenerationPipeline):
    """transformers' `TextGenerationPipeline`, same calls and outputs, with `suggest`, `complete` and `stream` for
    unfinished text.

    Where prompt and answer together are longer than the model's window, the prompt's last tokens are read, at least
    half a window of them, and the answer ends with the window; the log says so, once. (transformers would fail.)
    """

    dropped_tokens = 0  # of texts longer than the window, since the pipeline was made

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._told: set[str] = set()

    def check_model_type(self, supported_models):
        pass  # the Auto class that loaded the model has decided

    def __call__(self, text_inputs, **kwargs):
        inputs = chunks.normal(text_inputs)
        return [] if isinstance(inputs, list) and not inputs else super().__call__(inputs, **kwargs)

    @property
    def window(self) -> int | None:
        """The most tokens that the model reads at once; None where nothing sets a bound, as with an LSTM."""
        return getattr(self.model.config, "max_position_embeddings", None)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's tokens as bytes. Raises `UserError` where they are none."""
        return Vocabulary(self.tokenizer, self.model.config.vocab_size)

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(what)

    def preprocess(self, prompt_text, tokenizer_encode_kwargs=None, **kwargs):
        if not isinstance(prompt_text, Chat):
            check(prompt_text)
            tokenizer_encode_kwargs = {"verbose": False, **(tokenizer_encode_kwargs or {})}  # the log says it below
        with chunks.READING:
            return super().preprocess(prompt_text, tokenizer_encode_kwargs=tokenizer_encode_kwargs, **kwargs)

    def _forward(self, model_inputs, **generate_kwargs):
        ids = model_inputs["input_ids"]  # (B, S), padded on the left
        if self.window and ids.shape[1]:
            asked = self._get_set_generation_params(self._prepare_generate_kwargs(generate_kwargs))
            new = asked.get("max_new_tokens") or max(1, (asked.get("max_length") or 0) - ids.shape[1])
            kept = min(ids.shape[1], self.window - min(new, self.window // 2))
            if kept < ids.shape[1]:
                lengths = model_inputs["attention_mask"].sum(1)  # (B,)
                count = int((lengths - kept).clamp(min=0).sum())
                chunks.dropped(self, count, int(lengths.sum()), f"the window has room for the last {kept} of a text")
                for name in ("input_ids", "attention_mask"):
                    model_inputs[name] = model_inputs[name][:, -kept:]
            if kept + new > self.window:
                if asked.get("max_new_tokens") != self._generation_defaults.get("max_new_tokens"):
                    self._tell(
                        f"an answer of {new} tokens is more than the model's window of {self.window}: it ends there"
                    )
                generate_kwargs = generate_kwargs | {"max_new_tokens": self.window - kept, "max_length": None}
        return super()._forward(model_inputs, **generate_kwargs)

    # --- unfinished text ---

    def suggest(self, text: str, k: int = 3, max_words: int = 3, beams: int | None = None) -> list[dict]:
        """The `k` most probable ways to go on, best first: [{"text": text and what was added, "score": probability}].

        They are distinct, of `max_words` words or fewer where punctuation or the end follows, and finish a half-typed
        word; white space at the end asks for the next word. See `pipelines.completion.phrases`; `beams` paths are
        kept in its search, by default 16 and at least 4 a suggestion. Fewer than `k` come where no more are found.
        Raises `UserError` for what is no text, for numbers below 1, and for tokenizers that don't work on bytes.
        """
        check(text)
        beams = max(BEAMS, 4 * k) if beams is None else beams
        for name, value in (("k", k), ("max_words", max_words), ("beams", beams)):
            if value < 1:
                raise UserError(f"{name} must be 1 or more; got {value}")
        context, typed = typing_words.split_typed(text)
        ids = start_and(self.tokenizer, [context])[0]
        kept, room = _last(ids, self.window, max(SPARE, len(typed.encode()) + STEPS_A_WORD * max_words))
        lost = len(ids) - len(kept)
        chunks.dropped(self, lost, len(ids), f"the window has room for the last {len(kept)} of a text")
        found = phrases(Branches(self.model, kept), self.vocabulary, typed, k, max_words, beams, room)
        return [{"text": text + phrase, "score": score} for phrase, score in found]

    def complete(self, text: str, max_new_tokens: int = 40) -> str:
        """The text and its likeliest continuation: what `stream` gives, in one piece."""
        return text + "".join(self.stream(text, max_new_tokens))

    def stream(self, text: str, max_new_tokens: int = 40) -> Iterator[str]:
        """What goes on behind the text, piece by piece, to the end of the paragraph or for so many tokens.

        A half-typed word is finished first, as `suggest` does. Then each token is the likeliest, but no `REPEATED`
        tokens in a row come twice: small models would go round in circles. Beyond the model's window it goes on from
        the last half of it.
        """
        for found in self.suggest(text, k=1, max_words=1):
            yield found["text"][len(text) :]
            text = found["text"]
        ids = start_and(self.tokenizer, [text])[0]
        once = NoRepeatNGramLogitsProcessor(REPEATED)
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self.tokens(ids, max_new_tokens, lambda ids, row: int(once(torch.tensor([ids]), row).argmax())):
            if token == self.tokenizer.eos_token_id or b"\n" in self.vocabulary.bytes[token]:
                break
            yield characters.decode(self.vocabulary.bytes[token])

    @torch.inference_mode()
    def tokens(self, ids: list[int], count: int, choose: Callable[[list[int], torch.Tensor], int]) -> Iterator[int]:
        """At most `count` tokens behind `ids`, which grow by them: each as `choose(ids, scores (1, V))` has it.

        Beyond the model's window it goes on from the last half of it.
        """
        device, fresh = self.model.device, ids
        read, past = 0, None  # tokens in the cache
        for left in range(count, 0, -1):
            if past is None or read == self.window:
                fresh = _last(ids, self.window, left)[0]
                read, past = 0, None
            mask = torch.ones(1, read + len(fresh), dtype=torch.long, device=device)  # (1, S)
            output = self.model(
                input_ids=torch.tensor([fresh], device=device),
                attention_mask=mask,
                use_cache=True,
                **{CACHE: past},
            )
            read, past = mask.shape[1], output[CACHE]
            token = choose(ids, output.logits[:, -1].float().cpu())  # (1, V)
            yield token
            ids.append(token)
            fresh = [token]


def check(text) -> None:
    if not isinstance(text, str):
        raise UserError(f"text generation takes texts, not {type(text).__name__}: {str(text)[:60]!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise UserError(f"the text has no UTF-8: {error.reason} at {error.start}") from error


def start_and(tokenizer, texts: list[str]) -> list[list[int]]:
    """The token ids of each text behind the token that texts begin with. A special token's name in it is plain text."""
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    with chunks.READING:
        return [[start, *ids] for ids in tokenizer(texts, **options)["input_ids"]]


def _last(ids: list[int], window: int | None, spare: int) -> tuple[list[int], int | None]:
    """The last of the ids, so that `spare` more fit into the window, or half of it; and how many more do fit."""
    if window is None:
        return ids, None
    ids = ids[-(window - min(spare, window // 2)) :]
    return ids, window - len(ids)


# --- for measuring ---


def ask(pipe) -> Callable[[str], list[dict]]:
    """What is asked one text at a time, for latencies: three suggestions, behind half the text or 200 characters."""
    return lambda text: pipe.suggest(text[: max(1, min(200, len(text) // 2))])


@torch.inference_mode()
def measure(pipe, inputs: Iterable[str], batch_size: int, words: int = typing_words.SAMPLED) -> Iterator[dict]:
    """What a language model is judged by, as sums for each text, in order.

    bits: -log2 p of the text behind the start token, by its own tokens in the order of its tokenizer; bytes: of its
    UTF-8. A text longer than the window is read in windows that overlap by half, each token scored once, behind at
    least half a window. The rest as in `typing_words.simulate`, for `words` words of a text, each behind what
    precedes it. A model without a bound reads windows too, of what its tokenizer names: each arm sees the same.
    """
    window = min(pipe.window or LONGEST, pipe.tokenizer.model_max_length, LONGEST)
    inputs = iter(inputs)
    while texts := list(islice(inputs, batch_size)):
        bits = _bits(pipe, start_and(pipe.tokenizer, texts), window)
        for text, spent in zip(texts, bits, strict=True):
            sums = {"bits": spent, "bytes": len(text.encode())}
            yield sums | typing_words.simulate(text, words, _Typist(pipe, window).suggest)


class _Typist:
    """Suggests single words, and keeps what the model has read while only the half-typed word grows."""

    def __init__(self, pipe, window: int):
        self.pipe, self.window, self.context = pipe, window, None

    def suggest(self, prompt: str) -> list[str]:
        context, typed = typing_words.split_typed(prompt)
        if context != self.context:
            self.context = context
            ids = start_and(self.pipe.tokenizer, [context[-LETTERS * self.window :]])[0]
            ids, self.room = _last(ids, self.window, SPARE)
            self.branches = Branches(self.pipe.model, ids)
        found = phrases(self.branches, self.pipe.vocabulary, typed, typing_words.SHOWN, max_words=1, room=self.room)
        return [(typed + phrase).lstrip() for phrase, _ in found]


def _bits(pipe, rows: list[list[int]], window: int) -> list[float]:
    """-log2 p of each row's tokens behind its first."""
    bits, parts = [0.0] * len(rows), []
    for number, ids in enumerate(rows):
        scored = 1
        while scored < len(ids):
            first = max(0, scored - window // 2) if scored > 1 else 0
            end = min(len(ids), first + window + 1)
            parts.append((number, ids[first:end], end - scored))
            scored = end
    parts.sort(key=lambda part: len(part[1]))
    while parts:
        count = max(1, SCORED // len(parts[-1][1]))
        batch, parts = parts[-count:], parts[:-count]
        ids = pad([part for _, part, _ in batch], -100)[0].to(pipe.device)  # (B, T+1)
        real = (ids[:, :-1] >= 0).long()  # (B, T)
        logits = pipe.model(
            input_ids=ids[:, :-1].clamp(min=0), attention_mask=real, use_cache=False
        ).logits  # (B, T, V)
        loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(
            len(batch), -1
        )
        loss = loss.double().cpu()  # (B, T), nats, 0 where padded
        for (number, part, fresh), row in zip(batch, loss, strict=True):
            bits[number] += float(row[len(part) - 1 - fresh : len(part) - 1].sum()) / math.log(2)
    return bits


# --- for training ---


def features(tokenizer, inputs: list[str], targets: list[str], *, prefix="", labels=(), max_length=256) -> dict:
    """Blocks of at most max_length + 1 token ids: {"input_ids": […]}; the last token of one is the first of the next.

    The texts are shuffled (always alike) and laid end to end, a start token before each and one at the end, and the
    whole is cut into blocks. Nothing is padded, each token is predicted once, and texts in one block see each other
    across the start token, as is usual in training GPT-2.
    """
    order = random.Random(typing_words.SEED).sample(range(len(inputs)), len(inputs))
    parts = [np.array(ids, dtype=np.int32) for ids in _encoded(tokenizer, [inputs[i] for i in order])]
    ids = np.concatenate([*parts, np.array([tokenizer.eos_token_id], dtype=np.int32)])
    return {"input_ids": [ids[i : i + max_length + 1] for i in range(0, len(ids) - 1, max_length)]}


def _encoded(tokenizer, texts: list[str], size: int = 1000) -> Iterator[list[int]]:
    for i in range(0, len(texts), size):
        yield from start_and(tokenizer, texts[i : i + size])


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A batch: input_ids and labels (B, T), a label being the token behind; -100 where a last, shorter block ends."""
    ids, _ = pad([row["input_ids"].tolist() for row in rows], -100)  # (B, T+1)
    return {"input_ids": ids[:, :-1].clamp(min=0), "labels": ids[:, 1:]}


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy summed over the tokens of a batch (a scalar)."""
    labels = batch.pop("labels")  # (B, T)
    logits = model(**batch, use_cache=False).logits.float()  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=label_smoothing)


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return len(row["input_ids"]) - 1


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"]) - 1
