"""Calibrates a classifier: `python -m scripts.calibrate runs/intents-bert --task intents`.

Fits the temperature of the scores and, for a task with a label for what is out of scope, the threshold below which a
text is answered so, on validation rows; writes both into the folder's `config.json` and a section into its model card.
The metrics before and after, on the same rows, go to stdout. Calibrating again starts anew from the model's own scores.
Exit status: 0; 2 wrong use or unusable data; 130 interrupted (nothing is written then).
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import tasks
from pipelines.errors import UserError, unknown
from tasks.flags import Parser, status, whole

HEADING = "## Calibration"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("calibrate", lambda: print(calibrate(parse(argv))), "interrupted; nothing was written")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.calibrate", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="a checkpoint's folder; its config.json is changed")
    add("--task", required=True, metavar="T", help="what it answers: a task of labels, such as classify")
    add("--data", metavar="D", help="a file, a Hub id or samples (default: the task's own)")
    add("--split", default="validation", metavar="S", help="split to fit on (default validation)")
    add("--limit", type=whole, metavar="N", help="at most so many rows (default: all)")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, mps (default auto)")
    add("--batch-size", type=whole, default=32, metavar="N", help="texts computed together (default 32)")
    args = parser.parse_args(argv)
    if tasks.load(args.task).kind != "text_classification":
        choices = [name for name in tasks.TASKS if tasks.load(name).kind == "text_classification"]
        raise unknown("task with scores to calibrate", args.task, choices)
    if not (args.folder / "config.json").is_file():
        raise UserError(f"{args.folder} is no checkpoint: it has no config.json.")
    return args


def calibrate(args: argparse.Namespace) -> str:
    """Fits and writes what `args` names; what it wrote and what that changes, as text."""
    task = tasks.load(args.task)
    import torch
    import transformers

    import pipelines
    from pipelines import calibration
    from scripts import results
    from tasks import data, metrics
    from tasks.predict import prediction

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    rows = data.read(task, args.data, args.split).take(args.limit)
    if not len(rows):
        raise UserError(f"{rows.source}: split {rows.split!r} has no rows.")
    pipe = pipelines.pipeline(task.name, model=str(args.folder), device=args.device, engine="torch")
    config = pipe.model.config
    place = classes(task, str(args.folder), config, rows)
    targets = torch.tensor([place[target] for target in rows.targets])
    logits = calibration.logits(pipe, rows.inputs, args.batch_size)

    def scores() -> dict[str, float]:
        outputs = [pipe.postprocess([{"logits": row[None], "weight": 1}]) for row in logits]
        predictions = [prediction(task, output) for output in outputs]
        scored = [*metrics.metrics_of(task), metrics.CalibrationError()]
        return {m.key: m.value(m.statistics(predictions, rows.targets).sum(0)) for m in scored}

    outside = place.get(task.out_of_scope, -1)
    inside = targets != outside  # what is out of scope is for the threshold
    config.calibration = None
    before = scores()
    config.calibration = found = {"temperature": round(calibration.fit_temperature(logits[inside], targets[inside]), 4)}
    if scores()["ece"] >= before["ece"]:
        found["temperature"] = 1.0  # likelier on the whole is not always nearer: a few rows far off can outweigh many
    if task.out_of_scope:
        softened = torch.softmax(logits / found["temperature"], 1)
        rule = calibration.fit_threshold(softened, targets, outside)
        found["out_of_scope"] = {"label": config.id2label[outside]} | rule
    text = _told(found, f"{rows.source} ({rows.split}, {len(rows):,} rows)", before, scores())
    file = args.folder / "config.json"  # as it lies there, with one key more
    whole = json.loads(file.read_text(encoding="utf-8")) | {"calibration": found}
    results.write_text(file, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    _write_card(args.folder / "README.md", text, results)
    return text


def classes(task, model: str, config, rows) -> dict[str, int]:
    """{label as the task names it: the class's id}, with every label that the rows and the task need.

    Raises `UserError` where `model` lacks one, or has no softmax over labels.
    """
    from tasks import data

    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise UserError(f"{model} does not choose one of several labels: there is no softmax to calibrate.")
    place = {data.label_name(task, label, model): number for label, number in config.label2id.items()}
    missing = sorted({*rows.targets, *filter(None, [task.out_of_scope])} - set(place))
    if missing:
        raise UserError(f"{model} has no label {missing[0]!r}, which {task.name} on {rows.source} needs.")
    return place


def _told(found: dict, rows: str, before: dict, after: dict) -> str:
    kept = ": no fitted one lowers the calibration error" if found["temperature"] == 1 else ""
    lines = [f"Fitted on {rows} by `scripts.calibrate`. Temperature {found['temperature']:g}{kept}."]
    if "out_of_scope" in found:
        rule = found["out_of_scope"]
        lines.append(f"Below a score of {rule['threshold']:g} the answer is `{rule['label']}`, set on the same rows.")
    table = [f"| {key} | {before[key]:.4f} | {after[key]:.4f} |" for key in before]
    return "\n".join([*lines, "", "| metric, same rows | before | after |", "|---|---:|---:|", *table])


def _write_card(file: Path, text: str, results) -> None:
    """Puts the paragraph before the card's last section, or in the place of an older one."""
    if not file.is_file():
        return
    sections = file.read_text(encoding="utf-8").split("\n## ")
    sections = [section for section in sections if not f"## {section}".startswith(HEADING + "\n")]
    at = max(1, len(sections) - 1)
    sections.insert(at, f"{HEADING.removeprefix('## ')}\n\n{text}\n")
    results.write_text(file, "\n## ".join(sections))


if __name__ == "__main__":
    raise SystemExit(main())
