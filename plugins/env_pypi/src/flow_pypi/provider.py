"""The environment provider ``pypi``: uv resolves and installs, virtual environments hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flow_core.api import (
    EnvironmentCapabilities,
    EnvironmentRequest,
    EnvironmentWork,
    Interpreter,
    NoEnvironment,
    this_platform,
)

FORMAT = 1


class PypiEnvironment:
    """Makes virtual environments of what uv has locked: a ``pylock.toml`` for one platform and Python."""

    capabilities = EnvironmentCapabilities(
        offline=True, other_platforms=True, exports=True, mirrors=True, origins=True
    )

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        """Let uv find what fits; or take what a ``uv.lock`` says."""
        from flow_pypi.library import resolve_asked
        from flow_pypi.pythons import find_python

        python = str(request.options.get("python") or request.python)
        # One that is not there is found now, and not after all else.
        here = request.platform == this_platform()
        interpreter = find_python(python, work).path if here else None
        return {
            "format": FORMAT,
            "python": python,
            "platform": request.platform,
            "pylock": resolve_asked(
                request.options,
                request.files,
                request.requirements,
                platform=request.platform,
                python=python,
                work=work,
                interpreter=interpreter,
            ),
        }

    def origins(self, request: EnvironmentRequest, work: EnvironmentWork) -> Any:
        """Return the indexes and folders that settings and configurations name, without passwords."""
        from flow_pypi.sources import find_sources

        return find_sources(request.options, work).names()

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        """Make the environment, and install what the lock has."""
        from flow_pypi.library import install_into
        from flow_pypi.pythons import find_python

        _check(lock)
        _check_platform(lock)
        work.tell(f"making an environment of Python {lock['python']}", 0.0)
        made = make_environment(find_python(lock["python"], work), folder, work)
        install_into(made, lock["pylock"], work)
        work.tell("installed", 1.0)
        return Interpreter(made, {"VIRTUAL_ENV": folder})

    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the ``pylock.toml``, which pip and uv install from, too."""
        _check(lock)
        return {"pylock.toml": lock["pylock"]}


def make_environment(python: Any, folder: str, work: EnvironmentWork) -> str:
    """Make an empty virtual environment; return the path of its Python.

    It is that of the module ``venv``, without programs for shells, and without a process to make it.
    """
    if os.name == "nt":  # there, a program stands for the interpreter
        from flow_pypi.uv import run_uv

        run_uv(work, ["venv", "--allow-existing", "--python", python.path, folder])
        return os.path.join(folder, "Scripts", "python.exe")
    minor = ".".join(python.version.split(".")[:2])
    programs = os.path.join(folder, "bin")
    os.makedirs(programs)
    os.makedirs(os.path.join(folder, "lib", f"python{minor}", "site-packages"))
    os.symlink(python.path, os.path.join(programs, "python"))
    for name in ("python3", f"python{minor}"):
        os.symlink("python", os.path.join(programs, name))
    facts = {
        "home": os.path.dirname(python.path),
        "include-system-site-packages": "false",
        "version": python.version,
    }
    with open(os.path.join(folder, "pyvenv.cfg"), "w", encoding="utf-8") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in facts.items()))
    return os.path.join(programs, "python")


def _check(lock: Mapping[str, Any]) -> None:
    """Raise `NoEnvironment` unless this is a lock that `prepare` can read, for this platform."""
    sound = lock.get("format") == FORMAT and all(
        isinstance(lock.get(name), str) for name in ("python", "platform", "pylock")
    )
    if not sound:
        raise NoEnvironment(
            "This is no lock of the environment provider 'pypi'",
            where="the lock",
            why=f"its format is {lock.get('format')!r}, or parts of it are missing",
            hint="resolve it anew: FLOW_RELOCK=1; a newer flow-pypi may have written it",
        )


def _check_platform(lock: Mapping[str, Any]) -> None:
    if lock["platform"] != this_platform():
        raise NoEnvironment(
            f"This environment is for {lock['platform']}",
            where="the lock",
            why=f"this machine is {this_platform()}, where its packages do not run",
            hint="build it there, or resolve it for this machine: FLOW_RELOCK=1",
        )
