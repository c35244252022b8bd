"""The wish to end, whenever it comes."""

import os
import signal

import pytest

from flow_remote.supervisor import Asked, Child


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
