"""A text-to-text checkpoint that answers tasks of other shapes in words: "sst2 sentence: What a film!" → "positive".

One T5 for everything (Raffel et al. 2020, section 2.4). What such a checkpoint is told for a task of ours, and in which
words it answers, its `task_specific_params` say under the task's name:

    {"sentiment": {"prefix": "sst2 sentence: ", "labels": {"negative": "negative", "positive": "positive"}},
     "qa": {"prefix": "question: ", "context": " context: "}}

Texts that are written (translations, summaries) need nothing of this: the checkpoint has their Hub names there.
Letters in the shape comments: B rows, S source tokens, T answer tokens, C labels, V vocabulary.
"""

import re

import torch

from pipelines import chunks, reading, windows
from pipelines.errors import UserError
from pipelines.question_answering import QuestionAnsweringPipeline
from pipelines.text2text import pad
from pipelines.text_classification import WindowedTextClassificationPipeline

AUTO = "AutoModelForSeq2SeqLM"


def knows(task: str | None, config) -> bool:
    """Whether a checkpoint of this configuration answers our task in words."""
    told = (getattr(config, "task_specific_params", None) or {}).get(task) or {}
    return "labels" in told or "context" in told


def make(task: str, model, **kwargs):
    """The pipeline for a task of ours that the model's configuration tells of."""
    told = model.config.task_specific_params[task]
    return (Labels if "labels" in told else Answers)(model=model, task=task, told=told, **kwargs)


class Labels(WindowedTextClassificationPipeline):
    """`WindowedTextClassificationPipeline` over the words of labels: same calls and outputs.

    A label's score is its probability as an answer among the labels, so that there is no other answer. (T5's authors
    let the model write and count what is no label as wrong.) Parameters as of its parent.
    """

    def __init__(self, model, told: dict, **kwargs):
        model.config.id2label = dict(enumerate(told["labels"]))
        model.config.label2id = {name: i for i, name in enumerate(told["labels"])}
        super().__init__(model=model, **kwargs)
        ids = [self._ids(word) for word in told["labels"].values()]
        self._words, self._real = pad(ids, 0)  # (C, T) both
        end = self.tokenizer.eos_token_id
        self._prefix = torch.tensor([i for i in self._ids(told["prefix"]) if i != end])  # (P,)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def _forward(self, features):
        weight, last = features.pop("weight"), features.pop("is_last")
        ids, mask = features["input_ids"], features["attention_mask"]  # (B, S)
        rows, count = len(ids), len(self._words)
        prefix = self._prefix.to(ids.device).expand(rows, -1)  # in front of the text, behind its padding if any
        if self.tokenizer.padding_side != "right":
            raise UserError(f"{self.task} needs a tokenizer that pads on the right.")
        ids = torch.cat([prefix, ids], dim=1)
        mask = torch.cat([torch.ones_like(prefix), mask], dim=1)
        states = self.model.get_encoder()(input_ids=ids, attention_mask=mask)[0]  # (B, S, H)
        words, real = self._words.to(ids.device), self._real.to(ids.device)
        start = words.new_full((count, 1), self.model.config.decoder_start_token_id)
        logits = self.model(
            encoder_outputs=(states.repeat_interleave(count, 0),),
            attention_mask=mask.repeat_interleave(count, 0),
            decoder_input_ids=torch.cat([start, words[:, :-1]], dim=1).repeat(rows, 1),
            use_cache=False,
        ).logits.float()  # (B*C, T, V)
        each = logits.log_softmax(-1).gather(2, words.repeat(rows, 1).unsqueeze(2)).squeeze(2)  # (B*C, T)
        scores = (each * real.repeat(rows, 1)).sum(1).view(rows, count)  # (B, C)
        return {"logits": scores, "weight": weight, "is_last": last}


class Answers(QuestionAnsweringPipeline):
    """`QuestionAnsweringPipeline` for a model that writes its answer: same calls and outputs.

    A context longer than the window is read in parts, split where `pipelines.windows` does; the likeliest answer of a
    part that its text has counts, upper or lower case, quoted as it stands there. Where no part's answer is found in
    its text the likeliest one is given, with -1 as `start` and `end`. The score is the probability of the answer's
    tokens. Of the parent's parameters those count: top_k (answers of so many parts), max_answer_len, max_seq_len,
    progress.
    """

    def __init__(self, model, told: dict, **kwargs):
        super().__init__(model=model, **kwargs)
        self._told = told

    @chunks.in_turn
    def preprocess(self, inputs, max_seq_len=None, progress=None, **_):
        question, context = reading.checked(inputs)
        window = max_seq_len or self._window
        asked = self._told["prefix"] + question.strip() + self._told["context"]

        def size(part: str) -> int:
            return len(self.tokenizer(asked + part, verbose=False)["input_ids"])

        if size("") > 0.75 * window:
            raise UserError(f"the question is too long: it leaves a window of {window} tokens no room for the context.")
        parts, start = windows.split(context, size, window), len(context) - len(context.lstrip())
        for number, (part, gap) in enumerate(parts, start=1):
            features = self.tokenizer(asked + part, return_tensors="pt", verbose=False)
            if progress:
                progress(number, len(parts))
            told = {"part": part, "start": start, "context": context, "is_last": number == len(parts)}
            yield {"input_ids": features["input_ids"], "attention_mask": features["attention_mask"]} | told
            start += len(part) + len(gap)

    def _forward(self, features, max_answer_len=15, **_):
        told = {name: features.pop(name) for name in ("part", "start", "context", "is_last")}
        written = self.model.generate(
            **features,
            max_new_tokens=2 * max_answer_len + 1,  # pieces of a small vocabulary are shorter than others' words
            num_beams=1,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        ids = written.sequences[:, 1:]  # (B, T)
        each = self.model.compute_transition_scores(written.sequences, written.scores, normalize_logits=True)  # (B, T)
        real = ids != self.tokenizer.pad_token_id
        return {"ids": ids, "scores": (each.masked_fill(~real, 0.0)).sum(1).exp(), **told}

    def postprocess(self, parts, top_k=1, **_):
        records = []
        for part in parts:
            text = self.tokenizer.decode(part["ids"][0], skip_special_tokens=True).strip()
            found = _found(text, part["part"]) if text else None
            start, end = (part["start"] + place for place in found.span()) if found else (-1, -1)
            answer = part["context"][start:end] if found else text
            records.append({"score": float(part["scores"]), "start": start, "end": end, "answer": answer})
        records.sort(key=lambda record: (record["start"] < 0, -record["score"]))
        return records[0] if top_k == 1 else records[:top_k]


def _found(text: str, part: str) -> re.Match | None:
    """Where an answer stands in a part: as words in its own case where it does ("US", not "us"), as words in another,
    at last within words."""
    text = re.escape(text)
    words = rf"(?<!\w){text}(?!\w)"
    return re.search(words, part) or re.search(words, part, re.IGNORECASE) or re.search(text, part, re.IGNORECASE)
