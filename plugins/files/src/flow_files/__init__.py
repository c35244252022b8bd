"""Files of one's own, beside a run or in any store.

    from flow_core import Files

    with Files(run=self) as files:
        files.put("report.csv", "title,year\\n")
        files.get("report.csv").text

Importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_files.errors import FilesAccessDenied as FilesAccessDenied
    from flow_files.errors import FilesError as FilesError
    from flow_files.errors import FilesInsufficientDiskSpace as FilesInsufficientDiskSpace
    from flow_files.errors import FilesInvalidObject as FilesInvalidObject
    from flow_files.errors import FilesInvalidRange as FilesInvalidRange
    from flow_files.errors import FilesNotFound as FilesNotFound
    from flow_files.errors import FilesURLError as FilesURLError
    from flow_files.objects import FileObject as FileObject
    from flow_files.objects import FileRange as FileRange
    from flow_files.objects import FileUpload as FileUpload
    from flow_files.objects import RangeInfo as RangeInfo
    from flow_files.places import Place as Place
    from flow_files.places import Target as Target
    from flow_files.places import run_of as run_of
    from flow_files.tool import Files as Files

_HOME = {
    "FileObject": "objects",
    "FileRange": "objects",
    "FileUpload": "objects",
    "Files": "tool",
    "FilesAccessDenied": "errors",
    "FilesError": "errors",
    "FilesInsufficientDiskSpace": "errors",
    "FilesInvalidObject": "errors",
    "FilesInvalidRange": "errors",
    "FilesNotFound": "errors",
    "FilesURLError": "errors",
    "Place": "places",
    "RangeInfo": "objects",
    "Target": "places",
    "run_of": "places",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - computed, so that each name is written once


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flow_files' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"flow_files.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
