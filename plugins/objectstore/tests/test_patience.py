"""How long is waited, and for what."""

from __future__ import annotations

import threading
import time

import pytest

from flow_objectstore import patience
from flow_objectstore.faults import Fault
from flow_objectstore.patience import Patience, Silent, first_answer


def test_the_first_answer_is_what_the_call_returns_or_raises():
    assert first_answer(lambda: 7) == 7
    assert first_answer(lambda: None) is None
    with pytest.raises(KeyError, match="no"):
        first_answer(lambda: {}["no"])


def test_the_first_answer_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_ANSWER", 0.05)
    answer = threading.Event()
    with pytest.raises(Silent):
        first_answer(lambda: answer.wait(100))
    answer.set()


def tries(fault: Fault, reached: bool) -> int:
    left = Patience(0.5, reached)
    while left.wait(fault):
        pass
    return left.tries


def test_what_passes_is_repeated_within_the_time(monkeypatch):
    monkeypatch.setattr(patience, "UNREACHED", 0.0)
    monkeypatch.setattr(patience, "HUNG_UP", 0.1)
    assert tries(Fault("missing"), True) == 0
    assert tries(Fault("slow-down"), True) > 1
    assert tries(Fault("slow-down"), False) > 1
    assert tries(Fault("refused"), True) > 1
    assert tries(Fault("refused"), False) == 1, "the address may be wrong"
    assert tries(Fault("no-http"), True) > 2
    assert tries(Fault("no-http"), False) == 1, "the port may be another one's"
    assert tries(Fault("reset"), True) > tries(Fault("reset"), False) >= 1


def test_a_crowded_machine_gets_more_time_for_the_first_answer(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_ANSWER", 0.4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (1.0, 90.0, 90.0))
    answer = threading.Event()
    with pytest.raises(Silent):
        first_answer(lambda: answer.wait(10))
    answer.set()
    monkeypatch.setattr("os.getloadavg", lambda: (90.0, 0.0, 0.0))
    assert first_answer(lambda: time.sleep(0.5) or "there") == "there"
