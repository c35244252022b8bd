"""The conformance suite, as far as a provider can pass it that isolates nothing."""

import pytest

from flow_core.testing import ComputeSuite
from flow_inprocess.compute import ForegroundCompute


class TestInProcess(ComputeSuite):
    isolates = False

    @pytest.fixture
    def compute(self):
        return ForegroundCompute()
