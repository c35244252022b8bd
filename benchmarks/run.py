"""Measures flow-core beside its rival: ``make bench``, or a part of it.

    python benchmarks/run.py [--quick] [--only ROW] [--json FILE] [--no-page]

Needs nothing but Python: it makes its own environments under ``.bench/``. A row is a module
``row_*.py`` here; see ``docs/performance.md`` for what is measured and how.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import time
from pathlib import Path

import environments
import page
from harness import Bench, Figure, say

ROWS = (
    "hello",
    "foreach",
    "cards",
    "wide",
    "resume",
    "commands",
    "plugins",
    "array",
    "s3",
    "untouched",
    "client",
    "code",
    "scheduler",
    "environments",
    "remote",
)
FOLDER = environments.REPOSITORY / ".bench"


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Measure flow-core beside its rival.")
    parser.add_argument("--quick", action="store_true", help="fewer runs and smaller sizes")
    parser.add_argument("--only", action="append", choices=ROWS, help="may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument(
        "--renew", type=Path, help="keep the other rows of such a file (with --only)"
    )
    parser.add_argument("--no-page", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--rival-version", help="of metaflow; default: the newest")
    parser.add_argument("--keep", action="store_true", help="keep what the runs left behind")
    parser.add_argument("--no-install", action="store_true", help="the environments are as wanted")
    return parser.parse_args()


def main() -> int:
    """Measure and report; the exit status says whether all targets were met."""
    options = arguments()
    begin = time.time()
    ours, rival = environments.make(FOLDER, options.rival_version, install=not options.no_install)
    bench = Bench(ours, rival, FOLDER / "work", quick=options.quick)
    figures: list[Figure] = []
    for name in options.only or ROWS:
        figures += measure_row(bench, name)
        # A later row may fail: `--renew` goes on from this.
        FOLDER.joinpath("figures.json").write_text(page.to_json(figures, {}, bench.notes))
    if not options.keep:
        shutil.rmtree(bench.root, ignore_errors=True)
    notes = bench.notes
    if options.renew:
        figures, notes = page.renewed(options.renew, figures, notes)
    facts = page.facts(ours, rival, time.time() - begin)
    print(page.text_table(figures, facts))
    if options.json:
        options.json.write_text(page.to_json(figures, facts, notes))
    whole = options.renew or not options.only
    if whole and not (options.quick or options.no_page):
        page.update(figures, facts, notes)
    return int(any(figure.met is False for figure in figures))


def measure_row(bench: Bench, name: str) -> list[Figure]:
    """Run one benchmark."""
    begin = time.time()
    say(f"--- {name}")
    bench.enter(name)
    module = importlib.import_module(f"row_{name}")
    figures = []
    for figure in module.rows(bench):
        say(page.line(figure))
        figures.append(figure)
    say(f"      took {time.time() - begin:.0f} s")
    shutil.rmtree(bench.folder, ignore_errors=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
