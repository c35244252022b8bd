"""The command ``tag``: which runs, which changes, which lists."""

import json

import pytest

from flow_core.api import RunDocument, RunResult, RunState, Session, result_key, run_key
from flow_core.cli import run as command_line

FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def flow(flowtester, monkeypatch):
    """Let the command line in this process see what a process of ``flowtester`` would see."""
    monkeypatch.chdir(flowtester.path)
    for name, value in flowtester.environment().items():
        if name.startswith("FLOW_") or name == "HOME":
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLOW_PLUGINS")


@pytest.fixture
def tag(flow, capsys):
    """Call ``flow tag``; return (exit status, lines of output, error)."""

    def tag(*arguments):
        status = command_line(["tag", *arguments])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err

    return tag


@pytest.fixture
def runs(flow):
    """F/1 of zoe, F/2 failed, F/3, G/1: records as runs leave them."""
    with Session() as session:
        for at, (name, run, user, state, tags) in enumerate(
            [
                ("F", "1", "zoe", RunState.SUCCEEDED, ("old",)),
                ("F", "2", "tester", RunState.FAILED, ("old",)),
                ("F", "3", "tester", RunState.SUCCEEDED, ()),
                ("G", "1", "tester", RunState.SUCCEEDED, ()),
            ],
            1000,
        ):
            system = (f"user:{user}",)
            document = RunDocument(
                name, run, at, {}, {}, None, {}, {}, tags=tags, system_tags=system, user=user
            )
            result = RunResult(name, run, state, at + 1)
            session.store.write(
                [
                    (run_key(name, run), document.encode()),
                    (result_key(name, run), result.encode()),
                ]
            )
        assert session.metadata.rebuild(session.store) == 4


def test_by_ids(runs, tag):
    assert tag("add", "b", "a", "--run-id", "F/1", "--run-id", "F/3") == (
        0,
        ["F/1: a, b, old", "F/3: a, b"],
        "",
    )
    assert tag("remove", "b", "x", "--run-id", "F/1")[1] == ["F/1: a, old"]
    assert tag("replace", "--run-id", "F/1", "--remove", "old", "--add", "new")[1] == [
        "F/1: a, new"
    ]
    assert tag("remove", "a", "b", "--run-id", "F/3")[1] == ["F/3: no tags"]


def test_by_description(runs, tag):
    assert tag("add", "x", "--flow", "F")[1] == ["F/3: x", "F/2: old, x"]
    assert tag("add", "y", "--state", "failed")[1] == ["F/2: old, x, y"]
    assert tag("add", "z", "--tagged", "old", "--namespace", "")[1] == [
        "F/2: old, x, y, z",
        "F/1: old, z",
    ]
    assert tag("remove", "z", "--namespace", "user:zoe")[1] == ["F/1: old"]
    assert tag("add", "last", "--latest")[1] == ["G/1: last"]
    assert tag("add", "one", "--flow", "F", "--limit", "1")[1] == ["F/3: one, x"]


def test_in_a_flow_file(runs, flowtester):
    file = flowtester.write(FLOW)
    done = flowtester.python(file, "tag", "add", "x", "--run-id", "3").check()
    assert done.stdout == "F/3: x\n"
    assert flowtester.python(file, "tag", "add", "y", "--latest").check().stdout == "F/3: x, y\n"


def test_json(runs, tag):
    status, out, _ = tag("add", "x", "--run-id", "F/3", "--json")
    (found,) = json.loads("\n".join(out))
    assert (status, found["run"], found["tags"]) == (0, "F/3", ["x"])
    assert "user:tester" in found["system_tags"]
    _, out, _ = tag("list", "--all", "--hide-system-tags", "--json")
    assert json.loads("\n".join(out)) == [
        {"run": "G/1", "tags": []},
        {"run": "F/3", "tags": ["x"]},
        {"run": "F/2", "tags": ["old"]},
        {"run": "F/1", "tags": ["old"]},
    ]


def test_lists(runs, tag):
    hide = "--hide-system-tags"
    assert tag("list", hide)[1] == ["G/1: no tags", "F/3: no tags", "F/2: old"]
    assert tag("list", hide, "--my-runs")[1] == ["G/1: no tags", "F/3: no tags", "F/2: old"]
    assert tag("list", hide, "--all", "--group-by-tag")[1] == ["old: F/2, F/1"]
    assert tag("list", hide, "--all", "--flat")[1] == ["F/2\told", "F/1\told"]
    assert tag("list", hide, "--run-id", "F/1")[1] == ["F/1: old"]
    assert "user:tester" in tag("list", "--run-id", "F/3")[1][0]
    assert tag("list", hide, "--state", "succeeded", "--flow", "F")[1] == ["F/3: no tags"]


def test_a_list_of_nothing(tag):
    assert tag("list") == (0, [], "")
    assert tag("list", "--all", "--json") == (0, ["[]"], "")


def test_changes_outlive_the_index(runs, tag, flowtester, capsys):
    tag("replace", "--run-id", "F/1", "--remove", "old", "--add", "gold")
    for file in flowtester.path.glob(".flow/metadata.db*"):
        file.unlink()
    assert command_line(["reindex"]) == 0
    capsys.readouterr()
    assert tag("list", "--run-id", "F/1", "--hide-system-tags")[1] == ["F/1: gold"]
    assert tag("list", "--run-id", "F/2", "--hide-system-tags")[1] == ["F/2: old"]


def error(shown):
    status, out, text = shown
    assert out == []
    assert status
    return text.splitlines()


def test_without_saying_which(runs, tag):
    assert error(tag("add", "x")) == [
        "error: It is not said which run is meant",
        "  where: tag",
        "  why:   the latest is G/1",
        "  try:   --run-id G/1, or --latest",
    ]


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["add", "x", "--run-id", "3"], "error: '3' names no run"),
        (["add", "x", "--run-id", "F/9"], "error: There is no run F/9"),
        (["add", "x", "--run-id", "FF/1"], "error: There is no run FF/1"),
        (["add", "x", "--flow", "FF"], "error: There is no run of the flow 'FF'"),
        (
            ["add", "x", "--run-id", "F/1", "--latest"],
            "error: A run is named, and runs are described",
        ),
        (["add", "x", "--tagged", "no"], "error: No run is as described"),
        (["replace", "--run-id", "F/1"], "error: There is nothing to replace"),
        (["remove", "user:zoe", "--run-id", "F/1"], "error: The tag 'user:zoe' cannot be removed"),
        (["add", "", "--run-id", "F/1"], "error: A tag has 1 to 500 characters, not 0"),
        (["list", "--flat", "--group-by-tag"], "error: The list can have one form only"),
        (
            ["list", "--all", "--my-runs"],
            "error: The runs are described in ways that contradict each other",
        ),
        (["add"], "error: Missing argument 'TAGS...'"),
    ],
)
def test_what_is_refused(runs, tag, arguments, first):
    assert error(tag(*arguments))[0] == first
