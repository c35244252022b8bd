"""An environment provider without network and without an installer: for tests of what uses one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from flow_core.environments import this_platform
from flow_core.errors import NoEnvironment, did_you_mean
from flow_core.interfaces import (
    EnvironmentCapabilities,
    EnvironmentRequest,
    EnvironmentWork,
    Interpreter,
)

_FORMAT = 1
_OPTIONS = ("modules", "fetched", "variables")


class BareEnvironment:
    """Makes virtual environments of the Python that runs it, in a tenth of a second.

    What the request requires is linked from the packages of this process. Options: ``modules``, name
    → source of modules that the environment has; ``fetched``, the same, but the lock has only the
    hash of the source, which lies in the provider's cache and, as the setting ``mirror_packages``
    says, in the mirror; ``variables``, environment variables.

    Since 0.1.
    """

    capabilities = EnvironmentCapabilities(offline=True, exports=True, mirrors=True)

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        """Fix the modules, and the versions of what is required."""
        for name in request.options:
            if name not in _OPTIONS:
                raise NoEnvironment(
                    f"There is no option '{name}'",
                    where="options of the environment",
                    hint=did_you_mean(name, _OPTIONS),
                )
        if (request.platform, request.python) != (this_platform(), _python()):
            raise NoEnvironment(
                f"There is no Python {request.python} for {request.platform} here",
                where="options of the environment",
                why=f"this is Python {_python()} on {this_platform()}",
                hint=f"python='{_python()}'",
            )
        work.tell("looking for packages")
        return {
            "format": _FORMAT,
            "python": request.python,
            "packages": _closure(request.requirements),
            "modules": dict(request.options.get("modules", {})),
            "fetched": {
                name: _fetch(source, work)
                for name, source in request.options.get("fetched", {}).items()
            },
            "variables": dict(request.options.get("variables", {})),
        }

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        """Make the virtual environment and put links and modules into it."""
        _check(lock)
        work.tell("making a virtual environment", 0.0)
        path, packages = self._make(folder)
        for number, (name, version) in enumerate(lock["packages"].items()):
            work.tell(f"linking {name} {version}", number / len(lock["packages"]))
            _link(name, version, packages)
        for name, source in lock["modules"].items():
            work.check()
            with open(os.path.join(packages, f"{name}.py"), "w", encoding="utf-8") as file:
                file.write(source)
        for name, sha256 in lock.get("fetched", {}).items():
            _copy(sha256, os.path.join(packages, f"{name}.py"), work)
        return Interpreter(path, lock["variables"])

    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the packages as requirements, and the whole lock as JSON."""
        _check(lock)
        lines = [f"{name}=={version}\n" for name, version in lock["packages"].items()]
        return {
            "requirements.txt": "".join(lines),
            "bare.json": json.dumps(lock, indent=2, sort_keys=True) + "\n",
        }

    def _make(self, folder: str) -> tuple[str, str]:
        import venv

        maker = venv.EnvBuilder(symlinks=os.name != "nt")
        context = maker.ensure_directories(folder)
        maker.create(folder)
        packages = os.path.join(folder, "lib", f"python{_python()}", "site-packages")
        return str(context.env_exe), packages


def _check(lock: Mapping[str, Any]) -> None:
    if lock.get("format") != _FORMAT or lock.get("python") != _python():
        raise NoEnvironment(
            "This is no lock of the environment provider 'bare'",
            where="the lock",
            why=f"its format is {lock.get('format')!r}, its Python {lock.get('python')!r}",
            hint="resolve it again",
        )


def _fetch(source: str, work: EnvironmentWork) -> str:
    """Put a source into the cache, as if it were fetched; return its hash."""
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    with open(os.path.join(work.cache, sha256), "w", encoding="utf-8") as file:
        file.write(source)
    return sha256


def _copy(sha256: str, path: str, work: EnvironmentWork) -> None:
    """Write a source that was fetched: from the cache, or else from the mirror."""
    kept, mirror = os.path.join(work.cache, sha256), work.mirror
    there = os.path.exists(kept)
    if not there and not (mirror is not None and mirror.fetch(sha256, kept)):
        raise NoEnvironment(
            "A module of the environment is not on this machine",
            where=kept,
            why="it is neither in the cache nor in the datastore",
            hint="resolve it again",
        )
    if there and mirror is not None and work.setting("mirror_packages"):
        mirror.keep(sha256, kept)
    shutil.copyfile(kept, path)


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _closure(requirements: tuple[str, ...]) -> dict[str, str]:
    """Return name → version of what is required, and of what that requires in turn."""
    from importlib_metadata import PackageNotFoundError, distribution

    found: dict[str, str] = {}
    waiting = [(text, True) for text in requirements]
    while waiting:
        text, required = waiting.pop()
        head, _, marker = text.partition(";")
        name = (re.match(r"\s*[\w.-]*", head) or [""])[0].strip().lower().replace("_", "-")
        if name in found or "extra" in marker:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError:
            if required and not marker:
                raise NoEnvironment(
                    f"'{name}' is not installed here",
                    where="requirements of the environment",
                    why="this provider only links what is",
                    hint=f"pip install {name}",
                ) from None
            continue
        found[name] = one.version
        waiting += [(more, False) for more in one.requires or ()]
    return dict(sorted(found.items()))


def _link(name: str, version: str, packages: str) -> None:
    from importlib_metadata import distribution

    one = distribution(name)
    if one.version != version:
        raise NoEnvironment(
            f"{name} {version} is not installed here",
            where="the lock",
            why=f"installed is {one.version}",
            hint=f"pip install {name}=={version}",
        )
    tops = {str(file).replace(os.sep, "/").partition("/")[0] for file in one.files or ()}
    for top in sorted(tops - {"..", "__pycache__"}):
        place = os.path.join(packages, top)
        if not os.path.lexists(place):
            os.symlink(str(one.locate_file(top)), place)
