"""The settings that a plugin declares, and their values in force."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flow_core.api import Setting, Settings, SettingsError


class InForce(NamedTuple):
    """One setting with its value.

    Attributes:
        setting: its declaration.
        value: as text that anybody may see; ``""`` when it cannot be used.
        source: where the value comes from.
        error: why it cannot be used, or ``""``.
    """

    setting: Setting
    value: str
    source: str
    error: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"FLOW_{self.setting.name.upper()}"

    @property
    def type(self) -> str:
        """The values that it may have, for people."""
        return (
            " or ".join(choice or "empty" for choice in self.setting.choices)
            or self.setting.type.__name__
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        own = self.setting
        return {
            "name": own.name,
            "variable": self.variable,
            "type": own.type.__name__,
            "choices": list(own.choices),
            "default": None if own.secret else own.default,
            "help": own.help,
            "secret": own.secret,
            "value": self.value,
            "source": self.source,
            "error": self.error or None,
        }


def declared_by(modules: Iterable[Any]) -> list[Setting]:
    """Return what hook modules declare in their hook ``flow_settings``, sorted by name."""
    settings = Settings({})
    others = {setting.name for setting in settings.declared()}
    for module in modules:
        hook = getattr(module, "flow_settings", None)
        if hook is not None:
            hook(settings) if inspect.signature(hook).parameters else hook()
    return [setting for setting in settings.declared() if setting.name not in others]


def in_force(settings: Settings, declared: Iterable[Setting]) -> Iterator[InForce]:
    """Yield each setting with its value, also where that cannot be used."""
    for setting in declared:
        try:
            yield InForce(setting, settings.shown(setting.name), settings.lookup(setting.name)[1])
        except SettingsError as error:
            yield InForce(setting, "", error.where or "", error.what)
