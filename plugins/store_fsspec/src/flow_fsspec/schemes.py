"""Which filesystems there are, and what to install for one that is not."""

from __future__ import annotations

from typing import Any

from flow_core.api import PluginError, UsageError, did_you_mean, installed, near_misses

_OWN = {
    **dict.fromkeys(("s3", "s3a"), "flow-s3"),
    **dict.fromkeys(("gs", "gcs"), "flow-gs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "flow-azure"),
}
"""Protocols for which there is a plugin of its own, which does more."""
_PACKAGES = {
    "smbclient": "smbprotocol",
    "smbprotocol": "smbprotocol",
    "dvc": "dvc",
    "git": "GitPython",
    "libarchive": "libarchive-c",
    "distributed": "dask distributed",
}
"""Module → what to install for it, where that is not its name."""


def filesystem_class(protocol: str) -> Any:
    """Return the class of fsspec for a protocol.

    Raises:
        UsageError: fsspec does not know it.
        PluginError: something that it needs is not installed.
    """
    from fsspec.registry import get_filesystem_class, known_implementations, registry

    if protocol not in known_implementations and protocol not in registry:
        raise _unknown(protocol, {*known_implementations, *registry})
    try:
        return get_filesystem_class(protocol)
    except ImportError as error:
        raise _lacking(protocol, error) from error


def _unknown(protocol: str, known: set[str]) -> UsageError:
    if "::" in protocol:
        return UsageError(
            f"'{protocol}://' is a chain of filesystems, which cannot be a store",
            why="a store needs one that objects can be written to as they are",
            hint=f"name the last one alone: {protocol.rpartition('::')[2]}://…",
        )
    stores = installed().names("flow.stores")
    close = near_misses(protocol, stores) or near_misses(protocol, {*known, *_OWN})
    if close:
        return UsageError(
            f"There is no store '{protocol}'",
            why="no plugin provides it, and fsspec has no filesystem of this name",
            hint=did_you_mean(protocol, close),
        )
    return UsageError(
        f"no plugin provides the store '{protocol}': pip install flow-{protocol}",
        why=f"installed are: {', '.join(stores)}; and fsspec has no filesystem of this name",
    )


def _lacking(protocol: str, error: ImportError) -> PluginError:
    own = _OWN.get(protocol)
    cause = error.__cause__
    module = (getattr(cause, "name", None) or "").partition(".")[0]
    why = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
    if own is not None:
        hint = f"pip install {own}"
    elif module:
        hint = f"pip install {_PACKAGES.get(module, module)}"
    else:
        hint = str(error)
    return PluginError(
        f"The filesystem '{protocol}' needs a package that is not installed",
        where=f"{protocol}://",
        why=why,
        hint=hint,
    )
