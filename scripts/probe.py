"""What a model costs a process that has nothing else to do: load time, first call, peak memory.

In the harness's own process several models lie side by side and the second profits from what the first has imported
and warmed up; so each is loaded in a fresh process here: `measure(...)` starts `python -m scripts.probe`, which takes a
job as JSON on stdin and prints its figures as JSON.

- `peak`, MB of 10^6 bytes: on a CPU, the most memory the whole process ever had resident (Python and libraries
  included; `before_load` of it were there before the model), while it loaded the model, answered one input and then a
  batch. On CUDA, the most that torch had allocated on the device meanwhile: weights, activations and caches, without
  the CUDA context.
- `load`, ms: `pipelines.pipeline(…)` with the modules imported and the file in the disk cache, i.e. a second load.
- `first`, ms: the first call ever in the process, with all that is set up lazily on the way.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import tasks

ROOT = Path(__file__).parents[1]
MB = 1e6


def measure(task: str, model: str, device: str, inputs: list, batch_size: int, engine: str = "torch") -> dict:
    """{"load", "first": ms, "peak", "before_load": MB} of one model. First it answers `inputs[0]`, then all of them.

    Raises `RuntimeError` with the last line of what the process said where it failed (killed for memory: its signal).
    """
    job = {"task": task, "model": model, "device": device, "engine": engine}
    job |= {"inputs": inputs, "batch_size": batch_size}
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    command = [sys.executable, "-m", "scripts.probe"]
    done = subprocess.run(
        command, input=json.dumps(job), capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": path}
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[-1] if said and done.returncode > 0 else f"ended by signal {-done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def resident_peak() -> float:
    """The most memory this process has had resident, in bytes.

    Linux's `ru_maxrss` would not do: a process inherits it from the one that started it, models and all.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    job = json.load(sys.stdin)
    task = tasks.load(job["task"])
    import torch
    import transformers

    import pipelines
    from scripts.latency import once
    from tasks.predict import asking, predict_all

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pipelines.kind(task.kind)
    cuda = job["device"].startswith("cuda")
    if cuda:
        torch.zeros(1, device=job["device"])  # makes the CUDA context
        torch.cuda.reset_peak_memory_stats(job["device"])
    synchronize = (lambda: torch.cuda.synchronize(job["device"])) if cuda else lambda: None

    def load():
        return pipelines.pipeline(**task.told(job["model"]), device=job["device"], engine=job["engine"])

    before = 0.0 if cuda else resident_peak()
    pipe = load()
    first, _ = once(lambda: asking(task, pipe)(job["inputs"][0]), synchronize)
    predict_all(task, pipe, job["inputs"], batch_size=job["batch_size"])
    peak = torch.cuda.max_memory_allocated(job["device"]) if cuda else resident_peak()
    pipe = None  # not two models at once
    again, _ = once(load, synchronize)
    print(json.dumps({"load": again, "first": first, "peak": peak / MB, "before_load": before / MB}))


if __name__ == "__main__":
    main()
