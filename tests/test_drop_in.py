"""What apps for transformers 4 hand to `pipeline`: arguments, other tasks, slips; and what the log tells them."""

import logging

import pytest
import torch
import transformers
from pipe_tools import near

from pipelines import UserError, pipeline, removed
from pipelines.text2text import Text2TextPipeline

QUIET = {"framework": "pt", "use_fast": False, "trust_remote_code": False, "token": None, "use_auth_token": None}
QUIET |= {"feature_extractor": None, "image_processor": None, "processor": None, "num_workers": 0, "batch_size": 2}


class Loud(Text2TextPipeline):
    def postprocess(self, *args, **kwargs):
        return [
            {name: text.upper() for name, text in record.items()} for record in super().postprocess(*args, **kwargs)
        ]


@pytest.mark.parametrize(
    "arguments, dtype",
    [
        (QUIET, torch.float32),
        ({"model_kwargs": {"low_cpu_mem_usage": True, "attn_implementation": "eager"}}, torch.float32),
        ({"model_kwargs": {"cache_dir": "."}, "device_map": "auto"}, torch.float32),
        ({"device_map": {"": "cpu"}}, torch.float32),
        ({"model_kwargs": {"device_map": "cpu", "torch_dtype": "float64"}}, torch.float64),
        ({"torch_dtype": torch.float64, "device": -1}, torch.float64),
        ({"dtype": "float64", "device": "cpu"}, torch.float64),
        ({"torch_dtype": "auto"}, torch.float32),
        ({"torch_dtype": "torch.bfloat16"}, torch.bfloat16),
    ],
)
@pytest.mark.parametrize("family", ["tiny_t5", "tiny_lstm_seq2seq", "tiny_bert", "tiny_lstm_classifier"])
def test_arguments_of_version_4(request, family, arguments, dtype, english):
    folder, options = request.getfixturevalue(family), {}
    task = "sentiment-analysis" if family in ("tiny_bert", "tiny_lstm_classifier") else "translation"
    options = {"max_new_tokens": 4} if task == "translation" else {}
    pipe = pipeline(task, folder, **arguments, **options)
    assert pipe.model.dtype == dtype and pipe.device.type == "cpu"
    outputs = pipe(english[:3])
    if dtype != torch.bfloat16:
        assert near(outputs, pipeline(task, folder, device="cpu", **options)(english[:3]))


def test_config_and_pipeline_class(tiny_t5, tiny_bert, english, tmp_path):
    config = transformers.AutoConfig.from_pretrained(tiny_bert, id2label={0: "bad", 1: "good"})
    config.save_pretrained(tmp_path)
    plain = pipeline("sentiment-analysis", model=tiny_bert)(english)
    for given in (config, str(tmp_path)):
        outputs = pipeline("sentiment-analysis", model=tiny_bert, config=given)(english)
        assert [o["label"] for o in outputs] == [{"negative": "bad", "positive": "good"}[o["label"]] for o in plain]
    quiet = pipeline("translation", model=tiny_t5, max_new_tokens=4)
    loud = pipeline("translation", model=tiny_t5, max_new_tokens=4, pipeline_class=Loud)
    assert type(loud) is Loud
    assert loud(english[3])[0]["translation_text"] == quiet(english[3])[0]["translation_text"].upper() != ""


def test_adapters_take_a_device_map_of_one_device_and_every_dtype(tiny_adapters, english):
    def made(**arguments):
        return pipeline("sentiment-analysis", model=tiny_adapters, **arguments)

    expected = made(device="cpu")(english)
    assert near(made(device_map="auto")(english), expected) and near(made(dtype="auto")(english), expected)
    half = made(device_map={"": "cpu"}, torch_dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16 and half(english[0])
    with pytest.raises(UserError, match="one device, and device_map names 2"):
        made(device_map={"bert": 0, "classifier": "cpu"})


def test_a_model_that_accelerate_has_spread_stays_where_it_is(tiny_t5):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5)
    model.hf_device_map = {"encoder": "cpu", "decoder": "cpu"}
    pipe = pipeline("translation", model=model, tokenizer=tiny_t5, max_new_tokens=2)
    assert pipe.device == torch.device("cpu") and pipe("No.")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"framework": "tf"}, "'tf' is gone"),
        ({"device": 0, "device_map": "auto"}, "give one of them"),
        ({"dtype": "flot16"}, "Did you mean 'float16'"),
        ({"model_kwargs": {"torch_dtype": "int8"}}, "unknown dtype 'int8'"),
        ({"task": None}, "the task must be a name"),
    ],
)
def test_what_can_not_be_followed_gets_one_line(tiny_t5, arguments, words):
    with pytest.raises(UserError, match=words) as error:
        pipeline(**{"task": "translation", "model": tiny_t5} | arguments)
    assert "\n" not in str(error.value)


def test_foreign_code_is_not_run_and_the_log_says_so(tiny_t5, caplog):
    assert pipeline("translation", model=tiny_t5, trust_remote_code=True)
    assert "no code of a checkpoint is ever run" in caplog.text


def test_no_model_means_the_default(bundled):
    assert near(pipeline("translation", None)("No."), pipeline("translation", model="transformer")("No."))


def test_the_classes_can_be_made_directly(tiny_t5, english):
    parts = {"model": transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5), "device": "cpu"}
    parts["tokenizer"] = transformers.AutoTokenizer.from_pretrained(tiny_t5)
    for cls, key in (
        (removed.TranslationPipeline, "translation_text"),
        (removed.SummarizationPipeline, "summary_text"),
        (removed.Text2TextGenerationPipeline, "generated_text"),
    ):
        pipe = cls(**parts, max_new_tokens=4)
        assert list(pipe(english[0])[0]) == [key] and type(pipeline(pipe.task, **parts)) is cls


def test_tasks_that_transformers_kept_go_to_transformers(tiny_bert, english):
    pipe = pipeline("feature-extraction", str(tiny_bert), device=-1, framework=None)
    assert type(pipe) is transformers.FeatureExtractionPipeline and len(pipe(english[0])[0]) > 3
    with pytest.raises(UserError, match="unknown task 'feature-extractoin'"):
        pipeline("feature-extractoin")


@pytest.mark.parametrize(
    "task, near",
    [
        ("Translation", "translation"),
        ("summarisation", "summarization"),
        ("question_answering", "question-answering"),
        ("text2text", "text2text-generation"),
        ("translation_en_fr", "translation_en_to_fr"),
        ("sentiment analysis", "sentiment-analysis"),
    ],
)
def test_a_wrong_task_name_gives_the_nearest(task, near):
    with pytest.raises(UserError, match=f"unknown task '{task}'.*Did you mean '{near}'"):
        pipeline(task)


# --- what the log tells ---


def test_tokens_that_truncation_drops_are_counted_and_told_once(pipe, english, caplog):
    short, long = english[0], " ".join(english)
    prefix = getattr(pipe, "prefix", None) or ""
    options = {"max_new_tokens": 1} if prefix else {}
    size = len(pipe.tokenizer(prefix + long, verbose=False)["input_ids"])
    with caplog.at_level(logging.WARNING, logger="pipelines.chunks"):
        pipe([short, long], **options)  # split, not cut
        pipe(short, truncation=True, **options)
        assert not caplog.records and pipe.dropped_tokens == 0
        pipe([short, long, long], truncation=True, **options)
        pipe(long, truncation="only_first", **options)
    (record,) = caplog.records
    assert f"{size - 64} of {size} tokens are not read" in record.message
    assert pipe.dropped_tokens == 3 * (size - 64)


def test_of_a_pair_too(classifier, english, caplog):
    pair = {"text": english[0], "text_pair": " ".join(english)}
    classifier(pair, truncation=True)
    assert classifier.dropped_tokens == len(classifier.tokenizer(**pair, verbose=False)["input_ids"]) - 64 > 0


def test_the_limit_on_an_answer_comes_from_model_and_input(tiny_t5, english):
    """Not the 20 tokens that `generate` stops at, where neither the caller nor the checkpoint says."""
    pipe = pipeline("translation_en_to_de", model=tiny_t5, device="cpu", num_beams=1, suppress_tokens=[1])  # no end
    least, ratio = pipe._length
    assert least > 20
    pipe._length = (25, ratio)
    for text, over in ((english[1], False), (english[3], True)):
        limit = int(ratio * len(pipe.tokenizer(text)["input_ids"]))
        assert (limit > 25) == over
        (record,) = pipe(text, return_tensors=True)
        assert len(record["translation_token_ids"]) == 1 + max(25, limit)
