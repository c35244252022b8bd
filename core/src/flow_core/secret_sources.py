"""What the source of a secret is, and what a provider of secrets must do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flow_core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_core.settings import Settings


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
    ``type`` in sources. Suite: `flow_core.testing.SecretsSuite`. Since 0.1.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; connect to nothing yet."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return the variables that ``source`` stands for: name → value, not empty.

        Names are letters, digits and ``_``, and do not begin with ``FLOW_``; values hold no NUL.
        Any exception means that it could not be fetched: it is shown with the provider and the
        source, so its text needs neither, and must not contain anything secret. An option that is
        not known is refused by name, which `SecretSource.check_options` does: a mistyped one may
        be the one that says which secret.
        """
