"""The pages under `docs/` say what is so: their Python answers as written, what they link to and name is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ELSEWHERE = ("# needs the network", "# needs gradio")
MIGRATING = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")


def run(block: str, names: dict) -> int:
    """Runs a block; how many of its expressions gave what is said behind `# → `."""
    lines, right = block.splitlines(), 0
    for node in ast.parse(block).body:
        said = lines[node.end_lineno - 1].partition("  # → ")[2]
        code = ast.unparse(node)
        if said:
            assert repr(eval(code, names)) == said, code
            right += 1
        else:
            exec(code, names)
    return right


def test_the_python_of_the_page_on_migrating_runs_and_answers_as_it_says():
    blocks = [block for kind, block in FENCE.findall(MIGRATING) if kind == "python"]
    here = [block for block in blocks if not block.startswith(ELSEWHERE)]
    assert (len(blocks), len(here)) == (6, 4)
    names: dict = {}
    assert sum(run(block, names) for block in here) == 4
    for block in blocks:
        ast.parse(block)


def test_a_wrong_answer_would_be_seen():
    with pytest.raises(AssertionError):
        run("1 + 1  # → 3", {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_and_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for name in re.findall(r"\b((?:tests|examples|scripts|pipelines|tasks|docs)/[\w/.-]+\.\w+)", text):
        assert (ROOT / name).exists(), name
