"""``flow kubernetes manifest`` and ``rbac``: no cluster is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from kube_jobs import check

from flow_core.testing import CommandSuite, FlowTester
from flow_kubernetes.command import command as kubernetes_command
from flow_kubernetes.rbac_command import RULES

FLOW = """
    from flow_core import FlowSpec, kubernetes, parallel, step, timeout

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.train, num_parallel=2)

        @kubernetes(cpu=4, namespace="team", secrets="db")
        @parallel
        @step
        def train(self):
            self.next(self.join)

        @timeout(minutes=1)
        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def flows(flowtester: FlowTester) -> FlowTester:
    """A folder for flows, with this plugin beside those that flow-core brings."""
    flowtester.more_plugins = ["kubernetes", "parallel"]
    return flowtester


class TestSuite(CommandSuite):
    examples = (
        ("rbac",),
        ("manifest", "flow.py", "start"),
        ("manifest", "flow.py", "end", "--pod"),
    )
    mistakes = (
        ("manifest",),
        ("manifest", "flow.py"),
        ("manifest", "flow.py", "sart"),
        ("rbac", "--namespace", "A"),
        ("rbac", "--user", "a", "--group", "b"),
    )

    @pytest.fixture
    def command(self) -> Any:
        return kubernetes_command


def test_the_manifest_of_a_step(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    done = flows.flow("kubernetes", "manifest", str(file), "join").check()
    (job,) = yaml.safe_load_all(done.stdout)
    check("V1Job", job)
    pod = job["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == 660
    assert "|" in done.stdout, "a script is shown line by line"
    assert "&id" not in done.stdout, "nothing refers to something above"
    again = flows.python(file, "kubernetes", "manifest", "join", "--json").check()
    assert json.loads(again.stdout) == [job]


def test_the_manifests_of_a_gang(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    done = flows.flow("kubernetes", "manifest", str(file), "train").check()
    service, job = yaml.safe_load_all(done.stdout)
    check("V1Service", service)
    check("V1Job", job)
    assert job["spec"]["completions"] == 2
    assert job["metadata"]["namespace"] == service["metadata"]["namespace"] == "team"


def test_the_manifest_of_a_pod(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    done = flows.flow("kubernetes", "manifest", str(file), "join", "--pod").check()
    (pod,) = yaml.safe_load_all(done.stdout)
    check("V1Pod", pod)


def test_it_takes_what_is_added_on_the_command_line(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    words = ["--with", "kubernetes:cpu=3", "kubernetes", "manifest", str(file), "join", "--json"]
    (job,) = json.loads(flows.flow(*words).check().stdout)
    resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == "3"


def test_lists_and_tables_of_a_file_of_settings(flows: FlowTester) -> None:
    flows.write(
        """\
        [tool.flow]
        kubernetes_secrets = ["db", "bucket"]
        kubernetes_labels = {team = "films", reviewed = true}
        kubernetes_tolerations = [{key = "spot", operator = "Exists"}]
        """,
        "pyproject.toml",
    )
    done = flows.flow("kubernetes", "manifest", str(flows.write(FLOW)), "start").check()
    (job,) = yaml.safe_load_all(done.stdout)
    check("V1Job", job)
    assert job["metadata"]["labels"]["team"] == "films"
    assert job["metadata"]["labels"]["reviewed"] == "true"
    pod = job["spec"]["template"]["spec"]
    assert pod["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    names = [each["secretRef"]["name"] for each in pod["containers"][0]["envFrom"]]
    assert names == ["db", "bucket"]


def test_a_step_that_is_not_there(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    error = flows.flow("kubernetes", "manifest", str(file), "trian").error
    assert error["error"] == "Flow 'F' has no step 'trian'"
    assert error["try"] == "did you mean 'train'?"


def test_the_least_rights(flows: FlowTester) -> None:
    done = flows.flow("kubernetes", "rbac", "--namespace", "team").check()
    account, role, binding = yaml.safe_load_all(done.stdout)
    check("V1ServiceAccount", account)
    check("V1Role", role)
    check("V1RoleBinding", binding)
    assert {m["metadata"]["namespace"] for m in (account, role, binding)} == {"team"}
    verbs = {(r["apiGroups"][0], r["resources"][0]): r["verbs"] for r in role["rules"]}
    assert verbs == {(group, resource): list(v) for group, resource, v in RULES}
    assert "*" not in done.stdout
    assert "secrets" not in done.stdout, "nobody needs to read secrets to name them"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "flow-core-launcher", "namespace": "team"}
    ]


def test_the_rights_of_a_person(flows: FlowTester) -> None:
    done = flows.flow("kubernetes", "rbac", "--user", "ada", "--json").check()
    role, binding = json.loads(done.stdout)
    assert role["kind"] == "Role"
    assert binding["subjects"] == [
        {"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}
    ]


def test_no_client_is_imported(flows: FlowTester) -> None:
    file = flows.write(FLOW)
    script = f"""
        import sys
        from flow_core.cli import main
        try:
            main(["kubernetes", "manifest", {str(file)!r}, "join"])
        except SystemExit as end:
            assert not end.code, end.code
        assert "kubernetes" not in sys.modules, "the client takes half a second"
    """
    flows.python(flows.write(script, "alone.py")).check()
