"""Question + context to the span that answers it: BERT, RoBERTa, DistilBERT …, and our LSTM reader.

transformers 5 removed this pipeline. Same calls and answers as transformers 4.57.6, in our own words; docs/parity-qa.md
says where they differ. A context of any length is read in overlapping windows; of each only its best spans are kept.
"""

import logging
from collections import Counter

import torch
import torch.nn.functional as F

from pipelines import chunks, reading
from pipelines.errors import UserError, unknown
from pipelines.text2text import pad

AUTO = "AutoModelForQuestionAnswering"
logger = logging.getLogger(__name__)


def make(task: str, **kwargs) -> "QuestionAnsweringPipeline":
    """The pipeline for a Hub task of this shape."""
    return QuestionAnsweringPipeline(task=task, **kwargs)


def answer(output) -> str:
    """The best answer's text in one output of the pipeline."""
    return (output[0] if isinstance(output, list) else output)["answer"]


class QuestionAnsweringPipeline(chunks.Parted):
    """Answers a question with a span of its context: {"score", "start", "end", "answer"}, answer = context[start:end].

    Called with `question=…, context=…` (two texts, two lists, or several questions about one context), with dicts
    {"question", "context"} of texts or lists, lists or generators of them. One question → a dict, or a list of dicts
    where there are several answers (`top_k`); several questions → a list of these.

    The score is the probability of the start times that of the end, over the tokens that a window has of the context
    and the no-answer token, [CLS], where there is one. Equal answers (upper or lower case) are one, with the sum of
    their scores, at most 1, and the place of the first window's. See `joint` for contexts of several windows.

    Parameters, for all calls or per call:
        top_k: how many answers, the best first (default 1). Fewer where the context holds fewer.
        doc_stride: tokens that neighbouring windows share (default 128, or half of what there is room for).
        max_seq_len: tokens of a window, question and special tokens included (default 384); at most the model's limit.
        max_answer_len: the longest answer, in tokens (default 15).
        max_question_len: a question of more tokens brings a warning (default 64). It is never cut; one that leaves a
            window no room for the context is an error.
        handle_impossible_answer: "no answer" may be the answer, as {"score", "start": 0, "end": 0, "answer": ""}.
        align_to_words: answers begin and end with whole words (default True).
        joint: all windows of a context share one probability, so that they compete, and of equal answers the best
            lends its place to all (default: what the checkpoint's `task_specific_params` say, as ours do; else each
            window has a probability of its own, as in transformers 4).
        padding: of the windows, as tokenizers take it (default: none, beyond what a batch needs).
        progress: called as progress(windows read, windows in all) while a context is read.
    """

    default_input_names = "question,context"
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def __init__(self, model, task: str = "question-answering", **kwargs):
        super().__init__(model=model, task=task, **kwargs)
        if not self.tokenizer.is_fast:
            raise UserError(f"{task} needs a fast tokenizer; {type(self.tokenizer).__name__} tells no offsets.")
        self._window = min(chunks.window(self.tokenizer, self.model) or 384, 384)
        self._positions = chunks.positions(self.model)
        self._names = reading.names(self.tokenizer, self.model)
        said = getattr(self.model.config, "task_specific_params", None) or {}
        self._joint = said.get("question-answering", {}).get("joint", False)

    def _sanitize_parameters(
        self,
        top_k=None,
        topk=None,
        doc_stride=None,
        max_seq_len=None,
        max_answer_len=None,
        max_question_len=None,
        handle_impossible_answer=None,
        align_to_words=None,
        padding=None,
        joint=None,
        progress=None,
        **others,
    ):
        top_k = topk if top_k is None else top_k  # its name in older versions
        spans = {"top_k": top_k, "max_answer_len": max_answer_len}
        sizes = {"doc_stride": doc_stride, "max_seq_len": max_seq_len, "max_question_len": max_question_len}
        if others:
            known = [*spans, *sizes, "handle_impossible_answer", "align_to_words", "joint", "padding", "progress"]
            raise unknown("parameter", next(iter(others)), known)
        for name, value in (spans | sizes).items():
            least = 0 if name == "doc_stride" else 1
            if value is not None and (not isinstance(value, int) or value < least):
                raise UserError(f"{name} must be a whole number from {least} on; got {value!r}.")
        before = sizes | {"align_to_words": align_to_words, "padding": padding, "progress": progress}
        after = {"top_k": top_k, "handle_impossible_answer": handle_impossible_answer, "joint": joint}
        return chunks.given(before), chunks.given(spans | {"align_to_words": align_to_words}), chunks.given(after)

    def __call__(self, *inputs, **kwargs):
        inputs = chunks.normal(reading.asked(inputs, kwargs))
        if isinstance(inputs, list) and len(inputs) == 1:
            inputs = inputs[0]
        return super().__call__(reading.spread(inputs), **kwargs)

    # --- a question and a context → windows ---

    @chunks.in_turn
    def preprocess(
        self,
        inputs,
        doc_stride=None,
        max_seq_len=None,
        max_question_len=64,
        align_to_words=True,
        padding="do_not_pad",
        progress=None,
    ):
        question, context = reading.checked(inputs)
        size = min(max_seq_len or self._window, self._positions or max_seq_len or self._window)
        stride = self._stride(question, size, max_question_len, doc_stride)
        question_first = self.tokenizer.padding_side == "right"  # as transformers 4 decides
        encoded = self.tokenizer(
            *((question, context) if question_first else (context, question)),
            truncation="only_second" if question_first else "only_first",
            max_length=size,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            padding=padding,
            verbose=False,
        )
        windows, side = encoded.encodings, int(question_first)
        if not any(side in window.sequence_ids for window in windows):
            raise UserError("the context holds nothing that the model's tokenizer can read.")
        for i, window in enumerate(windows):
            if progress:
                progress(i, len(windows))
            features = {name: torch.tensor([encoded[name][i]]) for name in self._names}  # (1, S) each
            places = reading.places(window, side, self.tokenizer.cls_token_id, align_to_words)
            yield {**features, **places, "context": context, "is_last": i == len(windows) - 1}
        if progress:
            progress(len(windows), len(windows))

    def _stride(self, question: str, size: int, longest: int, asked: int | None) -> int:
        """How many tokens windows of `size` tokens share, once it is clear that the question leaves them room."""
        length = len(self.tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
        room = size - length - self.tokenizer.num_special_tokens_to_add(pair=True)
        if room < 1:
            raise UserError(f"a question of {length} tokens leaves no room for the context in {size} (max_seq_len).")
        if length > longest:
            logger.warning(f"A question of {length} tokens is longer than max_question_len {longest}; it is not cut.")
        if asked is not None and asked >= room:
            raise UserError(
                f"doc_stride {asked} must be less than the {room} tokens that a window has for the context."
            )
        usual = min(128, size // 2)
        # a long question leaves little room
        return asked if asked is not None else usual if usual < room else room // 2

    # --- windows → the best spans of each ---

    def _forward(self, features, top_k=1, max_answer_len=15, align_to_words=True):
        mine, none, begin, end = (features.pop(name) for name in ("mine", "none", "begin", "end"))  # (B, S) each
        context, last = features.pop("context"), features.pop("is_last")
        output = self.model(**features)
        # as many as transformers 4 took: spans of the same words will be one answer
        count = 2 * top_k + 10 if align_to_words else top_k
        found = reading.best(output.start_logits, output.end_logits, mine, none, max_answer_len, count)
        edges = {"begin": begin.gather(1, found.pop("first")), "end": end.gather(1, found.pop("last"))}  # (B, K)
        return {**found, **edges, "context": context, "is_last": last}

    # --- the best spans → answers ---

    def postprocess(self, windows, top_k=1, handle_impossible_answer=False, joint=None):
        joint = self._joint if joint is None else joint
        found = reading.answers(windows, windows[0]["context"], joint, handle_impossible_answer)[:top_k]
        found = found or [{"score": 0.0, "start": 0, "end": 0, "answer": ""}]
        return found if len(found) > 1 else found[0]


# --- for training ---


def features(tokenizer, inputs: list[dict], targets: list[dict], *, prefix="", labels=(), max_length=384) -> dict:
    """Packed ids with the answer's tokens: {"input_ids": [[…]], "token_type_ids": [[…]], "context": [(first, last)],
    "answer": [(first, last)]}, all places counted in tokens, last ones included.

    inputs {"question", "context"}, targets {"text": […], "answer_start": […]}, of which the answer that most annotators
    gave counts. Of a context beyond `max_length` tokens the window stays that shows most on both sides of the answer.
    Left out: rows without an answer, with one that is in no window whole, or with a question of more than half of it.
    """
    columns: dict[str, list] = {"input_ids": [], "token_type_ids": [], "context": [], "answer": []}
    questions = tokenizer([given["question"] for given in inputs], add_special_tokens=False)["input_ids"]
    wanted = [_wanted(target) for target in targets]
    rows = [i for i, ids in enumerate(questions) if wanted[i] and len(ids) <= max_length // 2]
    for first in range(0, len(rows), 256):  # enough at once to be fast, and not so much as to fill the memory
        some = rows[first : first + 256]
        encoded = tokenizer(
            [inputs[i]["question"] for i in some], [inputs[i]["context"] for i in some], truncation="only_second",
            max_length=max_length, stride=min(128, max_length // 4), return_overflowing_tokens=True, verbose=False,
        )  # fmt: skip
        found: dict[int, list] = {}
        for window, row in zip(encoded.encodings, encoded["overflow_to_sample_mapping"], strict=True):
            place = _place(window, *wanted[some[row]])
            if place:
                found.setdefault(row, []).append((window, *place))
        for places in found.values():
            window, context, inside = max(places, key=lambda p: min(p[2][0] - p[1][0], p[1][1] - p[2][1]))
            for name, value in zip(columns, (window.ids, window.type_ids, context, inside), strict=True):
                columns[name].append(value)
    return columns


def _wanted(target: dict) -> tuple[int, int] | None:
    """First and last + 1 character of the answer that most annotators gave; None where there is none."""
    spans = Counter(
        (start, start + len(text))
        for text, start in zip(target["text"], target["answer_start"], strict=True)
        if text.strip() and start >= 0
    )
    return spans.most_common(1)[0][0] if spans else None


def _place(window, start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """First and last token of the context in a window, and of its characters start … end; None where they aren't all
    there."""
    mine = [i for i, sequence in enumerate(window.sequence_ids) if sequence == 1]
    offsets = window.offsets  # a copy at each look
    inside = [i for i in mine if offsets[i][0] < end and offsets[i][1] > start]
    if not inside or offsets[inside[0]][0] > start or offsets[inside[-1]][1] < end:
        return None
    return (mine[0], mine[-1]), (inside[0], inside[-1])


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A padded batch: input_ids, attention_mask, token_type_ids, mine (B, S), 1 where an answer could be (the context,
    and [CLS] in front); start_positions, end_positions (B,)."""
    ids, mask = pad([row["input_ids"] for row in rows], config.pad_token_id)
    types, _ = pad([row["token_type_ids"] for row in rows], 0)
    first, last = torch.tensor([row["context"] for row in rows]).unsqueeze(2).unbind(1)  # (B, 1) each
    places = torch.arange(ids.shape[1])
    mine = ((places >= first) & (places <= last)) | (places == 0)  # (B, S)
    start, end = torch.tensor([row["answer"] for row in rows]).unbind(1)
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "mine": mine.long()}
    return batch | {"start_positions": start, "end_positions": end}


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """The mean of the start's and the end's cross-entropy, summed over the rows of a batch (a scalar).

    `label_smoothing` doesn't apply: most of the mass would go to places that can't be answers.
    """
    start, end, mine = (batch.pop(name) for name in ("start_positions", "end_positions", "mine"))
    output = model(**batch)
    terms = (
        F.cross_entropy(logits.float().masked_fill(mine == 0, reading.NEVER), place, reduction="sum")
        for logits, place in ((output.start_logits, start), (output.end_logits, end))
    )
    return sum(terms) / 2


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return 1


def length(row: dict) -> int:
    """Tokens of a row: what batches are grouped and budgeted by."""
    return len(row["input_ids"])
