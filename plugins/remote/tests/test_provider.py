"""`RemoteCompute` over processes of this machine: the conformance suite of compute providers."""

import pytest
from plugins.remote.tests.process_cluster import ProcessBackend, ProcessCompute

from flow_core.testing import ComputeSuite
from flow_store_local.store import LocalStore


class TestProcessCompute(ComputeSuite):
    @pytest.fixture
    def compute(self, tmp_path):
        return ProcessCompute(ProcessBackend(tmp_path))

    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(str(tmp_path / "store"))
