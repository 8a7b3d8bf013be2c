"""How pictures of results look: names, markers, colours, settings, bytes. Knows matplotlib; knows no figure.

Every arm has a marker and a colour of its own that can be told apart in grey; filled is the first device, hollow the
second.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from pipelines.errors import UserError

PAIRING = {"transformer": ("o", "#1f4e8c"), "lstm": ("s", "#e8902e")}  # marker and colour
OTHERS = (("^", "#1a936f"), ("D", "#8d3b72"), ("v", "#222222"), ("P", "#7a7a00"), ("X", "#5aa9e6"), ("*", "#b22222"))
FLOOR = "0.45"  # grey
FILLS = ("full", "none", "left", "right")
SETTINGS = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the bytes do not depend on what is installed
    "font.size": 9,
    "text.parse_math": False,  # a model's name may hold a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "duet",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def need() -> None:
    """Raises `UserError` where matplotlib or jinja2 is missing; both come with the extra `report`."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(f"the report needs {error.name}: pip install '.[report]'") from error


class Arms:
    """Names and looks of the arms of some results: an arm that is in several tasks looks the same in all."""

    def __init__(self, found: list[dict]):
        self.names = short_names(found)
        others = sorted({name for name in self.names.values() if name not in (*PAIRING, "floor")})
        self.marks = PAIRING | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}
        self.devices = sorted({row["environment"]["device"] for row in found})

    def name(self, row: dict) -> str:
        return clipped(self.names[row["task"], row["model"]])

    def mark(self, row: dict) -> tuple[str, str]:
        """Marker and colour; a floor has a grey dash."""
        return ("_", FLOOR) if row.get("family") == "floor" else self.marks[self.names[row["task"], row["model"]]]

    def fill(self, device: str) -> dict:
        """The settings of a mark that tell the devices apart."""
        style = FILLS[self.devices.index(device) % len(FILLS)]
        return {"fillstyle": style, "markerfacecoloralt": "white", "markeredgewidth": 1.3}


def short_names(found: list[dict]) -> dict[tuple[str, str], str]:
    """{(task, model): name in a legend}: the last part of a folder or id, less the task's name in front; the whole name
    where two models of a task, or a model and the task's own, would be called alike."""
    names = {}
    for task, model in sorted({(row["task"], row["model"]) for row in found}):
        last = PurePath(model).name or model
        names[task, model] = last.removeprefix(f"{task}-") or last
    taken = [(task, name) for (task, _), name in names.items()]
    own = (*PAIRING, "floor")
    return {
        (task, model): model if (name in own) or taken.count((task, name)) > 1 else name
        for (task, model), name in names.items()
    }


def clipped(text: str, most: int = 44) -> str:
    """The text with its middle left out where it is long; a space before "_", as matplotlib hides such labels."""
    half = (most - 1) // 2
    short = text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
    return f" {short}" if short.startswith("_") else short


def quality_label(name: str, metric: dict) -> str:
    """Title of an axis that shows the metric: its range, and which way is better where that is down."""
    lower = "\nlower is better: upside down" if metric.get("lower_is_better") else ""
    return f"{name} ({metric['range']}){lower}"


@contextmanager
def settings() -> Iterator[None]:
    """Inside, figures are drawn with this project's settings, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def png(figure, stamp: str, dpi: int = 120) -> bytes:
    """The picture in 256 colours (a third of the bytes), with `stamp` (what it was made from) in its metadata. The same
    figure gives the same bytes."""
    from PIL import Image, PngImagePlugin

    drawn, file, notes = io.BytesIO(), io.BytesIO(), PngImagePlugin.PngInfo()
    figure.savefig(drawn, format="png", dpi=dpi)
    notes.add_text("Source", stamp)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "png", pnginfo=notes, optimize=True)
    return file.getvalue()


def svg(figure) -> bytes:
    """The picture as SVG; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
