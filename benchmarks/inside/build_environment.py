"""Builds one environment again and again: as a run does it, and with nothing but ``uv pip sync``.

    build_environment.py WHEELS TIMES PACKAGE…

Both get the same wheels of the same index, a server on this machine, and caches of their own: empty
ones, then filled ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    with tempfile.TemporaryDirectory() as place, _index(wheels, place) as index:
        root = os.path.join(place, "environments")
        given = {"FLOW_ENVIRONMENTS": root, "FLOW_PYPI_INDEX": index, "HOME": place}
        given["FLOW_PYPI_FIND_LINKS"] = ""
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
                _sync(place, index, text, clean)

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


def _sync(place: str, index: str, pylock: str, clean: bool) -> None:
    """Install what the lock has into an empty environment, which is made before."""
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    target, cache = os.path.join(place, "target"), os.path.join(place, "uv-cache")
    if clean:
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    wanted = os.path.join(place, "pylock.toml")
    with open(wanted, "w", encoding="utf-8") as file:
        file.write(pylock)
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, target], check=True)
    words = [uv, "pip", "sync", "-q", "--preview-features", "pylock", "--index-url", index]
    words += ["--cache-dir", cache, "--python", target, wanted]
    _timed(lambda: subprocess.run(words, check=True), theirs)


@contextmanager
def _index(wheels: str, place: str) -> Iterator[str]:
    """Serve a folder of wheels as an index; yield its URL."""
    simple = os.path.join(place, "simple")
    for name in os.listdir(wheels):
        folder = os.path.join(simple, name.partition("-")[0].lower().replace("_", "-"))
        os.makedirs(folder, exist_ok=True)
        os.symlink(os.path.join(wheels, name), os.path.join(folder, name))
    words = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None, "the index does not start"
        yield f"http://127.0.0.1:{port[1]}/simple"
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
