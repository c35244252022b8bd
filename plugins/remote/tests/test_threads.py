"""Orders are carried out one at a time, in their order, and what comes of them is told."""

import threading
import time

import pytest

from flow_core.errors import UsageError
from flow_remote.threads import Batch, Clerk, nothing


@pytest.fixture
def woken():
    return threading.Semaphore(0)


@pytest.fixture
def clerk(woken):
    made = Clerk("clerk", woken.release)
    yield made
    made.stop(5.0)


def _result(done, value):
    return lambda: done.append(value)


def test_orders_come_one_after_the_other(clerk, woken):
    done = []
    for number in range(20):
        clerk.add(lambda number=number: _result(done, number))
    for _ in range(20):
        assert woken.acquire(timeout=5)
    for result in clerk.results():
        result()
    assert done == list(range(20))
    assert clerk.results() == []


def test_an_order_may_come_later(clerk, woken):
    done = []
    began = time.monotonic()
    clerk.add(lambda: _result(done, "late"), 0.3)
    clerk.add(lambda: _result(done, "soon"))
    assert woken.acquire(timeout=5)
    assert woken.acquire(timeout=5)
    assert time.monotonic() - began >= 0.3
    for result in clerk.results():
        result()
    assert done == ["soon", "late"]


def test_who_has_nothing_to_tell_wakes_nobody(clerk, woken):
    carried_out = threading.Event()

    def order():
        carried_out.set()
        return nothing

    clerk.add(order)
    assert carried_out.wait(5)
    assert not woken.acquire(timeout=0.2)


def test_an_error_belongs_to_who_gave_the_order(clerk, woken):
    def order():
        raise UsageError("wrong")

    clerk.add(order)
    assert woken.acquire(timeout=5)
    (result,) = clerk.results()
    with pytest.raises(UsageError):
        result()
    clerk.add(lambda: _result([], 1))
    assert woken.acquire(timeout=5)  # it goes on


def test_after_the_end_nothing_is_carried_out(clerk):
    clerk.stop(5.0)
    clerk.add(lambda: pytest.fail("carried out"))
    clerk.stop(5.0)
    assert clerk.results() == []


def test_what_comes_while_the_clerk_is_busy_is_taken_together(clerk, woken):
    taken = []
    begun, go_on = threading.Event(), threading.Event()

    def order(items):
        taken.append(list(items))
        begun.set()
        go_on.wait(5)
        return _result([], 1)

    batch = Batch(clerk, order)
    batch.add([1])
    assert begun.wait(5)
    for number in range(2, 10):
        batch.add([number])
    go_on.set()
    assert woken.acquire(timeout=5)
    assert woken.acquire(timeout=5)
    assert taken == [[1], list(range(2, 10))]
