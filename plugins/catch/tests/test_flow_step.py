"""A step that may fail, in a test: by itself, and with what the decorator does."""

import pytest

from flow_core import FlowSpec, catch, retry, step
from flow_core.testing import flow_step


class F(FlowSpec):
    @retry(times=3)
    @catch(var="error")
    @step
    def start(self):
        self.x = 1
        raise ValueError("no")
        self.next(self.end)

    @step
    def end(self):
        pass


def test_its_exception_is_raised():
    with pytest.raises(ValueError, match="no"):
        flow_step(F.start)


@pytest.mark.parametrize("hooks", [True, ["catch"], "catch"])
def test_the_decorator_acts_where_that_is_said(hooks):
    outcome = flow_step(F.start, hooks=hooks)
    assert outcome.next == ("end",)
    assert outcome.failure.type == "ValueError"
    assert outcome["x"] == 1
    assert str(outcome["error"]) == "ValueError: no"


def test_another_plugin_does_not_help():
    with pytest.raises(ValueError, match="no"):
        flow_step(F.start, hooks=["retry"])
