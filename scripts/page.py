"""The report as one HTML file, and the pictures that the README shows: from result files and what lies beside them.

Everything is inside the file (styles, pictures as data URIs), it has no script, and its own policy forbids the network.
Rows of data sets are shown only where they are this project's samples, or on demand: most may not be given on.
"""

import base64
import hashlib
import json
from pathlib import Path

import tasks
from pipelines.errors import UserError
from scripts import compared, looks, plots, results, tables
from tasks import shown

TEMPLATE = Path(__file__).with_name("report.html.jinja")
LONGEST = 1200  # characters of a field of an example
PICTURES = {"quality_latency.png": plots.LATENCY, "quality_size.png": plots.SIZE}


def stamp(folder: Path) -> str:
    """What a report was made from, in a word: a digest of the result files and the records of training."""
    digest = hashlib.sha256()
    for file in [*sorted(folder.glob("*.json")), *sorted((folder / "training").glob("*.json"))]:
        content = json.dumps(json.loads(file.read_text(encoding="utf-8")), sort_keys=True)
        digest.update(f"{file.name}\n{content}\n".encode())
    return digest.hexdigest()


def mark(folder: Path, examples: bool) -> str:
    """The line of the page that says what it was made from."""
    return f'<meta name="duet-made-from" content="{stamp(folder)}{" with examples" if examples else ""}">'


def stale(folder: Path, page: Path, examples: bool) -> list[str]:
    """Files that are missing or were made from other results, or with other flags; cheap: it draws nothing."""
    wanted = {page: mark(folder, examples)}
    if any("metrics" in result for result in results.read(folder)):
        wanted |= {page.with_name(name): stamp(folder) for name in PICTURES}
    return [str(file) for file, word in wanted.items() if not file.is_file() or word.encode() not in file.read_bytes()]


def write(folder: Path, page: Path, examples: bool = False) -> None:
    """Writes the page, and the README's pictures beside it. Raises `UserError` where a library is missing."""
    looks.need()
    found = results.read(folder)
    with looks.settings():
        overview = []
        for name, axis in PICTURES.items():
            figure = plots.quality_against(found, axis)
            if figure:
                results.write_bytes(page.with_name(name), looks.png(figure, stamp(folder)))
                overview.append(_picture(figure, plots.in_words(found, axis)))
        text = _render(folder, found, overview, examples)
    results.write_text(page, text)


def _render(folder: Path, found: list[dict], overview: list[dict], examples: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    groups, arms = tables.groups(found), looks.Arms(found)
    runs = tables.trainings(folder / "training")
    names = list(dict.fromkeys(rows[0]["task"] for rows in groups))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        stamp=mark(folder, examples),
        brief=_brief(groups),
        overview=overview,
        verdicts=[(rows[0]["task"], tables.device_of(rows[0]), verdict(rows)) for rows in groups if verdict(rows)],
        sections=[
            _section(name, [g for g in groups if g[0]["task"] == name], folder, examples, arms) for name in names
        ],
        trainings={name: _table(tables.training_columns(), own) for name in names if (own := _of(runs, name))},
        few=compared.FEW,
        seed=compared.SEED,
    )


def _of(runs: list[dict], task: str) -> list[dict]:
    return [run for run in runs if run.get("task") == task]


def _picture(figure, alt: str) -> dict:
    """What an <img> needs. As an image of its own the SVG shares no ids with the others and runs nothing."""
    data = base64.b64encode(looks.svg(figure)).decode()
    return {"source": f"data:image/svg+xml;base64,{data}", "alt": alt}


def _table(columns: list[tables.Column], rows: list[dict]) -> dict:
    cells = [column.cells(rows) for column in columns]
    return {"head": [column.header for column in columns], "rows": list(zip(*cells, strict=True))}


def _brief(groups: list[list[dict]]) -> dict:
    parts = [_table(tables.brief_of(rows), rows) for rows in groups]
    return {"head": parts[0]["head"] if parts else [], "groups": [part["rows"] for part in parts]}


def verdict(rows: list[dict]) -> str:
    """The task's own pairing in a sentence: which is better by how much, which is quicker and smaller; "" without."""
    pair = {row["model"]: row for row in rows if "metrics" in row}
    if not {"transformer", "lstm"} <= set(pair):
        return ""
    ours, theirs = pair["transformer"], pair["lstm"]
    said = [_better(ours)] if (ours["significance"] or {}).get("against") == "lstm" else []
    for quick, slow in ((ours, theirs), (theirs, ours)):
        times = [(row["latency_ms"] or {}).get("p50") for row in (quick, slow)]
        if all(times) and times[1] / times[0] >= 1.05:
            said.append(f"the {quick['model']} answers {times[1] / times[0]:.1f} times as fast (p50)")
    for small, large in ((ours, theirs), (theirs, ours)):
        if small["size_mb"] and large["size_mb"] / small["size_mb"] >= 1.05:
            said.append(f"the {small['model']} takes {1 - small['size_mb'] / large['size_mb']:.0%} less space")
    return "; ".join(said) or "no difference worth a word"


def _better(row: dict) -> str:
    test = row["significance"]
    metric = row["metrics"][test["metric"]]
    if test["p_value"] > 0.05:
        return f"neither is shown to be better in {test['metric']}: {tables.difference(test['delta'], row)}"
    ahead = (test["delta"] < 0) == bool(metric.get("lower_is_better"))
    by = f"{tables.score(metric, abs(test['delta']))} {test['metric']} (p {tables.chance(test['p_value'])})"
    return f"the {'transformer' if ahead else test['against']} is better by {by}"


# --- a task's section ---


def _section(name: str, groups: list[list[dict]], folder: Path, examples: bool, arms: looks.Arms) -> dict:
    parts, told, metrics = [], set(), _metrics(name)
    for rows in groups:
        by_row = _of_rows(rows, metrics, folder, examples, arms)
        if tables.data_of(rows[0]) in told:  # another device answers alike: once is enough
            by_row |= {"examples": [], "hidden": False}
        if by_row["examples"] or by_row["hidden"]:
            told.add(tables.data_of(rows[0]))
        parts.append(
            {
                "caption": f"{tables.measured_on(rows[0])}; {tables.device_of(rows[0])}",
                "table": _table(tables.columns_of(rows)[1:], rows),  # the section says which task it is
                "made": _made_with(rows[0]["environment"]),
                "by_row": by_row,
            }
        )
    return {"name": name, "about": _about(name, groups[0], metrics), "groups": parts}


def _task(name: str) -> tasks.Task | None:
    """The task; None where there are results of one that this version does not have."""
    try:
        return tasks.load(name)
    except UserError:
        return None


def _metrics(name: str) -> dict:
    """{key in a result file: `tasks.metric.Metric`} of a task; {} for one that this version does not have."""
    from tasks.metrics import metrics_of

    task = _task(name)
    return {metric.key: metric for metric in metrics_of(task)} if task else {}


def _about(name: str, rows: list[dict], metrics: dict) -> list[tuple[str, str]]:
    """What is known of the task: what it asks, arms, licences, floor, metrics."""
    task, about = _task(name), []
    if task:
        licences = [f"{source}: {licence}" for source, licence in task.licences.items()]
        about = [
            ("task", f"{task.title} ({task.hub_task})"),
            ("arms", " and ".join(task.families)),
            ("licences of the data", "; ".join(licences)),
            ("floor", task.floor),
        ]
    measured = next((row["metrics"] for row in rows if "metrics" in row), {})
    about += [(key, " ".join(metrics[key].__doc__.split("\n\n")[0].split())) for key in measured if key in metrics]
    return [(word, text) for word, text in about if text]


def _made_with(where: dict) -> str:
    said = [f"{key} {where[key]}" for key in ("torch", "transformers", "python", "system", "commit") if where.get(key)]
    return ", ".join([*said, f"seed {where['seed']}"])


def _of_rows(rows: list[dict], metrics: dict, folder: Path, examples: bool, arms: looks.Arms) -> dict:
    """What can be told row by row: examples, quality and latency by length; and what is missing for it."""
    scored = [row for row in rows if "metrics" in row]
    metric = metrics.get(tables.primary(scored[0])[0]) if scored else None
    found, missing = {}, []
    for row in scored:
        records = compared.predictions(folder, row)
        if records and metric is not None and compared.agrees(metric, row, records):  # an empty `Metric` is falsy
            found[row["model"]] = records
        else:
            missing.append(f"{row['model']} ({'not those of this result' if records else 'not here'})")
    told = {"missing": missing, "figure": None, "bins": None, "hidden": False, "examples": []}
    if not found:
        return told
    lengths = [compared.words(record["input"]) for record in next(iter(found.values()))]
    bins = compared.by_length(metric, found)
    times = {row["model"]: compared.timed(folder, row, lengths) for row in scored if row["family"] != "floor"}
    figure = plots.by_length(scored, bins, {model: points for model, points in times.items() if points}, arms)
    if figure:
        told["figure"] = _picture(figure, _lengths_in_words(bins))
    if bins:
        told["bins"] = {
            "head": ["words", "rows", *found],
            "rows": [
                [part.words, f"{part.rows:,}", *map(tables.with_interval, part.quality.values())] for part in bins
            ],
        }
    if examples or rows[0]["data"]["source"] == "samples":
        told["examples"] = [(what, [_example(e) for e in some]) for what, some in compared.examples(scored, found)]
    else:
        told["hidden"] = True
    return told


def _lengths_in_words(bins: list[compared.Bin]) -> str:
    said = [
        f"{part.words} words: " + ", ".join(f"{model} {tables.with_interval(q)}" for model, q in part.quality.items())
        for part in bins
    ]
    return f"Quality and latency by length of the input. {'; '.join(said)}."


def _example(example: compared.Example) -> dict:
    source, right = shown.text(example.input), shown.text(example.references)
    return {
        "index": example.index,
        "input": clipped(source),
        "references": "" if right == source else clipped(shown.text(example.references, source)),  # a text to complete
        "answers": [
            (name, clipped(shown.text(answer, source)), f"{score:.3g}") for name, answer, score in example.answers
        ],
    }


def clipped(text: str) -> str:
    """The text; what is very long is cut, and says so."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST:,} characters more)"
