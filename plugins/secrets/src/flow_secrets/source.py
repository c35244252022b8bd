"""How sources of secrets are written in decorators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flow_core.api import DefinitionError, SecretSource, UsageError

KEYS = ("type", "id", "options", "role")


def check_shape(given: Any) -> None:
    """Raise `DefinitionError` for what cannot be a source. What it contains is not shown."""
    if isinstance(given, str):
        if given.strip(". "):
            return
        raise _wrong("it is empty")
    if not isinstance(given, Mapping):
        raise _wrong(f"it is of type {type(given).__name__}")
    for key in given:
        if key not in KEYS:
            raise _wrong(f"it has the key '{key}'; known are {', '.join(KEYS)}")
    for key, kind in (("type", str), ("id", str), ("role", str), ("options", Mapping)):
        value = given.get(key)
        if value is not None and not isinstance(value, kind):
            raise _wrong(f"its '{key}' is of type {type(value).__name__}, not {kind.__name__}")
    if not given.get("type") and not given.get("id"):
        raise _wrong("it has neither a type nor an id")


def _wrong(why: str) -> DefinitionError:
    return DefinitionError(
        "This is no source of a secret",
        why=why,
        hint="@secrets(sources=['env.TOKEN', {'type': 'file', 'id': '.env'}])",
    )


def parse_source(
    given: str | Mapping[str, Any], known: Collection[str], default: str, role: str | None = None
) -> SecretSource:
    """Return what a source in a decorator stands for.

    Args:
        given: ``"type.id"``, ``"id"`` or a dict with ``type``, ``id``, ``options``, ``role``.
        known: the providers that are installed. A text that begins with none of them is an id.
        default: the provider of sources that name none; ``""`` = there is none.
        role: that of the decorator, for sources without one.

    Raises:
        UsageError: it names no provider, and there is no default one.
    """
    check_shape(given)
    if isinstance(given, str):
        kind, dot, rest = given.partition(".")
        if dot and (kind in known or not default):
            return SecretSource(kind, rest, {}, role)
        if not dot and kind in known and not default:
            return SecretSource(kind, "", {}, role)
        return SecretSource(_default(default, given), given, {}, role)
    kind = given.get("type") or _default(default, given.get("id") or "")
    options = dict(given.get("options") or {})
    return SecretSource(kind, given.get("id") or "", options, given.get("role") or role)


def _default(default: str, text: str) -> str:
    if not default:
        raise UsageError(
            f"The secret '{text}' names no provider, and there is no default one",
            why="the setting 'secrets_default' is empty",
            hint=f"name it, as in 'env.{text}', or set FLOW_SECRETS_DEFAULT",
        )
    return default


def source_text(given: Any) -> str:
    """Return a source as text for plans, with nothing secret: without options."""
    if isinstance(given, str):
        return given
    return ".".join(filter(None, (given.get("type"), given.get("id"))))
