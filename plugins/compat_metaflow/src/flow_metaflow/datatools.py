"""`S3` and its exceptions, as the predecessor's users know them: flow-s3 underneath.

This module is imported only where flow-s3 is installed: see `flow_metaflow.names`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flow_core
from flow_core.api import FlowError
from flow_metaflow.exceptions import MetaflowException, translated

_S3: Any = flow_core.S3
S3Object: Any = flow_core.S3Object
S3GetObject: Any = flow_core.S3GetObject
S3PutObject: Any = flow_core.S3PutObject


class MetaflowS3Exception(MetaflowException):
    """Something about S3 could not be done."""

    headline = "S3 access failed"


class MetaflowS3URLException(MetaflowS3Exception):
    """A key or a URL cannot be used here."""

    headline = "Invalid address"


class MetaflowS3NotFound(MetaflowS3Exception):
    """There is no such object, or local file."""

    headline = "S3 object not found"


class MetaflowS3AccessDenied(MetaflowS3Exception):
    """The service refuses it."""

    headline = "S3 access denied"


class MetaflowS3InvalidRange(MetaflowS3Exception):
    """The range lies outside of the object."""

    headline = "S3 invalid range"


class MetaflowS3InvalidObject(MetaflowS3Exception):
    """The value cannot be the content of an object."""

    headline = "Not a string-like object"


class MetaflowS3InsufficientDiskSpace(MetaflowS3Exception):
    """The disk for what is downloaded is full."""

    headline = "Insufficient disk space"


_KINDS: tuple[tuple[Any, type[MetaflowS3Exception]], ...] = (
    (flow_core.S3URLError, MetaflowS3URLException),
    (flow_core.S3NotFound, MetaflowS3NotFound),
    (flow_core.S3AccessDenied, MetaflowS3AccessDenied),
    (flow_core.S3InvalidRange, MetaflowS3InvalidRange),
    (flow_core.S3InvalidObject, MetaflowS3InvalidObject),
    (flow_core.S3InsufficientDiskSpace, MetaflowS3InsufficientDiskSpace),
    (flow_core.S3Error, MetaflowS3Exception),
)


def _translated(error: FlowError) -> MetaflowException:
    kind = next((own for theirs, own in _KINDS if isinstance(error, theirs)), None)
    return kind.of(error) if kind is not None else translated(error)


def _guarded(name: str) -> Callable[..., Any]:
    """Return a method of `S3` that lets only the predecessor's exceptions out."""
    original = getattr(_S3, name)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except MetaflowException:
            raise
        except FlowError as error:
            raise _translated(error) from error

    call.__name__ = name
    call.__doc__ = original.__doc__
    return call


class S3(_S3):  # type: ignore[misc]
    """Reads and writes objects in S3: `flow_s3.S3`, with the predecessor's exceptions."""

    TYPE = "s3"


for _name in [
    "__init__",
    "__enter__",
    "get",
    "get_many",
    "get_recursive",
    "get_all",
    "info",
    "info_many",
    "list_paths",
    "list_recursive",
    "put",
    "put_many",
    "put_files",
]:
    setattr(S3, _name, _guarded(_name))
