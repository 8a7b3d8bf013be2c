"""`pipelines.restore`: what transformers 5 removed is back while it lasts, and nothing is left of it afterwards."""

import subprocess
import sys

import evaluate
import pytest
import qa_models
import transformers
from pipe_tools import near
from transformers import pipelines as theirs
from transformers.pipelines import pipeline as taken_before

import pipelines
from pipelines import hub, removed

REGISTRY = theirs.PIPELINE_REGISTRY
CLASSES = [cls for group in removed.CLASSES.values() for cls in group]

IMPORTS = """
import importlib, pkgutil, transformers
from transformers import pipelines as theirs
import evaluate.evaluator

def state():
    registry = theirs.PIPELINE_REGISTRY
    return [list(d.items()) for d in (registry.supported_tasks, registry.task_aliases, theirs.REMOVED_TASKS)]

modules = (transformers, theirs, importlib.import_module("evaluate.evaluator.base"))
before, attributes = state(), [dict(vars(module)) for module in modules]
import pipelines
for package in ("pipelines", "tasks"):
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
assert state() == before and "check_task" not in vars(theirs.PIPELINE_REGISTRY)
for module, old in zip(modules, attributes):
    assert all(vars(module)[name] is value for name, value in old.items()), module
    lazy = [name for name in vars(module) if name not in old]  # transformers imports a name when it is asked for
    assert all(getattr(vars(module)[name], "__module__", "transformers").startswith("transformers") for name in lazy)
for cls in ("TranslationPipeline", "QuestionAnsweringPipeline", "TFPreTrainedModel"):
    assert not hasattr(transformers, cls), cls
try:
    transformers.pipeline("translation")
except KeyError:
    print("unchanged")
"""


def test_importing_all_of_duet_changes_nothing():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.stdout.strip() == "unchanged", done.stdout + done.stderr


@pytest.fixture
def restored():
    with pipelines.restore() as handle:
        yield handle


def snapshot() -> list:
    """All that `restore` may touch, in order."""
    base = sys.modules["evaluate.evaluator.base"]
    names = {*(cls.__name__ for cls in CLASSES), *removed.CLASSES, "TFPreTrainedModel", "duet"}
    named = [{name: vars(module).get(name) for name in names} for module in (transformers, theirs)]
    mine = (
        [cls.__module__ for cls in CLASSES],
        [name for name in sys.modules if name.endswith((".duet", "2text_generation"))],
    )
    registry = list(REGISTRY.supported_tasks.items()), list(theirs.REMOVED_TASKS.items()), dict(vars(REGISTRY))
    return [named, mine, registry, theirs.pipeline, transformers.pipeline, base.pipeline]


def test_undo_leaves_all_as_it_was():
    before = snapshot()
    with pipelines.restore():
        during = snapshot()
        assert all(now != old for now, old in zip(during, before, strict=True))
        with pipelines.restore() as inner:
            inner.undo()
            inner.undo()  # of no effect: the outer one still holds
            assert snapshot() == during
        assert snapshot() == during
    assert snapshot() == before

    first, second = pipelines.restore(), pipelines.restore()
    first.undo()
    assert transformers.pipeline is not before[-1] and "translation" in REGISTRY.supported_tasks
    second.undo()
    assert snapshot() == before
    with pytest.raises(ZeroDivisionError), pipelines.restore():
        _ = 1 / 0
    assert snapshot() == before
    with pytest.raises(KeyError, match="removed"):
        transformers.pipeline("translation")


def test_what_others_change_meanwhile_stays(monkeypatch):
    monkeypatch.setitem(REGISTRY.supported_tasks, "summarization", {"impl": "theirs"})  # registered by somebody else
    before = list(REGISTRY.supported_tasks)
    with pipelines.restore():
        assert REGISTRY.supported_tasks["summarization"]["impl"] is removed.SummarizationPipeline
        monkeypatch.setitem(REGISTRY.supported_tasks, "astrology", {"impl": "new"})
    assert REGISTRY.supported_tasks["summarization"] == {"impl": "theirs"}
    assert list(REGISTRY.supported_tasks) == [*before, "astrology"]


def test_evaluate_imported_meanwhile_keeps_nothing_of_ours(monkeypatch):
    base = sys.modules["evaluate.evaluator.base"]
    ordinary = theirs.pipeline
    monkeypatch.delitem(sys.modules, base.__name__)
    with pipelines.restore():
        monkeypatch.setitem(sys.modules, base.__name__, base)
        monkeypatch.setattr(base, "pipeline", transformers.pipeline)  # as its own import does
        assert base.pipeline is not ordinary
    assert base.pipeline is ordinary


@pytest.mark.parametrize(
    "task, key",
    [
        ("translation_en_to_fr", "translation_text"),
        ("translation", "translation_text"),
        ("summarization", "summary_text"),
        ("text2text-generation", "generated_text"),
    ],
)
def test_transformers_answers_the_removed_tasks(restored, tiny_t5, english, task, key):
    expected = pipelines.pipeline(task, model=tiny_t5, device="cpu", max_new_tokens=5)(english[:3])
    for function in (transformers.pipeline, taken_before):
        pipe = function(task, model=str(tiny_t5), device="cpu", max_new_tokens=5)
        assert pipe(english[:3]) == expected and list(expected[0]) == [key]
        assert type(pipe) is removed.TEXT_TO_TEXT["translation" if "translation" in task else task]
        assert bool(pipe.prefix) == task.startswith("translation")


def test_question_answering_and_what_stays_unknown(restored, word_tokenizer, tiny_t5, tmp_path):
    made = pipelines.pipeline("question-answering", qa_models.reader("bert", word_tokenizer), tokenizer=word_tokenizer)
    made.save_pretrained(tmp_path)
    asked = {"question": "Who is happy?", "context": "I am happy."}
    for function in (transformers.pipeline, taken_before):
        assert near(function("question-answering", model=str(tmp_path), device=-1)(**asked), made(**asked))
    for wrong in ("translation_to_fr", "translatoin", "vqa"):
        with pytest.raises(KeyError):
            transformers.pipeline(wrong, model=str(tiny_t5))


def test_the_classes_are_back(restored, tiny_t5, english):
    from transformers import SummarizationPipeline, Text2TextGenerationPipeline, TranslationPipeline
    from transformers.pipelines.question_answering import QuestionAnsweringPipeline

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_t5)
    for cls, key in (
        (TranslationPipeline, "translation_text"),
        (SummarizationPipeline, "summary_text"),
        (Text2TextGenerationPipeline, "generated_text"),
    ):
        pipe = cls(model=model, tokenizer=tokenizer, device="cpu", max_new_tokens=5)
        assert list(pipe(english[0])[0]) == [key]
        assert isinstance(pipelines.pipeline(pipe.task, model=tiny_t5, device="cpu"), cls)
    assert theirs.QuestionAnsweringPipeline is QuestionAnsweringPipeline is removed.QuestionAnsweringPipeline


def test_our_models_by_name_and_by_folder(restored, tiny_bert, tiny_adapters, english):
    """An LSTM and adapters, which transformers can't load, also for tasks that it has; the rest it loads itself."""
    text = "Ada Lovelace met Charles Babbage in London."
    made = pipelines.pipeline("ner", model="lstm", device="cpu")
    for model in (hub.CHECKPOINTS / "ner-lstm", "ner-lstm", "lstm"):
        pipe = transformers.pipeline("ner", model=model, device=-1)
        assert near(pipe(text, aggregation_strategy="simple"), made(text)), model
        assert "entity" in pipe(text)[0]  # transformers' default
    adapted = transformers.pipeline("text-classification", model=str(tiny_adapters), device=-1)
    assert near(adapted(english), pipelines.pipeline("text-classification", model=tiny_adapters, device=-1)(english))
    again = transformers.pipeline("ner", model=made.model, tokenizer=made.tokenizer, device="cpu")
    assert near(again(text), made(text, aggregation_strategy="none"))
    assert transformers.pipeline("translation", device="cpu")("I am happy") == pipelines.pipeline("translation")(
        "I am happy"
    )
    plain = transformers.pipeline("text-classification", model=str(tiny_bert), device="cpu")
    assert type(plain) is transformers.TextClassificationPipeline


# --- evaluate ---


def test_evaluators_exist_while_restored():
    for task in ("translation", "summarization", "text2text-generation", "question-answering"):
        with pytest.raises(KeyError):
            evaluate.evaluator(task)
        with pipelines.restore():
            assert evaluate.evaluator(task).task == task
