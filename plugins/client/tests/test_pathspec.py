"""Pathspecs of the wrong form say which form is right."""

from __future__ import annotations

from typing import Any

import pytest

from flow_client import DataArtifact, Flow, Run, Step, Task
from flow_core.api import UsageError


@pytest.mark.parametrize(
    ("kind", "pathspec", "why", "hint"),
    [
        (Flow, "F/1", "it has 2 parts instead of 1", 'Flow("Flow"), for example Flow("MyFlow")'),
        (Run, "F", "it has 1 part instead of 2", 'or, for what it names: Flow("F")'),
        (Run, "F/1/start", "it has 3 parts instead of 2", 'Step("F/1/start")'),
        (Step, "F/1", "it has 2 parts instead of 3", 'Step("Flow/run/step")'),
        (Task, "F/1/s", "it has 3 parts instead of 4", 'for example Task("MyFlow/3/start/1")'),
        (DataArtifact, "F/1/s/2", "it has 4 parts instead of 5", 'Task("F/1/s/2")'),
        (Run, "F/", "one of its parts is empty, '.' or '..'", 'Run("Flow/run")'),
        (Run, "F/..", "one of its parts is empty, '.' or '..'", 'Run("Flow/run")'),
        (Run, 3, "it is of type int, not text", 'Run("Flow/run")'),
    ],
)
def test_a_wrong_depth_shows_the_right_form(kind: Any, pathspec: Any, why: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(pathspec)
    assert caught.value.what == f"{pathspec!r} is not the pathspec of a {kind.__name__}"
    assert caught.value.why == why
    assert hint in str(caught.value.hint)
