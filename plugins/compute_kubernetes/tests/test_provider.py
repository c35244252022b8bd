"""The compute provider: its conformance suite, over jobs of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from kube_jobs import QUICK, known_settings
from servers.kubernetes.handle import Cluster

from flow_core.testing import ComputeSuite
from flow_core.testing.compute_steps import StepsRuntime
from flow_kubernetes.provider import KubernetesCompute
from flow_store_local.store import LocalStore


class TestKubernetesCompute(ComputeSuite):
    """Tasks as jobs, with a store that the pods of the test server see."""

    @pytest.fixture
    def compute(self, kubernetes: Cluster) -> KubernetesCompute:
        if kubernetes.is_real:
            pytest.skip("its pods do not see a folder of this machine: test_runs.py tests that")
        return KubernetesCompute()

    @pytest.fixture
    def tmp_path(self, folder_for_pods: Path) -> Path:
        return folder_for_pods

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"))

    @pytest.fixture
    def runtime(self, kubernetes: Cluster, cache_for_pods: Path) -> StepsRuntime:
        secret = {"metadata": {"name": "own"}, "stringData": {"FLOW_CACHE": str(cache_for_pods)}}
        kubernetes.core().create_namespaced_secret(kubernetes.namespace, secret)
        own = {"kubernetes_config": kubernetes.kubeconfig, "kubernetes_secrets": "own", **QUICK}
        return StepsRuntime(settings={**known_settings(), **own, "cancel_grace": 3.0})
