"""What a secret's source is, and what its provider must do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flow_core.api import DefinitionError, UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_core.api import Settings

KEYS = ("type", "id", "options", "role")


class SecretSource(NamedTuple):
    """Where one secret comes from.

    Attributes:
        type: name of the provider (entry-point group ``flow.secrets``).
        id: which secret, in the provider's own terms; may be empty.
        options: further details, in the provider's own terms. They may be secret themselves.
        role: the identity with which to fetch it, in the provider's own terms; None = its own.

    Since 0.1.
    """

    type: str
    id: str = ""
    options: Mapping[str, Any] = {}
    role: str | None = None

    def __repr__(self) -> str:
        return f"<secret {self.text}>"

    @property
    def text(self) -> str:
        """``type.id``, for people: nothing secret."""
        return f"{self.type}.{self.id}" if self.id else self.type

    def check_options(self, known: Collection[str]) -> None:
        """Raise `UsageError` for an option that is not in ``known``. For providers."""
        for name in self.options:
            if name not in known:
                raise UsageError(
                    f"there is no option '{name}'", hint=did_you_mean(str(name), known)
                )


class SecretsProvider(Protocol):
    """Fetches secrets. Made as ``Provider(settings)``, where it may declare settings of its own.

    An entry point of the group ``flow.secrets`` names the class; the entry point's name is the
    ``type`` in sources. Suite: `flow_secrets.testing.SecretsProviderSuite`. Since 0.1.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; connect to nothing yet."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return the variables that ``source`` stands for: name → value, not empty.

        Any exception means that it could not be fetched: it is shown with the provider and the
        source, so its text needs neither, and must not contain anything secret.
        """


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
