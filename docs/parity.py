"""Write ``parity.md``: what Metaflow 2.19 does, row by row, and what flow-core makes of it.

``python docs/parity.py`` adds the rows of the pieces in ``docs/parity.d`` to the page, sorts them, counts
them, and removes the pieces. Without pieces it only counts anew, after rows were changed by hand.

A piece is a table ``| 1.2 behaviour | same / better / not offered: why | test |``, where the first cell
begins with the section. Tests are ``path::test``, ``path::Class::test`` or ``path::Class``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent
PAGE, PIECES = DOCS / "parity.md", DOCS / "parity.d"
VERDICTS = ("same", "better", "not offered")
EXTRA = "13 extra"
BESIDE = "beside"  # what the predecessor has no row for
SECTIONS = {
    "1.1": "Class, steps, first and last step",
    "1.2": "Transitions",
    "1.3": "Inside a step",
    "1.4": "Parameters",
    "1.5": "IncludeFile",
    "1.6": "Config, mutators, user step decorators",
    "1.7": "`current`",
    "1.8": "Validation",
    "1.9": "Exceptions and exports",
    "2.1": "Command line: top-level options",
    "2.2": "Core commands",
    "2.3": "Commands of plugins",
    "2.4": "The command of its own",
    "3.1": "Decorators: general rules",
    "3.2": "Step decorators",
    "3.3": "Flow decorators",
    "3.4": "Gangs",
    "3.5": "Environments",
    "3.6": "Hooks of decorators",
    "3.7": "Hooks of environments",
    "3.8": "Providers of secrets",
    "3.9": "Decorators that are not in its core",
    "4.1": "Scheduler",
    "4.2": "Retries, failures, exit codes",
    "4.3": "What a task does, in order",
    "4.4": "Records of a task",
    "4.5": "Resume",
    "4.6": "Spin",
    "4.7": "Logs",
    "4.8": "Code package",
    "5.2": "Backends of the datastore",
    "5.3": "`S3`",
    "6.1": "Client: functions of the module",
    "6.2": "Client: what all objects have",
    "6.3": "Client: each class",
    "6.4": "Client: semantics",
    "8": "Runner, Deployer, notebooks",
    "9": "Extensions",
    "10.1": "Configuration: files and variables",
    "10.2": "Configuration: keys",
    "12.1": "Steps elsewhere: what all have in common",
    "12.3": "Kubernetes",
    "13": "Forty subtle behaviours",
    EXTRA: "Extra traps",
    BESIDE: "Beside all that",
}
HEAD = """\
# Beside Metaflow

What a user of Metaflow 2.19 can write, call and rely on, but for what deploys flows, section by section, and what
flow-core makes of it:

* **same**: it works as there;
* **better**: it works, and does more, or leaves out a trap (⚠ marks those that its users fall into);
* **not offered**: it is not there, and the row says why, or where it belongs.

Each row that says same or better names a test that shows it. A test checks that those tests exist.
`python docs/parity.py` counts the rows.
"""


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        section: ``1.2``, ``13.7``, ``8``, `EXTRA` or `BESIDE`.
        behaviour: what the predecessor does.
        verdict: one of `VERDICTS`, and perhaps more.
        tests: ids of tests.
    """

    section: str
    behaviour: str
    verdict: str
    tests: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The verdict in one word; '' if it has none."""
        return next((kind for kind in VERDICTS if self.verdict.startswith(kind)), "")

    @property
    def part(self) -> str:
        """The section of the page that it belongs to."""
        return "13" if self.section.startswith("13.") else self.section

    def __str__(self) -> str:
        number = "" if self.section == BESIDE else self.section.replace(EXTRA, "13")
        tests = ", ".join(f"`{test}`" for test in self.tests)
        return f"| {number} | {self.behaviour} | {self.verdict} | {tests} |"


def rows(text: str) -> list[Row]:
    """Return the rows of the tables in a page or a piece."""
    found = []
    part = ""
    for line in text.splitlines():
        if line.startswith("## "):
            part = next((s for s, name in SECTIONS.items() if line.endswith(name)), "")
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not line.startswith("|") or set(cells[-1]) == {"-"} or cells[-1] in ("test", "in all"):
            continue
        if len(cells) == 3:
            found.append(_row(*_section(cells[0]), *cells[1:]))
        elif len(cells) == 4 and part:
            section = part if part in (EXTRA, BESIDE) else cells[0]
            found.append(_row(section, *cells[1:]))
    return found


def _row(section: str, behaviour: str, verdict: str, tests: str) -> Row:
    verdict = re.sub(r"^not here\b", "not offered here", verdict)
    names = (t.strip(" `") for t in re.split(r"[,;] *|<br>|` +`", tests))
    return Row(section, behaviour, verdict, tuple(name for name in names if name))


def _section(cell: str) -> tuple[str, str]:
    """Take the number from the beginning of a row: ``13, extra traps: text``, ``1.2 text``."""
    extra = re.match(r"13[,.]? (?:extra traps?|extra|trap)[:,]? *", cell)
    if extra:
        return EXTRA, cell[extra.end() :]
    number = re.match(r"(?:§ *)?(\d+(?:\.\d+)?)[:,]? *", cell)
    if not number:
        return BESIDE, re.sub(r"^(?:\u2014|\(more\)) *", "", cell)
    rest = cell[number.end() :]
    item = re.match(r"#?(\d+)(?:[\u2013-]\d+)?[.:]? +", rest) if number[1] == "13" else None
    return (f"13.{item[1]}", rest[item.end() :]) if item else (number[1], rest)


def place(row: Row) -> tuple[int, int]:
    """What rows are sorted by: section, then number; otherwise they keep their order."""
    number = int(row.section[3:]) if row.part == "13" and row.section != "13" else 0
    return list(SECTIONS).index(row.part), number


def page(all_rows: list[Row]) -> str:
    """Return the whole page."""
    ordered = sorted(all_rows, key=place)
    kinds = {part: Counter(r.kind for r in ordered if r.part == part) for part in SECTIONS}
    lines = [HEAD, "| section | same | better | not offered | in all |", "|---|---|---|---|---|"]
    for part, counts in kinds.items():
        if counts:
            lines.append(_counts(_title(part), counts))
    lines.append(_counts("all", sum(kinds.values(), Counter())))
    for part in SECTIONS:
        mine = [str(row) for row in ordered if row.part == part]
        if mine:
            head = ["| | behaviour | flow-core | test |", "|---|---|---|---|"]
            lines += ["", f"## {_title(part)}", "", *head, *mine]
    return "\n".join(lines) + "\n"


def _title(part: str) -> str:
    name = SECTIONS[part]
    return name if part in (EXTRA, BESIDE) else f"{part} {name}"


def _counts(name: str, counts: Counter[str]) -> str:
    return f"| {name} | {' | '.join(str(counts[kind]) for kind in VERDICTS)} | {counts.total()} |"


def everything() -> list[Row]:
    """Return the rows of the page and of the pieces that are not joined yet."""
    files = [*([PAGE] if PAGE.exists() else []), *sorted(PIECES.glob("*.md"))]
    return [row for file in files for row in rows(file.read_text(encoding="utf-8"))]


def main() -> None:
    """Join the pieces to the page."""
    joined = everything()
    PAGE.write_text(page(joined), encoding="utf-8")
    for piece in PIECES.glob("*.md"):
        piece.unlink()
    sys.stdout.write(f"{PAGE}: {len(joined)} rows\n")


if __name__ == "__main__":
    main()
