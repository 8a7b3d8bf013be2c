"""Makes BERT checkpoints that share a vocabulary smaller: `python -m scripts.prune --output DIR`.

A piece that the training texts of the bundled tasks use less than `--least-uses` times goes, with its row of the word
embeddings, from the encoder and from all adapters over it; a word that had it comes apart into smaller pieces. What
adapters change of word embeddings is cut to `--embedding-rank`: that change has no low rank, but tasks need little of
it. Weights are not trained: measure the copies before they take the place of what is bundled.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

from pipelines import hub
from pipelines.errors import UserError
from tasks.flags import Parser, status, whole

ROWS = ("word_embeddings.weight", "word_embeddings.base_layer.weight")  # (V, E)
COLUMNS = "word_embeddings.lora_embedding_A"  # (rank, V)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("scripts.prune", lambda: run(parse(argv)), "interrupted; what is written may be incomplete")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="python -m scripts.prune", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoints", type=Path, default=hub.CHECKPOINTS, metavar="DIR", help="their folder (default: the bundled)")
    add("--least-uses", type=whole, default=1, metavar="N", help="of a piece that stays (default 1)")
    add(
        "--embedding-rank",
        type=whole,
        metavar="N",
        help="of adapters to word embeddings, at most (default: as they are)",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="where a folder for each goes")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Writes the copies and prints what each lost. Raises `UserError`."""
    import transformers

    from pipelines.scratch import pruned_wordpiece

    found = [file.parent for file in sorted(args.checkpoints.glob("*/config.json"))]
    found = [folder for folder in found if json.loads((folder / "config.json").read_text())["model_type"] == "bert"]
    if not found:
        raise UserError(f"{args.checkpoints} has no BERT checkpoint.")
    words = [transformers.AutoTokenizer.from_pretrained(folder) for folder in found]
    if any(other.get_vocab() != words[0].get_vocab() for other in words[1:]):
        raise UserError(f"the BERT checkpoints in {args.checkpoints} have not one vocabulary.")
    tokenizer, kept = pruned_wordpiece(words[0], training_texts(), args.least_uses)
    print(f"prune: {len(kept):,} of {len(words[0]):,} pieces stay", file=sys.stderr)
    for folder in found:
        target = args.output / folder.name
        before, after = pruned(folder, target, tokenizer, kept, args.embedding_rank)
        note = f"Then pieces that the training texts of all BERT arms have less than {args.least_uses} times went"
        _tell(target / "README.md", f"{note}: {len(kept):,} of {len(words[0]):,} stay.")
        width = json.loads((target / "config.json").read_text(encoding="utf-8"))["hidden_size"]
        _recount(target / "README.md", (len(words[0]) - len(kept)) * width)
        if (rank := _patterns(target).get("word_embeddings")) and rank != _patterns(folder).get("word_embeddings"):
            _tell(target / "README.md", f"What it changes of word embeddings was cut to rank {rank}.")
        print(f"{folder.name}\t{before / 1e6:.2f} MB\t{after / 1e6:.2f} MB")
    return 0


def training_texts():
    """The texts that the bundled tasks' BERT arms are trained on, each once."""
    import tasks
    from scripts import recipe
    from scripts.start import texts_of
    from tasks import data

    seen: set[str] = set()
    for name in tasks.TASKS:
        task = tasks.load(name)
        if task.transformer == "bert":
            sources = [data.bare(source) for source in recipe.read(name, "bert", "cpu", None, {}).data or task.sources]
            seen.update(texts_of(data.read_all(task, list(dict.fromkeys(sources)), "train")))
    return sorted(seen)


def pruned(folder: Path, target: Path, tokenizer, kept: list[int], rank: int | None = None) -> tuple[int, int]:
    """Writes a checkpoint with this vocabulary, whose pieces had the ids `kept`; bytes before and after.

    Adapters to its word embeddings, where it has some, are cut to `rank`.
    """
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target, dirs_exist_ok=True)
    tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] = len(kept)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for file in target.glob("*.safetensors"):
        weights = load_file(file)
        for name, value in weights.items():
            if name.endswith(ROWS):
                weights[name] = value[kept].contiguous()
            elif name.endswith(COLUMNS):
                weights[name] = value[:, kept].contiguous()
        if rank and lowered(weights, rank):
            adapter = json.loads((target / "adapter_config.json").read_text(encoding="utf-8"))
            alpha = adapter["lora_alpha"] / adapter["r"] * rank  # so that their scale stays as it is
            adapter |= {"rank_pattern": {"word_embeddings": rank}, "alpha_pattern": {"word_embeddings": alpha}}
            (target / "adapter_config.json").write_text(json.dumps(adapter, indent=2) + "\n", encoding="utf-8")
        save_file(weights, str(file), metadata={"format": "pt"})
    return tuple(sum(file.stat().st_size for file in place.iterdir()) for place in (folder, target))


def lowered(weights: dict, rank: int) -> bool:
    """Cuts adapters to word embeddings, in place, to the nearest of this rank; whether there were any of a higher."""
    import torch

    names = [next((name for name in weights if name.endswith(COLUMNS[:-1] + ab)), None) for ab in "AB"]
    if None in names or len(weights[names[0]]) <= rank:
        return False
    a, b = (weights[name].float() for name in names)  # (r, V), (E, r)
    (qb, rb), (qa, ra) = torch.linalg.qr(b), torch.linalg.qr(a.T)
    left, size, right = torch.linalg.svd(rb @ ra.T)  # b @ a = qb @ left * size @ right @ qa.T
    size = size[:rank].sqrt()
    found = (size.unsqueeze(1) * (right[:rank] @ qa.T), qb @ left[:, :rank] * size)
    weights |= {name: value.to(weights[name].dtype).contiguous() for name, value in zip(names, found, strict=True)}
    return True


def _patterns(folder: Path) -> dict:
    """The ranks of single layers that an adapter's configuration has."""
    file = folder / "adapter_config.json"
    return json.loads(file.read_text(encoding="utf-8")).get("rank_pattern", {}) if file.is_file() else {}


def _tell(file: Path, note: str) -> None:
    """Adds a line to what a model card says of how the model was made, where there is a card."""
    if file.is_file():
        card, found, rest = file.read_text(encoding="utf-8").partition("\n## Licences")
        file.write_text(f"{card}- {note}\n{found}{rest}", encoding="utf-8")


def _recount(file: Path, fewer: int) -> None:
    """Takes `fewer` from the number of parameters in a model card, where there is one. It is that of the model with
    its adapters merged: their ranks don't change it."""
    if file.is_file():
        card = file.read_text(encoding="utf-8")
        found = re.search(r"\d[\d,]*(?= parameters)", card)
        if found:
            left = int(found[0].replace(",", "")) - fewer
            file.write_text(card[: found.start()] + f"{left:,}" + card[found.end() :], encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
