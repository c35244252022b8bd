"""What plugins of clusters say of settings that are the defaults of their options."""

from __future__ import annotations

from flow_core.api import DefinitionError, SettingsError


def refused_setting(error: DefinitionError, option: str, setting: str) -> SettingsError:
    """Return the error for a setting whose value the option of a decorator cannot have.

    Args:
        error: what the option says of the value.
        option: its name: ``labels``.
        setting: the name of the setting: ``kubernetes_labels``.

    Since 0.1.
    """
    return SettingsError(
        error.what.replace(f"Option '{option}'", f"Setting '{setting}'"),
        where=f"FLOW_{setting.upper()}, or {setting} in [tool.flow]",
        why=error.why,
        hint=error.hint,
    )
