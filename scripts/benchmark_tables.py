"""What the benchmarks found, as the README shows it: Markdown of `results/benchmark/*.json`, which hold more."""

import json
from pathlib import Path

from scripts.benchmark import OLD, ratio

THROUGHPUT = """Samples/s of the pipelines over ragged inputs, all at once, and how many times that is what others do
with the same checkpoint, inputs and threads (median of the rounds, their least and most); then one input at a time:"""
TRAINING = "Tokens/s of the training loop, padding left out, and how many times that is what other loops do:"
# columns of the first table: what the pipelines are compared with → how the names of its arms end
PEERS = {
    OLD: OLD,
    f"{OLD}, batches of 32": f"{OLD}, batches of 32",
    "5 by hand": "by hand",
    "runtime directly, float32": ", float32",
    "runtime directly, int8": ", int8",
}


def throughput(folder: Path) -> str:
    """A row a task: samples/s and how many times those of the peers, p50 and how many times that; "" without a file."""
    file = folder / "cpu.json"
    if not file.is_file():
        return ""
    said = json.loads(file.read_text(encoding="utf-8"))
    alone = (OLD, "runtime directly, int8")
    heads = ["task", "samples/s", *PEERS, "p50 ms", *(f"p50 of {peer}" for peer in alone)]
    lines = [_row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    for name, task in said["tasks"].items():
        arms = task["arms"]
        found = {peer: next((arm for arm in arms if arm.endswith(end)), None) for peer, end in PEERS.items()}
        faster = {peer: arms[arm]["duet_is_faster"] for peer, arm in found.items() if arm}
        cells = [name, f"{arms['duet']['samples_per_s']:.0f}"]
        cells += [ratio(faster[peer]["throughput"]) if peer in faster else "–" for peer in PEERS]
        cells += [f"{arms['duet']['latency_ms']['p50']:.1f}"]
        cells += [ratio(faster[peer]["latency"]) if peer in faster else "–" for peer in alone]
        lines.append(_row(cells))
    return "\n".join(lines)


def training(folder: Path) -> str:
    """A row a training: tokens/s and how many times those of the other loops; "" without a file."""
    lines: list[str] = []
    for file in sorted(folder.glob("training-*.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        for name, pair in said["pairs"].items():
            arms = pair["arms"]
            if not lines:
                heads = ["training", "device", "rows a batch", "tokens/s", *list(arms)[1:]]
                lines += [_row(heads), _row(["---", "---", *["---:"] * (len(heads) - 2)])]
            cells = [name, said["environment"]["device"], str(pair["rows_per_batch"])]
            cells += [f"{arms['duet']['tokens_per_s']:,.0f}"]
            lines.append(_row(cells + [ratio(told["duet_is_faster"]) for told in list(arms.values())[1:]]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
