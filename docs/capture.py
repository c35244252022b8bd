"""Draw what a command shows on a terminal as an SVG file.

``python docs/capture.py docs/images/demo.svg make demo`` runs the command on a pseudo-terminal,
follows the control sequences that flow-terminal uses, and draws the last screen with its colours.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from html import escape
from pathlib import Path
from typing import NamedTuple

COLUMNS, ROWS = 112, 60
_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\r|\n|\t|[^\x1b\r\n\t]")
_COLOURS = {
    31: "#ff7b72",
    32: "#7ee787",
    33: "#e3b341",
    34: "#79c0ff",
    35: "#d2a8ff",
    36: "#76e3ea",
}
_CELL, _LINE, _SIZE = 7.8, 18, 13


class Look(NamedTuple):
    """How a character is drawn."""

    colour: str = "#d6dde6"
    bold: bool = False
    dim: bool = False


class Screen:
    """A terminal of which nothing scrolls away."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[str, Look]]] = [[]]
        self.row = self.column = 0
        self.look = Look()

    def feed(self, text: str) -> None:
        """Take in output."""
        for found in _SEQUENCE.finditer(text):
            if found.group(2):
                self._control(found.group(1), found.group(2))
            elif found.group() == "\n":
                self._go(self.row + 1)
            elif found.group() == "\r":
                self.column = 0
            else:
                self._put(" " if found.group() == "\t" else found.group())

    def _put(self, char: str) -> None:
        if self.column == COLUMNS:
            self._go(self.row + 1)
        row = self.rows[self.row]
        row.extend([(" ", Look())] * (self.column + 1 - len(row)))
        row[self.column] = (char, self.look)
        self.column += 1

    def _go(self, row: int) -> None:
        self.row, self.column = max(0, row), 0
        self.rows.extend([] for _ in range(self.row + 1 - len(self.rows)))

    def _control(self, numbers: str, kind: str) -> None:
        values = [int(n) for n in numbers.split(";") if n.isdigit()] or [0]
        if kind == "F":
            self._go(self.row - max(1, values[0]))
        elif kind == "J":
            del self.rows[self.row + 1 :]
            del self.rows[self.row][self.column :]
        elif kind == "K":
            del self.rows[self.row][self.column :]
        elif kind == "m":
            for value in values:
                self.look = _look(self.look, value)


def _look(look: Look, value: int) -> Look:
    if value == 0:
        return Look()
    if value in (1, 2):
        return look._replace(bold=look.bold or value == 1, dim=look.dim or value == 2)
    return look._replace(colour=_COLOURS.get(value, look.colour))


def run(command: list[str], folder: str) -> str:
    """Run a command on a pseudo-terminal and return what it wrote; `SystemExit` if it failed."""
    variables = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "FLOW_USER": "ada",
        "FLOW_DATASTORE": f"local://{folder}",
        "FLOW_METADATA": f"local://{folder}",
    }
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, variables)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    written = bytearray()
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    if os.waitpid(pid, 0)[1]:
        sys.exit(written.decode(errors="replace"))
    return written.decode(errors="replace")


def draw(screen: Screen, title: str) -> str:
    """Return the screen as SVG, in the reader's own monospace font."""
    rows = screen.rows
    while rows and not rows[-1]:
        rows.pop()
    width = round(COLUMNS * _CELL + 32)
    height = len(rows) * _LINE + 58
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-label="{escape(title)}">'
        ),
        f'<rect width="{width}" height="{height}" rx="8" fill="#11161d"/>',
        (
            '<g fill="#3a4552"><circle cx="20" cy="17" r="5.5"/><circle cx="38" cy="17" r="5.5"/>'
            '<circle cx="56" cy="17" r="5.5"/></g>'
        ),
        (
            f'<g font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"'
            f' font-size="{_SIZE}" xml:space="preserve">'
        ),
    ]
    for number, row in enumerate(rows):
        out += _texts(row, 50 + number * _LINE)
    return "\n".join([*out, "</g>", "</svg>", ""])


def _texts(row: list[tuple[str, Look]], y: int) -> list[str]:
    """Return one text element for each stretch of equal looks."""
    out = []
    start = 0
    while start < len(row):
        end = start
        while end < len(row) and row[end][1] == row[start][1]:
            end += 1
        text = "".join(char for char, _ in row[start:end])
        look = row[start][1]
        if text.strip():
            style = (' font-weight="bold"' if look.bold else "") + (
                ' opacity="0.6"' if look.dim else ""
            )
            # The length keeps columns in line whatever the font is.
            out.append(
                f'<text x="{16 + start * _CELL:.1f}" y="{y}" fill="{look.colour}"{style}'
                f' textLength="{len(text) * _CELL:.1f}">{escape(text)}</text>'
            )
        start = end
    return out


def main() -> None:
    """Run the command and write the picture."""
    target, command = Path(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        written = run(command, folder).replace(str(Path.cwd()), ".")
    screen = Screen()
    screen.feed(f"\x1b[1m$ {' '.join(command)}\x1b[0m\r\n{written}")
    target.write_text(draw(screen, f"Output of {' '.join(command)}"), encoding="utf-8")


if __name__ == "__main__":
    main()
