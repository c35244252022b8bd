"""The wish to end, whenever it comes."""

import os
import signal

import pytest

from flow_core.api import AccessDenied, StoreError
from flow_remote import supervisor
from flow_remote.attempts import boot_failure
from flow_remote.boot import FAILED
from flow_remote.supervisor import Asked, Child, patiently


@pytest.fixture
def child():
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    child = Child()
    child.listen()
    yield child
    for number, handler in before.items():
        signal.signal(number, handler)


def _ask():
    os.kill(os.getpid(), signal.SIGTERM)


def test_while_a_task_begins_it_ends_that(child):
    with pytest.raises(Asked), child.beginning():
        _ask()
    assert child.asked


def test_one_that_came_before_is_not_forgotten(child):
    _ask()
    assert child.asked
    with pytest.raises(Asked), child.beginning():
        pytest.fail("it has begun")


def test_when_nothing_is_left_to_begin_it_is_noted_only(child):
    with child.beginning():
        pass
    _ask()
    assert child.asked


# --- a store that does not work -------------------------------------------------------------------


def test_a_store_that_cannot_be_used_is_told_as_what_cannot_begin(monkeypatch, capfd):
    def fail(spec, folders):
        raise StoreError("Cannot read 'x'", where="s3://b", why="no certificates", hint="add them")

    monkeypatch.setattr(supervisor, "run", fail)
    assert supervisor.main({"url": "s3://b#x"}, []) == FAILED
    told = boot_failure(capfd.readouterr().err.splitlines())
    assert told == {
        "what": "Cannot read 'x'",
        "where": "s3://b",
        "why": "no certificates",
        "hint": "add them",
    }


def test_what_does_not_pass_is_not_repeated(monkeypatch):
    monkeypatch.setattr(supervisor.time, "sleep", lambda _: pytest.fail("it waits"))

    def refuse():
        raise AccessDenied("no")

    with pytest.raises(AccessDenied):
        patiently(refuse)


def test_what_may_pass_is_repeated(monkeypatch):
    monkeypatch.setattr(supervisor.time, "sleep", lambda _: None)
    answers = [StoreError("away"), StoreError("away")]

    def write():
        if answers:
            raise answers.pop()
        return "written"

    assert patiently(write) == "written"
