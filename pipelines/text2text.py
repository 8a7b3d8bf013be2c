"""Text to text: translation, summarization, text2text-generation. T5, Marian, BART …, and our LSTM encoder-decoder.

transformers 5 removed these pipelines; `Text2TextPipeline` gives them back, with the calls and outputs of version 4.
"""

import logging
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pipelines import calls, chunks, languages, windows
from pipelines.errors import UserError
from pipelines.lengths import RowEnds, RowLimits, answer_lengths, forced_end

AUTO = "AutoModelForSeq2SeqLM"
# Hub task → what its output keys start with; and how long an answer may get where neither the caller nor the
# checkpoint says: 256 tokens as with transformers 4, or so many times the source's where that is more. (A checkpoint
# that stammers on odd texts can set both lower, as "answer_limit" among its `task_specific_params` for the task.)
_TASKS = {
    "translation": ("translation", 256, 2.0),
    "summarization": ("summary", 256, 0.0),
    "text2text-generation": ("generated", 256, 1.0),
}
# transformers 4's own, over what a checkpoint's generation_config.json says, below its task_specific_params.
DEFAULTS = {"num_beams": 4}
COPIED = 12  # tokens of a source that the first steps of a training may learn to copy
logger = logging.getLogger(__name__)


def make(task: str, **kwargs) -> "Text2TextPipeline":
    """The pipeline for a Hub task of this shape."""
    return pipeline_class(task)(task=task, **kwargs)


def pipeline_class(task: str) -> type["Text2TextPipeline"]:
    """The class that answers a Hub task: of a text in parts summaries are summarised again, other answers joined."""
    from pipelines import removed

    return removed.TEXT_TO_TEXT["translation" if task.startswith("translation") else task]


def answer(output) -> str:
    """The text in one output of the pipeline, whatever the task calls it (`translation_text`, `summary_text`, …)."""
    record = output[0] if isinstance(output, list) else output
    return next(value for key, value in record.items() if key.endswith("_text"))


class Text2TextPipeline(chunks.Parted):
    """Answers texts with texts: {"translation_text"}, {"summary_text"} or {"generated_text"}, by its `task`.

    A text → [{…}]; a list → [{…}, …] (a list of lists where `num_return_sequences` > 1); a generator, an iterator or a
    torch data set → an iterator of [{…}]. A blank text has a blank answer.

    The checkpoint's `task_specific_params` for the task (a prefix, settings of `generate`) hold where the caller sets
    nothing else; where neither says how many beams, there are four. A text longer than the window is split, at sentence
    ends where possible, and the answers are joined; it is cut only where `truncation` asks for it. Batches mix the
    parts of several texts. (Summaries of parts are not joined but summarised again: `pipelines.mapreduce`.)

    Parameters, for all calls or per call, besides those of `generate`:
        truncation: as tokenizers take it; True cuts at the window instead of splitting.
        window: the most tokens to read at once, prefix and special tokens included; default: the checkpoint's.
        split_sentences: answer sentence by sentence, for models trained on single sentences; default: what the
            checkpoint's `task_specific_params` say, else False. Line breaks stay.
        src_lang, tgt_lang: languages, for the multilingual models whose tokenizers take them.
        return_text, return_tensors: give `…_text` (default), `…_token_ids`, or both.
        clean_up_tokenization_spaces: as in `tokenizer.decode`; default False.
        stop_sequence: generation ends at the first token of this text.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True
    _pipeline_calls_generate = True
    _default_generation_config = None  # see DEFAULTS
    TASK = "text2text-generation"  # where none is named
    together = True
    dropped_tokens = 0  # by `truncation`, since the pipeline was made

    def __init__(self, model, task: str | None = None, **kwargs):
        task = task or self.TASK
        settings = getattr(model.config, "task_specific_params", None) or {}
        if task == "translation" and task not in settings:
            pairs = [name for name in settings if name.startswith("translation_")]
            task = pairs[0] if pairs else task  # as transformers 4 chose
            if len(pairs) > 1:
                logger.warning(f"'translation' can be {', '.join(pairs)} with this model: taking {task!r}.")
        own = dict(settings.get(task) or {})
        prefix = own.get("prefix", getattr(model.config, "prefix", None))
        self._by_sentence = own.get("split_sentences", False)
        known = vars(GenerationConfig())
        self._settings = {name: value for name, value in own.items() if name in known}
        self._forced = forced_end(model)
        self.return_name, *self._length = _TASKS["translation" if task.startswith("translation") else task]
        self._length = own.get("answer_limit", self._length)
        super().__init__(model=model, task=task, **kwargs)
        languages.normalize(self.tokenizer)
        self.prefix = prefix or ""
        self._window = chunks.window(self.tokenizer, self.model)
        self._told = False  # of answers cut by a limit
        self._stated = calls.Stated()

    def _sanitize_parameters(
        self,
        truncation=None,
        window=None,
        split_sentences=None,
        src_lang=None,
        tgt_lang=None,
        return_text=None,
        return_tensors=None,
        clean_up_tokenization_spaces=None,
        stop_sequence=None,
        **generate,
    ):
        reading = {"truncation": truncation, "window": window, "split_sentences": split_sentences}
        writing = {"return_text": return_text, "return_tensors": return_tensors}
        if stop_sequence is not None:
            generate["eos_token_id"] = self.tokenizer.encode(stop_sequence, add_special_tokens=False)[0]
        return (
            chunks.given(reading | {"src_lang": src_lang, "tgt_lang": tgt_lang}),
            generate,
            chunks.given(writing | {"clean_up_tokenization_spaces": clean_up_tokenization_spaces}),
        )

    def __call__(self, inputs, *more, **kwargs):
        if more:
            raise UserError(f"{self.task} takes one text or a list of them, not {1 + len(more)} arguments.")
        inputs = chunks.normal(inputs)
        outputs = super().__call__(inputs, **kwargs)
        single = isinstance(inputs, list) and all(len(output) == 1 for output in outputs)
        return [output[0] for output in outputs] if single else outputs

    # --- a text → parts ---

    def preprocess(self, text, **reading):
        yield from next(self.preprocess_all([text], **reading))

    @chunks.in_turn
    def preprocess_all(
        self, texts, truncation=None, window=None, split_sentences=None, src_lang=None, tgt_lang=None
    ) -> Iterator[list[dict]]:
        by_sentence = self._by_sentence if split_sentences is None else split_sentences
        cut, room = chunks.cuts(truncation), window or self._room()
        encoded = partial(
            self._encoded,
            truncation=truncation if cut else False,
            window=window or self._window,
            src_lang=src_lang,
            tgt_lang=tgt_lang,
        )

        def units(text: str) -> list[tuple[str, str]]:
            return windows.sentences(text) if by_sentence and not cut and text.strip() else [(text, "")]

        whole = [units(text) if isinstance(text, str) else [] for text in texts]
        ready = encoded([unit for own in whole for unit, _ in own])
        for text, own in zip(texts, whole, strict=True):
            if not isinstance(text, str):
                raise UserError(f"{self.task} takes texts, not {type(text).__name__}: {str(text)[:60]!r}")
            parts = []
            for unit, gap in own:
                features = next(ready)
                if cut or not room or features["input_ids"].shape[1] <= room:
                    parts.append(features | {"gap": gap, "blank": not unit.strip()})
                    continue
                pieces = self._split(unit, room)
                parts += [
                    features | {"gap": after, "blank": not piece.strip()}
                    for features, (piece, after) in zip(encoded([piece for piece, _ in pieces]), pieces, strict=True)
                ]
                parts[-1]["gap"] = gap
            yield [part | {"is_last": i == len(parts) - 1} for i, part in enumerate(parts)]

    def _split(self, text: str, window: int) -> list[tuple[str, str]]:
        def length(part: str) -> int:
            return len(self.tokenizer(self.prefix + part, verbose=False)["input_ids"])

        if length("") >= window:
            raise UserError(f"a window of {window} tokens has no room for a text: the prefix alone has {length('')}.")
        return windows.split(text, length, window)

    def _encoded(self, parts: list[str], truncation, window: int | None, src_lang, tgt_lang) -> Iterator[dict]:
        """input_ids and attention_mask (1, S); from some multilingual tokenizers also forced_bos_token_id, an int."""
        if not parts:
            return
        cut = {"truncation": truncation, "max_length": window if truncation else None}
        own: dict = {}
        if self.return_name == "translation" and languages.takes_languages(self.tokenizer):
            pair = languages.checked(self.tokenizer, self.task, src_lang, tgt_lang)
            features = self.tokenizer._build_translation_inputs(parts, return_tensors=None, **pair, **cut)
            own = {"forced_bos_token_id": features["forced_bos_token_id"]}
        else:
            features = self.tokenizer([self.prefix + part for part in parts], verbose=False, **cut)
        for i, part in enumerate(parts):
            # what more some tokenizers make, such as token_type_ids, `generate` refuses
            tensors = {name: torch.tensor([features[name][i]]) for name in ("input_ids", "attention_mask")}
            size = tensors["input_ids"].shape[1]
            if truncation and size >= (window or 0):
                whole = len(self.tokenizer(self.prefix + part, verbose=False)["input_ids"])
                chunks.dropped(self, whole - size, whole, "truncation cuts a text, which would else be read in parts")
            yield chunks.never_empty(tensors, self.tokenizer) | own

    def _room(self) -> int | None:
        """The longest part: the window, and for a translation no more than the checkpoint's limit on answers allows."""
        longest = self._settings.get("max_length") or self.model.generation_config.max_length
        if self.return_name == "translation" and longest and self._window:
            return min(self._window, int(0.9 * longest))  # where transformers 4 began to warn
        return self._window

    # --- parts → answers ---

    def _forward(self, features, **generate):
        gap, blank, last = (features.pop(name) for name in ("gap", "blank", "is_last"))
        if isinstance(features.get("forced_bos_token_id"), list):  # from a batch: one a part, all the same
            features["forced_bos_token_id"] = features["forced_bos_token_id"][0]
        rows = features["input_ids"].shape[0]
        options, limits = self._generation(generate, features["attention_mask"])
        output = self.model.generate(**features, **options)
        ids = getattr(output, "sequences", output)  # (rows * n, T)
        lengths, whole = answer_lengths(ids, self._get_set_generation_params(options).get("eos_token_id"), limits)
        if not whole.all():
            self._tell_of_cut(generate)
        return {
            "output_ids": ids.view(rows, -1, ids.shape[-1]),
            "lengths": lengths.view(rows, -1),
            "gap": gap,
            "blank": blank,
            "is_last": last,
        }

    def draws(self, forward):
        own = self._asked(forward)
        return own.get("streamer") is not None or bool(self._get_set_generation_params(own).get("do_sample"))

    def _asked(self, call: dict) -> dict:
        """What is asked of `generate`: by the call, over the pipeline, over the checkpoint for the task, over ours."""
        own: dict = {}
        for layer in (DEFAULTS, self._settings, self._generate_kwargs, call):
            own = {**layer} if "generation_config" in layer else {**own, **layer}
            for length, other in (("max_new_tokens", "max_length"), ("max_length", "max_new_tokens")):
                if length in layer and other not in layer:
                    own[other] = None  # one limit replaces the other of a layer below
        return own

    def _generation(self, call: dict, mask: torch.Tensor) -> tuple[dict, torch.Tensor | None]:
        """Arguments of `generate`.

        Where nobody limits the answers, mask (B, S), i.e. the length of each source, does: limits (B,).
        """
        own = self._asked(call)
        if own.get("streamer") is not None and "num_beams" not in {**self._generate_kwargs, **call}:
            own["num_beams"] = 1  # a stream can't take words back
        chosen = self._get_set_generation_params(own)
        forced = {name: value for name, value in self._forced.items() if chosen.get(name) is None}
        if chosen.get("max_length") is not None or chosen.get("max_new_tokens") is not None:
            return self._prepare_generate_kwargs(own, **forced), None
        least, ratio = self._length
        limits = (ratio * mask.sum(1)).long().clamp(min=least)  # (B,)
        positions = getattr(self.model.config, "max_position_embeddings", None) or 0
        if positions > 0:
            limits = limits.clamp(max=positions - 2)
        longest = int(limits.max())
        if longest == int(limits.min()):
            return self._prepare_generate_kwargs(own, **forced, max_new_tokens=longest), None
        end = (chosen | forced).get("forced_eos_token_id")
        own["stopping_criteria"] = StoppingCriteriaList([*own.get("stopping_criteria", ()), RowLimits(limits)])
        if end is not None:
            own["logits_processor"] = LogitsProcessorList([*own.get("logits_processor", ()), RowEnds(limits, end)])
        # one more than any row gets, so that nothing `generate` does at its own limit depends on the rest of the batch
        return self._prepare_generate_kwargs(own, **forced, max_new_tokens=longest + 1), limits

    def _get_set_generation_params(self, generate_kwargs):
        return self._stated.over(self.model.generation_config, generate_kwargs)

    def _tell_of_cut(self, call: dict) -> None:
        """A warning, once, that an answer met a limit which the caller didn't set."""
        asked = {"max_length", "max_new_tokens", "max_time", "generation_config", "stopping_criteria", "stop_strings"}
        if not self._told and not asked & {**self._generate_kwargs, **call}.keys():
            self._told = True
            logger.warning("An answer met the limit on its length and may stop short: see max_new_tokens.")

    def postprocess(self, parts, return_text=None, return_tensors=False, clean_up_tokenization_spaces=False):
        gaps = [part["gap"] for part in parts]
        records = []
        for i in range(parts[0]["output_ids"].shape[1]):
            answers = [part["output_ids"][0, i, : 0 if part["blank"] else int(part["lengths"][0, i])] for part in parts]
            record = {}
            if return_tensors:
                padded = len(parts) == 1 and not parts[0]["blank"]  # to one length, so that they can be stacked
                ids = parts[0]["output_ids"][0, i, : parts[0]["lengths"].max()] if padded else torch.cat(answers)
                record[f"{self.return_name}_token_ids"] = ids
            if return_text or not return_tensors:
                texts = [
                    self.tokenizer.decode(
                        ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up_tokenization_spaces
                    )
                    for ids in answers
                ]
                record[f"{self.return_name}_text"] = windows.join(texts, gaps)
            records.append(record)
        return records


# --- for training ---


def features(tokenizer, inputs: list[str], targets: list[list[str]], *, prefix="", labels=(), max_length=256) -> dict:
    """Token ids of sources and of each row's first reference: {"input_ids": [[…]], "labels": [[…]]}, ragged.

    Pairs with a side of more than `max_length` tokens are left out: half a sentence is no translation.
    """
    source = tokenizer([prefix + text for text in inputs])["input_ids"]
    target = tokenizer(text_target=[references[0] for references in targets])["input_ids"]
    kept = [i for i in range(len(source)) if max(len(source[i]), len(target[i])) <= max_length]
    return {"input_ids": [source[i] for i in kept], "labels": [target[i] for i in kept]}


def copies(rows: list[dict], skip: int) -> list[dict]:
    """The rows with the beginning of the source as target, `skip` tokens of instruction left out.

    New models that are to copy most of what they write (summaries) stay at the frequencies of the target's words for
    thousands of steps; some hundred steps of plain copying wake the attention to the source, and what follows builds
    on it as long as it isn't forgotten: so the share of copies falls slowly. (Zhu et al. 2021, "Leveraging Lead Bias
    for Zero-shot Abstractive News Summarization", train on leads too.)
    """
    return [row | {"labels": row["input_ids"][skip : skip + COPIED] + row["input_ids"][-1:]} for row in rows]


def collate(rows: list[dict], config) -> dict[str, torch.Tensor]:
    """A padded batch: input_ids, attention_mask (B, S); decoder_input_ids, labels (B, T), labels -100 where padded."""
    ids, mask = pad([row["input_ids"] for row in rows], config.pad_token_id)
    labels, _ = pad([row["labels"] for row in rows], -100)
    shifted = [[config.decoder_start_token_id, *row["labels"][:-1]] for row in rows]
    decoder_ids, _ = pad(shifted, config.pad_token_id)
    return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": decoder_ids, "labels": labels}


def loss(model, batch: dict, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy summed over the target tokens of a batch (a scalar)."""
    labels = batch.pop("labels")  # (B, T); given to the model, it would compute a loss of its own as well
    logits = model(**batch, use_cache=False).logits.float()  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=label_smoothing)


def count(row: dict) -> int:
    """How many terms `loss` sums for a row."""
    return len(row["labels"])


def length(row: dict) -> int:
    """Tokens of a row, both sides: what batches are grouped and budgeted by."""
    return len(row["input_ids"]) + len(row["labels"])


def pad(sequences: list[list[int]], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and their mask, both (B, longest) int64."""
    width = max(map(len, sequences))
    ids = torch.tensor([row + [value] * (width - len(row)) for row in sequences])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in sequences])
    return ids, mask
