"""``@project``: branches, their tags and names, and what steps and readers see of them."""

import pytest

from flow_core.api import DefinitionError, RunDocument, RunRequest, UsageError
from flow_project import ProjectOptions, project

FLOW = """
    from flow_core import FlowSpec, current, project, step

    @project(OPTIONS)
    class F(FlowSpec):
        @step
        def start(self):
            self.facts = [current.project_name, current.branch_name, current.is_user_branch,
                          current.is_production, current.project_flow_name]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def run(flowtester):
    def run(options='name="movies"', **given):
        return flowtester.run(
            FLOW.replace("OPTIONS", options),
            plugins=["project"],
            request=RunRequest(options=given),
        )

    return run


def document(outcome):
    raw = next(iter(outcome.store.read([f"runs/F/{outcome.run}/run.json"])))
    return RunDocument.decode(raw, "run.json")


@pytest.mark.parametrize(
    ("options", "given", "branch", "user_branch", "production"),
    [
        ("", {}, "user.tester", True, False),
        ("", {"branch": "b"}, "test.b", False, False),
        ("", {"production": True}, "prod", False, True),
        ("", {"production": True, "branch": "b"}, "prod.b", False, True),
        (', branch="b"', {}, "test.b", False, False),
        (', branch="b"', {"branch": "b"}, "test.b", False, False),
        (", production=True", {}, "prod", False, True),
        (", production=True", {"branch": "b"}, "prod.b", False, True),
    ],
)
def test_branches(run, options, given, branch, user_branch, production):
    outcome = run('name="movies"' + options, **given)
    assert outcome.error is None
    assert outcome.artifact("start", "facts") == [
        "movies",
        branch,
        user_branch,
        production,
        f"movies.{branch}.F",
    ]
    assert {"project:movies", f"project_branch:{branch}", "user:tester"} <= set(
        outcome.metadata.run("F", "1").system_tags
    )
    assert document(outcome).scope == ("movies", branch)
    assert document(outcome).decorators[0]["options"]["name"] == "movies"


def test_a_contradiction_is_refused(run):
    outcome = run('name="movies", branch="b"', branch="c")
    assert isinstance(outcome.error, UsageError)
    assert outcome.error.what == "--branch c contradicts the flow, which says branch='b'"
    assert outcome.error.hint == "leave --branch out, or take branch= out of the decorator"
    assert outcome.run == ""


@pytest.mark.parametrize("branch", ["a/b", "", "a b", "x" * 129])
def test_branches_that_cannot_be(run, branch):
    outcome = run(branch=branch)
    assert isinstance(outcome.error, UsageError)
    assert outcome.error.what == f"'{branch}' cannot be the name of a branch"
    assert outcome.error.where == "--branch"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("My Project", "my_project"), ("", "my_project"), ("x" * 129, "x" * 128), ("a-b", "a_b")],
)
def test_names_that_cannot_be(name, hint):
    with pytest.raises(DefinitionError) as caught:
        project(name=name)
    assert caught.value.what == f"'{name}' cannot be the name of a project"
    assert caught.value.hint == f'@project(name="{hint}")'


def test_a_name_is_needed():
    with pytest.raises(DefinitionError, match="Decorator @project needs the option 'name'"):
        project()


def test_a_flow_without_it_has_no_such_facts(flowtester):
    outcome = flowtester.run(FLOW.replace("@project(OPTIONS)", ""), plugins=["project"])
    assert "current has no 'project_name'" in outcome.manifests("start")[0].failure.message
    assert document(outcome).scope == ()
    refused = flowtester.run(
        FLOW.replace("@project(OPTIONS)", ""),
        plugins=["project"],
        request=RunRequest(options={"branch": "b"}),
    )
    assert refused.error.what == "Flow 'F' has no option 'branch' for its runs"


def test_with_puts_a_flow_into_a_project(flowtester):
    outcome = flowtester.run(
        FLOW.replace("@project(OPTIONS)", ""),
        plugins=["project"],
        decorators=["project:name=other"],
    )
    assert outcome.artifact("start", "facts")[0] == "other"


def test_on_the_command_line_and_in_namespaces(flowtester):
    file = flowtester.write(FLOW.replace("OPTIONS", 'name="movies"'))
    flowtester.python(file, "run", "--branch", "b").check()
    flowtester.python(file, "run", "--production").check()
    flowtester.python(file, "run", variables={"FLOW_RUN_BRANCH": "c"}).check()
    flowtester.python(file, "run", variables={"FLOW_PROJECT_OWNER": "team"}).check()
    shown = flowtester.python(file, "show").check().stdout
    assert "@project(name='movies')" in shown
    script = flowtester.write(
        """
        from flow_core import Flow, Run, namespace
        namespace("project:movies")
        print([r.id for r in Flow("F").runs()])
        namespace("project_branch:prod")
        print([r.id for r in Flow("F")])
        try:
            Run("F/1")
        except Exception as error:
            print(type(error).__name__)
        namespace("project_branch:test.c")
        print(Flow("F").latest_run.data.facts[1])
        namespace("project_branch:user.team")
        print(Flow("F").latest_run.data.facts[1])
        """,
        "read.py",
    )
    assert flowtester.python(script).check().stdout.splitlines() == [
        "['4', '3', '2', '1']",
        "['2']",
        "NamespaceMismatch",
        "test.c",
        "user.team",
    ]


def test_the_text_form_reads_back():
    options = ProjectOptions(name="movies", branch="b.c", production=True)
    assert project.parse(project.to_text(options).partition(":")[2]) == options
