"""The numbers behind the pictures, as tables of texts: {"title", "head", "rows"}."""

import math

from scripts.experiments.told import fits, shapes
from scripts.experiments.told.claims import interval
from scripts.experiments.told.speed import CONTROLS, MEASURES, with_ends


def of(data: dict) -> list[dict]:
    """All tables that the file has the figures for."""
    made = [make(data) for make in MADE[data["experiment"]]]
    return [table for tables in made for table in (tables if isinstance(tables, list) else [tables]) if table["rows"]]


def _table(title: str, head: list[str], rows: list[list]) -> dict:
    return {"title": title, "head": head, "rows": [[str(cell) for cell in row] for row in rows]}


def _times(data: dict) -> list[dict]:
    tables = []
    for (control, measure), arms in shapes.times(data).items():
        lengths = sorted({n for by in arms.values() for n in by})
        rows = []
        for arm, by in arms.items():
            cells = [_median(by.get(n)) for n in lengths]
            fitted = [shapes.slopes(by), shapes.slopes(by, shapes.longer(by))]
            rows.append([arm, *cells, *("–" if math.isnan(fit["slope"]) else with_ends(fit) for fit in fitted)])
        title = f"{MEASURES[measure]}, {CONTROLS[control]}: ms, median [lower, upper quartile]"
        tables.append(_table(title, ["arm", *(f"{n:,}" for n in lengths), "all lengths", "longer half"], rows))
    return tables


def _median(each: dict | None) -> str:
    return f"{each['median']:.3g} [{each['q1']:.3g}, {each['q3']:.3g}]" if each else "–"


def _crossings(data: dict) -> dict:
    rows = []
    for (control, measure), arms in shapes.times(data).items():
        theirs = arms.get("transformer", {})
        for arm in filter(shapes.recurrent, arms):
            both = [n for n in arms[arm] if n in theirs]
            if both:
                medians = [[by[n]["median"] for n in both] for by in (arms[arm], theirs)]
                found = fits.crossings(both, *medians)
                first, last = (arm if medians[0][i] < medians[1][i] else "transformer" for i in (0, -1))
                at = ", ".join(f"{n:,.0f}" for n in found) or "they do not cross"
                rows.append([MEASURES[measure], CONTROLS[control], arm, first, at, last])
    head = ["measure", "control", "network", "cheaper at the shortest", "crossing, tokens", "cheaper at the longest"]
    return _table("Where the curves of recurrent networks and of the Transformer cross", head, rows)


def _sizes(data: dict) -> dict:
    rows = []
    for (control, measure), arms in shapes.sizes(data).items():
        for arm, by in arms.items():
            last = max(by)
            each, first = by[last], by[min(by)]
            kept = f"{first['kept_mb']:g} → {each['kept_mb']:g}" if "kept_mb" in each else "–"
            cuda = [f"{each[key]:,}" if key in each else "–" for key in ("launches", "peak_mb")]
            counted = [f"{each[key]:,}" for key in ("parameters", "steps")]
            rows.append([MEASURES[measure], CONTROLS[control], arm, *counted, kept, *cuda])
    head = ["measure", "control", "arm", "parameters", "steps in a row", "MB kept", "kernel launches", "peak MB"]
    return _table("Counted at the longest length (memory: from the shortest to the longest)", head, rows)


def _profiles(data: dict) -> dict:
    rows = []
    for (task, _, when), arms in shapes.profiles(data).items():
        for arm, each in arms.items():
            half = "∞" if math.isinf(each["half_distance"]) else f"{each['half_distance']:.3g}"
            zero = each["float32_zero_from"]
            decay = [f"{each['per_step']:.4g}", half, f"{each['far']:.3g}"]
            right = "–" if each["score"] is None else f"{each['score']:.2f}"
            rows.append([task, each["reach"], when, arm, right, *decay, "–" if zero is None else zero])
    head = ["task", "steps back", "state", "arm", "share right", "factor a step", "half-distance, steps",
            "left at the farthest", "0 in float32 from"]  # fmt: skip
    return _table("Decay of ‖∂loss/∂h_t‖, medians over seeds", head, rows)


def _distances(data: dict) -> dict:
    found = shapes.distances(data)
    known = sorted({k for by in found.values() for k in by})
    rows = []
    for arm, by in found.items():
        rows.append([arm, *(_right(by.get(k)) for k in known)])
    head = ["arm", *(f"{k:,}" for k in known)]
    return _table("Share right by distance: median [least, greatest] of the seeds (best learning rate)", head, rows)


def _right(each: dict | None) -> str:
    return "{median:.2f} [{low:.2f}, {high:.2f}] ({rate:g})".format(**each) if each else "–"


def _agreement(data: dict) -> dict:
    rows = [
        [model, row["sort"], row["nouns"], f"{row['distance']:g}", row["sentences"], interval(row["score"])]
        for model, some in shapes.agreement(data).items() for row in some
    ]  # fmt: skip
    return _table("Agreement", ["model", "between", "nouns", "words", "sentences", "right form preferred"], rows)


def _recall(data: dict) -> list[dict]:
    tables: dict[str, list] = {}
    for (task, hidden), arms in shapes.recall(data).items():
        for arm, each in arms.items():
            cells = [interval(score) for score in each["lengths"].values()]
            row = [hidden, arm, f"{each['parameters']:,}", f"{each['rate']:g}", each["seeds"], *cells]
            tables.setdefault(task, [[f"{n:,}" for n in each["lengths"]]]).append(row)
    head = ["hidden", "arm", "parameters", "learning rate", "seeds"]
    return [_table(f"{task}: exact match by length", [*head, *first], rows) for task, (first, *rows) in tables.items()]


def _translation(data: dict) -> list[dict]:
    tables = []
    for hidden, arms in shapes.translation(data).items():
        rows = [
            [arm, f"{each['parameters']:,}", "{}–{}".format(*part["words"]), part["rows"], f"{part['mean_joined']:g}",
             *(interval(part["metrics"][metric], 1) for metric in ("bleu", "chrf")), part["length_ratio"]]
            for arm, each in arms.items() for part in each["bins"]
        ]  # fmt: skip
        head = ["arm", "parameters", "words", "rows", "sentences joined", "BLEU", "chrF", "answer/reference, words"]
        title = f"hidden {hidden}" if hidden else "the bundled pair"
        tables.append(_table(f"Translation, {title}", head, rows))
    return tables


def _trained(data: dict) -> dict:
    rows = []
    for hidden, arms in shapes.translation(data).items():
        for arm, each in arms.items():
            if record := each.get("training"):
                numbers = [f"{record[key]:,}" for key in ("parameters", "steps")]
                numbers += [f"{record['epochs']:g}", f"{record['tokens_per_s']:,.0f}", f"{record['minutes']:.3g}"]
                rows.append([hidden, arm, *numbers])
    head = ["hidden", "arm", "parameters", "steps", "epochs", "tokens/s", "minutes"]
    return _table("How these translators were trained", head, rows)


def _costs(data: dict) -> dict:
    rows = []
    for task, pair in shapes.costs(data).items():
        level = pair["to_score"] or pair["to_loss"]
        for family, arm in pair["arms"].items():
            to = f"{level['minutes'][family]:.3g}" if level else "–"
            score = "–" if arm["score"] is None else f"{arm['score']:.4g}"
            targets = f"{arm['target_tokens_per_s']:,.0f}" if arm.get("target_tokens_per_s") else "–"
            numbers = [f"{arm['parameters'] / 1e6:.2f}", f"{arm['tokens_per_s']:,.0f}", targets]
            numbers += [f"{arm[key]:.3g}" for key in ("real_tokens_per_padded", "minutes", "minutes_to_best")]
            rows.append([task, family, *numbers, to, score])
    head = ["task", "family", "parameters, M", "tokens/s", "target tokens/s", "real per padded token", "minutes",
            "to its best", "to the level both reach", "score"]  # fmt: skip
    return _table("Training, from the records (the score is the task's first metric, validation)", head, rows)


MADE = {
    "sequential": (_times, _crossings, _sizes),
    "gradients": (_profiles, _distances, _agreement),
    "bottleneck": (_recall, _translation, _trained),
    "costs": (_costs,),
}
