"""Pictures for claim 3: where T5 and the LSTM's decoder look in the source while they write each token."""

from dataclasses import dataclass

import torch

from pipelines.errors import UserError
from scripts.experiments.store import Run, Store

PART = "attention"
TASK = "translate"
MODELS = ("transformer", "lstm")


@dataclass(frozen=True, kw_only=True)
class Settings:
    texts: tuple[str, ...] = (
        "I am happy",
        "Two young men in blue shirts are playing football in a park while their friends watch from a wooden bench.",
    )


FULL = QUICK = Settings()


def measure(run: Run, store: Store) -> None:
    """Fills in the units (model, text) with {"source": tokens, "target": tokens, "weights": a row for each target
    token}, of the bundled translators."""
    store.begin(PART, FULL)
    pipes = {}
    for model in MODELS:
        try:
            pipes[model] = _loaded(model, run.device)
        except UserError as error:
            run.say(f"{PART}: left out for {model}: {error}")
    units = [{"part": PART, "model": model, "text": text} for text in FULL.texts for model in pipes]
    run.work(store, units, lambda model, text: weights(pipes[model], text))


def _loaded(model: str, device: str):
    from pipelines import pipeline

    return pipeline(TASK, model=model, device=device, engine="torch")


@torch.inference_mode()
def weights(pipe, text: str) -> dict:
    """The cross-attention of the last decoder layer, the mean over its heads, (T, S); each row sums to 1. It is that of
    the model's own likeliest translation, token by token."""
    model, tokenizer = pipe.model.eval(), pipe.tokenizer
    if hasattr(model, "set_attn_implementation") and model.config.model_type != "lstm":
        model.set_attn_implementation("eager")  # the fused kernels don't give their weights
    source = tokenizer(pipe.prefix + text, return_tensors="pt").to(model.device)
    source.pop("token_type_ids", None)
    written = model.generate(**source, num_beams=1, do_sample=False, max_new_tokens=80)  # (1, 1 + T)
    output = model(**source, decoder_input_ids=written[:, :-1], output_attentions=True, use_cache=False)
    found = output.cross_attentions[-1][0].float().mean(0).cpu()  # (T, S)
    prefix = pipe.prefix.strip()
    return {
        "source": ["(task)" if piece == prefix else piece for piece in _pieces(tokenizer, source["input_ids"][0])],
        "target": _pieces(tokenizer, written[0, 1:]),
        "weights": [[round(float(w), 4) for w in row] for row in found],
    }


def _pieces(tokenizer, ids) -> list[str]:
    return [token.replace("▁", " ").strip() or "▁" for token in tokenizer.convert_ids_to_tokens(ids.tolist())]
