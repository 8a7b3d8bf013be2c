"""Several CPU processes under `accelerate launch --num_processes N --cpu`.

accelerate starts those through MPI only; without a host file for it, it starts one process and says nothing
(huggingface/accelerate issue 2741). So this one starts the N that were asked for. GPUs and torchrun don't need it.
"""

import os
import re
import signal
import subprocess
import sys
import time

SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # set by who starts processes


def missing() -> int:
    """How many processes `accelerate launch --cpu` was asked for and left out; 0 where it left out none."""
    if os.environ.get("ACCELERATE_USE_CPU") != "True" or any(name in os.environ for name in SIZES):
        return 0
    import psutil

    # the launcher tells its child everything but this
    launcher = " ".join(psutil.Process().parent().cmdline())
    asked = re.search(r"accelerate.* --num[-_]processes[= ](\d+) .*(-m|--module) scripts\.finetune", launcher)
    return int(asked[1]) if asked and int(asked[1]) > 1 else 0


def start(count: int, argv: list[str]) -> int:
    """Runs `scripts.finetune` in `count` processes that train together; the first exit status that isn't 0, or 0."""
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = os.environ.get("MASTER_PORT", "29500")
    children = []
    for rank in range(count):
        own = {key: str(value) for key, value in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        children.append(subprocess.Popen([sys.executable, "-m", "scripts.finetune", *argv], env=os.environ | own))
    # a terminal's Ctrl-C reaches the children too, and they save; what reaches this process alone is passed on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: [child.terminate() for child in children])
    while all(child.poll() in (None, 0) for child in children) and any(child.poll() is None for child in children):
        time.sleep(0.1)
    failed = next((child.returncode for child in children if child.returncode), 0)
    for child in children:
        try:
            child.wait(60 if failed else None)  # without the one that failed the others have nothing to wait for
        except subprocess.TimeoutExpired:
            child.kill()
    return failed
