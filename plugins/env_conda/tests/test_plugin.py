"""``@conda`` and ``@conda_base`` in the plan of a flow."""

from __future__ import annotations

from typing import Any

import pytest

from flow_conda import CondaBaseOptions, CondaOptions, conda, conda_base
from flow_conda.plugin import merged
from flow_core.api import DefinitionError, FlowDeprecation

FLOW = """
    from flow_core import FlowSpec, conda, conda_base, step

    {base}
    class F(FlowSpec):
        {own}
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def plans(flowtester: Any, base: str = "", own: str = "", **settings: str) -> Any:
    flow = flowtester.load(FLOW.format(base=base, own=own))
    return flowtester.session(flow, ["conda"], settings=settings).plans


class TestPlan:
    def test_a_step_asks_for_its_own(self, flowtester: Any) -> None:
        own = "@conda(packages={'pandas': '2.2.*'}, python='3.12', channels=['a', 'b'])"
        found = plans(flowtester, own=own)
        assert found["start"].environment == "conda"
        assert found["start"].environment_options == {
            "packages": ["pandas 2.2.*"],
            "python": "3.12",
            "channels": ["a", "b"],
        }
        assert found["end"].environment is None

    def test_what_the_flow_says_counts_for_each_step(self, flowtester: Any) -> None:
        found = plans(
            flowtester,
            "@conda_base(packages={'pandas': '2.2.*', 'six': ''}, python='3.11')",
            "@conda(packages=['forge::pandas >=2'], python='3.12')",
        )
        assert found["start"].environment_options == {
            "packages": ["forge::pandas >=2", "six"],
            "python": "3.12",
        }
        assert found["end"].environment_options == {
            "packages": ["pandas 2.2.*", "six"],
            "python": "3.11",
        }

    def test_a_step_that_is_switched_off(self, flowtester: Any) -> None:
        found = plans(flowtester, "@conda_base(python='3.12')", "@conda(disabled=True)")
        assert (found["start"].environment, found["end"].environment) == (None, "conda")

    def test_a_flow_that_is_switched_off(self, flowtester: Any) -> None:
        base = "@conda_base(packages={'six': ''}, disabled=True)"
        found = plans(flowtester, base, "@conda(disabled=False)")
        assert (found["start"].environment, found["end"].environment) == ("conda", None)
        assert found["start"].environment_options == {"packages": ["six"]}

    def test_environment_for_all_and_off_for_one(self, flowtester: Any) -> None:
        found = plans(flowtester, own="@conda(disabled=True)", environment="conda")
        assert (found["start"].environment, found["end"].environment) == (None, "conda")
        assert found["end"].environment_options == {}

    def test_files(self, flowtester: Any) -> None:
        base = "@conda_base(environment='environment.yml')"
        found = plans(flowtester, base, "@conda(environment='own.yml')")
        assert found["start"].environment_files == ("own.yml",)
        assert found["end"].environment_options == {"environment": "environment.yml"}


class TestOptions:
    def test_the_older_name_works_and_says_so(self) -> None:
        with pytest.warns(FlowDeprecation, match="'libraries' of @conda"):
            options = conda.make(libraries={"pandas": "1.5"})
        assert options == CondaOptions(packages={"pandas": "1.5"})

    def test_forms_of_with(self) -> None:
        options = conda.parse('packages={"pandas":"2.2.*"},python=3.12')
        assert options == CondaOptions(packages={"pandas": "2.2.*"}, python="3.12")
        assert conda.parse('packages=["a","b >=1"]') == CondaOptions(packages=["a", "b >=1"])
        assert conda.parse(conda.to_text(options).partition(":")[2]) == options

    def test_what_is_wrong_is_told_where_it_is_written(self) -> None:
        with pytest.raises(DefinitionError) as caught:
            conda_base.make(packages=["pan das; x"])
        assert caught.value.where == "decorator @conda_base"
        with pytest.raises(DefinitionError, match="has no option 'package'") as caught:
            conda.make(package=["pandas"])
        assert "packages" in str(caught.value.hint)

    def test_none_counts_as_not_said(self) -> None:
        base = CondaBaseOptions(packages=["a 1"], channels=["x"], environment="e.yml")
        assert merged(base, None) == CondaOptions(
            packages=["a 1"], channels=("x",), environment="e.yml"
        )
