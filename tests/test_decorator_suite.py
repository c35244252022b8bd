"""All decorators that are installed pass the suite that authors of plugins inherit."""

from typing import Any

import pytest

from flow_core.api import FlowDecorator, StepDecorator, installed
from flow_core.testing import DecoratorSuite

GROUP = "flow.decorators"
NEEDED: dict[str, dict[str, Any]] = {
    "environment": {"vars": {"A": "1"}},
    "exit_hook": {"on_success": ["print"]},
    "project": {"name": "fraud"},
    "resources": {"cpu": 2},
    "secrets": {"sources": ["env.TOKEN"]},
    "timeout": {"minutes": 5},
    "trigger": {"event": "data"},
    "trigger_on_finish": {"flow": "Other"},
}
"""Options without which a decorator means nothing."""

OWN = [n for n in installed().names(GROUP) if installed().find(GROUP, n).plugin != "metaflow"]


@pytest.fixture(params=OWN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestInstalled(DecoratorSuite):
    @pytest.fixture(autouse=True)
    def _given(self, name: str) -> None:
        decorator: StepDecorator[Any] | FlowDecorator[Any] = installed().load(GROUP, name)
        self.decorator = decorator
        self.examples = (NEEDED.get(name, {}),)
