"""What every provider of secrets must do. Subclass `SecretsSuite` and give it a fixture ``secrets``."""

from __future__ import annotations

import copy
import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from flow_core.secret_sources import SecretSource, SecretsProvider
from flow_core.settings import Settings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNKNOWN = "no_such_option"


@dataclass(frozen=True, repr=False)
class SecretsCase:
    """A provider and what it is to find.

    Attributes:
        provider: the provider, as its class makes it from settings.
        known: the source of a secret that exists.
        variables: what that secret stands for: name → value. Use values that stand nowhere else.
        missing: a source of which there is no secret.

    Since 0.1.
    """

    provider: SecretsProvider
    known: SecretSource
    variables: Mapping[str, str]
    missing: SecretSource

    def unknown_option(self) -> SecretSource:
        """Return the known source with an option that no provider knows."""
        return self.known._replace(options={**self.known.options, _UNKNOWN: 1})


@pytest.mark.usefixtures("no_leaks")
class SecretsSuite:
    """Inherit it, with a fixture ``secrets`` that gives a `SecretsCase`:

        class TestVault(SecretsSuite):
            @pytest.fixture
            def secrets(self):
                return SecretsCase(
                    Vault(Settings({})),
                    SecretSource("vault", "database"),
                    {"DB_PASSWORD": "hunter2!"},
                    SecretSource("vault", "databse"),
                )

    Since 0.1.
    """

    @pytest.fixture
    def secrets(self) -> SecretsCase:
        """Give the provider and what it is to find. Override this."""
        raise NotImplementedError("the subclass of SecretsSuite must define the fixture 'secrets'")

    # --- what is found ----------------------------------------------------------------------

    def test_returns_the_variables(self, secrets: SecretsCase) -> None:
        assert secrets.variables, "the case must have variables"
        assert dict(secrets.provider.fetch(secrets.known)) == dict(secrets.variables)

    def test_returns_text(self, secrets: SecretsCase) -> None:
        found = secrets.provider.fetch(secrets.known)
        assert isinstance(found, Mapping), f"a {type(found).__name__} is no mapping"
        for name, value in found.items():
            assert isinstance(name, str)
            assert isinstance(value, str), f"the value of {name} is a {type(value).__name__}"

    def test_returns_what_can_be_variables(self, secrets: SecretsCase) -> None:
        for name, value in secrets.provider.fetch(secrets.known).items():
            assert _NAME.fullmatch(name), f"{name!r} cannot be the name of a variable"
            assert not name.startswith("FLOW_"), f"{name} is a name of flow-core's own settings"
            assert "\0" not in value, f"the value of {name} contains a NUL"

    def test_asks_anew_each_time(self, secrets: SecretsCase) -> None:
        first = dict(secrets.provider.fetch(secrets.known))
        assert dict(secrets.provider.fetch(secrets.known)) == first == dict(secrets.variables)

    def test_the_answer_belongs_to_the_caller(self, secrets: SecretsCase) -> None:
        found = secrets.provider.fetch(secrets.known)
        if isinstance(found, dict):
            found.clear()
        assert dict(secrets.provider.fetch(secrets.known)) == dict(secrets.variables), (
            "what the caller does with an answer changes the next one"
        )

    # --- what is refused --------------------------------------------------------------------

    def test_raises_for_what_is_not_there(self, secrets: SecretsCase) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of a class that it chooses
            secrets.provider.fetch(secrets.missing)
        assert str(caught.value).strip(), "the error says what is wrong"

    def test_works_on_after_an_error(self, secrets: SecretsCase) -> None:
        with pytest.raises(Exception):  # noqa: B017,PT011 - of a class that it chooses
            secrets.provider.fetch(secrets.missing)
        assert dict(secrets.provider.fetch(secrets.known)) == dict(secrets.variables)

    def test_refuses_options_that_it_does_not_know(self, secrets: SecretsCase) -> None:
        """A mistyped option must not be ignored: it may be the one that says which secret."""
        with pytest.raises(Exception, match=_UNKNOWN):
            secrets.provider.fetch(secrets.unknown_option())

    # --- what is not done -------------------------------------------------------------------

    def test_changes_no_environment(self, secrets: SecretsCase) -> None:
        variables, folder = dict(os.environ), os.getcwd()
        secrets.provider.fetch(secrets.known)
        assert dict(os.environ) == variables, "who asked decides what becomes a variable"
        assert os.getcwd() == folder

    def test_leaves_the_source_as_it_is(self, secrets: SecretsCase) -> None:
        before = copy.deepcopy(tuple(secrets.known))
        secrets.provider.fetch(secrets.known)
        assert tuple(secrets.known) == before, "its options belong to the decorator"

    def test_connects_to_nothing_when_it_is_made(
        self, secrets: SecretsCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def connect(*_: Any) -> NoReturn:
            raise AssertionError("it connects before a secret is asked for")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, connect)
        monkeypatch.setattr(socket, "getaddrinfo", connect)
        type(secrets.provider)(Settings({}))

    # --- what is not told -------------------------------------------------------------------

    def test_says_nothing_secret(
        self,
        secrets: SecretsCase,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.INFO):  # libraries tell all to those who debug them
            secrets.provider.fetch(secrets.known)
        said = "".join(capfd.readouterr()) + caplog.text
        assert not self._told(secrets, said), "it writes a secret, to its output or a log"

    def test_errors_say_nothing_secret(self, secrets: SecretsCase) -> None:
        for source in (secrets.missing, secrets.unknown_option()):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - of a class that it chooses
                secrets.provider.fetch(source)
            assert not self._told(secrets, f"{caught.value} {caught.value!r}")

    def test_shows_nothing_secret(self, secrets: SecretsCase) -> None:
        secrets.provider.fetch(secrets.known)
        shown = f"{secrets.provider} {secrets.provider!r}"
        assert not self._told(secrets, shown), "its repr holds a secret"

    def _told(self, secrets: SecretsCase, text: str) -> list[str]:
        """Return the names of the variables whose values stand in ``text``."""
        return [n for n, value in secrets.variables.items() if len(value) > 3 and value in text]
