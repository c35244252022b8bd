"""What the tests of flow-remote share: whole runs on the process cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flow_core.testing import FlowTester

CLUSTER = Path(__file__).parent / "process_cluster.py"

PROVIDER = """
import os
import sys
import tempfile
from pathlib import Path

from flow_core.api import ComputeCapabilities
from process_cluster import ProcessBackend, ProcessCompute

__flow__ = {"flow.computes": {"process": "Processes", "elsewhere": "Elsewhere"}}


class Processes(ProcessCompute):
    def __init__(self):
        super().__init__(ProcessBackend(Path(tempfile.mkdtemp(prefix="jobs-", dir=os.getcwd()))))

    def make_backend(self):
        made = super().make_backend()
        # One that has nothing of ours, of the version that the runtime is for.
        name = "python%d.%d" % sys.version_info[:2]
        made.variables["FLOW_PYTHON"] = os.path.join(sys.base_prefix, "bin", name)
        return made


class Elsewhere(Processes):
    name = "elsewhere"
    shares_files = False
    capabilities = ComputeCapabilities(needs_shared_store=True, resources=True, gang=True, tells_begin=True)
"""


@pytest.fixture
def lab(tmp_path: Path) -> FlowTester:
    """A folder for flows, with the compute providers ``process`` and ``elsewhere`` of ``-p cluster``."""
    lab = FlowTester(tmp_path)
    shutil.copy(CLUSTER, tmp_path / "process_cluster.py")
    lab.write(PROVIDER, "cluster.py")
    lab.more_plugins += ["remote"]
    return lab
