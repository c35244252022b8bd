"""``@environment``: variables of a step's processes, and of nobody else's."""

import pytest

from flow_core.api import DefinitionError
from flow_environment import EnvironmentOptions, environment

FLOW = """
    import os, subprocess, sys
    AT_LOAD = os.environ.get("COLOUR")
    from flow_core import FlowSpec, environment, step

    class F(FlowSpec):
        @environment(vars={"COLOUR": "red", "EMPTY": ""MORE})
        @step
        def start(self):
            self.mine = os.environ["COLOUR"] + os.environ["EMPTY"]
            code = "import os; print(os.environ['COLOUR'])"
            self.child = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
            self.next(self.end)

        @step
        def end(self):
            self.other = os.environ.get("COLOUR")

    if __name__ == "__main__":
        F()
"""


def test_a_step_in_the_laboratory(flowtester):
    outcome = flowtester.run(FLOW.replace("MORE", ""), plugins=["environment"])
    assert outcome.artifact("end", "mine") == "red"
    assert outcome.artifact("end", "other") is None


@pytest.mark.parametrize("more", ["", ', "OMP_NUM_THREADS": "3"'], ids=["forked", "fresh"])
def test_processes_and_what_they_start(flowtester, more):
    """Some variables count only as a process starts: those tasks are not forked."""
    file = flowtester.write(FLOW.replace("MORE", more))
    flowtester.python(file, "run", "--with", 'environment:vars={"COLOUR":"blue"}').check()
    outcome = flowtester.left()
    assert outcome.artifact("start", "mine") == "red"
    assert outcome.artifact("start", "child") == "red"
    assert outcome.artifact("end", "other") == "blue"  # --with, for the step that had none


def test_spawned(flowtester):
    file = flowtester.write(FLOW.replace("MORE", ""))
    flowtester.python(file, "run", variables={"FLOW_FORK": "never"}).check()
    assert flowtester.left().artifact("end", "other") is None
    assert flowtester.left().artifact("end", "child") == "red"


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"A": 1}, "Option 'vars' must be dict[str, str], not {'A': 1}"),
        ({"A": None}, "Option 'vars' must be dict[str, str], not {'A': None}"),
        ({"A": "x\0"}, "The value of variable 'A' contains a NUL character"),
        ({"": "x"}, "'' cannot be the name of an environment variable"),
        ({"A=B": "x"}, "'A=B' cannot be the name of an environment variable"),
        ({1: "x"}, "Option 'vars' must be dict[str, str], not {1: 'x'}"),
        ({"FLOW_TASK_ID": "x"}, "'FLOW_TASK_ID' cannot be the name of an environment variable"),
    ],
)
def test_what_is_refused(variables, what):
    with pytest.raises(DefinitionError) as caught:
        environment(vars=variables)
    assert caught.value.what == what


def test_the_text_form_reads_back():
    options = EnvironmentOptions({"A": "1,B=2", "C": 'quoted "text"', "D": ""})
    assert environment.parse(environment.to_text(options).partition(":")[2]) == options
