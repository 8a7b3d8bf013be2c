"""The report: tables and pictures of results, for the README and as one HTML page.

    python -m scripts.report                    # results/*.json → README.md, results/report.html and PNGs beside it
    python -m scripts.report --check            # exit status 1 where these show something else than the files
    python -m scripts.report --html my.html --examples      # the page alone, with rows of the data sets

The page needs the extra `report` (matplotlib); checking needs nothing. Rows of data sets are left out of the page
unless `--examples` asks for them, because most may not be given on.
"""

import argparse
import os
import sys
from pathlib import Path

from pipelines.errors import UserError
from scripts import benchmark_tables, results
from scripts.experiments.told import page as why
from scripts.tables import sweeps, tables, training
from tasks.flags import Parser

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def block(folder: Path, pictures: str | None = None) -> str:
    """All that stands between the README's markers. `pictures` is the folder of the PNGs as the README says it."""
    found = results.read(folder)
    parts = [tables(found) or "No results yet: `python -m scripts.harness` makes them."]
    if pictures is not None and any("metrics" in result for result in found):
        at = f"{pictures}/" if pictures not in ("", ".") else ""
        parts.insert(
            0, f"![Quality against latency, a panel per task; the tables have the numbers]({at}quality_latency.png)"
        )
        parts.insert(1, f"![Quality against size, a panel per task; the tables have the numbers]({at}quality_size.png)")
    also = {
        "On data of a kind that the models were not trained on:": tables(results.read(folder / "zero-shot")),
        "How the bundled checkpoints were trained:": training(folder / "training"),
        "What one changed setting of an LSTM recipe gave in short trainings, on validation (`results/sweeps/` has all "
        "trials; some recipes have changed since):": sweeps(folder / "sweeps"),
        "What is said of RNNs, and what was measured (`results/why/report.html` has rules, cases and figures):": (
            why.markdown(folder / "why")
        ),
        benchmark_tables.THROUGHPUT: benchmark_tables.throughput(folder / "benchmark"),
        benchmark_tables.TRAINING: benchmark_tables.training(folder / "benchmark"),
    }
    parts += [f"{said}\n\n{table}" for said, table in also.items() if table]
    return "\n\n".join(parts)


def refreshed(readme: str, folder: Path, pictures: str | None = None) -> str:
    """The README's text with its results block made anew. Raises `UserError` where the markers are missing."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise UserError(f"the README has no {BEGIN} … {END}: add the two markers where the table should stand.")
    return f"{head}{BEGIN}\n{block(folder, pictures)}\n{END}{tail}"


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="scripts.report", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of result files (default: results)"
    )
    add(
        "--readme", type=Path, metavar="FILE", help="file with the markers (default: README.md; none with --html alone)"
    )
    add(
        "--html",
        type=Path,
        metavar="FILE",
        help="the page; PNGs lie beside it (default: report.html among the results)",
    )
    add("--examples", action="store_true", help="show rows of data sets in the page, not only of the samples")
    add("--check", action="store_true", help="write nothing; exit status 1 where a file is out of date")
    args = parser.parse_args(argv)
    if not args.readme and not args.html:
        args.readme = Path("README.md")
    args.html = args.html or args.results / "report.html"
    return args


def run(args: argparse.Namespace) -> int:
    """Writes or checks what `args` names, and returns the exit status."""
    from scripts import page

    if not args.results.is_dir():
        raise UserError(f"{args.results} is no folder: python -m scripts.harness makes results.")
    old = new = ""
    if args.readme:
        pictures = Path(os.path.relpath(args.html.parent, args.readme.parent)).as_posix()
        old = args.readme.read_text(encoding="utf-8")
        new = refreshed(old, args.results, pictures)
    if args.check:
        late = page.stale(args.results, args.html, args.examples) + ([str(args.readme)] if old != new else [])
        if late:
            print(f"report: out of date: {', '.join(late)}; run python -m scripts.report", file=sys.stderr)
        return int(bool(late))
    page.write(args.results, args.html, args.examples)
    if old != new:
        results.write_text(args.readme, new)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    try:
        return run(parse(argv))
    except (UserError, ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
