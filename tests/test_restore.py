"""`pipelines.restore`: in a process of its own, since it changes transformers for all that runs beside it."""

import subprocess
import sys

CODE = """
import datasets, transformers
import pipelines
for task in ("translation_en_to_fr", "summarization", "question-answering"):
    try:
        transformers.pipeline(task, model=FOLDER)
        raise SystemExit("transformers has it again: is restore() still needed?")
    except KeyError:
        pass
pipelines.restore()
pipelines.restore()
for task, key in (
    ("translation_en_to_fr", "translation_text"),
    ("summarization", "summary_text"),
):
    pipe = transformers.pipeline(task, model=FOLDER, device="cpu", max_new_tokens=5)
    assert isinstance(pipe, pipelines.kind("text2text").Text2TextPipeline), type(pipe)
    assert list(pipe("I am happy.")[0]) == [key], task
    assert bool(pipe.prefix) == task.startswith("translation"), pipe.prefix
try:
    transformers.pipeline("translation_to_fr", model=FOLDER)
    raise SystemExit("takes a task that does not exist")
except KeyError:
    pass

asked = {"question": "Who is happy?", "context": "I am happy."}
pipe = transformers.pipeline("question-answering", model=ENCODER, device="cpu")  # with a head at random
assert isinstance(pipe, pipelines.kind("question_answering").QuestionAnsweringPipeline), type(pipe)
answer = pipe(**asked)
assert asked["context"][answer["start"] : answer["end"]] == answer["answer"], answer

from evaluate import evaluator
from tasks.metrics import Bleu

data = datasets.Dataset.from_dict({"en": ["I am happy.", "No."], "fr": [["Je suis heureux."], ["Non."]]})
scores = evaluator("translation").compute(
    model_or_pipeline=transformers.pipeline("translation", model=FOLDER, device="cpu", max_new_tokens=5),
    data=data, metric=Bleu(), input_column="en", label_column="fr",
)
assert 0 <= scores["bleu"] <= 100, scores
print("restored")
"""


def test_restore(tiny_t5, tiny_bert):
    folders = f"FOLDER, ENCODER = {str(tiny_t5)!r}, {str(tiny_bert)!r}\n"
    done = subprocess.run([sys.executable, "-c", folders + CODE], capture_output=True, text=True)
    assert done.stdout.strip().endswith("restored"), done.stdout + done.stderr
