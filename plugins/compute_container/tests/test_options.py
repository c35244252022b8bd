"""``@container``: what the plan says of it, what is refused, and the words for the runtime."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_container import ContainerOptions, container
from flow_container.commands import Member, check_settings, default_image, run_words, settle
from flow_container.engine import Engine
from flow_core.api import DefinitionError, SettingsError, UsageError

FLOW = """
    from flow_core import FlowSpec, container, resources, step

    class F(FlowSpec):
        @resources(cpu=2, memory=8000)
        @container(image="mine:1", memory=500, cpu=4, gpu=1, variables=["AWS_*"], network="host")
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_the_plan(flowtester: Any) -> None:
    session = flowtester.session(flowtester.load(FLOW), ["resources", "container"])
    plan = session.plans["start"]
    assert plan.compute == "container"
    assert plan.options["container"] == {
        "image": "mine:1",
        "network": "host",
        "variables": ["AWS_*"],
    }
    assert plan.resources == {"cpu": 4, "memory": 8000, "gpu": 1}
    assert session.plans["end"].compute == "local"


def test_lists_may_be_texts() -> None:
    options = container.parse("volumes=/a:/b,/c,variables=AWS_*,HF_TOKEN,options=--a 'b c' --d")
    assert isinstance(options, ContainerOptions)
    assert options.to_plan() == {
        "volumes": ["/a:/b", "/c"],
        "variables": ["AWS_*", "HF_TOKEN"],
        "options": ["--a", "b c", "--d"],
    }


def test_the_text_form() -> None:
    text = 'image=mine:1,memory=100,volumes=["/a:/b:ro"],options=["--cap-drop=all"],pull=never'
    options = container.parse(text)
    assert options == ContainerOptions(
        image="mine:1",
        memory=100,
        volumes=["/a:/b:ro"],
        options=["--cap-drop=all"],
        pull="never",
    )
    assert container.parse("network=none") == ContainerOptions(network="none")
    assert container.parse(container.to_text(options).partition(":")[2]) == options


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"memory": 0}, "Option 'memory' must be more than 0, not 0"),
        ({"cpu": -1.5}, "Option 'cpu' must be more than 0, not -1.5"),
        ({"volumes": ["/a::ro"]}, "Option 'volumes' cannot be '/a::ro'"),
        ({"variables": ["KEY=gold"]}, "Option 'variables' holds names only, not 'KEY=…'"),
        ({"image": " "}, "Option 'image' is empty"),
        ({"options": "--name 'a"}, "Option 'options' cannot be read: \"--name 'a\""),
        ({"pull": "sometimes"}, "Option 'pull' must be 'missing' or 'always' or 'never' or None"),
    ],
)
def test_what_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        container.make(**options)
    assert caught.value.what.startswith(what)
    assert "gold" not in str(caught.value)


def _settings(**given: Any) -> Any:
    return given.get


def test_settings_count_where_options_say_nothing() -> None:
    setting = _settings(
        container_image="general:1", container_memory=300.0, container_volumes="/a, /b:/c"
    )
    wanted = settle({"volumes": ["/d"]}, {}, setting)
    assert (wanted.image, wanted.memory) == ("general:1", 300)
    assert wanted.volumes == ("/a", "/b:/c", "/d")
    wanted = settle({"image": "own:1"}, {"memory": 200}, setting)
    assert (wanted.image, wanted.memory) == ("own:1", 200)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("options", "--name 'a", "Setting 'container_options' cannot be read"),
        ("volumes", "/a::ro", "Setting 'container_volumes' cannot be '/a::ro'"),
        ("image", " ", "Setting 'container_image' is empty"),
    ],
)
def test_settings_are_checked_as_options_are(name: str, value: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_settings(_settings(**{f"container_{name}": value}))
    assert caught.value.what.startswith(what)
    assert f"FLOW_CONTAINER_{name.upper()}, or container_{name} in" in (caught.value.where or "")
    check_settings(_settings(container_options="--read-only", container_volumes="/a,/b:/c"))


def test_the_image_has_this_python() -> None:
    assert settle({}, {}, _settings()).image == default_image()
    assert default_image() == f"python:{sys.version_info[0]}.{sys.version_info[1]}"


def _words(engine: Engine, wanted: Any = None, **options: Any) -> list[str]:
    member = Member("n", ("/bin/sh", "-c", "true"), {"A": "1"}, {"flow.step": "a"})
    wanted = wanted or settle(options, {}, _settings())
    return run_words(engine, wanted, member, mounts=["/store"])


def _value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_the_words(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "data")
    options = {"image": "i:1", "volumes": [f"{tmp_path}/data:/data:ro", "named:/n"]}
    words = _words(Engine("podman", "podman"), **options, options=["--read-only"])
    assert words[:2] == ["run", "--detach"]
    assert words[-6:] == ["--read-only", "--entrypoint", "/bin/sh", "i:1", "-c", "true"]
    volumes = [words[n + 1] for n, word in enumerate(words) if word == "--volume"]
    assert volumes == ["/store:/store", f"{tmp_path}/data:/data:ro", "named:/n"]
    assert "A=1" in words
    assert "--security-opt" not in words
    assert "FLOW_CACHE=/run/flow-cache" not in words


def test_files_belong_to_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 56)
    docker, rootless = Engine("docker", "docker"), Engine("podman", "podman", rootless=True)
    assert _value(_words(docker), "--user") == "1234:56"
    assert "HOME=/tmp" in _words(docker)
    assert _value(_words(rootless), "--user") == "0:0"
    assert _value(_words(docker, user="7"), "--user") == "7"
    assert "--user" not in _words(docker, user="image")


def test_runtimes_are_kept_for_the_person_only() -> None:
    engine = Engine("podman", "podman")
    member = Member("n", ("/bin/sh",), {}, {})
    own = run_words(engine, settle({}, {}, _settings()), member, cache="/c")
    assert "/c:/run/flow-cache" in own
    assert "FLOW_CACHE=/run/flow-cache" in own
    other = run_words(engine, settle({"user": "image"}, {}, _settings()), member, cache="/c")
    assert "FLOW_CACHE=/run/flow-cache" not in other


def test_labels_of_selinux_do_not_hinder() -> None:
    engine = Engine("podman", "podman", selinux=True)
    assert _value(_words(engine), "--security-opt") == "label=disable"


def test_graphics_processors() -> None:
    wanted = settle({}, {"gpu": 2}, _settings())
    assert _value(_words(Engine("docker", "docker"), wanted), "--gpus") == "2"
    words = _words(Engine("podman", "podman"), wanted)
    devices = [words[n + 1] for n, word in enumerate(words) if word == "--device"]
    assert devices == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]


def test_variables_are_let_through_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ONE", "gold")
    monkeypatch.setenv("OTHER", "silver")
    words = _words(Engine("podman", "podman"), variables=["KEY_*", "NONE"])
    assert _value(words[words.index("A=1") :], "--env") == "KEY_ONE"
    assert not {"gold", "silver", "OTHER", "NONE"} & set(words)


def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _words(Engine("podman", "podman"), volumes=[f"{tmp_path}/a b"])
    assert str(caught.value) == (
        f"The volume '{tmp_path}/a b' cannot be mounted\n"
        "  where: @container, option 'volumes'\n"
        f"  why:   there is no {tmp_path}/a b\n"
        f"  try:   mkdir -p '{tmp_path}/a b'"
    )


def test_shown(flowtester: Any) -> None:
    file = flowtester.write(FLOW)
    shown = json.loads(flowtester.flow("show", str(file), "--json").check().stdout)
    (first, _) = shown["steps"]["start"]["decorators"]
    assert (first["name"], first["options"]["image"]) == ("container", "mine:1")
