"""Puts the tasks that transformers 5 removed back into `transformers.pipeline`: `pipelines.restore`."""

import transformers
from transformers import AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM
from transformers import pipelines as theirs

from pipelines import hub
from pipelines.question_answering import QuestionAnsweringPipeline
from pipelines.text2text import pipeline_class

NAMES = ("translation", "summarization", "text2text-generation", "question-answering")


def restore() -> None:
    """See `pipelines.restore`."""
    registry = theirs.PIPELINE_REGISTRY
    for name in NAMES:
        theirs.REMOVED_TASKS.pop(name, None)
        asks = name == "question-answering"
        entry = {
            "impl": QuestionAnsweringPipeline if asks else pipeline_class(name),
            "pt": (AutoModelForQuestionAnswering if asks else AutoModelForSeq2SeqLM,),
            "type": "text",
        }
        if hub.choices(name):
            entry["default"] = {"model": (hub.resolve(name)[0], "main")}
        registry.supported_tasks[name] = entry
    if not hasattr(transformers, "TFPreTrainedModel"):
        # `evaluate.evaluator` still asks whether a pipeline is one: nothing is
        transformers.TFPreTrainedModel = type("TFPreTrainedModel", (), {})
    check = type(registry).check_task
    # translation_en_to_fr stands for translation; the pipeline itself still gets the full name
    registry.check_task = lambda task: check(registry, "translation" if hub.is_pair(task) else task)
