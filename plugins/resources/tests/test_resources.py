"""``@resources``: what the plan and people see of it."""

import json

import pytest

from flow_core.api import DefinitionError, UsageError, hookimpl
from flow_resources import ResourceOptions, resources

FLOW = """
    from flow_core import FlowSpec, resources, step

    class F(FlowSpec):
        @resources(cpu=2, memory=8000, gpu=1, disk=500, shared_memory=64)
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class Provider:
    """Stands for the decorator of a compute provider."""

    @hookimpl
    def flow_plan_step(self, step, draft):
        draft.require(cpu=4, memory=1000)


def test_the_larger_demand_counts(flowtester):
    session = flowtester.session(flowtester.load(FLOW), ["resources"], [Provider()])
    assert session.plans["start"].resources == {
        "cpu": 4,
        "memory": 8000,
        "gpu": 1,
        "disk": 500,
        "shared_memory": 64,
    }
    assert session.plans["end"].resources == {"cpu": 4, "memory": 1000}


def test_it_is_written_down_and_shown_and_does_not_matter_here(flowtester):
    file = flowtester.write(FLOW)
    flowtester.python(file, "run", "--with", "resources:cpu=0.5").check()
    raw = next(iter(flowtester.left().store.read(["runs/F/1/run.json"])))
    plans = json.loads(raw[raw.index(b"{") :])["plans"]
    assert plans["start"]["resources"]["cpu"] == 2  # what stands in the code counts
    assert plans["end"]["resources"] == {"cpu": 0.5}
    shown = flowtester.flow("show", str(file)).check().stdout
    assert "@resources(cpu=2, gpu=1, memory=8000, disk=500, shared_memory=64)" in shown


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "@resources asks for nothing"),
        ({"cpu": 0}, "Option 'cpu' must be more than 0, not 0"),
        ({"memory": -5}, "Option 'memory' must be more than 0, not -5"),
        ({"gpu": 0.5}, "Option 'gpu' must be int or None, not 0.5"),
        ({"cpus": 2}, "Decorator @resources has no option 'cpus'"),
    ],
)
def test_wrong_options(options, what):
    with pytest.raises(DefinitionError) as caught:
        resources(**options)
    assert caught.value.what == what


def test_the_text_form_reads_back():
    options = ResourceOptions(cpu=0.5, gpu=0, memory=2000)
    assert resources.parse(resources.to_text(options).partition(":")[2]) == options
    with pytest.raises(UsageError, match="--with resources: @resources asks for nothing"):
        resources.parse("")
