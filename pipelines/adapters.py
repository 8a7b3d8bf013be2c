"""LoRA adapters over an encoder that several checkpoints share: saved beside its base, merged when loaded.

A checkpoint of this form is a folder with `config.json` (the task's own: labels, model class), `adapter_config.json`
and `adapter_model.safetensors` (peft's format: the adapters and the task's head, whole). Its base is a bundled folder
by name, or a path, from the adapter's folder where it is relative.
"""

import contextlib
import os
import warnings
from pathlib import Path

import torch

from pipelines import hub
from pipelines.errors import UserError

WEIGHTS = "adapter_model.safetensors"
HEADS = ("classifier", "score", "qa_outputs")  # what transformers calls the layers that a new task trains whole


@contextlib.contextmanager
def quiet():
    """Without transformers' table of weights that only the checkpoint or only the model has: heads that change."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def is_adapter(folder: str | os.PathLike) -> bool:
    """Whether a folder holds adapters instead of a whole model."""
    return (Path(folder) / "adapter_config.json").is_file()


def add(model, rank: int):
    """LoRA adapters (Hu et al. 2022) on every linear layer of the encoder; a new task's head is trained whole."""
    from peft import LoraConfig, get_peft_model

    heads = [name for name, _ in model.named_children() if name in HEADS]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", modules_to_save=heads or None)
    return get_peft_model(model, config)


def extract(model, base, rank: int):
    """Adapters that make of `base` what `model` is, a model of the same class trained whole: a peft model over `base`.

    The difference of each linear layer and of the word embeddings is kept at `rank` by SVD, the nearest there is in
    squares; heads, norms and biases are kept whole, being small. (LoRA extraction; Hu et al. 2022, section 7.3, find
    that such differences have a low rank.)
    """
    from peft import LoraConfig, get_peft_model

    trained = dict(model.named_modules())
    whole = [*HEADS, "LayerNorm", "position_embeddings", "token_type_embeddings"]
    there = {name.rpartition(".")[2] for name in trained}
    low = [
        name
        for name, module in trained.items()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding) and name.rpartition(".")[2] not in whole
    ]
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=low, modules_to_save=[n for n in whole if n in there], bias="all"
    )
    peft = get_peft_model(base, config)
    with torch.no_grad():
        for name, module in peft.get_base_model().named_modules():
            if name in low:
                _set_low_rank(module, trained[name].weight - module.base_layer.weight, rank)
                if getattr(module.base_layer, "bias", None) is not None:
                    module.base_layer.bias.copy_(trained[name].bias)
            elif name in trained and hasattr(module, "modules_to_save"):
                module.modules_to_save["default"].load_state_dict(trained[name].state_dict())
    return peft


def _set_low_rank(layer, difference: torch.Tensor, rank: int) -> None:
    """The adapters of a peft layer, from the difference that they shall make to its weight (out, in) or (V, E)."""
    left, size, right = torch.linalg.svd(difference, full_matrices=False)
    left, right = left[:, :rank] * size[:rank].sqrt(), size[:rank].sqrt().unsqueeze(1) * right[:rank]
    embedding = "default" in layer.lora_embedding_A
    a, b = (layer.lora_embedding_A, layer.lora_embedding_B) if embedding else (layer.lora_A, layer.lora_B)
    pairs = ((a["default"], left.T), (b["default"], right.T)) if embedding else (
        (a["default"].weight, right), (b["default"].weight, left),
    )  # fmt: skip
    for parameter, value in pairs:
        parameter.copy_(0.0)
        parameter[: value.shape[0], : value.shape[1]].copy_(value)  # a small layer may have no such rank


def merged_size(model) -> int:
    """Parameters of a model, once its adapters are merged where it has any."""
    extra = ("lora_", ".original_module.")
    return sum(p.numel() for name, p in model.named_parameters() if not any(part in name for part in extra))


def save(model, folder: Path, base: str) -> None:
    """Writes the adapters and heads of a peft model, and the configuration of the model that they make of `base`."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = model.get_base_model().config
    config.architectures = [type(model.get_base_model()).__name__]
    config.save_pretrained(folder)
    adapter = model.peft_config["default"]
    adapter.base_model_name_or_path, adapter.inference_mode = base, True
    adapter.save_pretrained(folder)
    with warnings.catch_warnings():  # peft looks for the base's configuration where only the Hub would have it
        warnings.filterwarnings("ignore", message="Could not find a config file")
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    # with `bias="all"` peft gives the biases of whole modules twice
    twice = (".modules_to_save.", ".original_module.")
    kept = {name: value.contiguous() for name, value in state.items() if not any(part in name for part in twice)}
    save_file(kept, str(Path(folder) / WEIGHTS), metadata={"format": "pt"})


def base_name(folder: str | os.PathLike) -> str:
    """What the adapters in `folder` call their base."""
    from peft import PeftConfig

    return PeftConfig.from_pretrained(str(folder)).base_model_name_or_path or ""


def base_of(folder: str | os.PathLike) -> str:
    """The folder of the base of the adapters in `folder`. Raises `UserError` where it isn't there."""
    named = base_name(folder)
    for place in (hub.CHECKPOINTS / named, Path(folder) / named):
        if named and (place / "config.json").is_file():
            return str(place)
    raise UserError(f"{folder} holds adapters of {named or 'an unnamed model'}, which is neither bundled nor a folder.")


def on_base(auto, folder: str, config, dtype) -> torch.nn.Module:
    """The encoder of `folder`, which may be adapters itself, under the head that `auto` and `config` say.

    The folder's own head stays where its sizes are the same, else the new one has random weights.
    """
    import transformers

    options = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    with quiet():
        if not is_adapter(folder):
            options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
            model, report = auto.from_pretrained(folder, config=config, **options)
            missing = report["missing_keys"]
        else:
            own = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            encoder = load(getattr(transformers, own.architectures[0]), folder, own, dtype).state_dict()
            made = getattr(auto, "from_config", None) or auto._from_config  # of an Auto class, or of a model's own
            model = made(config, dtype=dtype)
            shapes = {name: value.shape for name, value in model.state_dict().items()}
            known = {name: value for name, value in encoder.items() if shapes.get(name) == value.shape}
            missing = model.load_state_dict(known, strict=False).missing_keys
    lost = sorted(name for name in missing if not any(head in name.split(".") for head in HEADS))
    if lost:
        raise UserError(f"{folder} has no weights for {', '.join(lost[:3])}.")
    return model


def load(auto, folder: str, config, dtype, merge: bool = True) -> torch.nn.Module:
    """The base with the adapters of `folder` merged in, as `auto` and `config` say; or a peft model, to train on.

    Raises `UserError` for what is no LoRA adapter in safetensors, or doesn't fit the base.
    """
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    adapter = PeftConfig.from_pretrained(folder)
    weights = Path(folder) / WEIGHTS
    if getattr(adapter.peft_type, "value", adapter.peft_type) != "LORA" or not weights.is_file():
        raise UserError(f"{folder} can't be loaded: only LoRA adapters in {WEIGHTS} can.")
    model = on_base(auto, base_of(folder), config, dtype)
    adapter.inference_mode = merge
    with warnings.catch_warnings():  # the base goes by its name here, and by its folder there
        warnings.filterwarnings("ignore", message="The PEFT config's `base_model_name_or_path` was renamed")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        model = get_peft_model(model, adapter)
    state = {name: value.to(dtype) for name, value in load_file(weights).items()}
    found = set_peft_model_state_dict(model, state)
    heads = [name for name in adapter.modules_to_save or () if not any(f".{name}." in key for key in state)]
    missing = [name for name in found.missing_keys if "lora_" in name]
    if found.unexpected_keys or missing or heads:
        wrong = (list(found.unexpected_keys) + missing + heads)[0]
        raise UserError(f"{folder} can't be loaded: its adapters don't fit {adapter.base_model_name_or_path}: {wrong}")
    if not merge:
        return model
    model = model.merge_and_unload().requires_grad_(True)  # peft had frozen it
    model.name_or_path = config.name_or_path = folder  # and not the base's
    return model.eval()
