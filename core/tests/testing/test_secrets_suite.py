"""The suite for providers of secrets finds each promise that a provider breaks."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from flow_core.errors import NotFound
from flow_core.secret_sources import SecretSource
from flow_core.settings import Settings
from flow_core.testing import SecretsCase, SecretsSuite, failures

SECRET = {"DB_USER": "ada-of-the-analytical", "DB_PASSWORD": "hunter2-and-more"}


class Drawer:
    """Keeps all promises: its secrets lie in a dict."""

    def __init__(self, settings: Settings) -> None:
        self.content: dict[str, dict[str, str]] = {"database": dict(SECRET)}

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        source.check_options(["prefix"])
        if source.id not in self.content:
            raise NotFound(f"There is no secret '{source.id}'")
        return dict(self.content[source.id])


class Lacks(Drawer):
    """Gives a part of the secret."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        found = dict(super().fetch(source))
        found.popitem()
        return found


class OtherNames(Drawer):
    """Gives names that no variable can have."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        return {name.replace("_", "-"): value for name, value in super().fetch(source).items()}


class OurNames(Drawer):
    """Gives names that change how flow-core itself works."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        return {f"FLOW_{name}": value for name, value in super().fetch(source).items()}


class Bytes(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, Any]:
        return {name: value.encode() for name, value in super().fetch(source).items()}


class Pairs(Drawer):
    def fetch(self, source: SecretSource) -> Any:
        return list(super().fetch(source).items())


class GivesItsOwn(Drawer):
    """Gives away what it keeps."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        super().fetch(source)
        return self.content[source.id]


class Once(Drawer):
    """Gives a secret one time."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        found = super().fetch(source)
        self.content[source.id] = {"DB_USER": "", "DB_PASSWORD": ""}
        return found


class EmptyForMissing(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        return super().fetch(source) if source.id in self.content else {}


class SaysNothing(Drawer):
    """Does not say what is wrong."""

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        if source.id not in self.content:
            raise KeyError
        return super().fetch(source)


class GivesUp(Drawer):
    """Is of no use after an error."""

    broken = False

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        self.broken |= source.id not in self.content
        if self.broken:
            raise NotFound("The connection is closed")
        return super().fetch(source)


class AnyOption(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        return super().fetch(source._replace(options={}))


class SetsVariables(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        found = super().fetch(source)
        os.environ.update(found)
        return found


class SpoilsSource(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        source.check_options(["prefix"])
        source.options.pop("prefix", None)  # type: ignore[attr-defined]
        return super().fetch(source)


class ConnectsAtOnce(Drawer):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(0.01)
            connection.connect_ex(("127.0.0.1", 9))


class Prints(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        found = super().fetch(source)
        sys.stderr.write(f"fetched {found}\n")
        return found


class Logs(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        found = super().fetch(source)
        logging.getLogger("drawer").info("fetched %s", found)
        return found


class TellsInErrors(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        if source.id not in self.content:
            raise NotFound(f"There is no secret '{source.id}' in {self.content}")
        return super().fetch(source)


class ShowsAll(Drawer):
    def __repr__(self) -> str:
        return f"<Drawer {self.content}>"


class LeavesConnections(Drawer):
    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        _OPEN.append(socket.socket())
        return super().fetch(source)


_OPEN: list[socket.socket] = []

BROKEN: list[tuple[type[Drawer], str]] = [
    (Lacks, "test_returns_the_variables"),
    (OtherNames, "test_returns_the_variables"),
    (OtherNames, "test_returns_what_can_be_variables"),
    (OurNames, "test_returns_what_can_be_variables"),
    (Bytes, "test_returns_text"),
    (Pairs, "test_returns_text"),
    (GivesItsOwn, "test_the_answer_belongs_to_the_caller"),
    (Once, "test_asks_anew_each_time"),
    (EmptyForMissing, "test_raises_for_what_is_not_there"),
    (SaysNothing, "test_raises_for_what_is_not_there"),
    (GivesUp, "test_works_on_after_an_error"),
    (AnyOption, "test_refuses_options_that_it_does_not_know"),
    (SetsVariables, "test_changes_no_environment"),
    (SpoilsSource, "test_leaves_the_source_as_it_is"),
    (ConnectsAtOnce, "test_connects_to_nothing_when_it_is_made"),
    (Prints, "test_says_nothing_secret"),
    (Logs, "test_says_nothing_secret"),
    (TellsInErrors, "test_errors_say_nothing_secret"),
    (ShowsAll, "test_shows_nothing_secret"),
    (LeavesConnections, "test_returns_the_variables"),
]


def suite(provider: type[Drawer]) -> type[SecretsSuite]:
    class TestIt(SecretsSuite):
        @pytest.fixture
        def secrets(self) -> SecretsCase:
            known = SecretSource("drawer", "database", {"prefix": ""})
            missing = SecretSource("drawer", "databse")
            return SecretsCase(provider(Settings({})), known, SECRET, missing)

    return TestIt


class TestDrawer(suite(Drawer)):  # type: ignore[misc]
    """The one that keeps all promises."""


@pytest.mark.parametrize(("provider", "case"), BROKEN)
def test_it_finds(provider: type[Drawer], case: str) -> None:
    try:
        assert [*failures(suite(provider), case)] == [case]
    finally:
        while _OPEN:
            _OPEN.pop().close()
        for name in SECRET:
            os.environ.pop(name, None)


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(SecretsSuite) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}
