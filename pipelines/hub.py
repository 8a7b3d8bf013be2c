"""A name → a bundled folder, a local folder or a Hub id with its revision. The only place that knows paths.

Knows the Hub's task names and their shapes; knows no tensor. `DUET_MODELS=DIR`: a checkpoint in `DIR/<org>/<name>`
wins over the Hub's `<org>/<name>` (and `DIR/<org>/<name>@<revision>`, where it is there, over both).
"""

import difflib
import os
import re
from pathlib import Path

from pipelines.errors import UserError, unknown

CHECKPOINTS = Path(__file__).parent / "checkpoints"
# Shapes of task, a module here each → the Hub task for a task of ours that has no Hub name of its own.
KINDS = {
    "text2text": "text2text-generation",
    "text_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "text_generation": "text-generation",
    "extractive": "extractive-summarization",
    "chat": "conversational",
    "text_similarity": "sentence-similarity",
    "written_similarity": "sentence-similarity",  # the same, by a model that writes
}
# The Hub's task names → shape, and which bundled task answers when no other model is named. The first Hub name of a
# task of ours is the one it goes by: `translate` reads a checkpoint's settings for translation_en_to_fr.
HUB_TASKS = {
    "translation_en_to_fr": ("text2text", "translate"),
    "translation": ("text2text", "translate"),
    "summarization": ("text2text", "summarize"),
    "text2text-generation": ("text2text", "translate"),
    "question-answering": ("question_answering", "qa"),
    "ner": ("token_classification", "ner"),
    "token-classification": ("token_classification", "ner"),
    "text-generation": ("text_generation", "complete"),
    "sentiment-analysis": ("text_classification", "sentiment"),
    "text-classification": ("text_classification", "sentiment"),
    "extractive-summarization": ("extractive", "extract"),
    "conversational": ("chat", "chat"),
    "sentence-similarity": ("text_similarity", "similarity"),
}
# A task without weights of its own: its arms are the encoders of bundled models of other tasks.
LENT = {"extract": {"bert": "intents-bert", "lstm": "summarize-lstm"}}
ROLES = ("transformer", "lstm")  # names of `model` that mean "the one bundled for this task"
FAMILIES = ("t5", "bert", "gpt2", "lstm")
_PAIR = re.compile(r"translation_[^_]+_to_[^_]+")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")  # what the Hub allows as an id


def bundled() -> dict[str, dict[str, Path]]:
    """The checkpoints in the package: {"translate": {"t5": Path, "lstm": Path}, …}. A folder is `<task>-<family>`."""
    found: dict[str, dict[str, Path]] = {}
    for config in sorted(CHECKPOINTS.glob("*-*/config.json")):
        task, _, family = config.parent.name.rpartition("-")
        if family in FAMILIES:  # "t5-multitask" answers several tasks, and goes by its whole name
            found.setdefault(task, {})[family] = config.parent
    return found


def is_shared(name: str) -> bool:
    """Whether this is the name of a bundled folder, "sentiment-bert", whose weights others may build on."""
    return bool(_REPOSITORY.fullmatch(name)) and (CHECKPOINTS / name / "config.json").is_file()


def check_task(task: str, model="transformer") -> None:
    """Raises `UserError`, with the nearest name, for a task that neither the Hub nor we name.

    A name of neither passes where `model` is a folder or a loaded model, since that tells the shape (a task that is
    being added has no bundled checkpoint yet), unless it is a slip of a known name.
    """
    if not isinstance(task, str):
        raise UserError(f"the task must be a name, not {type(task).__name__}: choose from {', '.join(HUB_TASKS)}.")
    if is_ours(task):
        return
    known = _names()
    slip = difflib.get_close_matches(task.lower(), known, n=1, cutoff=0.75)
    named = isinstance(model, str) and not os.path.isdir(model) and _mirrored(*_split(model)) is None
    if slip or named:
        raise unknown("task", task, known)


def is_ours(task: str) -> bool:
    """Whether this task, a name of the Hub's or of ours, is answered here, be it without bundled weights."""
    return task in _names() or is_pair(task) or task in {own for _, own in HUB_TASKS.values()}


def _names() -> list[str]:
    """Tasks that can be asked for by name alone, ours first."""
    return list(dict.fromkeys([*(own for _, own in HUB_TASKS.values() if own in bundled()), *bundled(), *HUB_TASKS]))


def is_pair(task: str) -> bool:
    """Whether this is a Hub task with its languages: translation_en_to_fr."""
    return _PAIR.fullmatch(task) is not None


def own_task(task: str) -> str | None:
    """The task of ours that answers a Hub task or has this name itself; None for, say, translation_en_to_de."""
    if task in HUB_TASKS:
        return HUB_TASKS[task][1]
    return None if is_pair(task) else task


def hub_task(task: str) -> str | None:
    """The Hub's name for a task of ours; a Hub name as it is; None where only the checkpoint can tell the shape."""
    if task in HUB_TASKS or is_pair(task):
        return task
    return next((name for name, (_, own) in HUB_TASKS.items() if own == task), None)


def kind_of(hub_name: str) -> str:
    """The shape of a Hub task."""
    return HUB_TASKS["translation" if is_pair(hub_name) else hub_name][0]


def _families(task: str) -> dict[str, Path]:
    """The arms bundled for a task, by family."""
    own = own_task(task) or ""
    return bundled().get(own) or {f: CHECKPOINTS / name for f, name in LENT.get(own, {}).items() if is_shared(name)}


def choices(task: str) -> list[str]:
    """What `model` may be for `task` without leaving the package."""
    families = _families(task)
    roles = ["transformer"] if any(family != "lstm" for family in families) else []
    return [*roles, *sorted(families)]


def resolve(task: str, model: str | os.PathLike = "transformer") -> tuple[str, str | None]:
    """(folder or Hub id, revision) for what a caller wrote as `model`. Touches no network.

    Raises `UserError` where nothing of that name is bundled for the task or no such folder exists.
    """
    text = os.fspath(model)
    families = _families(task)
    if text in ROLES or text in families or text in FAMILIES:
        return _bundled(task, text, families), None
    if is_shared(text):
        return str(CHECKPOINTS / text), None  # of another task, by its folder's name: "sentiment-bert"
    folder = Path(text).expanduser()
    if folder.is_dir():
        return str(folder), None
    name, revision = _split(text)
    mirrored = _mirrored(name, revision)
    if mirrored:
        return mirrored, None
    if not _REPOSITORY.fullmatch(name) or name.startswith("."):
        raise UserError(f"no such model folder: {text!r}. {offer(task, text)}")
    return name, revision


def offer(task: str, given: str) -> str:
    """What is bundled for `task`, and the nearest name to what was given: the end of an error message."""
    there = choices(task)
    if not there:
        return f"Nothing is bundled for {task}: name a folder or a Hub id."
    near = difflib.get_close_matches(given.lower(), there, n=1, cutoff=0.5)
    return f"Bundled for {task}: {', '.join(there)}." + (f" Did you mean {near[0]!r}?" if near else "")


def _bundled(task: str, name: str, families: dict[str, Path]) -> str:
    wanted = name if name != "transformer" else next((f for f in sorted(families) if f != "lstm"), None)
    if wanted not in families:
        raise UserError(f"no {name} is bundled for {task}. {offer(task, name)}")
    return str(families[wanted])


def _split(text: str) -> tuple[str, str | None]:
    """ "id@revision" → its parts."""
    name, at, revision = text.rpartition("@")
    return (name, revision) if at and name and revision else (text, None)


def _mirrored(name: str, revision: str | None) -> str | None:
    mirror = os.environ.get("DUET_MODELS")
    for candidate in (f"{name}@{revision}", name) if mirror else ():
        folder = Path(mirror).expanduser() / candidate
        if folder.is_dir() and folder.resolve().is_relative_to(Path(mirror).expanduser().resolve()):
            return str(folder)
    return None


def offline() -> bool:
    """Whether the Hub is out of reach, asked once and briefly: its client would retry for half a minute a file."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return True
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # DNS, proxy, TLS, timeout: each client version has its own classes
        return True
    return False
