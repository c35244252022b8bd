"""`failures` runs a suite in a pytest of its own, and leaves the one around it alone."""

from __future__ import annotations

import os
import sys

import pytest

from flow_core.errors import UsageError
from flow_core.testing import failures


class Suite:
    """A suite like any other."""

    values = (1, 2, 3)

    @pytest.fixture
    def provider(self) -> dict[str, int]:
        raise NotImplementedError("the subclass of Suite must define the fixture 'provider'")

    def test_has_a(self, provider: dict[str, int]) -> None:
        assert provider["a"] == 1, "'a' is the first"

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_has(self, provider: dict[str, int], name: str) -> None:
        assert name in provider

    def test_later(self) -> None:
        pytest.skip("not now")

    def test_environment(self, provider: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEEN", "1")


class OnlyB(Suite):
    @pytest.fixture
    def provider(self) -> dict[str, int]:
        return {"b": 2}


class Leaving(OnlyB):
    @pytest.fixture
    def provider(self, no_leaks: None) -> dict[str, int]:
        os.environ["LEFT_BY_THE_SUITE"] = "1"
        return {"a": 1, "b": 2}


def test_what_fails() -> None:
    found = failures(OnlyB)
    assert sorted(found) == ["test_has[a]", "test_has_a"]
    assert "KeyError: 'a'" in found["test_has_a"]


def test_what_is_asked_of_the_pytest_around_it_is_not_asked_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--durations=3 -k nothing")
    assert "test_has_a" in failures(OnlyB)
    assert os.environ["PYTEST_ADDOPTS"] == "--durations=3 -k nothing"


def test_chosen_cases() -> None:
    assert [*failures(OnlyB, "test_has", "test_later")] == ["test_has[a]"]
    assert failures(OnlyB, "test_environment") == {}


def test_what_fails_in_a_fixture() -> None:
    found = failures(Suite, "test_has_a", "test_later")
    assert [*found] == ["test_has_a"]
    assert "must define the fixture 'provider'" in found["test_has_a"]


def test_what_is_left_behind_counts() -> None:
    try:
        found = failures(Leaving, "test_has_a")
    finally:
        os.environ.pop("LEFT_BY_THE_SUITE", None)
    assert "the environment variable LEFT_BY_THE_SUITE was set" in found["test_has_a"]


def test_misspelt_cases() -> None:
    with pytest.raises(UsageError, match="OnlyB has no case 'test_hsa_a'") as caught:
        failures(OnlyB, "test_hsa_a")
    assert (caught.value.hint or "").startswith("did you mean 'test_has_a'")


def test_a_suite_that_cannot_be_collected() -> None:
    class Init(Suite):
        def __init__(self, more: int) -> None:
            self.more = more

    with pytest.raises(UsageError, match="Init cannot be run"):
        failures(Init)


def test_the_pytest_around_it_goes_on(no_leaks: None, capsys: pytest.CaptureFixture[str]) -> None:
    current, modules = os.environ["PYTEST_CURRENT_TEST"], set(sys.modules)
    failures(OnlyB)
    assert os.environ["PYTEST_CURRENT_TEST"] == current
    assert not [name for name in set(sys.modules) - modules if "suite_under_proof" in name]
    assert capsys.readouterr() == ("", "")
