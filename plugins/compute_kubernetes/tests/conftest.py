"""What the tests of the plugin share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.kubernetes.handle import Cluster

sys.path.append(str(Path(__file__).parent))

from kube_jobs import Bench


@pytest.fixture
def bench(kubernetes: Cluster, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A backend at work in a namespace of its own; ``indirect`` arguments are settings."""
    made = Bench(kubernetes, **getattr(request, "param", {}))
    yield made
    made.close()
