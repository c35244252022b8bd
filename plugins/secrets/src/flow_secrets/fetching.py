"""Fetching secrets: the provider of each source is asked, and what it says is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flow_core.api import FlowError, UsageError, installed, near_misses
from flow_secrets.source import parse_source

if TYPE_CHECKING:
    from flow_core.api import PluginIndex, SecretSource, Settings

GROUP = "flow.secrets"
_DISTRIBUTIONS = {"aws-secrets-manager": "flow-secrets-aws"}
"""Where providers come from, for those whose name does not say it."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = "FLOW_"


class SecretsError(FlowError):
    """A secret cannot be fetched, or cannot be used. Since 0.1."""


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    settings.declare("secrets_default", "", "Provider of secrets that name none.")
    settings.declare("secrets_role", "", "Identity for secrets whose decorator names none.")


class Fetcher:
    """Fetches secrets with the providers that are installed.

    Args:
        settings: where the default provider and role stand, and what providers declare.
        index: installed plugins.
        role: that of the decorator.
        where: the place, for errors.
    """

    def __init__(
        self, settings: Settings, index: PluginIndex, role: str | None = None, where: str = ""
    ) -> None:
        declare(settings)
        self._settings, self._index = settings, index
        self._role = role or settings["secrets_role"] or None
        self._where = where or None
        self._providers: dict[str, Any] = {}

    def parse(self, given: Any) -> SecretSource:
        """Return what a source stands for; errors are `FlowError`, also for unknown providers."""
        default = self._settings["secrets_default"]
        source = parse_source(given, self._index.names(GROUP), default, self._role)
        if source.type not in self._index.names(GROUP):
            raise self._unknown(source.type)
        return source

    def _unknown(self, kind: str) -> UsageError:
        known = self._index.names(GROUP)
        close = near_misses(kind, known)
        package = _DISTRIBUTIONS.get(kind, f"flow-{kind}")
        return UsageError(
            f"There is no provider of secrets '{kind}'",
            where=self._where,
            why=f"installed are: {', '.join(known)}",
            hint=f"did you mean '{close[0]}'?" if close else f"pip install {package}",
        )

    def fetch(self, given: Any) -> dict[str, str]:
        """Return the variables of one source.

        Raises:
            SecretsError: it could not be fetched, or is nothing that could be a variable.
        """
        source = self.parse(given)
        try:
            found = self._provider(source.type).fetch(source)
        except Exception as error:
            # Whatever a provider raises; without it, whose frames and causes hold the secret.
            raise self._failed(source, error) from None
        return dict(self._checked(source, found))

    def _provider(self, kind: str) -> Any:
        if kind not in self._providers:
            self._providers[kind] = self._index.load(GROUP, kind)(self._settings)
        return self._providers[kind]

    def _checked(self, source: SecretSource, found: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(found, Mapping) or not found:
            raise self._unusable(source, "its provider found no variables")
        for name, value in found.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                why = f"{name!r} cannot be the name of a variable: letters, digits and _"
                raise self._unusable(source, why)
            if name.startswith(_RESERVED):
                raise self._unusable(source, f"'{name}' is a name of flow-core's own settings")
            if not isinstance(value, str) or "\0" in value:
                kind = type(value).__name__
                raise self._unusable(source, f"the value of '{name}' is no text ({kind})")
            yield name, value

    def _failed(self, source: SecretSource, error: Exception) -> SecretsError:
        if isinstance(error, FlowError):
            why = f"{error.what}: {error.why}" if error.why else error.what
            hint = error.hint
        else:
            why, hint = f"{type(error).__name__}: {error}", None
        return SecretsError(
            f"The secret '{source.id or source.type}' could not be fetched "
            f"by the provider '{source.type}'",
            where=self._where,
            why=why,
            hint=hint or f"check that it exists, and that this process may read it: {source.text}",
        )

    def _unusable(self, source: SecretSource, why: str) -> SecretsError:
        return SecretsError(
            f"The secret '{source.text}' cannot become environment variables",
            where=self._where,
            why=why,
        )


def fetch_all(
    fetcher: Fetcher, sources: Sequence[Any], present: Mapping[str, str], where: str
) -> Iterator[dict[str, str]]:
    """Yield the variables of each source, when they contradict nothing.

    Args:
        fetcher: who fetches.
        sources: as in the decorator.
        present: variables that must keep their values; empty = all may be replaced.
        where: the place, for errors.

    Raises:
        SecretsError: one cannot be fetched; a variable is in two sources, or is there already.
    """
    owner: dict[str, str] = {}
    for given in sources:
        text = fetcher.parse(given).text
        found = fetcher.fetch(given)
        for name, value in found.items():
            if name in owner:
                raise _clash(name, f"both '{owner[name]}' and '{text}' contain it", where)
            if present.get(name, value) != value:
                raise _clash(name, "the process has a variable of this name already", where)
            owner[name] = text
        yield found


def _clash(name: str, why: str, where: str) -> SecretsError:
    return SecretsError(
        f"The variable '{name}' of a secret is not free",
        where=where,
        why=why,
        hint="name another variable in the source, or @secrets(…, allow_override=True)",
    )


def get_secret(source: str | Mapping[str, Any], role: str | None = None) -> dict[str, str]:
    """Fetch a secret in a script, a notebook, or a step: return its variables, name → value.

    Nothing is set in the environment, and nothing is masked: that is what ``@secrets`` does.

    Args:
        source: as in ``@secrets``: ``"type.id"``, ``"id"``, or a dict.
        role: identity with which to fetch it, unless the source names one.

    Raises:
        FlowError: there is no such provider, or it could not fetch the secret.

    Since 0.1.
    """
    from flow_core.api import Settings

    return Fetcher(Settings(), installed(), role, "get_secret").fetch(source)
