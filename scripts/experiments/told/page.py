"""The experiments as one HTML file, the plots beside it, and the verdicts as text: from result files alone.

The page has everything inside (styles, pictures as data URIs), no script, and a policy that forbids the network.
"""

import base64
import hashlib
import json
from pathlib import Path

from scripts import looks, page, results
from scripts.experiments import PARTS, store
from scripts.experiments.told import plots, shapes, tables, verdicts, words

SIGNS = {True: "+", False: "-", None: "?"}  # the claim holds, it doesn't, the case tells nothing
TEMPLATE = Path(__file__).with_name("why.html.jinja")


def read(folder: Path) -> list[dict]:
    """The result files of a folder, by experiment and device. Raises `UserError` for one that is something else."""
    found, order = [store.read(file) for file in sorted(folder.glob("*--*.json"))], list(PARTS)
    known = [data for data in found if data["experiment"] in order]
    return sorted(known, key=lambda data: order.index(data["experiment"]))


def device_of(data: dict) -> str:
    return data["environment"]["device"]


def lines(data: dict) -> list[str]:
    """The verdicts of an experiment as lines of text: the claim, the verdict, its cases."""
    head = f"{words.TITLES[data['experiment']]} ({device_of(data)}{', quick' if data['quick'] else ''})"
    told = [head, "-" * len(head)]
    for verdict in verdicts.of(data):
        told.append(f"{verdict.claim}\n  → {verdict.word}")
        told += [f"  {verdict.instead}"] if verdict.instead else []
        told += [f"  {SIGNS[case.holds]} {case}" for case in verdict.cases]
    return told


def markdown(folder: Path) -> str:
    """The claims and their verdicts, a column per device, as a table for the README; "" without results."""
    found = read(folder)
    devices = _devices(found)
    rows = [[claim, *words] for claim, words in _overview(found, devices)]
    lines = [["claim", *devices], ["---"] * (1 + len(devices)), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) if rows else ""


def write(folder: Path) -> list[Path]:
    """Writes `report.html`, and `plots/<name>--<device>.png` and `.svg`; returns what was written.

    Raises `UserError` where matplotlib or jinja2 is missing.
    """
    looks.need()
    found, written = read(folder), []
    with looks.settings():
        pictures = {}
        for data in found:
            stamp = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
            own = pictures.setdefault((data["experiment"], device_of(data)), [])
            for picture in plots.of(data):
                picture.figure.draw_without_rendering()
                picture.figure.set_layout_engine("none")  # laid out once, not for each format anew
                svg = looks.svg(picture.figure)
                for suffix, content in ((".svg", svg), (".png", looks.png(picture.figure, stamp))):
                    written.append(folder / "plots" / f"{picture.name}--{device_of(data)}{suffix}")
                    results.write_bytes(written[-1], content)
                source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
                own.append({"title": picture.title, "caption": picture.caption, "source": source})
    written.append(folder / "report.html")
    results.write_text(written[-1], rendered(found, pictures))
    return written


def rendered(found: list[dict], pictures: dict) -> str:
    """The page. `pictures`: (experiment, device) → [{"title", "caption", "source"}]."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = page.TEMPLATE.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]  # one look
    devices = _devices(found)
    names = list(dict.fromkeys(data["experiment"] for data in found))
    quick = [words.TITLES[data["experiment"]] for data in found if data["quick"]]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        style=style,
        quick=", ".join(dict.fromkeys(quick)),
        devices=devices,
        overview=_overview(found, devices),
        hardware=[(device, _hardware(found, device)) for device in devices],
        sections=[_section(name, [d for d in found if d["experiment"] == name], pictures) for name in names],
    )


def _devices(found: list[dict]) -> list[str]:
    return sorted({device_of(data) for data in found})


def _overview(found: list[dict], devices: list[str]) -> list[tuple[str, list[str]]]:
    """(claim, verdict on each device)"""
    said: dict[str, dict[str, str]] = {}
    for data in found:
        for verdict in verdicts.of(data):
            said.setdefault(verdict.claim, {})[device_of(data)] = verdict.word
    return [(claim, [by.get(device, "not measured") for device in devices]) for claim, by in said.items()]


def _hardware(found: list[dict], device: str) -> str:
    where = [data["environment"] for data in found if device_of(data) == device]
    return "; ".join(dict.fromkeys(f"{e['hardware']}, {e['threads']} threads, torch {e['torch']}" for e in where))


def _section(name: str, found: list[dict], pictures: dict) -> dict:
    known = words.KNOWN[name]
    return {
        "name": name,
        "title": words.TITLES[name],
        "asked": words.ASKED[name],
        "setting": list(dict.fromkeys(line for data in found for line in words.setting(data))),
        "devices": [_device(data, pictures.get((name, device_of(data)), [])) for data in found],
        "why": words.WHY[name],
        "known_for": [text for text, supports in known if supports],
        "known_against": [text for text, supports in known if not supports],
        "limits": words.LIMITS[name],
    }


def _device(data: dict, pictures: list[dict]) -> dict:
    where = data["environment"]
    keys = ("hardware", "threads", "torch", "transformers", "python")
    said = [f"{key} {where[key]}" for key in keys if where.get(key)]
    seconds = sum(each.get("seconds", 0) for each in data["units"])
    commits = ", ".join(sorted({each["commit"] for each in data["units"] if each.get("commit")}))
    return {
        "device": device_of(data) + (", quick settings" if data["quick"] else ""),
        "verdicts": verdicts.of(data),
        "errors": shapes.errors(data),
        "pictures": pictures,
        "tables": tables.of(data),
        "made": f"Made with {', '.join(said)}, commit {commits or 'unknown'}, in {seconds / 60:.1f} minutes.",
    }
