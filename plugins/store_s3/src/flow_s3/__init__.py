"""flow-s3: keeps flow artifacts in S3, and in what speaks its language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_s3.filesystem import filesystem as filesystem

_HOME = {"filesystem": "filesystem"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'flow_s3' has no attribute '{name}'")
        from importlib import import_module

        value = getattr(import_module(f"flow_s3.{_HOME[name]}"), name)
        globals()[name] = value  # in place of the module of the same name
        return value
