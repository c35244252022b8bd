"""What can be set: the options of each filesystem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flow_core.api import SettingsError

if TYPE_CHECKING:
    from flow_core.api import Settings

_EXAMPLE = '{"sftp": {"username": "ada", "key_filename": "/home/ada/.ssh/id_flow"}}'


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    settings.declare(
        "fsspec_options",
        "",
        'Options of filesystems by protocol, as JSON: \'{"sftp": {"username": "ada"}}\'.',
        secret=True,
    )


def options_of(protocols: list[str], settings: Settings) -> dict[str, Any]:
    """Return the options for a filesystem.

    Args:
        protocols: its names, of which the setting may use any.
        settings: with what `declare` declares.

    Raises:
        SettingsError: the setting is no JSON object of objects.
    """
    text, source = settings.lookup("fsspec_options")
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _wrong(source, f"it is no JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(o, dict) for o in found.values()):
        raise _wrong(source, "it is no object whose values are objects")
    options: dict[str, Any] = {}
    for protocol in protocols:
        options |= found.get(protocol, {})
    return options


def _wrong(source: str, why: str) -> SettingsError:
    return SettingsError(
        "The setting 'fsspec_options' cannot be read", where=source, why=why, hint=_EXAMPLE
    )
