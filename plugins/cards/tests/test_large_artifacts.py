"""An artifact of hundreds of megabytes is summarised, and stays out of the page."""

from __future__ import annotations

import pytest

FLOW = """
    import numpy as np
    from flow_core import FlowSpec, card, step

    class F(FlowSpec):
        @card{options}
        @step
        def start(self):
            self.zeros = np.zeros(210_000_000, "uint8")
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("", "too large to be read here"),
        ("(options={'max_artifact_size': 10**9})", "uint8 210,000,000"),
    ],
)
def test_a_real_one(tester, pages, options, shown):
    tester.python(tester.write(FLOW.format(options=options)), "run").check()
    (page,) = pages().values()
    assert shown in page
    assert len(page) < 100_000
