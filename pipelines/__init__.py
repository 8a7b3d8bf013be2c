"""Text to tensors and back: `pipeline` answers each task with a Transformer or an LSTM, behind one call.

    from pipelines import pipeline

    pipeline("translation")("I am happy")                    # [{"translation_text": "Je suis heureux"}]
    pipeline("translation", model="lstm")                    # the same task, our LSTM
    pipeline("sentiment-analysis", model="org/name@v1.0")    # a Hub checkpoint, pinned to a revision

What comes back is a `transformers.Pipeline`. torch and transformers are imported when one is made, not here.
"""

import importlib

from pipelines import engines, hub
from pipelines.errors import UserError, unknown

__all__ = ["UserError", "kind", "pipeline", "restore"]


def pipeline(
    task: str | None = None,
    model=None,
    *,
    tokenizer=None,
    engine: str = "auto",
    device=None,
    revision: str | None = None,
    dtype=None,
    **kwargs,
):
    """A `transformers.Pipeline` for `task`.

    task: a Hub name (translation, translation_en_to_fr, summarization, text2text-generation, question-answering,
        sentiment-analysis, text-classification, sentence-similarity) or the name of a task that a bundled checkpoint
        answers (translate, sentiment). Other tasks of transformers' go to its own `pipeline` as they are.
    model: "transformer" (default) or "lstm" (bundled), a family ("t5", "bert"), a folder, a Hub id, "id@revision", or
        a loaded `PreTrainedModel` (then `tokenizer` is needed).
    tokenizer: a loaded tokenizer, a folder or a Hub id; default: the model's own.
    engine: what computes: "torch"; "ctranslate2" (T5, Marian, BART, BERT, GPT-2); "onnx" (BERT); "auto" (default), the
        fastest that is installed and measured to be as good as torch, else torch. See docs/engines.md.
    device: None or "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps", a CUDA ordinal, -1 for the CPU.
    dtype: default float32, also where the file holds float16: half precision on a CPU is many times slower. "int8" is
        for the other engines, on a CPU.
    kwargs: parameters of the pipeline and of `generate`, for every call; and what transformers 4 took to load with:
        torch_dtype, device_map, model_kwargs, config, token, pipeline_class … (docs/migrating.md has the list).

    Raises `UserError`, one line, where a name, a folder or a checkpoint can't serve.
    """
    engines.check(engine)
    if isinstance(task, str) and not hub.is_ours(task):
        import transformers

        if task in transformers.pipelines.get_supported_tasks():
            if engine in engines.RUNS:
                raise UserError(f"engine {engine!r} can't run {task}: choose from auto, torch.")
            kwargs |= {"tokenizer": tokenizer, "device": device, "revision": revision, "dtype": dtype or "auto"}
            return transformers.pipeline(task, model, **kwargs)
    model = "transformer" if model is None else model
    hub.check_task(task, model)
    from pipelines import loading

    kwargs |= {"tokenizer": tokenizer, "device": device, "revision": revision, "dtype": dtype}
    return loading.load(task, model, engine=engine, **kwargs)


def kind(name: str):
    """The module of a shape of task, e.g. `pipelines.text2text`. Raises `UserError` for an unknown one."""
    if name not in hub.KINDS:
        raise unknown("kind", name, hub.KINDS)
    return importlib.import_module(f"pipelines.{name}")


def restore():
    """Makes `transformers.pipeline` take translation (also _xx_to_yy), summarization, text2text-generation and
    question-answering again, puts the classes of these tasks back, and lets `transformers.pipeline` and
    `evaluate.evaluator` take our models by name ("lstm", "sentiment-bert", their folders).

    For code that can't be changed, such as `evaluate.evaluator` and `gradio.Interface.from_pipeline`. It changes
    transformers for the whole process, so it never happens on import. Undone by the `undo()` of what comes back, or at
    the end of `with pipelines.restore(): …`; of several calls the last one to be undone counts.
    """
    from pipelines import restoring

    return restoring.Restored()
