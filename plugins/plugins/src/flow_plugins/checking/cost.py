"""What importing a plugin costs: time and modules, measured in an interpreter of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from flow_plugins.checking.findings import OK, WARN, Finding
from flow_plugins.inventory import Item
from flow_plugins.reports import DECORATOR_HOOKS

LIMIT = 10.0
"""Milliseconds that a module may take which many start-ups import."""

HEAVY = frozenset(
    {
        *("IPython", "aiohttp", "asyncio", "boto3", "botocore", "concurrent.futures", "email"),
        *("fsspec", "http.client", "httpx", "importlib_metadata", "jax", "jinja2", "matplotlib"),
        *("multiprocessing", "numpy", "pandas", "pkg_resources", "polars", "pyarrow", "pydantic"),
        *("requests", "rich", "scipy", "setuptools", "sklearn", "sqlalchemy", "sqlite3", "ssl"),
        *("tensorflow", "torch", "unittest", "urllib.request", "xml", "yaml"),
    }
)
"""Modules that no start-up should load, however fast they are on this machine."""

_ANYWAY = ("flow_core.cli", "flow_core.session", "flow_core.api")
_WITH_DECORATORS = (*_ANYWAY, "dataclasses")
_GROUPS = {
    "flow.plugins": "each command imports it",
    "flow.decorators": "each flow that uses it imports it",
    DECORATOR_HOOKS: "each flow that uses it imports it",
    "flow.commands": "'flow --help' imports it",
}
"""Groups whose modules are imported where they may not be needed → when."""

_AGAIN = 2
"""How often what seems slow is measured again."""

_TIMEOUT = 120.0  # seconds for all plugins together: a module that hangs must not hang the check


class Cost(NamedTuple):
    """What importing one module cost.

    Attributes:
        module: its name.
        milliseconds: of CPU time, with all that it loaded but the kernel's own modules: what the
            kernel loads for a name of its API, and what else the machine does at the time, is not
            the plugin's doing.
        loaded: modules that were not there before.
        parts: those of them that took longest by themselves, (name, milliseconds by the clock).
        error: why it cannot be imported, or ``""``.
    """

    module: str
    milliseconds: float
    loaded: tuple[str, ...]
    parts: tuple[tuple[str, float], ...]
    error: str

    @property
    def heavy(self) -> list[str]:
        """The modules of `HEAVY` that it loaded."""
        return sorted(HEAVY.intersection(self.loaded))


def cost_findings(items: Sequence[Item]) -> dict[str, list[Finding]]:
    """Measure all plugins at once; return plugin → findings."""
    asked = {item.name: list(_modules(item)) for item in items}
    with _compiled() as variables:
        measured = _fastest({n: [m for m, _ in found] for n, found in asked.items()}, variables)
    return {
        name: list(_findings(costs, dict(asked[name]))) for name, costs in measured.items() if costs
    }


def _fastest(
    groups: Mapping[str, Sequence[str]], variables: Mapping[str, str]
) -> dict[str, list[Cost]]:
    """Measure, and again what seems slow: Python may have compiled it, the machine may be busy."""
    measured = measure(groups, variables)
    for _ in range(_AGAIN):
        slow = {n: groups[n] for n, costs in measured.items() if any(map(_over, costs))}
        for name, costs in measure(slow, variables).items() if slow else ():
            pairs = zip(measured[name], costs, strict=True)
            measured[name] = [min(pair, key=lambda cost: cost.milliseconds) for pair in pairs]
    return measured


@contextlib.contextmanager
def _compiled() -> Iterator[dict[str, str]]:
    """Yield variables with which modules are compiled once, as for people who use a plugin."""
    if not sys.dont_write_bytecode:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="flow-check-") as folder:
        yield {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}


def _over(cost: Cost) -> bool:
    return cost.milliseconds > LIMIT


def _modules(item: Item) -> Iterator[tuple[str, str]]:
    """Yield the modules that are imported where they may not be needed, with the reason."""
    if not item.distribution:
        yield item.name, "each command that names it imports it"
        return
    told = set()
    for group, why in _GROUPS.items():
        for entry in item.entry_points:
            module = entry.value.partition(":")[0]
            if entry.group == group and module not in told:
                told.add(module)
                yield module, why


def _findings(costs: Sequence[Cost], why: Mapping[str, str]) -> Iterator[Finding]:
    fine = True
    for cost in costs:
        if cost.error:
            continue  # told elsewhere
        if _over(cost) or cost.heavy:
            fine = False
            slowest = ", ".join(f"{name} {ms:.1f} ms" for name, ms in cost.parts)
            loads = f", and loads {', '.join(cost.heavy)}" if cost.heavy else ""
            yield Finding(
                "cost",
                WARN,
                f"Importing {cost.module} takes {cost.milliseconds:.1f} ms{loads}",
                cost.module,
                why=f"{why[cost.module]}; slowest: {slowest}",
                hint="import what is heavy inside the functions that use it",
            )
    if fine:
        loaded = sum(len(cost.loaded) for cost in costs)
        total = sum(cost.milliseconds for cost in costs)
        yield Finding("cost", OK, f"{total:.1f} ms for {loaded} modules")


# --- measuring ----------------------------------------------------------------------------------


def measure(
    groups: Mapping[str, Sequence[str]], variables: Mapping[str, str]
) -> dict[str, list[Cost]]:
    """Import the modules of each group after each other, in an interpreter that has none of them.

    Args:
        groups: name → modules.
        variables: environment variables to set in that interpreter.
    """
    if len(groups) > 1 and not hasattr(os, "fork"):
        return {n: measure({n: modules}, variables)[n] for n, modules in groups.items()}
    asked = {
        "path": [os.path.abspath(place) for place in sys.path],
        "first": _WITH_DECORATORS,
        "groups": list(groups.values()),
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", _driver()],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        env={**os.environ, **variables},
        check=True,
    )
    times = _times(done.stderr)
    found: dict[str, list[Cost]] = {name: [] for name in groups}
    names = list(groups)
    for line in filter(lambda text: text.startswith("{"), done.stdout.splitlines()):
        told = json.loads(line)
        parts = times.get((told["group"], told["module"]), {})
        own = {module: ms for module, ms in parts.items() if not _is_kernel(module)}
        slowest = sorted(own.items(), key=lambda part: -part[1])[:3]
        found[names[told["group"]]].append(
            Cost(
                told["module"],
                max(told["ms"] - (sum(parts.values()) - sum(own.values())), 0.0),
                tuple(told["loaded"]),
                tuple(slowest),
                told["error"],
            )
        )
    return found


def _is_kernel(module: str) -> bool:
    return module.partition(".")[0] == "flow_core"


def _driver() -> str:
    return os.path.join(os.path.dirname(__file__), "import_driver.py")


def _times(text: str) -> dict[tuple[int, str], dict[str, float]]:
    """Return (group, module) → {module that was loaded: its own milliseconds}."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    current: dict[str, float] | None = None
    for line in text.splitlines():
        begin = re.match(r"begin (\d+) (\S+)$", line)
        time = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", line)
        if begin:
            current = found.setdefault((int(begin[1]), begin[2]), {})
        elif line == "end":
            current = None
        elif time and current is not None:
            current[time[2]] = int(time[1]) / 1000
    return found
