"""The results as a table on the screen, as JSON, and in ``docs/performance.md``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from environments import REPOSITORY, version
from harness import Figure, Tool

PAGE = REPOSITORY / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
HEAD = ("", "what", "flow-core", "metaflow, or what it is held against", "result", "target", "")


def facts(ours: Tool, rival: Tool, seconds: float) -> dict[str, str]:
    """Return what the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "flow-core": version(ours, "flow-core"),
        "metaflow": version(rival, "metaflow"),
        "numpy": f"{version(ours, 'numpy')} and {version(rival, 'numpy')}",
        "took": f"{seconds / 60:.0f} min",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def verdict(figure: Figure) -> str:
    """Return "met", "missed", or nothing."""
    return "" if figure.met is None else "met" if figure.met else "**missed**"


def line(figure: Figure) -> str:
    """Return one figure as a line for the screen."""
    parts = [figure.what, figure.ours, figure.rival, figure.ratio, figure.target]
    return "  ".join([*(part for part in parts if part), verdict(figure).strip("*").upper()])


def text_table(figures: Sequence[Figure], about: Mapping[str, str]) -> str:
    """Return all figures for the screen."""
    rows = [[*f[:6], verdict(f).strip("*")] for f in figures]
    rows.insert(0, list(HEAD))
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    machine = "\n".join(f"{name}: {value}" for name, value in about.items())
    return "\n".join(["", *(text.rstrip() for text in lines), "", machine])


def to_json(figures: Sequence[Figure], about: Mapping[str, str], notes: Sequence[str]) -> str:
    """Return all of it as JSON."""
    found = [figure._asdict() for figure in figures]
    return json.dumps({"facts": about, "figures": found, "notes": notes}, indent=2) + "\n"


def renewed(
    file: Path, figures: Sequence[Figure], notes: Sequence[str]
) -> tuple[list[Figure], list[str]]:
    """Return the figures and notes of an earlier measurement, with those of some rows replaced."""
    earlier = json.loads(file.read_text())
    kept = [Figure(**values) for values in earlier["figures"]]
    by_place = {(f.row, f.what): f for f in figures}
    starts = {note[:20] for note in notes}
    others = [note for note in earlier["notes"] if note[:20] not in starts]
    places = {(f.row, f.what) for f in kept}
    added = [f for f in figures if (f.row, f.what) not in places]
    return [*(by_place.get((f.row, f.what), f) for f in kept), *added], [*notes, *others]


def update(figures: Sequence[Figure], about: Mapping[str, str], notes: Sequence[str]) -> None:
    """Replace what stands between the markers of the page."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{_markdown(figures, about, notes)}\n{END}{tail}")


def _markdown(figures: Sequence[Figure], about: Mapping[str, str], notes: Sequence[str]) -> str:
    machine = "; ".join(f"{name}: {value}" for name, value in about.items() if name != "took")
    rows = [_row(HEAD), _row(["---"] * len(HEAD))]
    rows += [_row([*figure[:6], verdict(figure)]) for figure in figures]
    return "\n\n".join([f"Measured on {machine}.", "\n".join(rows), *notes])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
