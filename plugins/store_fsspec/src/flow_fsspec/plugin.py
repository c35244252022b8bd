"""Hooks: the settings, for ``flow plugins`` and for files of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import Settings


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare the options of filesystems."""
    from flow_fsspec.settings import declare

    declare(settings)
