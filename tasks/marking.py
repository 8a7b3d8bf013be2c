"""What NER adds to the command line: its flag, and the text with its names marked, in colour on a terminal."""

import os
import sys

from tasks.flags import one_of

STYLES = {"PER": "black on cyan", "ORG": "black on green", "LOC": "black on yellow", "MISC": "black on magenta"}
OTHER = "black on white"
STRATEGIES = ("none", "simple", "first", "average", "max")
FLAGS = (
    (
        "--aggregation-strategy",
        {
            "type": one_of("aggregation strategy", STRATEGIES),
            "default": "simple",
            "metavar": "S",
            "help": f"how pieces make an entity: {' | '.join(STRATEGIES)} (default simple)",
        },
    ),
)
BLANK = dict.fromkeys([*range(32), 127], " ")  # line breaks and what a terminal would obey; every place stays


def reader(task, pipe) -> tuple:
    """The pipeline, and of its outputs: the value for programs, the fields for people, what is printed."""

    def plain(output: list[dict], text: str, alone: bool) -> str:
        return marked(output, text, alone, sys.stdout.isatty())

    return pipe, lambda output: output, fields, plain


def fields(entities: list[dict]) -> list[str]:
    """[type, name, type, name, …], a dash where there are none."""
    return [field for entity in entities for field in (_type(entity), entity["word"])] or ["–"]


def marked(entities: list[dict], text: str, alone: bool, terminal: bool) -> str:
    """What is printed for a text.

    Piped, of one text: a line an entity, `type name start end score` by tabs. Piped, of several: the text on one line,
    `[PER Ann Lee] lives in [LOC Oslo].` On a terminal the same in colour; of one text the scores go below.
    """
    rows = [
        [_type(e), e["word"].translate(BLANK), str(e["start"]), str(e["end"]), f"{e['score']:.4f}"] for e in entities
    ]
    if alone and not terminal:
        return "\n".join("\t".join(row) for row in rows)
    if not terminal:
        return "".join(f"[{kind} {part}]" if kind else part for kind, part in _parts(entities, text))
    width = max((len(row[0]) for row in rows), default=0)
    below = [f"  {kind:{width}}  {score}  {name}" for kind, name, _, _, score in rows] if alone else []
    return "\n".join([_coloured(entities, text), *below])


def _type(entity: dict) -> str:
    return entity.get("entity_group") or entity["entity"]


def _parts(entities: list[dict], text: str):
    """(type, piece of text), "" as the type between entities."""
    done = 0
    for entity in entities:
        yield "", text[done : entity["start"]].translate(BLANK)
        yield _type(entity), text[entity["start"] : entity["end"]].translate(BLANK)
        done = entity["end"]
    yield "", text[done:].translate(BLANK)


def _coloured(entities: list[dict], text: str) -> str:
    from rich.console import Console
    from rich.text import Text

    line = Text()
    for kind, part in _parts(entities, text):
        if kind:
            line.append(f" {part} [{kind}] ", STYLES.get(kind.removeprefix("B-").removeprefix("I-"), OTHER))
        else:
            line.append(part)
    # rich asks the `os.environ` of its import, and `datasets` puts another in place when it maps in several processes
    console = Console(force_terminal=True, no_color=bool(os.environ.get("NO_COLOR")))
    with console.capture() as capture:
        console.print(line, soft_wrap=True)
    return capture.get().rstrip("\n")
