"""S3 for libraries that read through fsspec, with the settings and credentials of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flow_core.api import PluginError
from flow_objectstore.library import load_store, note_use
from flow_s3.place import find_place

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def filesystem(settings: Mapping[str, Any] | None = None) -> AbstractFileSystem:
    """Return an fsspec filesystem whose paths are ``bucket/key`` or ``s3://bucket/key``.

    It is not made the one for ``s3://`` in general: pass it along, as
    ``pandas.read_parquet("bucket/table.parquet", filesystem=filesystem())``.

    Args:
        settings: values of settings by name, for those that are not to be looked up.

    Raises:
        PluginError: fsspec is not installed.

    Since 0.1.
    """
    load_store("S3Store")  # in a forked child, the copy that works there
    note_use()
    try:
        from obstore.fsspec import FsspecStore
    except ImportError as error:
        raise PluginError(
            "flow_s3.filesystem() needs fsspec",
            why=str(error),
            hint='pip install "flow-s3[fsspec]"',
        ) from error
    # The bucket comes with each path: only with it would the URL of another style be known.
    place = find_place({**(settings or {}), "s3_path_style": "always"})
    arguments = place.client_arguments("", True)
    arguments["config"].pop("aws_endpoint_url_s3", None)  # a name that does not come through there
    made: AbstractFileSystem = FsspecStore("s3", **arguments)
    return made
