"""The compute provider without processes passes what applies to it."""

import pytest

from flow_core.testing import ComputeSuite, InProcessCompute


class TestInProcessCompute(ComputeSuite):
    isolates = False

    @pytest.fixture
    def compute(self):
        return InProcessCompute()
