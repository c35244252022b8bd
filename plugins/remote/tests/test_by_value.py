"""Flows that no other process can import, such as those of a notebook, on other machines."""

from __future__ import annotations

import sys

from flow_core.testing import FlowTester

SCRIPT = """
    import flow_core.session
    from flow_core import FlowSpec, run_flow, step

    {before}

    def double(x):
        return 2 * x

    class Sent(FlowSpec):
        @step
        def start(self):
            self.x = double(21)
            self.next(self.end)

        @step
        def end(self):
            print("got", self.x)

    if __name__ == "__main__":
        run_flow(Sent, compute="process", plugins="cluster")
"""

CLAIM = 'flow_core.session._python = lambda: ["/elsewhere", "3.1"]'
"""Has the launcher, and no task, be of another Python than it is."""


def test_it_is_sent_there(lab: FlowTester) -> None:
    done = lab.python(lab.write(SCRIPT.replace("{before}", ""), "sent.py")).check()
    assert "got 42" in done.stdout


def test_another_python_there_says_what_to_do(lab: FlowTester) -> None:
    done = lab.python(lab.write(SCRIPT.replace("{before}", CLAIM), "sent.py"))
    assert done.returncode == 1
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    told = done.stdout + done.stderr
    assert (
        f"Flow 'Sent' cannot run in Python {own}: it is sent to its tasks by Python 3.1\n" in told
    )
    assert "where: " in told
    assert "Python can read such code only in the version that wrote it" in told
    assert "put the flow into a file of its own, or let its tasks have Python 3.1" in told
    assert "unpack_flow" not in told, "there was no attempt to read it"
