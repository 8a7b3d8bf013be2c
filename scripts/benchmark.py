"""How fast the pipelines answer, beside what one would use instead: `python -m scripts.benchmark`.

One run, on the same checkpoint (the bundled Transformer of each task), inputs, threads and lengths: this project, the
`pipeline()` of transformers 4.57.6 at its defaults and with a batch size, transformers 5 by hand, and CTranslate2 or
ONNX Runtime called directly. Each arm is a process of its own (`scripts/peers.py`); they take turns, so a machine that
slows down does so for all. Figures are ratios of this one run. The peers' virtual environment is made from PyPI.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median

import tasks
from pipelines.errors import UserError, unknown
from tasks.flags import Parser, status, whole

HERE = Path(__file__).parent
TASKS = ("translate", "summarize", "ner", "qa", "sentiment", "classify")
OLD = "transformers 4.57.6"
NEEDS = ("transformers==4.57.6", "torch>=2.11,<2.14", "sentencepiece>=0.2", "protobuf>=4", "ctranslate2>=4.6")
NEEDS += ("onnxruntime>=1.20", "onnx", "optimum-onnx")
ANSWERS = 128  # tokens of an answer at most, where a caller must say
TICKS = (1, 2, 5, 10, 20, 50)
FIRST = 8  # inputs that each arm answers before the clock runs


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return status("benchmark", lambda: run(parse(argv)), "interrupted; nothing was written")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The parsed flags. Raises `UserError`."""
    parser = Parser(prog="python -m scripts.benchmark", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default=",".join(TASKS), metavar="T", help=f"some of {','.join(TASKS)} (default all of them)")
    add("--samples", type=whole, default=2000, metavar="N", help="inputs answered for throughput (default 2000)")
    add("--singles", type=whole, default=100, metavar="N", help="inputs answered one by one (default 100)")
    add("--rounds", type=whole, default=5, metavar="N", help="turns that these are dealt out to (default 5)")
    add("--threads", type=whole, default=os.cpu_count() or 1, metavar="N", help="threads of each arm (default: cores)")
    add("--data", metavar="D", help="data to take inputs from (default: the task's own; samples)")
    add("--venv", type=Path, default=Path("runs/peers-venv"), metavar="DIR", help="of the peers; made where missing")
    add("--work", type=Path, default=Path("runs/benchmark"), metavar="DIR", help="converted models and inputs")
    add("--output", type=Path, default=Path("results/benchmark"), metavar="DIR", help="where cpu.json and cpu.png go")
    add("--seed", type=int, default=13, metavar="N", help="of the draw (default 13)")
    args = parser.parse_args(argv)
    args.tasks = [name.strip() for name in args.tasks.split(",") if name.strip()]
    for name in args.tasks:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    if args.samples < args.rounds or args.singles < args.rounds:
        raise UserError(f"--samples and --singles must be at least --rounds, {args.rounds}")
    return args


def run(args: argparse.Namespace) -> int:
    """Measures, writes the result file and its picture, and prints the table. Raises `UserError`."""
    from scripts.environment import environment
    from scripts.results import write_text

    python = peers_python(args.venv)
    measured = {}
    for name in args.tasks:
        measured[name] = task_figures(tasks.load(name), python, args)
    where = environment("cpu", args.seed) | {"threads": args.threads}
    content = {"schema": 1, "environment": where, "samples": args.samples, "rounds": args.rounds, "tasks": measured}
    args.output.mkdir(parents=True, exist_ok=True)
    write_text(args.output / "cpu.json", json.dumps(content, indent=1) + "\n")
    picture(measured, args.output / "cpu.png")
    print(table(measured))
    return 0


def say(line: str) -> None:
    print(f"benchmark: {line}", file=sys.stderr, flush=True)


def peers_python(folder: Path) -> Path:
    """The interpreter of the peers' virtual environment, made from PyPI where it is missing. Raises `UserError`."""
    python, done = folder / "bin" / "python", folder / "needs.txt"
    if not done.is_file() or done.read_text() != "\n".join(NEEDS):
        say(f"installing {', '.join(NEEDS)} into {folder}")
        venv.create(folder, with_pip=True)
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS]).returncode:
            raise UserError(f"the peers could not be installed into {folder}: see above")
        done.write_text("\n".join(NEEDS))
    return python


# --- the arms ---


def arms_of(task: tasks.Task, python: Path) -> dict[str, dict]:
    """Name → how it is started. "duet" comes first, and the others are measured against it."""
    own, old = {"python": sys.executable}, {"python": str(python)}
    arms = {
        "duet": own | {"arm": "duet", "engine": "auto"},
        "duet, torch": own | {"arm": "duet", "engine": "torch"},
        OLD: old | {"arm": "pipeline"},
        f"{OLD}, batches of 32": old | {"arm": "pipeline", "rows": 32},
        "transformers 5 by hand": own | {"arm": "by_hand"},
    }
    direct, named = ("ctranslate2", "CTranslate2") if task.kind == "text2text" else ("onnx", "ONNX Runtime")
    return arms | {f"{named}, {p}": old | {"arm": direct, "precision": p} for p in ("float32", "int8")}


class Arm:
    """A started process of `scripts/peers.py`, or of what else speaks as it does."""

    def __init__(self, name: str, job: dict, program: list[str], threads: int):
        file = Path(job["work"]) / f"{name}.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": str(threads)}
        self.log = file.with_suffix(".log").open("w+", encoding="utf-8")
        self.name, self.each, self.whole, self.answers, self.alone = name, [], [], [], []
        self.process = subprocess.Popen(
            [*program, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **quiet},
            cwd=HERE.parent,
        )

    def said(self) -> dict:
        """Its next line. Raises `UserError` with the last one of its log where it has ended."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            last = next((x.strip() for x in reversed(self.log.read().splitlines()) if x.strip()), "no reason given")
            raise UserError(f"{self.name} failed: {last}")
        return json.loads(line)

    def ask(self, **what) -> dict:
        print(json.dumps(what), file=self.process.stdin, flush=True)
        return self.said()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


# --- measuring ---


def task_figures(task: tasks.Task, python: Path, args: argparse.Namespace) -> dict:
    """The figures of all arms on one task."""
    work = (args.work / task.name).absolute()
    work.mkdir(parents=True, exist_ok=True)
    job = prepared(task, work, args)
    started: list[Arm] = []
    failed: dict[str, str] = {}
    try:
        for name, own in arms_of(task, python).items():
            arm = Arm(name, job | own, [own["python"], "-P", "-u", str(HERE / "peers.py")], args.threads)
            try:  # one by one: two that load at once slow each other down, and convert the same model
                arm.versions = arm.said()["ready"]
                arm.ask(first=0, last=min(FIRST, args.singles), each=True)
                started.append(arm)
            except UserError as error:
                say(f"{task.name}: {error}")
                failed[name] = str(error)
                arm.end()
        if not started or started[0].name != "duet":
            raise UserError(f"{task.name}: {failed['duet']}")
        turns(task.name, started, args)
    finally:
        for arm in started:
            arm.end()
    return {"arms": {arm.name: figures(arm, started[0]) for arm in started}, "failed": failed}


def prepared(task: tasks.Task, work: Path, args: argparse.Namespace) -> dict:
    """What all arms are told: a plain copy of the checkpoint, adapters merged, and the inputs."""
    import transformers

    import pipelines

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pipe = pipelines.pipeline(task.name, engine="torch", device="cpu")
    folder = work / "model"
    pipe.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"  # less what version 4 reads in another way
    kept = {k: v for k, v in json.loads(settings.read_text()).items() if k not in ("backend", "extra_special_tokens")}
    settings.write_text(json.dumps(kept))
    chosen = inputs_of(task, args.data, max(args.samples, args.singles), args.seed)
    (work / "inputs.json").write_text(json.dumps(chosen), encoding="utf-8")
    config, generation = pipe.model.config, getattr(pipe.model, "generation_config", None)
    said = (getattr(config, "task_specific_params", None) or {}).get(task.hub_task, {})
    known = {} if task.kind != "text2text" else {
        "num_beams": generation.num_beams or 1,
        "max_new_tokens": ANSWERS,
        **({"no_repeat_ngram_size": generation.no_repeat_ngram_size} if generation.no_repeat_ngram_size else {}),
    }  # fmt: skip
    return {
        "kind": task.kind,
        "task": task.name,
        "hub_task": task.hub_task,
        "folder": str(folder),
        "bundled": pipe.model.name_or_path,
        "inputs": str(work / "inputs.json"),
        "prefix": said.get("prefix", ""),
        "generate": known,
        "threads": args.threads,
        "work": str(work),
    }


def inputs_of(task: tasks.Task, source: str | None, count: int, seed: int) -> list:
    """So many different inputs, drawn from the split that the task is measured on and, where that has too few, from the
    train split. Raises `UserError` where both have."""
    from tasks import data

    draw, found = random.Random(seed), {}
    for split in (task.split, "train"):
        pool = list(data.read(task, source, split).inputs)
        for one in draw.sample(pool, len(pool)) if len(found) < count else ():
            one = " ".join(one["tokens"]) if task.kind == "token_classification" and isinstance(one, dict) else one
            found.setdefault(json.dumps(one), one)
    if len(found) < count:
        raise UserError(f"{task.name} has {len(found)} different inputs there: --samples {len(found)}")
    chosen = list(found.values())[:count]
    draw.shuffle(chosen)
    return chosen


def turns(name: str, arms: list[Arm], args: argparse.Namespace) -> None:
    """Each round every arm answers the same share of the inputs, one by one and then all at once; another one first."""
    for i in range(args.rounds):
        say(f"{name}: round {i + 1} of {args.rounds}")
        order = in_turn(arms, i)
        for each, count in ((True, args.singles), (False, args.samples)):
            first, last = count * i // args.rounds, count * (i + 1) // args.rounds
            for arm in order:
                told = arm.ask(first=first, last=last, each=each)
                if each:
                    arm.each += told["ms"]
                    arm.alone += told["answers"]
                else:
                    arm.whole.append(sum(told["ms"]) / (last - first))
                    arm.answers += told["answers"]


def figures(arm: Arm, own: Arm) -> dict:
    """Latency and throughput of an arm; how many times as fast ours is, with the least and the most of the rounds."""
    from scripts.latency import summary

    per_round = len(arm.each) // len(arm.whole)
    halves = [arm.each[i : i + per_round] for i in range(0, len(arm.each), per_round)][: len(arm.whole)]
    ours = [own.each[i : i + per_round] for i in range(0, len(own.each), per_round)]
    single = [median(theirs) / median(mine) for theirs, mine in zip(halves, ours, strict=False)]
    batch = [theirs / mine for theirs, mine in zip(arm.whole, own.whole, strict=True)]
    compared = [a == b for a, b in zip(arm.answers, own.answers, strict=True) if a is not None and b is not None]
    itself = [a == b for a, b in zip(arm.alone, arm.answers, strict=False) if a is not None]
    return {
        "versions": arm.versions,
        "latency_ms": summary(arm.each),
        "samples_per_s": 1000 * len(arm.whole) / sum(arm.whole),
        "duet_is_faster": {"latency": spread(single), "throughput": spread(batch)},
        "answers_equal_to_duet": sum(compared) / len(compared) if compared else None,
        "batch_equal_to_single": sum(itself) / len(itself) if itself else None,
    }


def spread(ratios: list[float]) -> dict[str, float]:
    """The median of the rounds' ratios, with the least and the most."""
    return {"median": median(ratios), "low": min(ratios), "high": max(ratios)}


def in_turn(arms: list[Arm], i: int) -> list[Arm]:
    """The arms in the order of round `i`: another one begins each round."""
    return arms[i % len(arms) :] + arms[: i % len(arms)]


# --- showing ---


def table(measured: dict) -> str:
    """Markdown: a row for each task and arm."""
    lines = ["| task | arm | p50 ms | p95 ms | samples/s | duet is faster: one input | many inputs | equal answers |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, task in measured.items():
        for arm, told in task["arms"].items():
            times, faster, equal = told["latency_ms"], told["duet_is_faster"], told["answers_equal_to_duet"]
            cells = [name, arm, f"{times['p50']:.1f}", f"{times['p95']:.1f}", f"{told['samples_per_s']:.0f}"]
            cells += [ratio(faster[key]) if arm != "duet" else "–" for key in ("latency", "throughput")]
            lines.append("| " + " | ".join([*cells, "–" if equal is None else f"{equal:.3f}"]) + " |")
        lines += [f"| {name} | {arm} | *{reason}* | | | | | |" for arm, reason in task["failed"].items()]
    return "\n".join(lines)


def ratio(told: dict) -> str:
    """8.12 × (7.90–8.30)"""
    return f"{told['median']:.2f} × ({told['low']:.2f}–{told['high']:.2f})"


def picture(measured: dict, file: Path) -> None:
    """The throughput ratios, a panel a task; the whiskers are the rounds'. Nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator
    except ImportError:
        say("no picture: pip install '.[report]'")
        return
    from scripts import looks

    with looks.settings():
        figure = Figure(figsize=(8, 1 + 1.1 * len(measured)), layout="constrained")
        cells = figure.subplots(-(-len(measured) // 2), 2, squeeze=False, sharex=True).flat
        for (name, task), cell in zip(measured.items(), cells, strict=False):  # in this order none is lost
            others = {arm: told["duet_is_faster"]["throughput"] for arm, told in task["arms"].items() if arm != "duet"}
            places, values = range(len(others)), [told["median"] for told in others.values()]
            low = [told["median"] - told["low"] for told in others.values()]
            high = [told["high"] - told["median"] for told in others.values()]
            cell.errorbar(values, places, xerr=[low, high], fmt="o", color="0.2", markersize=4, capsize=2)
            cell.set_yticks(places, others, fontsize=7)
            cell.axvline(1, color="0.2", linewidth=1)
            cell.set_xscale("log")
            cell.set_xticks(TICKS, map(str, TICKS))
            cell.xaxis.set_minor_locator(NullLocator())
            cell.set_title(name, fontsize=9)
            cell.tick_params(labelbottom=True)
        figure.supxlabel("times as many samples/s as the peer (log scale)", fontsize=9)
        for cell in list(cells):
            cell.set_axis_off()
        figure.savefig(file, dpi=150)


if __name__ == "__main__":
    raise SystemExit(main())
