"""Builds one environment again and again: as a run does it, and with nothing but ``uv pip sync``.

    build_environment.py WHEELS TIMES PACKAGE…

Both get the same wheels of the same folder, and caches of their own: empty ones, then filled ones.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import tomllib

from flow_core.api import (
    EnvironmentRequest,
    Session,
    Settings,
    core_requirements,
    remove_environment,
    this_platform,
)


def main() -> None:
    """Measure, and print JSON: seconds by name."""
    wheels, times, *packages = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        root = os.path.join(place, "environments")
        given = {"FLOW_ENVIRONMENTS": root, "FLOW_PYPI_FIND_LINKS": wheels, "HOME": place}
        with Session(settings=Settings({**os.environ, **given})) as session:
            builder = session.environments.builder("pypi")
            lock = builder.resolve(_request(packages))
            (text,) = builder.export(lock).values()

            def build(clean: bool) -> None:
                remove_environment(root, "pypi", lock.hash)
                if clean:
                    shutil.rmtree(os.path.join(root, "pypi", "cache"), ignore_errors=True)
                _timed(lambda: builder.prepare(lock), ours)

            def sync(clean: bool) -> None:
                _sync(place, wheels, text, clean)

            found = {}
            for name, clean in (("cold", True), ("warm", False)):
                ours: list[float] = []
                theirs.clear()
                for _ in range(int(times)):
                    build(clean)
                    sync(clean)
                found[f"{name}_ours"] = statistics.median(ours)
                found[f"{name}_sync"] = statistics.median(theirs)
    print(json.dumps(found))


theirs: list[float] = []


def _request(packages: list[str]) -> EnvironmentRequest:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    options = {"packages": dict.fromkeys(packages, "")}
    return EnvironmentRequest(options, core_requirements(), {}, this_platform(), python)


def _timed(work: Callable[[], object], results: list[float]) -> None:
    begin = time.perf_counter()
    work()
    results.append(time.perf_counter() - begin)


def _sync(place: str, wheels: str, pylock: str, clean: bool) -> None:
    """Install what the lock has into an empty environment, which is made before."""
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    target, cache = os.path.join(place, "target"), os.path.join(place, "uv-cache")
    if clean:
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    wanted = os.path.join(place, "requirements.txt")
    with open(wanted, "w", encoding="utf-8") as file:
        file.writelines(map(_pinned, tomllib.loads(pylock)["packages"]))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, target], check=True)
    options = [
        "--require-hashes",
        "--no-index",
        "--find-links",
        wheels,
        "--cache-dir",
        cache,
        "--python",
        target,
    ]
    _timed(lambda: subprocess.run([uv, "pip", "sync", "-q", *options, wanted], check=True), theirs)


def _pinned(package: dict[str, Any]) -> str:
    hashes = (wheel["hashes"]["sha256"] for wheel in package["wheels"])
    checked = "".join(f" --hash=sha256:{one}" for one in hashes)
    return f"{package['name']}=={package['version']}{checked}\n"


if __name__ == "__main__":
    main()
