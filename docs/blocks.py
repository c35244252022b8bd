"""Run the code blocks of a page, and compare what they print with what the page says.

A page is run from top to bottom in one empty folder (that of an example has the example's files):

``python``   is written to a file when its first line names one (``# hello.py``), else it is run.
``toml``     is written to the file that its first line names.
``bash``     is run; it must succeed.
``console``  has lines ``$ command`` and what they print, both streams together. A command that
             fails must be followed by ``$ echo $?``.
``<!-- run: command -->`` is run and not shown. What is installed into ``.site`` can be imported;
             ``$EXAMPLES`` is the folder of the examples.
``text``     is only shown, and so is ``sh``, for commands that take too long or change too much.
``py``       is only shown too, and allowed in the generated reference alone.

Times, sizes, process ids and the like count as equal; lines that begin with a time may come in any
order; ``...`` stands for anything, on a line of its own for any number of lines.

``python docs/blocks.py PAGE…`` writes the real output into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RUN = ("python", "toml", "bash", "console")
HERE = "/home/ada/flows"  # what pages call the folder that they are run in
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\s`]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_HIDDEN = re.compile(r"^<!-- run: (.+) -->$", re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))$")
_TIMED = re.compile(r"^(TIME|\[TIME)")
_CARETS = re.compile(r"^(TIME )?(\[\S+( \(pid N\))?\] )?(> )?[ ~^]*\^[ ~^]*$")
_HERE = re.compile(r"/(?!/)[\w./-]*/flow-docs-[^/\s:'\"]+")
_SAME = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?"), "TIME"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|min|B|KB|kB|MB|GB|KiB|MiB)\b"), "QUANTITY"),
    (re.compile(r" \(\d+:\d\d:\d\d\)$", re.MULTILINE), ""),  # pytest adds it from a minute on
    (re.compile(r"[━╌]+"), "BAR"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "HASH"),
    (_HERE, HERE),
    (re.compile(r"[ \t]+"), " "),
)


class Block(NamedTuple):
    """One fenced block: its language, its content without indentation, and where it stands."""

    language: str
    body: str
    line: int
    start: int
    end: int
    indent: str

    @property
    def file(self) -> str | None:
        """The file that the block is written to, if its first line names one."""
        found = _FILE.match(self.body.partition("\n")[0])
        return found.group(1) if found and self.language in ("python", "toml") else None


class Trouble(NamedTuple):
    """What is wrong with a block: the line of the page, and a text for people."""

    line: int
    text: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in order; hidden ones as ``bash``."""
    hidden = [
        Block("bash", m[1], text.count("\n", 0, m.start()) + 1, m.start(), m.end(), "")
        for m in _HIDDEN.finditer(text)
    ]
    fenced = [
        Block(
            found["language"],
            "\n".join(line.removeprefix(found["indent"]) for line in found["body"].splitlines()),
            text.count("\n", 0, found.start()) + 1,
            found.start("body"),
            found.end("body"),
            found["indent"],
        )
        for found in _FENCE.finditer(text)
    ]
    return sorted([*hidden, *fenced], key=lambda block: block.start)


def run_page(text: str, folder: Path) -> Iterator[tuple[Block, Trouble | None, str | None]]:
    """Run the blocks of a page; yield each with what is wrong, and for a console its real text."""
    # A '.flow' in a folder above would be taken instead, and a page may remove runs.
    (folder / ".flow").mkdir(exist_ok=True)
    for block in blocks(text):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body + "\n", encoding="utf-8")
        elif block.language == "console":
            yield block, *_run_console(block, folder)
        elif block.language in ("python", "bash"):
            command = [sys.executable, "-c"] if block.language == "python" else ["bash", "-ec"]
            status, output = _run([*command, block.body], folder)
            wrong = Trouble(block.line, f"exit status {status}\n{output}") if status else None
            yield block, wrong, None


def _run_console(block: Block, folder: Path) -> tuple[Trouble | None, str]:
    real: list[str] = []
    wrong: list[str] = []
    status = 0
    for command, expected in _commands(block.body):
        if status and command != "echo $?":
            wrong.append(f"'$ {command}' comes after a failure: put '$ echo $?' between them")
        status, output = _run(["bash", "-c", f"(exit {status}); {command}"], folder)
        difference = compare(expected, output)
        real += [f"$ {command}", *(output if difference else expected).splitlines()]
        if difference:
            wrong.append(f"$ {command}\n{difference}")
    if status:
        wrong.append(f"the last command failed with {status}: put '$ echo $?' after it")
    return (Trouble(block.line, "\n".join(wrong)) if wrong else None), "\n".join(real)


def _commands(body: str) -> Iterator[tuple[str, str]]:
    command: str | None = None
    output: list[str] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command, "\n".join(output)
            command, output = line[2:], []
        else:
            output.append(line)
    if command is not None:
        yield command, "\n".join(output)


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def _environment(folder: Path) -> dict[str, str]:
    """A new user's: the tools of this environment on the path, no settings, a home of its own."""
    told_of_ci = ("CI", "BUILD_NUMBER")  # pytest prints more there
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("FLOW_", "PYTEST_")) and k not in told_of_ci
    }
    tools = os.path.dirname(sys.executable)
    return {
        **kept,
        "PATH": tools + os.pathsep + kept.get("PATH", ""),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "PYTHONPATH": str(folder / ".site"),
        "COLUMNS": "100",
        "FLOW_USER": "ada",
        "EXAMPLES": str(Path(__file__).resolve().parents[1] / "examples"),
    }


# --- comparing ----------------------------------------------------------------------------------


def compare(expected: str, real: str) -> str:
    """Return ``''`` when the texts are equal but for what always differs, else both of them."""
    wanted, found = _normal(expected), _normal(real)
    same = _matches_loosely(wanted, found) if "..." in wanted else _matches(wanted, found)
    return "" if same else f"--- the page says\n{expected}\n--- the command prints\n{real}"


def _normal(text: str) -> list[str]:
    for pattern, replacement in _SAME:
        text = pattern.sub(replacement, text)
    lines = [line.strip() for line in text.strip().splitlines()]
    # Pythons differ in where they put marks below the lines of a traceback.
    return [line for line in lines if not _CARETS.search(line)]


def _matches(wanted: list[str], found: list[str]) -> bool:
    timed = [sorted(line for line in lines if _TIMED.match(line)) for lines in (wanted, found)]
    plain = [[line for line in lines if not _TIMED.match(line)] for lines in (wanted, found)]
    return all(
        len(mine) == len(theirs) and all(map(_line_matches, mine, theirs))
        for mine, theirs in (timed, plain)
    )


def _matches_loosely(wanted: list[str], found: list[str]) -> bool:
    """With a line ``...``: every other line is there, those without a time in this order."""
    timed = [line for line in found if _TIMED.match(line)]
    plain = iter([line for line in found if not _TIMED.match(line)])
    for line in wanted:
        if line == "...":
            continue
        if _TIMED.match(line):
            match = next((other for other in timed if _line_matches(line, other)), None)
            if match is None:
                return False
            timed.remove(match)
        elif not any(_line_matches(line, other) for other in plain):
            return False
    return True


def _line_matches(wanted: str, found: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in re.split(r" ?\.\.\. ?", wanted))
    return re.fullmatch(pattern, found) is not None


# --- filling pages ------------------------------------------------------------------------------


def lay_out(page: Path, folder: Path) -> None:
    """Copy what lies beside the page of an example."""
    if page.parent.parent.name == "examples":
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(page.parent, folder, ignore=ignore, dirs_exist_ok=True)


def fill(page: Path) -> int:
    """Write the real output into the console blocks that differ; return how many there were."""
    text = page.read_text(encoding="utf-8")
    changes: list[tuple[Block, str]] = []
    with tempfile.TemporaryDirectory(prefix="flow-docs-") as name:
        lay_out(page.resolve(), Path(name))
        for block, wrong, real in run_page(text, Path(name)):
            if wrong and real is None:
                sys.stderr.write(f"{page}:{wrong.line}: {wrong.text}\n")
            elif wrong and real is not None:
                changes.append((block, real))
    for block, real in reversed(changes):
        real = _HERE.sub(HERE, real)
        lines = "".join(f"{block.indent}{line}".rstrip() + "\n" for line in real.splitlines())
        text = text[: block.start] + lines + text[block.end :]
    page.write_text(text, encoding="utf-8")
    return len(changes)


def main() -> None:
    """Fill the pages that are named on the command line."""
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {fill(Path(name))} blocks written\n")


if __name__ == "__main__":
    main()
