"""The arguments of transformers 4's `pipeline` that say how to load, told from those of the pipeline itself."""

import logging
from dataclasses import dataclass

import torch

from pipelines.errors import UserError, unknown

# Set by us, or known to transformers 4 alone, which had slow tokenizers and frameworks beside PyTorch.
IDLE = ("use_fast", "code_revision", "use_safetensors", "local_files_only", "low_cpu_mem_usage")
DTYPES = ("float32", "float16", "bfloat16", "float64")
SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
logger = logging.getLogger(__name__)


@dataclass
class Loading:
    """How to load a checkpoint."""

    dtype: torch.dtype | str  # "auto": as the file has it
    device_map: object
    config: object  # in place of the checkpoint's own
    pipeline_class: type | None  # in place of ours
    everywhere: dict  # options of `from_pretrained` for configuration, model and tokenizer
    model: dict  # its options for the model alone
    precision: str  # "float32" or "int8" where asked for by name (int8 is for engines other than torch), else ""

    def only_torch(self) -> str:
        """The name of what only torch can follow; "" where there is none."""
        named = {"device_map": self.device_map, "config": self.config, "model_kwargs": self.model or None}
        named["dtype"] = None if self.dtype == torch.float32 else self.dtype
        return next((name for name, value in named.items() if value is not None), "")


def told_apart(dtype, device, arguments: dict) -> tuple[Loading, dict]:
    """How to load, and the arguments left for the pipeline. Raises `UserError` where they can't be followed."""
    rest = dict(arguments)
    model = dict(rest.pop("model_kwargs", None) or {})

    def taken(*names):
        values = [place.pop(name, None) for name in names for place in (rest, model)]
        return next((value for value in values if value is not None), None)

    framework = taken("framework")
    if framework not in (None, "pt"):
        raise UserError(f"framework {framework!r} is gone: transformers 5 runs on PyTorch alone.")
    if taken("trust_remote_code"):
        logger.warning("trust_remote_code changes nothing here: no code of a checkpoint is ever run")
    taken(*IDLE)
    hub = {"token": taken("token", "use_auth_token"), "cache_dir": taken("cache_dir")}
    other = taken("dtype", "torch_dtype")
    int8 = str(dtype).removeprefix("torch.") == "int8"
    dtype = other if dtype is None else None if int8 else dtype
    how = Loading(
        dtype=_dtype(dtype),
        device_map=taken("device_map"),
        config=taken("config"),
        pipeline_class=taken("pipeline_class"),
        everywhere={name: value for name, value in hub.items() if value is not None},
        model=model,
        precision="int8" if int8 else "" if dtype is None else str(_dtype(dtype)).removeprefix("torch."),
    )
    if how.device_map is not None and device is not None:
        raise UserError("device and device_map both say where the model goes: give one of them.")
    return how, rest


def _dtype(given) -> torch.dtype | str:
    """None → float32: half precision on a CPU is many times slower."""
    if given is None or given == "auto" or isinstance(given, torch.dtype):
        return torch.float32 if given is None else given
    if not isinstance(given, str) or given.removeprefix("torch.") not in DTYPES:
        raise unknown("dtype", str(given), ("auto", *DTYPES))
    return getattr(torch, given.removeprefix("torch."))


def one_device(device_map):
    """The device that a `device_map` means for a model that can't be spread over several."""
    places = set(device_map.values()) if isinstance(device_map, dict) else {device_map}
    if len(places) != 1:
        raise UserError(f"adapters are merged on one device, and device_map names {len(places)}: give device instead.")
    (place,) = places
    return "auto" if place in SPREAD else place
