"""Conversation: GPT-2 and our LSTM language model, each turn a reply to those before it.

A conversation is a list of messages, {"role": "system" | "user" | "assistant", "content": text}, as the Hub's chat
templates take it. It is written as `TEMPLATE` says: a mark for the role, the text, a mark for the end of the turn. The
names of these marks in a text are plain text here.
"""

import codecs
import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from transformers.generation import NoRepeatNGramLogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper
from transformers.utils.chat_template_utils import Chat

from pipelines import chunks
from pipelines import text_generation as writing
from pipelines.errors import UserError, unknown
from pipelines.text2text import pad

AUTO = writing.AUTO
ROLES = ("system", "user", "assistant")
END = "<|end|>"
MARKS = [*(f"<|{role}|>" for role in ROLES), END]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LONGEST = 60  # tokens of a reply
TEMPERATURE, TOP_P = 0.7, 0.9
COLDEST, HOTTEST = 1e-6, 1e6  # temperatures; beyond them scores leave float32
SEED = 13

loss = writing.loss
answer = writing.answer


def make(task: str, **kwargs) -> "ChatPipeline":
    """The pipeline for a Hub task of this shape. Raises `UserError` for a tokenizer without our marks."""
    return ChatPipeline(task=task, **kwargs)


def check(messages, goes_on: bool = False) -> list[dict]:
    """The messages. Raises `UserError` for what is no conversation that a reply, or the rest of one, could end."""
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise UserError('a conversation is a list of {"role": …, "content": …}, with one at least.')
    for place, message in enumerate(messages):
        if message.get("role") not in ROLES:
            raise unknown("role", str(message.get("role")), ROLES)
        if message["role"] == "system" and place:
            raise UserError("only the first message of a conversation can be the system's.")
        writing.check(message.get("content"))
    if goes_on and messages[-1]["role"] != "assistant":
        raise UserError("a conversation to be continued ends with the beginning of a reply, the assistant's.")
    if not goes_on and messages[-1]["role"] != "user":
        raise UserError("a conversation to be answered ends with what the user says.")
    return messages


def ids_of(tokenizer, messages: list[dict]) -> list[list[int]]:
    """The token ids of each message with its marks."""
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    marks = dict(zip(MARKS, tokenizer.convert_tokens_to_ids(MARKS), strict=True))
    with chunks.READING:
        texts = tokenizer([message["content"] for message in messages], **options)["input_ids"]
    return [[marks[f"<|{m['role']}|>"], *ids, marks[END]] for m, ids in zip(messages, texts, strict=True)]


def begun(tokenizer, messages: list[dict]) -> tuple[list[int], list[list[int]]]:
    """Token ids of what every conversation starts with, the system's message where there is one, and of its turns."""
    turns, system = ids_of(tokenizer, messages), messages[0]["role"] == "system"
    return [tokenizer.bos_token_id, *(turns[0] if system else [])], turns[system:]


class ChatPipeline(writing.CompletionPipeline):
    """`CompletionPipeline`, whose calls take conversations as transformers' own do, with `reply` and `stream_reply`.

    Where a conversation and its reply are longer than the model's window, the oldest turns are left out, whole ones,
    and `left_out` says how many; the system's message stays. Of a last message that fits no window by itself the
    first tokens are not read, and the log says so.
    """

    left_out = 0  # turns of the last conversation that were not read

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        known = self.tokenizer.get_vocab()
        if not all(mark in known for mark in MARKS):
            raise UserError(f"this model was not trained for chat: its vocabulary has no {', '.join(MARKS)}.")

    @property
    def window(self) -> int:
        """The most tokens read at once: the model's positions, else what its training saw."""
        return super().window or min(self.tokenizer.model_max_length, writing.LONGEST)

    def preprocess(self, prompt_text, continue_final_message=None, **kwargs):
        if not isinstance(prompt_text, Chat):
            return super().preprocess(prompt_text, continue_final_message=continue_final_message, **kwargs)
        if continue_final_message is None:  # as transformers has it
            continue_final_message = prompt_text.messages[-1]["role"] == "assistant"
        asked = self._get_set_generation_params(self._prepare_generate_kwargs(kwargs))
        new = asked.get("max_new_tokens") or max(1, (asked.get("max_length") or 0) - self.window // 2)
        ids = self.fitted(prompt_text.messages, min(new, self.window // 2), continue_final_message)
        if self.left_out:
            self._tell(f"a conversation is longer than a window of {self.window} tokens: its oldest turns are not read")
        ids = torch.tensor([ids])  # (1, S)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "prompt_text": prompt_text}

    def fitted(self, messages: list[dict], room: int, goes_on: bool = False) -> list[int]:
        """The token ids of the messages that leave `room` for a reply, the mark of the reply at their end.

        With `goes_on` the last message is the beginning of the reply: no mark stands behind it.
        """
        start, said = begun(self.tokenizer, check(messages, goes_on))
        mark = [self.tokenizer.convert_tokens_to_ids("<|assistant|>")]
        if goes_on:
            said[-1], mark = said[-1][:-1], []
        space = self.window - room - len(start) - len(mark)
        if space < self.window // 4:
            raise UserError(
                f"the system's message is too long for a window of {self.window} tokens, {room} of them for the reply."
            )
        self.left_out = 0
        while len(said) > 1 and sum(map(len, said)) > space:
            said.pop(0)
            self.left_out += 1
        ids = [token for turn in said for token in turn]
        lost = max(0, len(ids) - space)  # of a single message, whose mark stays
        chunks.dropped(self, lost, len(ids), f"the window has room for {space} of what was said last")
        return [*start, ids[0], *ids[1 + lost :], *mark]

    def reply(self, messages: list[dict], **options) -> str:
        """What `stream_reply` gives, in one piece and on one line."""
        return " ".join("".join(self.stream_reply(messages, **options)).split())

    def stream_reply(
        self,
        messages: list[dict],
        max_new_tokens: int = LONGEST,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        seed: int = SEED,
    ) -> Iterator[str]:
        """The reply to the conversation, piece by piece, to its end or for so many tokens.

        Behind a long conversation a reply beyond half the window ends with the window; the log says so, once.
        Tokens are drawn from the likeliest that together have probability `top_p`, with `seed`: the same conversation
        gets the same reply. `temperature` 0 takes the likeliest one. No `REPEATED` tokens in a row come twice.
        """
        warm = temperature == 0 or COLDEST <= temperature <= HOTTEST
        for name, value, fits, wanted in (
            ("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "1 or more"),
            ("temperature", temperature, warm, f"0, or {COLDEST:f} to {HOTTEST:.0f}"),
            ("top_p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
            ("seed", seed, -(2**63) <= seed < 2**64, "-2**63 to 2**64 - 1"),  # what torch takes
        ):
            if not fits:
                raise UserError(f"{name} can't be {value}: {wanted}.")
        ids = self.fitted(messages, min(max_new_tokens, self.window // 2))
        count = min(max_new_tokens, self.window - len(ids))
        chance, first = torch.Generator().manual_seed(seed), len(ids)
        steps = [NoRepeatNGramLogitsProcessor(writing.REPEATED)]
        steps += [TemperatureLogitsWarper(float(temperature)), TopPLogitsWarper(top_p)] if temperature else []
        end = self.tokenizer.convert_tokens_to_ids(END)
        never = [i for i, data in enumerate(self.vocabulary.bytes) if i != end and (not data or b"\n" in data)]

        def choose(ids: list[int], scores: torch.Tensor) -> int:
            scores[:, never] = -math.inf
            if len(ids) == first:
                scores[:, end] = -math.inf  # no reply is empty
            for step in steps:
                scores = step(torch.tensor([ids[first:]], dtype=torch.long), scores)
            if not temperature:
                return int(scores.argmax())
            return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=chance))

        characters = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self.tokens(ids, count, choose):
            if token == end:
                break
            yield characters.decode(self.vocabulary.bytes[token])
        else:
            if count < max_new_tokens:
                self._tell(
                    f"a window of {self.window} tokens has no room for {max_new_tokens} more: the reply ends early"
                )
        yield characters.decode(b"", final=True)


# --- for measuring ---


def messages_of(row: dict, turns: list[str]) -> list[dict]:
    """Turns of a row as messages, so that the reply that it asks for, the last of row["turns"], is the assistant's."""
    mine = len(row["turns"]) % 2  # of turns at even places
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    roles = ("assistant", "user") if mine else ("user", "assistant")
    return system + [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]


def asked(row: dict) -> list[dict]:
    """The conversation that a row wants a reply to."""
    return messages_of(row, row["turns"][:-1])


def ask(pipe) -> Callable[[dict], str]:
    """What is asked one row at a time, for latencies: the reply."""
    return lambda row: pipe.reply(asked(row))


@torch.inference_mode()
def measure(pipe, inputs: Iterable[dict], batch_size: int) -> Iterator[dict]:
    """What a chatbot is judged by, for each row {"turns", "after", "others", "system"}, in order.

    bits: -log2 p of all replies, i.e. of every turn but the first, by their own tokens without the mark at the end,
    each behind what was said before it as far as the window reaches back; bytes: of their UTF-8. ranked: whether the
    reply of the row, the last of its turns, gains most by what was said, log p(reply | turns) - log p(reply), among
    `others` (maximum mutual information; Li et al. 2016, section 3), 1 or 0; None without others; of what was said the
    last half window counts, and of a reply longer than that the first. reply: what the pipeline says in its place.
    Raises `UserError` for a system message longer than half a window.
    """
    inputs = iter(inputs)
    while rows := list(islice(inputs, batch_size)):
        for row, bits, best in zip(rows, _replies(pipe, rows), _ranked(pipe, rows), strict=True):
            said = [*row["turns"], *row["after"]][1:]
            sums = {"bits": bits, "bytes": sum(len(turn.encode()) for turn in said), "ranked": best}
            yield sums | {"reply": pipe.reply(asked(row))}


def _replies(pipe, rows: list[dict]) -> list[float]:
    """-log2 p of all turns of each row but its first."""
    bits, parts = [0.0] * len(rows), []
    for number, row in enumerate(rows):
        for ids, labels in segments(pipe.tokenizer, row, pipe.window, first=False):
            parts.append((number, ids, labels))
    for (number, *_), spent in zip(parts, _bits(pipe, [part[1:] for part in parts]), strict=True):
        bits[number] += spent
    return bits


def _ranked(pipe, rows: list[dict]) -> list[float | None]:
    """1 where a row's reply is ranked above the other ones, else 0; None where there are no other ones."""
    parts = []
    for row in rows:
        known, half = messages_of(row, row["turns"]), pipe.window // 2
        start, before = begun(pipe.tokenizer, known)
        before = [token for turn in before[:-1] for token in turn]
        for reply in ids_of(pipe.tokenizer, [known[-1] | {"content": text} for text in candidates(row)]):
            reply = reply[:half]
            for ids in ([*start, *before[-max(1, half - len(start)) :]], start[:1]):
                parts.append(([*ids, *reply], [*[-100] * (len(ids) + 1), *reply[1:]]))
    bits = torch.tensor(_bits(pipe, parts)).view(-1, 2)  # (replies of all rows, 2): behind the turns, alone
    gains = (bits[:, 1] - bits[:, 0]).split([len(candidates(row)) for row in rows])
    return [float((gain[0] > gain[1:]).all()) if len(gain) > 1 else None for gain in gains]


def candidates(row: dict) -> list[str]:
    """What may be the reply that a row asks for; the first one is it."""
    return [row["turns"][-1], *row["others"]]


def _bits(pipe, parts: list[tuple[list[int], list[int]]]) -> list[float]:
    """-log2 p of the tokens of each part that have a label, which is the token itself; -100 elsewhere, and END."""
    end = pipe.tokenizer.convert_tokens_to_ids(END)
    order = sorted(range(len(parts)), key=lambda i: len(parts[i][0]))
    bits = [0.0] * len(parts)
    while order:
        count = max(1, writing.SCORED // len(parts[order[-1]][0]))
        batch, order = order[-count:], order[:-count]
        ids = pad([parts[i][0] for i in batch], 0)[0].to(pipe.device)  # (B, T+1); nothing looks to the right
        labels = pad([parts[i][1] for i in batch], -100)[0].to(pipe.device)[:, 1:]  # (B, T)
        labels = labels.masked_fill(labels == end, -100)
        logits = pipe.model(input_ids=ids[:, :-1], use_cache=False).logits.float()  # (B, T, V)
        nats = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(len(batch), -1)  # (B, T)
        for i, spent in zip(batch, nats.double().sum(1).tolist(), strict=True):
            bits[i] = spent / math.log(2)
    return bits


# --- for training ---


def segments(tokenizer, row: dict, window: int, first: bool = True) -> Iterator[tuple[list[int], list[int]]]:
    """A row's conversation as (ids, labels) of at most `window` + 1 tokens: labels are the tokens that are scored.

    Scored are the texts of the turns and the marks at their ends, each once, of the first turn only where `first`; a
    mark for a role is given, never guessed, nor is the system's message. A conversation longer than the window goes on
    in another segment behind the turns of about the last half window. Raises `UserError` for a system message longer
    than half a window.
    """
    start, turns = begun(tokenizer, messages_of(row, [*row["turns"], *row["after"]]))
    space, half = window + 1 - len(start), window // 2
    if len(start) > half:
        said = f"{row['system'][:60]!r} …"
        raise UserError(f"the system's message is too long for half a window of {window} tokens: {said}")
    pieces = []  # (ids, labels): turns, the long ones in parts
    for place, ids in enumerate(turns):
        labels = [-100, *ids[1:]] if place or first else [-100] * len(ids)
        pieces += [(ids[i : i + half], labels[i : i + half]) for i in range(0, len(ids), half)]
    sizes, scored = [len(ids) for ids, _ in pieces], 0
    while scored < len(pieces):
        since = scored
        while since and sum(sizes[since - 1 : scored]) <= half and sum(sizes[since - 1 : scored + 1]) <= space:
            since -= 1
        end = scored + 1
        while end < len(pieces) and sum(sizes[since : end + 1]) <= space:
            end += 1
        known = [token for ids, _ in pieces[since:scored] for token in ids]
        ids = [token for ids, _ in pieces[scored:end] for token in ids]
        labels = [label for _, labels in pieces[scored:end] for label in labels]
        yield [*start, *known, *ids], [*[-100] * (len(start) + len(known)), *labels]
        scored = end


def features(tokenizer, inputs: list[dict], targets: list, *, prefix="", labels=(), max_length=256) -> dict:
    """Segments of all conversations: {"input_ids": [[…]], "labels": [[…]]}, ragged.

    Every second conversation, by a draw with a seed, goes without its system message: the model must do without one.
    """
    rng, found = random.Random(SEED), []
    for row in inputs:
        row = row if rng.random() < 0.5 else {**row, "system": ""}
        found += segments(tokenizer, row, max_length)
    return {"input_ids": [ids for ids, _ in found], "labels": [labels for _, labels in found]}


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A batch: input_ids and labels (B, T), a label being the token behind; -100 where nothing is to be learnt."""
    ids = pad([row["input_ids"] for row in rows], 0)[0]  # (B, T+1)
    labels = pad([row["labels"] for row in rows], -100)[0]
    return {"input_ids": ids[:, :-1], "labels": labels[:, 1:]}


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return sum(label != -100 for label in row["labels"])


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"]) - 1
