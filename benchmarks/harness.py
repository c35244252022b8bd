"""Measures commands as whole processes, two tools in turn, and says what came of it."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
LIMIT = 600.0
"""Seconds after which a command is given up."""
STATE = (".flow", ".metaflow")
"""The folders in which the two tools keep runs."""


class Usage(NamedTuple):
    """What one run of a command cost: seconds, CPU seconds of it and its children, bytes."""

    wall: float
    cpu: float
    memory: int
    output: str
    launcher_memory: int = 0


class Tool(NamedTuple):
    """A tool in its own virtual environment."""

    name: str
    venv: Path

    @property
    def python(self) -> str:
        return str(self.venv / "bin" / "python")


class Figure(NamedTuple):
    """One line of the table.

    Attributes:
        row: which benchmark.
        what: what was measured.
        ours, rival: the two values as text; ``rival`` may be what else it is compared with.
        ratio: the figure that counts, as text.
        target: as text; empty where there is none.
        met: None where there is no target.
    """

    row: str
    what: str
    ours: str
    rival: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


class Bench:
    """What a row gets: the tools, a folder to work in, and how often to repeat.

    Args:
        ours, rival: the tools.
        folder: emptied before each row.
        quick: fewer runs, smaller sizes.

    Attributes:
        variables: environment variables that all commands of a row get.
    """

    def __init__(self, ours: Tool, rival: Tool, folder: Path, *, quick: bool = False) -> None:
        self.ours = ours
        self.rival = rival
        self.root = folder
        self.quick = quick
        self.folder = folder
        self.notes: list[str] = []
        self.variables: dict[str, str] = {}
        self._number = 0

    def enter(self, row: str) -> None:
        """Give the next row an empty folder."""
        self.folder = self.root / row
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def times(self, full: int, quick: int = 1) -> int:
        """Return how often to repeat."""
        return quick if self.quick else full

    def note(self, text: str) -> None:
        """Add a sentence for the page."""
        self.notes.append(text)
        print(f"      {text}", flush=True)

    def next_number(self) -> int:
        """Return a number that was not given before."""
        self._number += 1
        return self._number

    # --- flows --------------------------------------------------------------------------------

    def flow(self, tool: Tool, name: str) -> list[str]:
        """Return the start of the command of a flow: the same file, but for the import line."""
        target = self.home(tool) / f"{name}.py"
        source = (HERE / "flows" / f"{name}.py").read_text()
        target.write_text(source.replace("from flow_core import", f"from {tool.name} import"))
        return [tool.python, str(target)]

    def home(self, tool: Tool) -> Path:
        """Return the tool's folder of this row, in which its commands run."""
        folder = self.folder / tool.name
        for name in STATE:  # otherwise each tool would use one that it finds further up
            (folder / name).mkdir(parents=True, exist_ok=True)
        return folder

    def clear(self, tool: Tool) -> None:
        """Remove what a tool's runs of this row left behind."""
        for name in STATE:
            shutil.rmtree(self.folder / tool.name / name, ignore_errors=True)

    def run(self, tool: Tool, name: str, *arguments: str, watch: bool = False) -> Usage:
        """Run a flow to its end."""
        return self.command(tool, [*self.flow(tool, name), "run", *arguments], watch=watch)

    def command(self, tool: Tool, command: Sequence[str], *, watch: bool = False) -> Usage:
        """Run any command in the tool's folder."""
        return measure(command, self.home(tool), self.environment(), watch=watch)

    def script(self, tool: Tool, name: str, *arguments: str) -> dict[str, Any]:
        """Run a script of ``inside/`` with a tool's interpreter; return the JSON that it prints."""
        path = str(HERE / "inside" / f"{name}.py")
        usage = self.command(tool, [tool.python, path, *arguments])
        found: dict[str, Any] = json.loads(usage.output.strip().splitlines()[-1])
        return found

    def environment(self) -> dict[str, str]:
        """Return clean variables: nothing of the person's settings, and bytecode caches on."""
        home = self.root / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
        return {**kept, "HOME": str(home), "USER": "bench", "LOGNAME": "bench", **self.variables}


def measure(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, watch: bool = False
) -> Usage:
    """Run a command and return what it cost; `SystemExit` with its output when it fails."""
    begin = time.perf_counter()
    with open(folder / "output", "w+b") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        launcher_memory = _watch(process.pid, begin) if watch else 0
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Usage(
        wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text, launcher_memory
    )


def _watch(pid: int, begin: float) -> int:
    """Return the peak memory of a process, without its children, in bytes."""
    peak = 0
    while time.perf_counter() - begin < LIMIT:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            break
        lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
        if not lines:
            break  # it has ended and waits to be reaped
        peak = max(peak, int(lines[0].split()[1]) * 1024)
        time.sleep(0.05)
    return peak


def alternate(count: int, *runs: Callable[[], Usage], warm_up: bool = True) -> list[list[Usage]]:
    """Call the runs in turn, A B A B …; return the results of each."""
    for run in runs if warm_up else ():
        run()
    found: list[list[Usage]] = [[] for _ in runs]
    for _ in range(count):
        for run, results in zip(runs, found, strict=True):
            results.append(run())
    return found


def wall(usages: Iterable[Usage]) -> float:
    """Return the median of the wall time."""
    return statistics.median(u.wall for u in usages)


def cpu(usages: Iterable[Usage]) -> float:
    """Return the median of the CPU time."""
    return statistics.median(u.cpu for u in usages)


def seconds(value: float) -> str:
    """Return a duration for people."""
    if abs(value) >= 100:
        return f"{value:.0f} s"
    if abs(value) >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms"


def at_least(ratio: float, target: float) -> dict[str, Any]:
    """Return ratio, target and verdict of "that many times faster"."""
    return {"ratio": f"{ratio:.1f} x", "target": f"≥ {target:g} x", "met": ratio >= target}


def at_most(value: float, target: float, unit: str = "x") -> dict[str, Any]:
    """Return value, target and verdict of "no more than"."""
    shown = f"{value:.2f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return {"ratio": shown, "target": f"≤ {target:g} {unit}", "met": value <= target}


# --- what flow-core left behind -----------------------------------------------------------------


def manifests(home: Path, flow: str, step: str) -> list[dict[str, Any]]:
    """Return the manifests of a step in the newest run, by task."""
    runs = home / ".flow" / "runs" / flow
    newest = max((r for r in runs.iterdir() if r.name.isdigit()), key=lambda r: int(r.name))
    found = sorted((newest / step).iterdir(), key=lambda task: int(task.name))
    return [json.loads((t / "0" / "manifest").read_bytes().partition(b"\n")[2]) for t in found]


def inline(manifest: Mapping[str, Any], name: str) -> Any:
    """Return a small artifact out of its manifest."""
    return manifest["artifacts"][name][5]


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)
