"""Makes the two virtual environments: flow-core as users get it, and its rival."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Tool, say

REPOSITORY = Path(__file__).resolve().parents[1]
RIVAL = "metaflow"
MORE = (
    "flow-cards",
    "flow-kubernetes",
    "flow-objectstore",
    "flow-pypi",
    "flow-remote",
    "flow-s3",
    "flow-slurm",
)
"""Plugins that flow-core does not require, but which the rival has too."""


def make(folder: Path, rival_version: str | None, *, install: bool) -> tuple[Tool, Tool]:
    """Return both tools, installed; what is there already is kept, but our own code is renewed."""
    if not install:
        return Tool("flow_core", folder / "ours"), Tool(RIVAL, folder / "rival")
    folder.mkdir(exist_ok=True)
    ours = _venv(Tool("flow_core", folder / "ours"))
    rival = _venv(Tool(RIVAL, folder / "rival"))
    _install_ours(ours, folder)
    wanted = f"{RIVAL}=={rival_version}" if rival_version else RIVAL
    say(f"installing {wanted} and numpy")
    _pip(rival, "install", "-c", _pins(folder), wanted, "numpy")
    return ours, rival


def version(tool: Tool, distribution: str) -> str:
    """Return the version of a distribution in a tool's environment."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return subprocess.check_output([tool.python, "-c", code], text=True).strip()


def _venv(tool: Tool) -> Tool:
    if not os.path.exists(tool.python):
        say(f"making {tool.venv}")
        subprocess.run([sys.executable, "-m", "venv", str(tool.venv)], check=True)
    return tool


def _install_ours(tool: Tool, folder: Path) -> None:
    """Build a wheel of each distribution and install them all with one command."""
    say("installing flow-core and its plugins from wheels")
    tools, wheels = folder / "tools", folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    if not tools.exists():
        _pip(tool, "install", "--target", str(tools), "-c", str(_constraints()), "hatchling")
    sources = [str(p.parent) for p in [REPOSITORY / "core/pyproject.toml", *_plugins()]]
    options = ["--no-build-isolation", "--no-deps", "-w", str(wheels)]
    _pip(tool, "wheel", *options, *sources, path=str(tools))
    built = [str(p) for p in sorted(wheels.glob("*.whl"))]
    _pip(tool, "install", "-c", str(_constraints()), *built, "numpy")
    _pip(tool, "install", "--force-reinstall", "--no-deps", *built)  # a version may be rebuilt


def _plugins() -> list[Path]:
    """Return the default plugins, which flow-core itself requires, and those to be measured."""
    required = re.findall(r'"(flow-[a-z-]+)[><=]', (REPOSITORY / "core/pyproject.toml").read_text())
    manifests = sorted(REPOSITORY.glob("plugins/*/pyproject.toml"))
    return [m for m in manifests if _name(m) in (*required, *MORE)]


def _name(manifest: Path) -> str:
    found = re.search(r'^name = "(.*)"', manifest.read_text(), re.MULTILINE)
    assert found is not None, f"{manifest} names no distribution"
    return found.group(1)


def _constraints() -> Path:
    return REPOSITORY / "constraints.txt"


def _pins(folder: Path) -> str:
    """Both tools get the same numpy; the rival chooses the rest for itself."""
    pins = folder / "numpy.txt"
    lines = _constraints().read_text().splitlines()
    pins.write_text("\n".join(line for line in lines if line.startswith("numpy==")) + "\n")
    return str(pins)


def _pip(tool: Tool, *arguments: str, path: str = "") -> None:
    # Bytecode must be compiled at installation, whatever the person's shell says.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [tool.python, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments]
    if path:
        environment["PYTHONPATH"] = path
    subprocess.run(command, check=True, env=environment)
