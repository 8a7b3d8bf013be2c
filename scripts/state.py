"""What a training needs to go on exactly where it was: weights and optimizer as safetensors, the rest as JSON.

A state is written to a folder beside its place and renamed, so a kill at any moment leaves the old one or the new one.
Random numbers and the learning rate are no part of it: the loop derives both from the step.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, load_model, save_file, save_model


def replace_folder(temporary: Path, final: Path) -> None:
    """Puts a finished folder in place; the old one, if any, is moved aside first and then removed."""
    for file in temporary.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    aside = final.with_name(final.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        final.rename(aside)
    temporary.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


def replace_file(file: Path, text: str) -> None:
    """Writes a text file, so that a kill leaves the old one or the new one."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def save(folder: Path, model, optimizer, progress: dict) -> None:
    """Writes `folder/state-<step>` and removes older ones."""
    step = progress["step"]
    temporary = folder / f"state-{step:07d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(model, str(temporary / "model.safetensors"))
    tensors, scalars = _flatten(optimizer.state_dict()["state"])
    save_file(tensors, str(temporary / "optimizer.safetensors"))
    rest = {"progress": progress, "optimizer": scalars}
    (temporary / "state.json").write_text(json.dumps(rest), encoding="utf-8")
    final = folder / f"state-{step:07d}"
    replace_folder(temporary, final)
    for other in folder.glob("state-*"):  # older ones, and what a kill left half written or half removed
        if other != final:
            shutil.rmtree(other)


def saved(folder: Path) -> list[Path]:
    """Complete states, the oldest first."""
    return sorted(p for p in folder.glob("state-*") if p.suffix == "" and (p / "state.json").is_file())


def load(folder: Path, model, optimizer) -> dict | None:
    """Puts the newest state back into the objects and returns its progress; None where there is no state."""
    found = saved(folder)
    if not found:
        return None
    load_model(model, str(found[-1] / "model.safetensors"))
    rest = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
    state: dict = {int(key): dict(values) for key, values in rest["optimizer"].items()}
    for name, tensor in load_file(str(found[-1] / "optimizer.safetensors")).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return rest["progress"]


def _flatten(state: dict) -> tuple[dict, dict]:
    """An optimizer's per-parameter state as tensors {"0.exp_avg": …} and plain values {"0": {"step": 3}}."""
    tensors, scalars = {}, {}
    for index, values in state.items():
        scalars[str(index)] = {}
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.contiguous()
            else:
                scalars[str(index)][key] = value
    return tensors, scalars
