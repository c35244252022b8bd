"""The compute provider: its conformance suite, over jobs of a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube_jobs import QUICK
from servers.kubernetes.handle import Cluster

from flow_core.testing import ComputeSuite
from flow_core.testing.compute_steps import StepsRuntime
from flow_kubernetes.provider import KubernetesCompute
from flow_kubernetes.settings import declare
from flow_store_local.store import LocalStore


class TestKubernetesCompute(ComputeSuite):
    """Tasks as jobs, with a store that the pods of the test server see."""

    @pytest.fixture
    def compute(self, kubernetes: Cluster) -> KubernetesCompute:
        if kubernetes.is_real:
            pytest.skip("its pods do not see a folder of this machine: test_runs.py tests that")
        return KubernetesCompute()

    @pytest.fixture
    def tmp_path(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # a pod has a /tmp of its own
            yield Path(folder)

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"))

    @pytest.fixture
    def runtime(self, kubernetes: Cluster) -> StepsRuntime:
        known: dict[str, Any] = {}

        class Declared:
            """Collects defaults."""

            def declare(self, name: str, default: Any, *_: Any, **__: Any) -> None:
                known[name] = default

        settings: Any = Declared()
        declare(settings)
        own = {"kubernetes_config": kubernetes.kubeconfig, "cancel_grace": 3.0, **QUICK}
        return StepsRuntime(settings={**known, **own})
