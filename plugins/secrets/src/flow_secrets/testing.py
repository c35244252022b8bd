"""The conformance suite for providers of secrets: ``pip install pytest`` and subclass it.

class TestMySecrets(SecretsProviderSuite):
    @pytest.fixture
    def provider(self): return MySecrets(Settings())

    @pytest.fixture
    def known(self): return SecretSource("my", "db"), {"DB_PASSWORD": "hunter2!"}

    @pytest.fixture
    def missing(self): return SecretSource("my", "no-such-secret")
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from flow_secrets.source import SecretSource


class SecretsProviderSuite:
    """What every provider must do. Subclasses give the fixtures. Since 0.1."""

    @pytest.fixture
    def provider(self) -> Any:
        """The provider."""
        raise NotImplementedError

    @pytest.fixture
    def known(self) -> tuple[SecretSource, Mapping[str, str]]:
        """A secret that exists, and its variables."""
        raise NotImplementedError

    @pytest.fixture
    def missing(self) -> SecretSource:
        """A source of which there is no secret."""
        raise NotImplementedError

    def test_returns_the_variables(self, provider: Any, known: Any) -> None:
        source, expected = known
        found = provider.fetch(source)
        assert dict(found) == dict(expected)
        assert all(isinstance(part, str) for item in found.items() for part in item)

    def test_asks_anew_each_time(self, provider: Any, known: Any) -> None:
        source, expected = known
        assert dict(provider.fetch(source)) == dict(provider.fetch(source)) == dict(expected)

    def test_changes_no_environment(self, provider: Any, known: Any) -> None:
        before = dict(os.environ)
        provider.fetch(known[0])
        assert dict(os.environ) == before

    def test_raises_for_what_is_not_there(self, provider: Any, missing: SecretSource) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of a class that it chooses
            provider.fetch(missing)
        assert str(caught.value).strip()

    def test_refuses_options_that_it_does_not_know(self, provider: Any, known: Any) -> None:
        """A mistyped option must not be ignored: it may be the one that says which secret."""
        options = {**known[0].options, "no_such_option": 1}
        with pytest.raises(Exception, match="no_such_option"):
            provider.fetch(known[0]._replace(options=options))

    def test_says_nothing_secret(self, provider: Any, known: Any, capfd: Any) -> None:
        source, expected = known
        provider.fetch(source)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            provider.fetch(source._replace(options={**source.options, "no_such_option": 1}))
        said = str(caught.value) + "".join(capfd.readouterr())
        assert not [value for value in expected.values() if len(value) > 3 and value in said]
