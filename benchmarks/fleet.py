"""Sixty plugins of a company, installed beside the defaults in an environment of their own.

Half are what ``flow plugins new`` writes, of each kind some; the others listen to runs. Each is a
distribution with metadata of its own, as pip leaves it, and bytecode compiled.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
from pathlib import Path

from harness import Tool, say

KINDS = {
    "command": 8,
    "decorator": 8,
    "store": 2,
    "compute": 2,
    "metadata": 2,
    "environment": 2,
    "card": 2,
    "serializer": 2,
    "secrets": 2,
}
"""How many of each kind are made of the scaffold."""

LISTENER = "our_listener"
LISTENERS = 30
"""How their names begin, and how many hook modules every session loads; half have a setting."""

TOTAL = sum(KINDS.values()) + LISTENERS

_LISTENER = '''"""Counts what happens to runs, and tells the company's board."""

from __future__ import annotations

import json
import os
from typing import Any

from flow_core.api import Event, RunRecord, RunResult, hookimpl

_counts: dict[str, int] = {}


@hookimpl
def flow_event(event: Event) -> None:
    """Count it."""
    kind = type(event).__name__
    _counts[kind] = _counts.get(kind, 0) + 1


@hookimpl
def flow_run_finished(run: RunRecord, result: RunResult) -> None:
    """Tell the board."""
    _tell({"flow": run.flow, "run": run.run_id, "events": _counts})


def _tell(message: dict[str, Any]) -> None:
    path = os.environ.get("COMPANY_BOARD_NAME")
    if path:
        with open(path, "a", encoding="utf-8") as board:
            board.write(json.dumps(message) + "\\n")
'''

_SETTING = '''

@hookimpl
def flow_settings(settings: Any) -> None:
    """Declare where the board is."""
    settings.declare("NAME_board", "", help="File of the company's board; empty = nowhere.")
'''

_METADATA = """Metadata-Version: 2.4
Name: NAME
Version: 0.1.0
Summary: One of many plugins.
Requires-Python: >=3.10
Requires-Dist: flow-core<1,>=0.1
Description-Content-Type: text/markdown

"""

_DESCRIPTION = "# NAME\n\n" + "What it tells the board, and how to set it up.\n" * 40
"""Packages carry their README in their metadata."""


def make(plain: Tool, folder: Path) -> Tool:
    """Return a copy of the environment ``plain`` with the sixty plugins in it, made anew."""
    say(f"making an environment with {TOTAL} more plugins")
    tool = Tool(plain.name, folder / "fleet")
    shutil.rmtree(tool.venv, ignore_errors=True)
    subprocess.run([plain.python, "-m", "venv", "--without-pip", str(tool.venv)], check=True)
    site = site_packages(tool)
    shutil.copytree(site_packages(plain), site, dirs_exist_ok=True)
    script = (plain.venv / "bin" / "flow").read_text()
    target = tool.venv / "bin" / "flow"
    target.write_text(script.replace(str(plain.venv), str(tool.venv)))
    target.chmod(0o755)
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    for kind, count in KINDS.items():
        for number in range(count):
            _scaffolded(plain, sources, site, f"our-{kind}-{number}", kind)
    for number in range(LISTENERS):
        _listener(site, f"{LISTENER}_{number}", with_setting=number % 2 == 0)
    compileall.compile_dir(site, quiet=2)
    return tool


def site_packages(tool: Tool) -> Path:
    """Return the folder in which a tool's distributions are installed."""
    return next(tool.venv.glob("lib/python3*/site-packages"))


def _scaffolded(plain: Tool, sources: Path, site: Path, name: str, kind: str) -> None:
    flow = str(plain.venv / "bin" / "flow")
    command = [flow, "plugins", "new", name, "--kind", kind]
    subprocess.run(command, cwd=sources, check=True, stdout=subprocess.DEVNULL)
    source = sources / f"flow-{name}"
    for package in (source / "src").iterdir():
        shutil.copytree(package, site / package.name)
    manifest = (source / "pyproject.toml").read_text()
    readme = (source / "README.md").read_text()
    _distribution(site, f"flow-{name}", _entry_points(manifest), readme)


def _listener(site: Path, name: str, *, with_setting: bool) -> None:
    text = _LISTENER + (_SETTING if with_setting else "")
    package = site / f"flow_{name}"
    package.mkdir()
    package.joinpath("__init__.py").write_text('"""Tells the company\'s board of runs."""\n')
    package.joinpath("plugin.py").write_text(text.replace("NAME", name))
    offer = f"[flow.plugins]\n{name} = flow_{name}.plugin\n"
    _distribution(site, f"flow-{name}", offer, _DESCRIPTION)


def _entry_points(manifest: str) -> str:
    """Return what installers write of the tables of entry points in a ``pyproject.toml``."""
    lines: list[str] = []
    for group, body in re.findall(
        r'^\[project\.entry-points\."([^"]+)"\]\n((?:[^\[\n].*\n)+)', manifest, re.MULTILINE
    ):
        lines += [f"[{group}]", *(line.replace('"', "") for line in body.splitlines()), ""]
    return "\n".join(lines)


def _distribution(site: Path, name: str, entry_points: str, description: str) -> None:
    assert entry_points, f"{name} offers nothing"
    folder = site / f"{re.sub('[-_]+', '_', name)}-0.1.0.dist-info"
    folder.mkdir()
    folder.joinpath("METADATA").write_text((_METADATA + description).replace("NAME", name))
    folder.joinpath("WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-any\n")
    folder.joinpath("entry_points.txt").write_text(entry_points)
