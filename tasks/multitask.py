"""What one T5 for everything is trained on: rows of the other tasks, each behind T5's words for it.

Not a task that is asked for by name, so not among `TASKS`: the checkpoint answers the others,
`python -m tasks.sentiment "What a film!" --model t5-multitask`. A source is a member's name, which stands for its own
first data set, or `member@data set`; `:N` takes N rows of it. Naming as many rows of each as it has, but no more than
a cap, makes the mixture examples-proportional with that cap (Raffel et al. 2020, section 3.5.2).
"""

from pipelines.errors import UserError, unknown
from tasks import Task, classify, data, floors, qa, sentiment, similarity, summarize, translate

VALIDATION = 100  # rows of each source, so that no member outweighs the others where the weights are chosen

COLA = Task(
    name="cola",
    title="tell whether a sentence is acceptable English",
    kind="text_classification",
    hub_task="text-classification",
    transformer="t5",
    sources=("nyu-mll/glue/cola",),
    licences={"nyu-mll/glue/cola": "none stated (Warstadt et al. 2019; research)"},
    columns={"input": ("sentence",), "target": ("label",)},
    labels=("unacceptable", "acceptable"),
    metrics=("accuracy",),
    floor="TF-IDF + logistic regression",
    make_floor=floors.bag_of_words,
    example="They drank the pub dry.",
)
# The members, and what a T5 is told for each.
MEMBERS = {
    "translate": (translate.TASK, translate.TASK.prefix),
    "summarize": (summarize.TASK, summarize.TASK.prefix),
    "sentiment": (sentiment.TASK, "sst2 sentence: "),
    "classify": (classify.TASK, "ag_news sentence: "),
    "qa": (qa.TASK, "question: "),
    "similarity": (similarity.TASK, similarity.TASK.prefix),
    "cola": (COLA, "cola sentence: "),
}
CONTEXT = " context: "


def words(label: str) -> str:
    """A label as T5 says it: in small letters, "Sci/Tech" as "science"."""
    return {"sci/tech": "science"}.get(label.lower(), label.lower())


def settings() -> dict[str, dict]:
    """A checkpoint's `task_specific_params`: how it is asked, and in which words it answers."""
    said = {}
    for name, (task, prefix) in MEMBERS.items():
        if task.kind in ("text2text", "text_similarity"):
            said[task.hub_task] = {"prefix": prefix} | task.params | task.generation
        elif task.kind == "question_answering":
            said[name] = {"prefix": prefix, "context": CONTEXT}
        else:
            said[name] = {"prefix": prefix, "labels": {label: words(label) for label in task.labels}}
    return said


def read(source: str, split: str) -> data.Rows:
    """Rows of a source as pairs of texts, `data.Rows` of text to text. "samples" are the samples of all members."""
    if source == "samples":
        return data.joined([_pairs(name, "samples", split) for name in MEMBERS if name != "cola"], "samples", split)
    source, some = data.limited(source)
    name, _, named = source.partition("@")
    if name not in MEMBERS:
        raise unknown("member of the mixture", name, MEMBERS)
    rows = _pairs(name, named or MEMBERS[name][0].sources[0], split)
    return data.joined([rows.take(some if split == "train" else VALIDATION)], source, split)


def _pairs(name: str, source: str, split: str) -> data.Rows:
    task, prefix = MEMBERS[name]
    rows = data.read(task, source, split)
    if split == "train" and task.prepare:
        rows = task.prepare(rows)
    if task.kind == "question_answering":
        both = [(given, target["text"]) for given, target in zip(rows.inputs, rows.targets, strict=True)]
        both = [(given, texts) for given, texts in both if texts]
        inputs = [prefix + given["question"].strip() + CONTEXT + given["context"].strip() for given, _ in both]
        return data.Rows(inputs, [list(dict.fromkeys(texts)) for _, texts in both], rows.source, split)
    if task.kind == "text_similarity":
        from pipelines.written_similarity import joined, nearest

        inputs = [joined(given, prefix) for given in rows.inputs]
        return data.Rows(inputs, [[nearest(score)] for score in rows.targets], rows.source, split)
    targets = rows.targets if task.kind == "text2text" else [[words(label)] for label in rows.targets]
    return data.Rows([prefix + text for text in rows.inputs], targets, rows.source, split)


def none(train):
    """No floor: each member has its own."""
    raise UserError("the mixture has no floor: measure its members.")


TASK = Task(
    name="multitask",
    title="translate, sum up, classify, compare and answer questions: one model for all",
    kind="text2text",
    hub_task="text2text-generation",
    transformer="t5",
    sources=("translate", "summarize", "sentiment", "classify", "qa", "similarity", "cola"),
    languages=("en", "fr"),
    licences={
        f"{name}@{source}": licence for name, (task, _) in MEMBERS.items() for source, licence in task.licences.items()
    },
    columns={"input": ("text",), "target": ("target",)},
    read=read,
    settings=settings,
    metrics=("rougeL",),
    floor="none",
    make_floor=none,
    example="sst2 sentence: A moving and funny film.",
)
