"""The pictures of an experiment, from the content of its result file."""

from scripts.experiments.told import shapes
from scripts.experiments.told.drawing import Picture, bars, by_length, curve, head, legend, log, panels, style
from scripts.experiments.told.speed import CONTROLS, MEASURES, families_of

NAMED = {"lstm": "LSTM without attention", "lstm attention": "LSTM with attention"}  # in claim 3
SEEN = {"transformer": "T5", "lstm": "LSTM decoder"}
TRANSLATED = {"bleu": "BLEU (0-100)", "chrf": "chrF (0-100)"}


def of(data: dict) -> list[Picture]:
    """All pictures that the file has the figures for."""
    return [picture for draw in DRAWN[data["experiment"]] for picture in draw(data)]


# --- 1 ---


def sequential(data: dict) -> list[Picture]:
    times = shapes.times(data)
    pictures = []
    for control, words in CONTROLS.items():
        shown = [(measure, times[control, measure]) for measure in MEASURES if (control, measure) in times]
        if not shown:
            continue
        figure, cells = panels(2, -(-len(shown) // 2))
        for cell in cells[len(shown) :]:
            cell.set_axis_off()
        for cell, (measure, arms) in zip(cells, shown, strict=False):
            for arm, by in arms.items():
                each = list(by.values())
                curve(cell, arm, list(by), *([e[key] for e in each] for key in ("median", "q1", "q3")))
            log(cell.yaxis)
            by_length(cell, sorted({n for by in arms.values() for n in by}))
            unit = {"encode": "text", "decode": "token"}.get(measure, "step")
            head(cell, MEASURES[measure].capitalize(), "length, tokens (log scale)", f"time per {unit}, ms (log scale)")
        legend(figure, cells)
        caption = "Lines: medians; bands: from the lower to the upper quartile. Both axes are logarithmic: a straight "
        caption += "line is a power of the length, and the steeper it is the higher the power."
        pictures.append(Picture(f"time_{control}", f"Time against length, {words}", caption, figure))
    return pictures


def memory(data: dict) -> list[Picture]:
    sizes = shapes.sizes(data)
    shown = [(m, sizes["parameters", m]) for m in ("train_batch", "decode") if ("parameters", m) in sizes]
    if not shown:
        return []
    figure, cells = panels(len(shown))
    for cell, (measure, arms) in zip(cells, shown, strict=True):
        for arm, by in arms.items():
            kept = {n: each["kept_mb"] for n, each in by.items() if each.get("kept_mb")}
            cell.plot(list(kept), list(kept.values()), label=arm, **style(arm))
        log(cell.yaxis)
        by_length(cell, sorted({n for by in arms.values() for n in by}))
        what = "Kept for the backward pass" if measure == "train_batch" else "Cache or state behind a text"
        head(cell, what, "length, tokens (log scale)", "memory, MB (log scale)")
    legend(figure, cells)
    caption = "Counted, not timed: the tensors that a training step keeps, and those that decoding goes on from."
    return [Picture("memory", "Memory against length, equal parameters", caption, figure)]


# --- 2 ---


def profiles(data: dict) -> list[Picture]:
    found = shapes.profiles(data)
    if not found:
        return []
    figure, cells = panels(2, -(-len(found) // 2), width=5.2)
    for cell in cells[len(found) :]:
        cell.set_axis_off()
    for cell, ((task, length, when), arms) in zip(cells, found.items(), strict=False):
        for arm, each in arms.items():
            hidden = each["hidden"]
            some = [i for i, d in enumerate(each["distances"]) if d and hidden["median"][i] > 0]
            if some:
                first = hidden["median"][some[0]]
                lines = ([hidden[key][i] / first for i in some] for key in ("median", "low", "high"))
                curve(cell, arm, [each["distances"][i] for i in some], *lines, markevery=4)
        log(cell.yaxis)
        steps = length - 1
        head(cell, f"{when.capitalize()}, {task}, {steps} steps", "distance, steps", "gradient, 1 step back = 1 (log)")
    legend(figure, cells)
    caption = "‖∂loss at the last step / ∂h_t‖ by the distance to step t, as a share of its median one step back. "
    caption += "Lines: medians over seeds; bands: from the least to the greatest. A straight line is exponential decay."
    return [Picture("gradients", "Gradient against distance", caption, figure)]


def distance(data: dict) -> list[Picture]:
    found = shapes.distances(data)
    if not found:
        return []
    figure, cells = panels(1, width=7.5, height=3.8)
    for arm, by in found.items():
        columns = ([each[key] for each in by.values()] for key in ("median", "low", "high"))
        curve(cells[0], arm, list(by), *columns)
    cells[0].axhline(1 / 8, color="0.45", linestyle=(0, (1, 3)), linewidth=1.2, label="chance")
    by_length(cells[0], sorted({k for by in found.values() for k in by}))
    cells[0].set_ylim(0, 1.03)
    head(cells[0], "Which symbol was it, k steps ago?", "distance k, steps (log scale)", "share right (0-1)")
    legend(figure, cells)
    caption = "Each point is a model trained for that distance, with its best learning rate: median over seeds, bands "
    caption += "from the worst to the best."
    return [Picture("distance", "What it costs: accuracy against distance", caption, figure)]


def agreement(data: dict) -> list[Picture]:
    found = shapes.agreement(data)
    if not found:
        return []
    figure, cells = panels(3, width=3.9)
    sorts = {
        "attractors": ("Nouns of the other number", "nouns between", "nouns"),
        "same number": ("Nouns of the same number", "nouns between", "nouns"),
        "no noun": ("No noun between", "words between", "distance"),
    }
    for cell, (sort, (title, axis, key)) in zip(cells, sorts.items(), strict=True):
        for place, (model, rows) in enumerate(found.items()):
            own = [row for row in rows if row["sort"] == sort or not row["distance"]]  # all begin with nothing between
            own.sort(key=lambda row: row[key])
            bars(cell, model, [row[key] for row in own], [row["score"] for row in own], place, len(found))
        cell.axhline(0.5, color="0.45", linestyle=(0, (1, 3)), linewidth=1.2, label="chance")
        cell.set_ylim(0, 1.03)
        head(cell, title, axis, "right form preferred, share (0-1)")
    legend(figure, cells)
    caption = "How often a language model holds the verb's right form for the more probable one. Bars: 95 % intervals."
    return [Picture("agreement", "Subject and verb", caption, figure)]


# --- 3 ---


def translation(data: dict) -> list[Picture]:
    found = shapes.translation(data)
    if not found:
        return []
    figure, cells = panels(len(found), len(TRANSLATED), width=3.7, height=3.1)
    places = iter(cells)
    for metric, label in TRANSLATED.items():
        for hidden, arms in found.items():
            cell = next(places)
            for place, (arm, each) in enumerate(arms.items()):
                scores = [part["metrics"][metric] for part in each["bins"]]
                bars(cell, arm, range(len(scores)), scores, place, len(arms))
            parts = next(iter(arms.values()))["bins"]
            names = ["{}–{}".format(*part["words"]) for part in parts]
            cell.set_xticks(range(len(parts)), names, fontsize=7.5, rotation=45)
            cell.set_ylim(bottom=0)
            title = f"Hidden {hidden}" if hidden else "The bundled pair"
            head(cell, title, "length of the source, words", label)
    legend(figure, cells, NAMED)
    caption = "Sentences, and two to four of them joined, each read as one text. Bars: 95 % bootstrap intervals."
    return [Picture("translation", "Translation against the length of the source", caption, figure)]


def recall(data: dict) -> list[Picture]:
    found = shapes.recall(data)
    if not found:
        return []
    tasks = list(dict.fromkeys(task for task, _ in found))
    widths = sorted({hidden for _, hidden in found})
    figure, cells = panels(len(widths), len(tasks), width=3.7, height=3.1)
    for cell, (task, hidden) in zip(cells, ((t, h) for t in tasks for h in widths), strict=True):
        for place, (arm, each) in enumerate(found.get((task, hidden), {}).items()):
            bars(cell, arm, list(each["lengths"]), list(each["lengths"].values()), place, 3)
            edge = each["trained_up_to"] + 0.5
            cell.axvline(edge, color="0.45", linestyle=(0, (1, 3)), linewidth=1.2, label="longest trained on")
        what = "length, symbols" if task == "copy" else "pairs of key and value"
        cell.set_ylim(-0.03, 1.03)
        head(cell, f"{task.capitalize()}, hidden {hidden}", what, "exact match (0-1)")
    legend(figure, cells, NAMED)
    caption = "Behind the upright line lengths that training has not shown. Mean over seeds; bars: from the least to "
    caption += "the greatest end of the seeds' 95 % intervals."
    return [Picture("recall", "Copying and recalling against length", caption, figure)]


def attention(data: dict) -> list[Picture]:
    pictures = []
    for number, (text, models) in enumerate(shapes.attention(data).items()):
        longest = max(len(each["source"]) for each in models.values())
        figure, cells = panels(len(models), width=max(3.4, 0.26 * longest), height=max(2.6, 0.2 * longest + 1.4))
        for cell, (model, each) in zip(cells, models.items(), strict=True):
            shown = cell.imshow(each["weights"], cmap="Greys", vmin=0, vmax=1, aspect="auto")
            cell.set_xticks(range(len(each["source"])), each["source"], rotation=90, fontsize=7.5)
            cell.set_yticks(range(len(each["target"])), each["target"], fontsize=7.5)
            cell.grid(False)
            head(cell, SEEN.get(model, model), "source tokens", "written tokens")
        figure.colorbar(shown, ax=cells, label="weight (0-1)", shrink=0.8)
        caption = "Cross-attention while the bundled models translate: a row is a token being written and sums to 1. "
        caption += "T5: its last decoder layer, mean over the heads. The LSTM has one layer with one head."
        pictures.append(Picture(f"attention_{number + 1}", f"Where they look: “{text}”", caption, figure))
    return pictures


# --- 4 ---


def rates(data: dict) -> list[Picture]:
    pairs = shapes.costs(data)
    if not pairs:
        return []
    figure, cells = panels(2, width=max(4.6, 0.9 * len(pairs)))
    labels = (("tokens_per_s", "Speed", "tokens per second (log scale)"),
              ("real_tokens_per_padded", "Padding", "real tokens per padded token (0-1)"))  # fmt: skip
    for cell, (key, title, axis) in zip(cells, labels, strict=True):
        for place, arm in enumerate(("transformer", "lstm")):
            own = [pair["arms"][families_of(pair)[place]] for pair in pairs.values()]
            look = style(arm) | {"linestyle": "", "markersize": 7}
            cell.plot([i + 0.2 * place - 0.1 for i in range(len(own))], [e[key] for e in own], label=arm, **look)
        cell.set_xticks(range(len(pairs)), list(pairs), rotation=45)
        head(cell, title, "task", axis)
    log(cells[0].yaxis)
    cells[1].set_ylim(0, 1.03)
    legend(figure, cells)
    caption = "From the records of the bundled checkpoints' trainings. BERT arms are larger and start from a "
    caption += "pretrained encoder; translate, summarize and complete compare new models of like size."
    return [Picture("training_speed", "Training speed and padding", caption, figure)]


def losses(data: dict) -> list[Picture]:
    pairs = {task: pair for task, pair in shapes.costs(data).items() if pair["to_loss"] or pair["to_score"]}
    if not pairs:
        return []
    across = min(3, len(pairs))
    figure, cells = panels(across, -(-len(pairs) // across), width=3.9, height=3.1)
    for cell in cells[len(pairs) :]:
        cell.set_axis_off()
    for cell, (task, pair) in zip(cells, pairs.items(), strict=False):
        key, label = ("scores", pair["metric"]) if pair["to_score"] else ("losses", "training loss per target")
        for family, arm in pair["arms"].items():
            minutes, values = zip(*arm[key], strict=True)
            look = style("lstm" if family == "lstm" else "transformer") | {"markersize": 3}
            cell.plot(minutes, values, label="lstm" if family == "lstm" else "transformer", **look)
        log(cell.xaxis)
        head(cell, task, "training time, minutes (log scale)", label)
    legend(figure, cells)
    caption = "The training loss is that of the batches, dropout and label smoothing included, and both arms have the "
    caption += "same loss function in these tasks."
    return [Picture("training_time", "Time to a level", caption, figure)]


DRAWN = {
    "sequential": (sequential, memory),
    "gradients": (profiles, distance, agreement),
    "bottleneck": (recall, translation, attention),
    "costs": (rates, losses),
}
