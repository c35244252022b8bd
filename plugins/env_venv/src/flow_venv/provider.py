"""The environment provider ``venv``: pip resolves and installs, virtual environments hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flow_core.api import (
    CommandFailed,
    EnvironmentCapabilities,
    EnvironmentRequest,
    EnvironmentWork,
    Interpreter,
    NoEnvironment,
)
from flow_venv.trouble import explain

FORMAT = 1
_ALONE = {"PYTHONPATH": "", "PYTHONHOME": ""}  # what is there is no part of the environment
_WHERE = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
    *("PIP_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_PRE"),
)
_QUIET = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")


class VenvEnvironment:
    """Makes virtual environments. A lock names each package with its version and its hash.

    Wheels are kept in the cache: an environment is built from there, without network.
    """

    capabilities = EnvironmentCapabilities(offline=True, origins=True)

    def origins(self, request: EnvironmentRequest, work: EnvironmentWork) -> Any:
        """Return where pip looks, as settings and its own variables say."""
        told = {n: v for n, v in os.environ.items() if n in _WHERE}
        return [_without_password(text) for text in (*_sources(work), *map("=".join, told.items()))]

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        """Let pip say what it would install."""
        version = str(request.options.get("python") or request.python)
        python = find_python(version)
        wanted = [*request.options.get("packages", ()), *request.requirements]
        for text in request.files.values():
            wanted += requirements_of(text)
        if work.offline:
            raise NoEnvironment(
                "What @venv asks for was not resolved yet, and no network may be used",
                where="environment provider 'venv'",
                why="the setting 'offline' is on",
                hint="run it once with network: FLOW_OFFLINE=0",
            )
        work.tell(f"resolving {len(wanted)} requirements")
        report = self._report(python, wanted, work)
        return {
            "format": FORMAT,
            "python": version,
            "platform": request.platform,
            "packages": sorted((_package(p) for p in report["install"]), key=lambda p: p["name"]),
        }

    def _report(self, python: str, wanted: Sequence[str], work: EnvironmentWork) -> dict[str, Any]:
        options = ["--dry-run", "--ignore-installed", "--only-binary", ":all:"]
        with tempfile.NamedTemporaryFile("r", suffix=".json", encoding="utf-8") as file:
            told = ["--report", file.name]
            # Not in a file, of which pip would tell the lines instead of the requirements.
            _pip(work, python, "install", *options, *told, *_sources(work), "--", *wanted)
            report: dict[str, Any] = json.load(file)
        return report

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        """Fetch the wheels that the cache lacks, make the environment, install them."""
        check(lock)
        python = find_python(lock["python"])
        wheels = os.path.join(work.cache, "wheels")
        os.makedirs(wheels, exist_ok=True)
        missing = [p for p in lock["packages"] if not _has(wheels, p)]
        if missing:
            self._fetch(python, missing, wheels, work)
        work.tell(f"making an environment of Python {lock['python']}", 0.4)
        _run(work, [python, "-m", "venv", "--without-pip", folder])
        made = os.path.join(
            folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python"))
        )
        count = len(lock["packages"])
        work.tell(f"installing {count} package{'s' if count != 1 else ''}", 0.5)
        if count:
            local = ["--no-index", "--find-links", wheels, "--no-deps", "--require-hashes"]
            with _requirements_file(map(_pinned, lock["packages"])) as file:
                _pip(work, made, "install", *local, "-r", file.name)
        work.tell("installed", 1.0)
        return Interpreter(made, {"VIRTUAL_ENV": folder})

    def _fetch(
        self, python: str, packages: Sequence[Mapping[str, str]], wheels: str, work: EnvironmentWork
    ) -> None:
        if work.offline:
            names = ", ".join(f"{p['name']} {p['version']}" for p in packages[:5])
            raise NoEnvironment(
                "Packages of the environment are not on this machine, and no network may be used",
                where=wheels,
                why=f"missing: {names}{', …' if len(packages) > 5 else ''}",
                hint="build it once with network: FLOW_OFFLINE=0",
            )
        work.tell(f"fetching {len(packages)} packages", 0.0)
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        with tempfile.TemporaryDirectory(dir=work.cache) as new:
            with _requirements_file(_pinned(p, origin=True) for p in packages) as file:
                _pip(
                    work, python, "download", *options, *_sources(work), "-d", new, "-r", file.name
                )
            for name in os.listdir(new):  # whole, and checked: now others may use them
                os.replace(os.path.join(new, name), os.path.join(wheels, name))


def find_python(version: str) -> str:
    """Return the path of a Python of this minor version.

    Raises:
        NoEnvironment: there is none on this machine.
    """
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise NoEnvironment(
            f"There is no Python {version} on this machine",
            where="@venv(python=…)",
            why=f"no program 'python{version}' is on the PATH",
            hint=f"install it, or leave 'python' out: then it is "
            f"{sys.version_info[0]}.{sys.version_info[1]}",
        )
    return found


def requirements_of(text: str) -> list[str]:
    """Return the requirements of a file: its lines, without comments.

    Raises:
        NoEnvironment: a line is an option of pip, which would make the lock depend on more.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        wanted = line.partition(" #")[0].strip()
        if wanted.startswith("-"):
            raise NoEnvironment(
                f"The requirements file has an option of pip: {wanted}",
                where=f"line {number}",
                why="@venv reads requirements only, one a line",
                hint="put what it includes into the file; an index is a setting: FLOW_VENV_INDEX",
            )
        if wanted and not wanted.startswith("#"):
            found.append(wanted)
    return found


def check(lock: Mapping[str, Any]) -> None:
    """Raise `NoEnvironment` unless this is a lock that `prepare` can read."""
    packages = lock.get("packages")
    sound = (
        lock.get("format") == FORMAT
        and isinstance(lock.get("python"), str)
        and isinstance(packages, list)
        and all(
            isinstance(p, dict) and {"name", "version", "file", "sha256"} <= {*p} for p in packages
        )
    )
    if not sound:
        raise NoEnvironment(
            "This is no lock of the environment provider 'venv'",
            where="the lock",
            why=f"its format is {lock.get('format')!r}, or parts of it are missing",
            hint="resolve it anew: FLOW_RELOCK=1; a newer flow-venv may have written it",
        )


def _package(installed: Mapping[str, Any]) -> dict[str, str]:
    """Return what a lock says of a package, from what pip reports."""
    source, metadata = installed["download_info"], installed["metadata"]
    sha256 = _sha256(source.get("archive_info", {}))
    if sha256 is None:
        raise NoEnvironment(
            f"'{metadata['name']}' has no hash, so that nobody could build the same again",
            where=source["url"],
            why="it is a folder or a repository, not a wheel",
            hint="make a wheel of it: pip wheel --no-deps FOLDER",
        )
    found = {
        "name": metadata["name"],
        "version": metadata["version"],
        "file": os.path.basename(source["url"].partition("#")[0]),
        "sha256": sha256,
    }
    return {**found, "url": source["url"]} if installed.get("is_direct") else found


def _sha256(archive: Mapping[str, Any]) -> str | None:
    """Return the hash that pip reports of a wheel; pip before 23.1 has one text for it."""
    kind, _, digest = archive.get("hash", "").partition("=")
    found: str | None = archive.get("hashes", {}).get("sha256")
    return found or (digest if kind == "sha256" else None)


def _pinned(package: Mapping[str, str], origin: bool = False) -> str:
    """Return the one requirement that is this package; by its URL, if it has one of its own."""
    url = package.get("url") if origin else None
    what = f"{package['name']} @ {url}" if url else f"{package['name']}=={package['version']}"
    return f"{what} --hash=sha256:{package['sha256']}"


def _has(wheels: str, package: Mapping[str, str]) -> bool:
    from urllib.parse import unquote

    return os.path.isfile(os.path.join(wheels, unquote(package["file"])))


def _requirements_file(lines: Iterable[str]) -> Any:
    file = tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8")  # noqa: SIM115
    file.write("".join(f"{line}\n" for line in lines))
    file.flush()
    return file


def _sources(work: EnvironmentWork) -> list[str]:
    index, wheels = work.setting("venv_index"), work.setting("venv_wheels")
    found = ["--index-url", index] if index else []
    return (
        [*found, "--find-links", os.path.abspath(os.path.expanduser(wheels))] if wheels else found
    )


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


def _pip(work: EnvironmentWork, python: str, command: str, *words: str) -> str:
    # The pip of this Python works for any other one, so that none need be in the environment.
    other = [] if python == sys.executable else ["--python", python]
    return _run(work, [sys.executable, "-m", "pip", *other, command, *_QUIET, *words])


def _run(work: EnvironmentWork, command: Sequence[str]) -> str:
    try:
        return work.run(command, variables=_ALONE)
    except CommandFailed as error:
        raise explain(error) from None
