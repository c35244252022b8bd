"""Hooks: the settings, for ``flow plugins`` and for files of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import Settings


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where buckets are, and how they are used."""
    from flow_gs.settings import declare

    declare(settings)
