"""The classes that transformers 5 removed, by the names they had there: for `isinstance`, and to be made directly.

The tasks differ in their words alone, so two of them are no more than names.
"""

from pipelines.mapreduce import SummarizationPipeline
from pipelines.question_answering import QuestionAnsweringPipeline
from pipelines.text2text import Text2TextPipeline


class Text2TextGenerationPipeline(Text2TextPipeline):
    """`Text2TextPipeline` for text2text-generation: {"generated_text"}."""


class TranslationPipeline(Text2TextPipeline):
    """`Text2TextPipeline` for translation and translation_xx_to_yy: {"translation_text"}."""

    TASK = "translation"


TEXT_TO_TEXT = {
    "translation": TranslationPipeline,
    "summarization": SummarizationPipeline,
    "text2text-generation": Text2TextGenerationPipeline,
}
# The module of transformers.pipelines that each stood in.
CLASSES = {
    "text2text_generation": (Text2TextGenerationPipeline, SummarizationPipeline, TranslationPipeline),
    "question_answering": (QuestionAnsweringPipeline,),
}
