"""A stand-in for a pipeline's model: what pipelines ask of a `PreTrainedModel`, computed by another runtime."""

import importlib.metadata
import logging
import os
import sys
import threading
from pathlib import Path

import torch
import transformers
from transformers import GenerationConfig
from transformers.modeling_outputs import QuestionAnsweringModelOutput, TokenClassifierOutput
from transformers.utils import cached_file

import pipelines
from pipelines.calls import Stated
from pipelines.engines import PACKAGES, Checkpoint, cache
from pipelines.errors import UserError

FORM = 1  # of what is kept; a higher number makes all conversions anew
logger = logging.getLogger(__name__)


class StandIn:
    """What pipelines and measurements ask of a model. What it hasn't itself, the torch model has: it is loaded when
    something first asks for that (`save_pretrained`, `named_parameters`, a call that the engine can't do).

    `parameters()` have the model's shapes and no values.
    """

    engine = ""
    precision = "float32"
    hf_device_map = None
    training = False
    dtype = torch.float32
    workers = 1  # batches that can be computed at once, by as many threads
    rows = sys.maxsize  # of a batch beyond which more are no faster

    def __init__(self, checkpoint: Checkpoint):
        self._loading, self._torch_model = threading.Lock(), None
        self._load, self._told, self.quiet = checkpoint.torch_model, set(), checkpoint.quiet
        self.config, self.device, self.name_or_path = checkpoint.config, checkpoint.device, checkpoint.source
        loader = getattr(transformers, pipelines.kind(checkpoint.shape).AUTO)
        self._class = loader._model_mapping[type(checkpoint.config)]
        with torch.device("meta"):
            self.skeleton = self._class(checkpoint.config)  # the modules, without memory for weights
        self.base_model = self.skeleton.base_model
        self.generation_config, self.stated = getattr(self.skeleton, "generation_config", None), Stated()
        if self.can_generate():
            self.generation_config = _generation(checkpoint, self.generation_config)

    def can_generate(self) -> bool:
        return self._class.can_generate()

    def parameters(self):
        return self.skeleton.parameters()

    def num_parameters(self, *args, **kwargs) -> int:
        return self.skeleton.num_parameters(*args, **kwargs)

    def eval(self):
        return self

    def to(self, device):
        """The same, since it was made for its device. Raises `UserError` for another one."""
        if torch.device(device) != self.device:
            raise UserError(f"engine {self.engine!r} stays on {self.device}: make the pipeline with device={device!s}.")
        return self

    @property
    def torch_model(self):
        """The model in torch."""
        with self._loading:  # several batches may ask for it at once
            if self._torch_model is None:
                self._torch_model = self._load().to(self.device).eval()
        return self._torch_model

    def __getattr__(self, name: str):  # only for what isn't found otherwise
        if name.startswith("_") or name == "torch_model":
            raise AttributeError(name)
        return getattr(self.torch_model, name)

    def tell(self, what: str) -> None:
        """A line of log, once."""
        if what not in self._told:
            self._told.add(what)
            logger.log(logging.INFO if self.quiet else logging.WARNING, f"{self.engine} {what}")


class Classifier(StandIn):
    """The `forward` of an encoder with a head, without gradients: each engine has its own `logits`."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__(checkpoint)
        self.outputs = outputs(checkpoint.shape)
        self._output = QuestionAnsweringModelOutput if len(self.outputs) > 1 else TokenClassifierOutput
        self.forward = self.skeleton.forward  # for those who look which arguments it takes

    def __call__(self, input_ids: torch.Tensor, attention_mask=None, token_type_ids=None, **others):
        """input_ids, attention_mask and token_type_ids (B, S), the latter two if need be → the logits, by name."""
        other = next((name for name, value in others.items() if value is not None), None)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if other is None and bool((mask[:, 1:] > mask[:, :-1]).any()):
            other = "padding on the left"  # it would count positions anew
        if other:
            self.tell(f"takes no {other}: torch answers such calls.")
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids} | others
            return self.torch_model(input_ids=input_ids, **given)
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        return self._output(**dict(zip(self.outputs, self.logits(input_ids, mask, types), strict=True)))

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> list[torch.Tensor]:
        """The values of `outputs` for ids, mask and types (B, S)."""
        raise NotImplementedError


def outputs(shape: str) -> tuple[str, ...]:
    """What a model with the head for a shape of task gives."""
    return ("start_logits", "end_logits") if shape == "question_answering" else ("logits",)


def converted(engine: str, checkpoint: Checkpoint, precision: str, make) -> Path:
    """The folder that `make(checkpoint's folder, folder)` fills with the checkpoint's model in the engine's form."""
    place = _folder(checkpoint)
    made_by = {name: importlib.metadata.version(name) for name in (*PACKAGES[engine], "torch", "transformers")}
    found = cache.key(cache.files(place), FORM, engine, precision, checkpoint.shape, sorted(made_by.items()))
    return cache.kept(f"{engine}/{found}", lambda folder: make(place, folder))


def _folder(checkpoint: Checkpoint) -> str:
    """Where the checkpoint's files are; a Hub id's are in the Hub's cache once the model has been loaded."""
    if os.path.isdir(checkpoint.source):
        return checkpoint.source
    place = Path(cached_file(checkpoint.source, "config.json", **_where(checkpoint))).parent
    if not list(place.glob("*.safetensors")):
        model = checkpoint.torch_model()
        checkpoint.torch_model = lambda: model
    return str(place)


def _generation(checkpoint: Checkpoint, own: GenerationConfig) -> GenerationConfig:
    """As `from_pretrained` finds it: the file's, else what the configuration of the model says."""
    try:
        return GenerationConfig.from_pretrained(checkpoint.source, **_where(checkpoint))
    except OSError:
        return own


def _where(checkpoint: Checkpoint) -> dict:
    """The options that say where a file comes from; a generation config would take any other for a setting."""
    return {name: value for name, value in checkpoint.options.items() if name != "trust_remote_code"}
