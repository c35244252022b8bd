"""``@kubernetes``: its options, what Kubernetes would refuse, the plan, settings."""

from __future__ import annotations

from typing import Any

import pytest
from kube_jobs import chosen, settings

from flow_core.api import DefinitionError, SettingsError, UsageError, describe_options
from flow_core.testing import DecoratorSuite
from flow_kubernetes import KubernetesOptions, kubernetes
from flow_kubernetes.choices import Defaults, choose
from flow_kubernetes.settings import DEFAULTS, PREFIX

FLOW = """
    from flow_core import FlowSpec, kubernetes, resources, step

    class F(FlowSpec):
        @resources(cpu=2, memory=16000, gpu=1)
        @kubernetes(cpu=4, memory=8000, image="python:3.12", secrets=["db"])
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class TestSuite(DecoratorSuite):
    decorator = kubernetes
    examples = (
        {},
        {"cpu": 4, "memory": 16000, "image": "python:3.12", "qos": "guaranteed"},
        {"node_selector": {"disk": "ssd", "zone": "a"}, "labels": "team=search,cost-centre=7"},
        {
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": {"/x": {"emptyDir": {}}},
        },
        {"secrets": ["db", "s3"], "persistent_volume_claims": {"models": "/models"}},
        {"topology_spread": "topology.kubernetes.io/zone", "security_context": {"run_as_user": 5}},
    )


def test_each_option_has_a_setting_and_each_setting_of_an_option_an_option():
    assert [o.name for o in describe_options(KubernetesOptions)] == list(DEFAULTS)
    declared = {s.name for s in settings().declared()}
    assert {PREFIX + name for name in DEFAULTS} <= declared


@pytest.mark.parametrize(
    ("options", "what", "why", "hint"),
    [
        ({"cpu": 0}, "Option 'cpu' must be more than 0, not 0", None, "@kubernetes(cpu=2"),
        ({"memory": -1}, "Option 'memory' must be more than 0, not -1", None, "memory=8000"),
        ({"gpu": 0.5}, "Option 'gpu' must be int or None, not 0.5", "type float", None),
        ({"gpu": -1}, "Option 'gpu' must be 0 or more, not -1", None, "gpu=1"),
        ({"qos": "garanteed"}, "Option 'qos' cannot be 'garanteed'", "burstable", '"guaranteed"'),
        ({"gpu_vendor": "nvida"}, "Option 'gpu_vendor' cannot be 'nvida'", "amd", '"nvidia"'),
        (
            {"image_pull_policy": "always"},
            "Option 'image_pull_policy' cannot be 'always'",
            "IfNotPresent",
            '"Always"',
        ),
        ({"image": "a b"}, "Option 'image' is no image: 'a b'", None, "python:3.12"),
        (
            {"port": 70000},
            "Option 'port' must be a number from 1 to 65535, not 70000",
            None,
            "8080",
        ),
        (
            {"labels": {"team": "a b"}},
            "Option 'labels' has a value that Kubernetes does not accept: team='a b'",
            "a valid label must be an empty string or consist of",
            "annotations",
        ),
        (
            {"labels": "team"},
            "Option 'labels' has a part without '=': 'team'",
            "several of them with commas",
            "name=value,name=value",
        ),
        (
            {"node_selector": {"-x": "a"}},
            "Option 'node_selector' has a key that Kubernetes does not accept: '-x'",
            "with an optional DNS subdomain",
            "example.com/team",
        ),
        (
            {"labels": {"flow-core/run": "7"}},
            "Option 'labels' cannot set 'flow-core/run'",
            "says which attempt a pod is",
            "example.com/run",
        ),
        (
            {"namespace": "My_Team"},
            "Option 'namespace' is no name that Kubernetes accepts: 'My_Team'",
            "a lowercase RFC 1123 subdomain",
            'namespace="my-team"',
        ),
        (
            {"tolerations": [{"key": "gpu", "efect": "NoSchedule"}]},
            "Option 'tolerations' has a key that Kubernetes does not know: 'efect'",
            "tolerationSeconds",
            "did you mean 'effect'?",
        ),
        (
            {"tolerations": [{"key": "gpu", "operator": "Exists", "value": "a"}]},
            (
                "Option 'tolerations' has a value beside the operator Exists: "
                "{'key': 'gpu', 'operator': 'Exists', 'value': 'a'}"
            ),
            "value must be empty",
            "operator Equal",
        ),
        (
            {"tolerations": "[{'key'}]"},
            "Option 'tolerations' is not valid JSON: [{'key'}]",
            "Expecting property name",
            "double quotes",
        ),
        (
            {"security_context": {"run_as_usr": 5}},
            "Option 'security_context' has a key that Kubernetes does not know: 'runAsUsr'",
            "runAsUser",
            "did you mean 'runAsUser'?",
        ),
        (
            {"volumes": {"/x": {"configmap": {"name": "a"}}}},
            "Option 'volumes' has a key that Kubernetes does not know: 'configmap'",
            "emptyDir",
            "did you mean 'configMap'?",
        ),
        (
            {"persistent_volume_claims": {"models": "models"}},
            (
                "Option 'persistent_volume_claims' must have absolute paths in the container, "
                "not 'models'"
            ),
            None,
            "/data",
        ),
        (
            {"extended_resources": {"vendor.com/fpga": "many"}},
            (
                "Option 'extended_resources' has an amount that Kubernetes does not accept: "
                "vendor.com/fpga='many'"
            ),
            "a quantity is a number",
            "vendor.com/fpga",
        ),
        (
            {"topology_spread": [{"maxSkew": 2}]},
            "Option 'topology_spread' has a constraint without 'topologyKey': {'maxSkew': 2}",
            None,
            "topology.kubernetes.io/zone",
        ),
        (
            {"imge": "a"},
            "Decorator @kubernetes has no option 'imge'",
            None,
            "did you mean 'image'?",
        ),
    ],
)
def test_what_kubernetes_would_refuse(
    options: dict[str, Any], what: str, why: str | None, hint: str | None
) -> None:
    with pytest.raises(DefinitionError) as caught:
        kubernetes(**options)
    error = caught.value
    assert error.what == what
    assert (why or "") in (error.why or "")
    assert (hint or "") in (error.hint or "")


def test_on_the_command_line():
    parsed = kubernetes.parse(
        'cpu=4,image=reg:5000/a:1,labels={"a":"b","c":"d"},node_selector=disk=ssd'
    )
    assert parsed == KubernetesOptions(
        cpu=4, image="reg:5000/a:1", labels={"a": "b", "c": "d"}, node_selector="disk=ssd"
    )
    with pytest.raises(UsageError) as caught:
        kubernetes.parse("qos=best")
    assert caught.value.what == "--with kubernetes: Option 'qos' cannot be 'best'"
    assert caught.value.hint == "--with kubernetes:qos=burstable"


def test_the_plan(flowtester: Any) -> None:
    session = flowtester.session(
        flowtester.load(FLOW), ["resources", "kubernetes"], decorators=["kubernetes:cpu=1"]
    )
    start, end = (session.plans[name] for name in ("start", "end"))
    assert start.compute == end.compute == "kubernetes"
    assert start.resources == {"cpu": 4, "memory": 16000, "gpu": 1}
    assert start.options["kubernetes"] == {"image": "python:3.12", "secrets": ["db"]}
    assert end.resources == {"cpu": 1}


# --- settings -----------------------------------------------------------------------------------


def test_settings_stand_for_what_is_not_said():
    found = settings(
        kubernetes_namespace="team",
        kubernetes_memory=1000,
        kubernetes_labels="team=search,unit=a",
        kubernetes_node_selector="disk=ssd",
        kubernetes_image_registry="registry.example/mirror/",
        kubernetes_tolerations='[{"key": "gpu", "operator": "Exists"}]',
    )
    defaults = Defaults.read(found.__getitem__)
    choices = choose(
        defaults, {"labels": {"unit": "b"}, "node_selector": {"zone": "c"}}, {"cpu": 3}
    )
    assert choices.namespace == "team"
    assert (choices.cpu, choices.memory, choices.disk) == (3, 1000, 10240)
    assert choices.labels == {"team": "search", "unit": "b"}, "labels come together"
    assert choices.node_selector == {"zone": "c"}, "all other options stand for the setting"
    assert choices.tolerations == [{"key": "gpu", "operator": "Exists"}]
    assert choices.image.startswith("registry.example/mirror/python:3.")


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("python:3.12", "reg.example/python:3.12"),
        ("team/python", "reg.example/team/python"),
        ("localhost/python", "localhost/python"),
        ("other.example/python", "other.example/python"),
        ("other:5000/python", "other:5000/python"),
    ],
)
def test_the_registry_of_an_image(image: str, whole: str) -> None:
    defaults = Defaults.read(settings(kubernetes_image_registry="reg.example").__getitem__)
    assert choose(defaults, {"image": image}, {}).image == whole


def test_a_setting_that_kubernetes_would_refuse_is_named():
    with pytest.raises(SettingsError) as caught:
        Defaults.read(settings(kubernetes_labels="team=a b").__getitem__)
    error = caught.value
    assert error.what.startswith("Setting 'kubernetes_labels' has a value that Kubernetes does not")
    assert error.where == "FLOW_KUBERNETES_LABELS, or kubernetes_labels in [tool.flow]"
    assert "a valid label" in (error.why or "")


def test_a_tmpfs_takes_half_of_the_memory_unless_its_size_is_said():
    assert chosen().tmpfs_size == 0
    assert chosen(use_tmpfs=True, resources={"memory": 3000}).tmpfs_size == 1500
    assert chosen(tmpfs_size=100).tmpfs_size == 100
