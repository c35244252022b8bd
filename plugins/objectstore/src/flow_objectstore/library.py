"""obstore, also in a forked child of a process that has used it.

Its runtime's threads are in the parent only, and it never makes others: a request in the child
would wait for ever. A second copy of the library has a runtime of its own; such a child loads one.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

_EXTENSION = "obstore._obstore"

_used_in: int | None = None
_kept: list[Any] = []


def load_store(name: str) -> Any:
    """Return a class of ``obstore.store`` that works in this process."""
    if _used_in is not None and _used_in != os.getpid():
        _load_copy()
    return getattr(importlib.import_module("obstore.store"), name)


def note_use() -> None:
    """Note that a request was made in this process: after that, its children need a copy."""
    global _used_in  # noqa: PLW0603 - the library is one for the whole process, too
    _used_in = os.getpid()


def is_used() -> bool:
    """Whether a request was made, here or in a process from which this one was forked."""
    return _used_in is not None


def _load_copy() -> None:
    names = [name for name in sys.modules if name == "obstore" or name.startswith("obstore.")]
    old = {name: sys.modules.pop(name) for name in names}
    _kept.append(old)  # taking it apart would wait for threads that are not here
    path = old[_EXTENSION].__file__
    assert path is not None
    with tempfile.TemporaryDirectory(prefix="flow-") as folder:
        copy = shutil.copy(path, folder)
        # The linker knows a library by its file: only another file is loaded once more.
        spec = spec_from_file_location(
            _EXTENSION, copy, loader=ExtensionFileLoader(_EXTENSION, copy)
        )
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[_EXTENSION] = module
        spec.loader.exec_module(module)
    importlib.import_module("obstore.store")
    note_use()
