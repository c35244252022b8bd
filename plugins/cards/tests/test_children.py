from __future__ import annotations

import faulthandler
import os
import selectors
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from flow_cards.children import Children, Outcome
from flow_cards.drawing import render
from flow_cards.testing import card_task

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def outcomes(*jobs, timeout=10.0):
    """Do jobs side by side; return their outcomes in the order in which they ended."""
    found = []
    with selectors.DefaultSelector() as selector:
        children = Children(selector)
        for job in jobs:
            children.start(job, timeout, found.append)
        while len(children):
            for key, _ in selector.select(children.wait_time()):
                key.data.readable(key.fd)
            children.end_overdue()
    return found


def test_one_that_goes_well():
    assert outcomes(lambda: None) == [Outcome()]


def test_what_raises_in_the_code_of_others_is_shown_from_there_on():
    def card(task):
        raise ValueError("no good")

    (found,) = outcomes(partial(render, card, card_task()))
    assert "in card" in found.text
    assert "drawing.py" not in found.text
    (found,) = outcomes(lambda: render(lambda task: 5, card_task()))
    assert found.error.startswith("TypeError: The card type")


def test_one_that_raises():
    def job():
        raise ValueError("no good")

    (found,) = outcomes(job)
    assert found.error == "ValueError: no good"
    assert "in job" in found.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_one_that_wants_to_end_the_process(error):
    def job():
        raise error

    (found,) = outcomes(job)
    assert found.error.startswith(type(error).__name__)


def test_one_that_hangs():
    began = time.monotonic()
    (found,) = outcomes(lambda: time.sleep(60), timeout=0.3)
    assert found.error == "it took longer than 0.3 s, and was ended"
    assert time.monotonic() - began < 5


def test_one_that_heeds_no_signal():
    def job():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass

    assert "longer than" in outcomes(job, timeout=0.3)[0].error


def test_one_that_crashes():
    def job():
        faulthandler.disable()  # of pytest
        os.write(2, b"last words")
        os.kill(os.getpid(), signal.SIGSEGV)

    assert outcomes(job) == [Outcome("its process was killed by SIGSEGV", "last words")]


def test_one_that_leaves_without_a_word():
    assert outcomes(lambda: os._exit(4)) == [Outcome("its process ended with status 4", "")]


def test_what_it_starts_ends_with_it(tmp_path):
    def job():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (tmp_path / "pid").write_text(str(child.pid))

    assert outcomes(job, timeout=5.0) == [Outcome()]
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}/exe")


def test_a_great_deal_of_output(capfd):
    def job():
        for _ in range(200):
            os.write(1, b"x" * 10_000)

    assert outcomes(job) == [Outcome()]
    assert capfd.readouterr().out == ""


def test_many_side_by_side():
    assert outcomes(*[lambda: None] * 20) == [Outcome()] * 20


def test_a_program_of_its_own():
    code = (
        "import sys; from flow_cards.children import finish; text = sys.stdin.read()\n"
        "finish(lambda: 1 / (text != 'zero'), 1)"
    )
    command = [sys.executable, "-c", code]
    assert outcomes((command, b"one")) == [Outcome()]
    (found,) = outcomes((command, b"zero"))
    assert found.error == "ZeroDivisionError: division by zero"
