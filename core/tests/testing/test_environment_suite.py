"""The suite for environment providers: our own fake passes, broken ones do not."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from flow_core.interfaces import (
    EnvironmentRequest,
    EnvironmentWork,
    Interpreter,
)
from flow_core.testing import BareEnvironment, EnvironmentSuite, failures


class TestBareEnvironment(EnvironmentSuite):
    provider = BareEnvironment
    options = {
        "modules": {"tiny": "VALUE = 1\n"},
        "fetched": {"far": "VALUE = 3\n"},
        "variables": {"TINY": "yes"},
    }
    proof = (
        "import far, os, tiny; assert (tiny.VALUE, far.VALUE) == (1, 3); "
        "assert os.environ['TINY'] == 'yes'"
    )
    other_options = {"modules": {"tiny": "VALUE = 2\n"}}
    impossible = {"moduls": {}}


class Changing(BareEnvironment):
    """Changes the lock that it would make."""

    def __init__(self, change: Callable[..., Mapping[str, Any]]) -> None:
        self._change = change

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        return self._change(dict(super().resolve(request, work)), request=request, work=work)


def changing(change: Callable[..., Mapping[str, Any]]) -> Callable[[], BareEnvironment]:
    return lambda: Changing(change)


def spoils_request(lock: Mapping[str, Any], request: Any, work: Any) -> Mapping[str, Any]:
    request.options["spoilt"] = True
    return lock


class Raises(BareEnvironment):
    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        if "moduls" in request.options:
            raise ValueError("moduls")
        return super().resolve(request, work)


class OwnPython(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        super().prepare(lock, folder, work)
        return Interpreter(sys.executable, lock["variables"])


class Elsewhere(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        os.rmdir(folder)
        return super().prepare(lock, tempfile.mkdtemp(), work)


class Silent:
    def __init__(self, work: EnvironmentWork) -> None:
        self.offline, self.cache, self.run = work.offline, work.cache, work.run
        self.mirror, self.setting = work.mirror, work.setting

    def tell(self, text: str, part: float | None = None) -> None: ...
    def check(self) -> None: ...


class TellsNothing(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        return super().prepare(lock, folder, Silent(work))  # type: ignore[arg-type]


class TellsTooMuch(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        work.tell("one\ntwo", 50.0)
        return super().prepare(lock, folder, work)


class TakesAnyLock(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        good = {"format": 1, "python": f"3.{sys.version_info[1]}", "variables": {}, "modules": {}}
        return super().prepare({**good, **lock}, folder, work)


class KeepsGoing(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        try:
            return super().prepare(lock, folder, work)
        except KeyboardInterrupt:
            return super().prepare(lock, folder, Silent(work))  # type: ignore[arg-type]


class SpoilsLock(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        made = super().prepare(lock, folder, work)
        lock["packages"].clear()
        return made


class LacksPackages(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        return super().prepare({**lock, "packages": {}}, folder, work)


class OnlineAfterAll(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        if os.environ.get("https_proxy"):
            raise ConnectionError("no route to the index")
        return super().prepare(lock, folder, work)


class NeedsModules(BareEnvironment):
    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        return {**super().resolve(request, work), "asked": request.options["modules"]}


class ExportsFolders(BareEnvironment):
    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        return {f"locks/{name}": text for name, text in super().export(lock).items()}


class KeepsNothing(BareEnvironment):
    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        silent: Any = Silent(work)
        silent.mirror, silent.tell, silent.check = None, work.tell, work.check
        return super().prepare(lock, folder, silent)


class StatesNothing(BareEnvironment):
    capabilities = None  # type: ignore[assignment]


class NoInterpreter(BareEnvironment):
    """Names a program that is no Python."""

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        return super().prepare(lock, folder, work)._replace(path="/bin/false")


class NumbersForTexts(BareEnvironment):
    """Gives a variable a value that is no text."""

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        made = super().prepare(lock, folder, work)
        return made._replace(variables={**made.variables, "THREADS": 1})


BROKEN: list[tuple[Callable[[], Any], str]] = [
    (StatesNothing, "test_capabilities_are_stated"),
    (
        changing(lambda lock, **_: {**lock, "at": time.time()}),
        "test_same_request_gives_the_same_lock",
    ),
    (
        changing(lambda lock, request, **_: {**lock, "asked": list(request.options)}),
        "test_order_of_what_is_asked_does_not_count",
    ),
    (
        changing(lambda lock, work, **_: {**lock, "cache": work.cache}),
        "test_lock_knows_no_folder_of_this_machine",
    ),
    (
        changing(lambda lock, **_: {**lock, "modules": {}, "fetched": {}, "variables": {}}),
        "test_other_options_give_another_lock",
    ),
    (changing(lambda lock, **_: {**lock, "modules": {}}), "test_has_what_the_step_asked_for"),
    (changing(spoils_request), "test_resolving_leaves_the_request_as_it_is"),
    (Raises, "test_what_is_impossible_is_told"),
    (OwnPython, "test_does_not_see_the_packages_of_the_launcher"),
    (LacksPackages, "test_has_what_flow_core_and_plugins_need"),
    (Elsewhere, "test_builds_from_a_lock_that_was_stored"),
    (SpoilsLock, "test_building_leaves_the_lock_as_it_is"),
    (TellsNothing, "test_progress_is_told_in_lines"),
    (TellsTooMuch, "test_progress_is_told_in_lines"),
    (TellsNothing, "test_cancel_leaves_no_environment"),
    (TellsNothing, "test_a_killed_process_leaves_no_environment"),
    (TakesAnyLock, "test_broken_locks_are_refused"),
    (OnlineAfterAll, "test_offline_builds_what_was_built_before"),
    (NoInterpreter, "test_interpreter_runs"),
    (NumbersForTexts, "test_variables_are_texts"),
    (NeedsModules, "test_who_asks_for_nothing_gets_a_bare_environment"),
    (ExportsFolders, "test_lock_is_exported"),
    (KeepsNothing, "test_packages_that_are_kept_need_no_index"),
]


@pytest.mark.parametrize(("provider", "case"), BROKEN)
def test_it_finds(provider: Callable[[], Any], case: str) -> None:
    given = {k: v for k, v in vars(TestBareEnvironment).items() if not k.startswith("_")}
    suite = type("TestIt", (EnvironmentSuite,), dict(given, provider=staticmethod(provider)))
    assert [*failures(suite, case)] == [case]


@pytest.mark.parametrize("proof", ["", "import os"])
def test_a_suite_without_a_proof_proves_nothing(proof: str) -> None:
    suite = type("TestIt", (TestBareEnvironment,), {"proof": proof})
    case = "test_suite_has_options_and_a_proof"
    assert "proof" in failures(suite, case)[case]


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(EnvironmentSuite) if name.startswith("test_")}
    assert cases - {case for _, case in BROKEN} == {
        "test_suite_has_options_and_a_proof",  # see above
        # What these see is the builder's own, and is the same with all providers.
        "test_built_environment_is_found_at_once",
        "test_two_processes_build_once",
    }
