"""Dozens of installed plugins: what a command imports of them, and that it sees them as they are now.

Times are measured by ``benchmarks/row_plugins.py``; what they are made of is counted here.
"""

import os
import shutil
import subprocess
import sys

import pytest

EACH = 10
"""Plugins of each kind."""

OFFERS = {
    "hooks": ("flow.plugins", "NAME = NAME.code"),
    "decorator": ("flow.decorators", "NAME = NAME.code:NAME"),
    "command": ("flow.commands", "NAME = NAME.code:command"),
    "store": ("flow.stores", "NAME = NAME.code:Store"),
    "serializer": ("flow.serializers", "NAME = NAME.code:serializer"),
}

CODE = """
import os
from flow_core.api import Command, hookimpl

with open(os.environ["IMPORTED"], "a") as file:
    file.write("NAME\\n")

command = Command("Does what NAME does.", needs_flow=False, build=print)

@hookimpl
def flow_event(event):
    pass
"""

FLOW = """
from flow_core import FlowSpec, step

class F(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


class Crowd:
    """Plugins in a folder of the path."""

    def __init__(self, folder):
        self.site = folder / "site"
        self.work = folder / "work"
        self.imported = folder / "imported"
        self.site.mkdir()
        self.work.mkdir()
        (self.work / ".flow").mkdir()
        (self.work / "f.py").write_text(FLOW)

    def add(self, name, kind, version="1.0"):
        group, offer = OFFERS[kind]
        package = self.site / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "code.py").write_text(CODE.replace("NAME", name))
        info = self.site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nRequires-Dist: flow-core>=0.1,<1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{offer.replace('NAME', name)}\n")
        return info

    def flow(self, *arguments):
        """Run ``flow``; return what it prints, and the plugins that it imported."""
        self.imported.write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "flow_core", *arguments],
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(self.site), "IMPORTED": str(self.imported)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, sorted(self.imported.read_text().split())


@pytest.fixture
def crowd(tmp_path):
    return Crowd(tmp_path)


def names(kind):
    return [f"{kind}{number}" for number in range(EACH)]


@pytest.mark.parametrize(
    ("command", "kind"), [(["show", "f.py"], "hooks"), (["--help"], "command")]
)
def test_a_command_imports_nothing_that_it_does_not_need(crowd, command, kind):
    for each in OFFERS:
        for name in names(each):
            crowd.add(name, each)
    assert crowd.flow(*command)[1] == names(kind)


def test_what_pip_did_is_seen_by_the_next_command(crowd):
    crowd.add("early", "command")
    help_text, _ = crowd.flow("--help")
    assert "Does what early does." in help_text
    info = crowd.add("late", "command")
    assert "Does what late does." in crowd.flow("--help")[0]
    # An editable installation that gets a further entry point keeps its folder.
    (info / "entry_points.txt").write_text("[flow.commands]\nlater = late.code:command\n")
    assert "\n  later " in crowd.flow("--help")[0]
    shutil.rmtree(info)
    shutil.rmtree(crowd.site / "late")
    assert crowd.flow("--help")[0] == help_text


def test_a_start_leaves_nothing_behind(crowd):
    crowd.add("hooks", "hooks")
    crowd.flow("show", "f.py")  # compiles the modules
    before = sorted(crowd.site.parent.rglob("*"))
    crowd.flow("show", "f.py")
    assert sorted(crowd.site.parent.rglob("*")) == before
