"""What a figure was made with: versions, hardware, commit. Names no model and no data."""

import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("pipelines", "tasks", "scripts")


def environment(device: str, seed: int) -> dict:
    """The `environment` of a result file for "cpu", "cuda", "cuda:1", …; with more than it must have."""
    import torch
    import transformers

    return {
        "device": device.partition(":")[0],
        "hardware": hardware(device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "seed": seed,
    }


def hardware(device: str) -> str:
    """The name of the GPU or of the processor, as the driver or the system gives it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of this checkout, "-dirty" behind it where the code differs from it; None for an installed copy."""
    if not (ROOT / ".git").exists():
        return None
    head = _git("rev-parse", "HEAD")
    return head and head + ("-dirty" if _git("status", "--porcelain", "--", *CODE) else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:  # no git on this machine
        return None
    return done.stdout.strip() if done.returncode == 0 else None
