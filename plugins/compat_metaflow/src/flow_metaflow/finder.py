"""What ``import metaflow`` finds: modules made of names of flow-core, and no installed package.

In this process a finder in front of all others makes them. For the Python processes that are started
from here a folder on ``PYTHONPATH`` holds a ``metaflow`` that installs the finder there; it costs
nothing to those that do not import it, and works for any of them: task servers, steps that call
``sys.executable``, pools that spawn.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

from flow_metaflow.names import MODULES, find_name, missing_module, offered

NAME = "metaflow"
SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")
"""The folder for ``PYTHONPATH``."""


class Facade(ModuleType):
    """A module of the predecessor, whose names are looked up when they are used."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            value: Any = offered(self.__name__)
        elif name.startswith("__"):
            raise AttributeError(name)
        else:
            value = find_name(self.__name__, name)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__all__})


class Finder(MetaPathFinder, Loader):
    """Finds and makes ``metaflow`` and what lies below it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for ``metaflow`` and ``metaflow.*``, and for nothing else."""
        if fullname != NAME and not fullname.startswith(NAME + "."):
            return None
        if fullname not in MODULES:
            raise missing_module(fullname)
        # All are packages: for `from metaflow.x import NAME` the import system then asks here for a
        # NAME that the module does not have, and the answer can say why.
        return importlib.machinery.ModuleSpec(
            fullname, self, origin="flow-metaflow", is_package=True
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return an empty module."""
        return Facade(spec.name, f"The names of {spec.name}, offered by flow-metaflow.")

    def exec_module(self, module: ModuleType) -> None:
        """Say which version it stands for; names are looked up when they are used."""
        if module.__name__ == NAME:
            from flow_metaflow import VERSION

            vars(module)["__version__"] = VERSION


def install() -> None:
    """Put the finder in front of all others, here and in processes that are started from here."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    found = sys.modules.get(NAME)
    if found is not None and not isinstance(found, Facade):
        raise ImportError(
            f"another 'metaflow' has been imported already, from {found.__file__}: call "
            "flow_metaflow.install() before anything imports it, or start the script with "
            "python -m flow_metaflow SCRIPT",
            name=NAME,
        )
    sys.meta_path.insert(0, Finder())
    if SHIM not in sys.path:
        sys.path.insert(1, SHIM)  # a pool that spawns hands this path on, and not the variable
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if SHIM not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SHIM, *paths]))


def hidden_package() -> str | None:
    """Return the place of an installed ``metaflow``, which is not used; None when there is none."""
    spec = importlib.machinery.PathFinder.find_spec(NAME, [p for p in sys.path if p != SHIM])
    return spec.origin if spec is not None else None
