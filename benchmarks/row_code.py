"""The code snapshot of a flow with 2,000 source files of which none has changed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from harness import Bench, Figure, Tool, at_most, seconds

FILES = 2000
PER_FOLDER = 50


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    for tool in (bench.ours, bench.rival):
        _write(bench.home(tool))
    # Each process looks seven times; they take turns, so that the machine is the same for both.
    found: dict[str, list[float]] = {"ours": [], "rival": []}
    for _ in range(bench.times(3)):
        found["ours"] += _keep(bench, bench.ours, 7)
        found["rival"] += _keep(bench, bench.rival, bench.times(3))
    ours, rival = (statistics.median(values) * 1e3 for values in found.values())
    yield Figure(
        "code",
        f"code snapshot of {FILES:,} unchanged files, in a running process",
        seconds(ours / 1e3),
        seconds(rival / 1e3),
        **at_most(ours, 150, "ms"),
    )
    yield Figure(
        "code",
        "the same, as a part of what the rival's package takes",
        seconds(ours / 1e3),
        seconds(rival / 1e3),
        **at_most(ours / rival, 0.25),
    )


def _keep(bench: Bench, tool: Tool, repeats: int) -> list[float]:
    """Return the seconds of each snapshot."""
    script = str(Path(__file__).with_name("inside") / "keep_code.py")
    flow = bench.flow(tool, "many_files")[-1]
    usage = bench.command(tool, [tool.python, script, tool.name, flow, str(repeats), str(FILES)])
    found: list[float] = json.loads(usage.output.splitlines()[-1])["wall"]
    return found


def _write(folder: Path) -> None:
    """Write packages that import each other, 4 kB a file; the flow's own file is the last one."""
    for number in range(FILES - 1):
        package, name = f"part{number // PER_FOLDER}", number % PER_FOLDER
        file = folder / package / (f"m{name}.py" if name else "__init__.py")
        file.parent.mkdir(exist_ok=True)
        lines = [f"import json\nfrom {package} import m{name % 48 + 1}\n"]
        lines += [f"\ndef f{i}(x):\n    return x * {number} + {i}\n" for i in range(100)]
        file.write_text("".join(lines))
