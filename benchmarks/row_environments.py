"""What environments of their own cost: tasks in one, a warm start with three, and a cold one.

The same flows run with their environments and with ``--environment local``, in turn. All packages come
from a folder of wheels, or from a server on this machine: no network is in the figures.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import environments
from harness import Bench, Figure, Usage, alternate, at_most, cpu, seconds, wall

COLD = ("numpy", "pandas")
"""Packages of the environment that is built anew."""


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    wheels = _wheels(bench)
    bench.variables["FLOW_PYPI_FIND_LINKS"] = wheels
    # Nothing of what pip is configured to use on this machine.
    bench.variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    yield from _tasks(bench)
    yield from _start(bench)
    yield from _cold(bench, wheels)


def _tasks(bench: Bench) -> Iterator[Figure]:
    count = bench.times(200, 40)
    arguments = ["--count", str(count)]
    apart, local = alternate(
        bench.times(5),
        lambda: _run(bench, "each_apart", *arguments),
        lambda: _run(bench, "each_apart", *arguments, local=True),
    )
    for name, value, target in (("wall", wall, 1.5), ("CPU", cpu, None)):
        ratio = value(apart) / value(local)
        verdict = at_most(ratio, target) if target else {"ratio": f"{ratio:.2f} x"}
        yield Figure(
            "environments",
            f"a foreach of {count} tasks in one environment, per task, {name}",
            seconds(value(apart) / count),
            f"{seconds(value(local) / count)} (without)",
            **verdict,
        )


def _start(bench: Bench) -> Iterator[Figure]:
    apart, local = alternate(
        bench.times(11, 3),
        lambda: _run(bench, "three_apart"),
        lambda: _run(bench, "three_apart", local=True),
    )
    yield Figure(
        "environments",
        "three steps in three environments that are built, beyond the same without; wall",
        seconds(wall(apart)),
        f"{seconds(wall(local))} (without)",
        **at_most(wall(apart) - wall(local), 0.5, "s"),
    )
    yield Figure(
        "environments",
        "the same, CPU of all processes",
        seconds(cpu(apart)),
        f"{seconds(cpu(local))} (without)",
        f"{seconds(cpu(apart) - cpu(local))}",
    )


def _cold(bench: Bench, wheels: str) -> Iterator[Figure]:
    found = bench.script(bench.ours, "build_environment", wheels, str(bench.times(5, 2)), *COLD)
    for name, what in (("cold", "empty cache"), ("warm", "what it needs in the cache")):
        ours, sync = found[f"{name}_ours"], found[f"{name}_sync"]
        target = at_most(ours / sync, 1.2) if name == "cold" else {"ratio": f"{ours / sync:.2f} x"}
        yield Figure(
            "environments",
            f"build an environment with {' and '.join(COLD)} from its lock, {what}",
            seconds(ours),
            f"{seconds(sync)} (`uv pip sync` alone)",
            **target,
        )


def _run(bench: Bench, name: str, *arguments: str, local: bool = False) -> Usage:
    chosen = ["--environment", "local"] if local else []
    command = [*bench.flow(bench.ours, name), *chosen, "run", *arguments]
    return bench.command(bench.ours, command)


def _wheels(bench: Bench) -> str:
    """Return a folder with all wheels that the environments of this row need."""
    folder = bench.root / "wheels"
    if not folder.exists():
        python = bench.ours.python
        code = (
            "import sys; from pathlib import Path; from flow_core.testing import write_wheel\n"
            "for version in ('1.0', '2.0', '3.0'):\n"
            "    write_wheel(Path(sys.argv[1]), 'one', version, {'one.py': ''})"
        )
        needed = "from flow_core.api import core_requirements as c; print('\\n'.join(c()))"
        found = subprocess.check_output([python, "-c", needed], text=True).splitlines()
        pip = [python, "-m", "pip", "-qq", "--disable-pip-version-check", "download"]
        pins = ["-c", str(environments.REPOSITORY / "constraints.txt")]
        folder.mkdir(parents=True)
        options = ["--only-binary", ":all:", "-d", str(folder)]
        subprocess.run([*pip, *pins, *options, *COLD, *found], check=True)
        subprocess.run([python, "-c", code, str(folder)], check=True)
    return str(folder)
