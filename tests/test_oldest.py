"""The job that tests plugins against the oldest flow-core that they claim: tools/oldest.py."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools/oldest.py"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tools_oldest", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(TOOL.parent))  # it imports its neighbour
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOL.parent))
    return module


tool = _tool()


def releases(*tags: str) -> list:
    """Return releases with these tags."""
    return [tool.Release(Version(tag.removeprefix("v")), tag) for tag in tags]


# --- which flow-core is the oldest --------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "tags", "tag", "note"),
    [
        (">=0.1,<1", ("v0.1.0", "v0.2.0"), "v0.1.0", ""),
        (">=0.2,<1", ("v0.1.0", "0.2", "v0.3.0"), "0.2", ""),
        ("~=0.2", ("v0.1.0", "v0.2.0"), "v0.2.0", ""),
        ("==0.2.*", ("v0.1.0", "v0.2.0"), "v0.2.0", ""),
        (">=0.1,!=0.1.0", ("v0.1.0", "v0.1.1"), "v0.1.1", "0.1 has no tag; .* one is v0.1.1"),
        (">=0.1,<1", (), None, "0.1 has no tag: today's flow-core is the oldest there is"),
        (">=0.3", ("v0.1.0",), None, "0.3 has no tag: today's flow-core is the oldest there is"),
        ("<1", ("v0.1.0",), "v0.1.0", "it states no oldest flow-core"),
        ("", (), None, "it states no oldest flow-core"),
    ],
)
def test_the_oldest_release_in_a_range(claims, tags, tag, note):
    release, told = tool.oldest(SpecifierSet(claims), releases(*tags))
    assert (release.tag if release else None) == tag
    assert re.fullmatch(note, told)


def test_each_plugin_of_this_repository_states_a_range_with_todays_flow_core():
    plugins = tool.read_plugins(ROOT)
    assert len(plugins) == len(list(ROOT.glob("plugins/*/pyproject.toml")))
    now = tool.today(ROOT)
    assert [p.distribution for p in plugins if now not in p.claims or not str(p.claims)] == []


def test_a_plugin_that_is_not_there_is_an_error(capsys):
    assert tool.main(["retri"]) == 1
    assert "error: There is no plugin 'retri'; there are: " in capsys.readouterr().err


# --- the whole job, in a repository with a tag --------------------------------------------------

PLUGIN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "flow-{name}"
version = "{version}"
dependencies = ["flow-core{claims}"]

[project.entry-points."flow.decorators"]
{name} = "flow_{name}:{name}"

[tool.hatch.build.targets.wheel]
packages = ["src/flow_{name}"]
"""
MODULE = '''
from dataclasses import dataclass
from flow_core.api import Options, StepDecorator{more}

@dataclass(frozen=True)
class NoOptions(Options):
    """Nothing."""

{name} = StepDecorator("{name}", NoOptions)
age = "{age}"
'''
TESTS = """
def test_it_is_loaded():
    import flow_core
    import flow_{name}
    assert flow_core.{name} is flow_{name}.{name}
    assert flow_{name}.age == "now"
"""
NEW_IN_CORE = '''

def new_in_02() -> str:
    """What came with 0.2."""
    return "new"
'''


class Repository:
    """A repository with the real flow-core, without default plugins, and tiny plugins."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(
            ROOT / "core",
            root / "core",
            ignore=shutil.ignore_patterns("tests", "__pycache__", "*.egg-info"),
        )
        self._edit("core/pyproject.toml", r'^    "flow-.*\n', "")
        self._git("init", "-q")

    def plugin(self, name: str, claims: str, age: str, more: str = "") -> None:
        """Write a plugin."""
        folder = self.root / "plugins" / name
        package = folder / f"src/flow_{name}"
        package.mkdir(parents=True, exist_ok=True)
        (folder / "tests").mkdir(exist_ok=True)
        text = PLUGIN.format(name=name, claims=claims, version="0.1.0")
        (folder / "pyproject.toml").write_text(text)
        (package / "__init__.py").write_text(MODULE.format(name=name, age=age, more=more))
        (folder / f"tests/test_{name}.py").write_text(TESTS.format(name=name))

    def release(self, version: str) -> None:
        """Commit and tag what there is."""
        self._git("add", "-A")
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        self._git(*author, "commit", "-q", "-m", version)
        self._git("tag", f"v{version}")

    def go_on(self, version: str) -> None:
        """Let the version of flow-core be another one, with something new."""
        self._edit("core/pyproject.toml", r'^version = ".*"', f'version = "{version}"')
        self._edit(
            "core/src/flow_core/__init__.py", r'^__version__ = ".*"', f'__version__ = "{version}"'
        )
        with (self.root / "core/src/flow_core/api.py").open("a") as file:
            file.write(NEW_IN_CORE)

    def job(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the job; the flow-core of this repository is today's."""
        sources = [self.root / "core/src", *self.root.glob("plugins/*/src")]
        points = self.root / "points"  # what an editable installation would have
        for plugin in self.root.glob("plugins/*"):
            info = points / f"flow_{plugin.name}-0.1.0.dist-info"
            info.mkdir(parents=True, exist_ok=True)
            name = plugin.name
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: flow-{name}\n\n")
            (info / "entry_points.txt").write_text(
                f"[flow.decorators]\n{name} = flow_{name}:{name}\n"
            )
        return subprocess.run(
            [sys.executable, str(TOOL), "--root", str(self.root), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*sources, points]))},
            capture_output=True,
            text=True,
            timeout=850,
            check=False,
        )

    def _edit(self, file: str, pattern: str, text: str) -> None:
        path = self.root / file
        edited, count = re.subn(pattern, text, path.read_text(), flags=re.MULTILINE)
        assert count
        path.write_text(edited)

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True)


def rows(output: str) -> list[str]:
    """Return the table at the end of what the job prints."""
    return [re.sub(r"  +", " | ", row) for row in output.strip().rpartition("\n\n")[2].splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)  # it builds and installs, over a network maybe
def test_plugins_are_tested_with_the_flow_core_of_a_tag_and_with_todays(tmp_path):
    repository = Repository(tmp_path)
    repository.plugin("steady", ">=0.1,<1", "then")
    repository.release("0.1.0")
    repository.go_on("0.2.0")
    repository.plugin("steady", ">=0.1,<1", "now")
    repository.plugin("hasty", ">=0.1,<1", "now", ", new_in_02")
    repository.plugin("young", ">=0.2,<1", "now", ", new_in_02")
    repository.plugin("late", ">=0.1,<0.2", "now")
    done = repository.job()
    assert done.returncode == 1, done.stdout + done.stderr
    assert rows(done.stdout) == [
        "plugin | claims | flow-core | tests",
        "flow-hasty | <1,>=0.1 | 0.1.0 | FAILED",
        "flow-late | <0.2,>=0.1 | 0.1.0 | passed",
        "flow-steady | <1,>=0.1 | 0.1.0 | passed",
        "flow-hasty | <1,>=0.1 | 0.2.0 (today) | passed",
        "flow-late | <0.2,>=0.1 | 0.2.0 (today) | claims <0.2,>=0.1, which today's flow-core is not",
        "flow-steady | <1,>=0.1 | 0.2.0 (today) | passed",
        "flow-young | <1,>=0.2 | 0.2.0 (today) | passed; 0.2 has no tag: today's flow-core is the oldest there is",
    ]
    assert "== flow-core 0.1.0, packed from v0.1.0\n" in done.stdout
    assert "cannot import name 'new_in_02' from 'flow_core.api'" in done.stdout


def test_without_a_tag_todays_flow_core_is_said_to_be_the_oldest(tmp_path):
    repository = Repository(tmp_path)
    repository.plugin("steady", ">=0.1,<1", "now")
    repository.plugin("other", ">=0.1,<1", "then")  # whose test fails
    done = repository.job("flow-steady")
    assert done.returncode == 0, done.stdout + done.stderr
    note = "0.1 has no tag: today's flow-core is the oldest there is"
    assert rows(done.stdout) == [
        "plugin | claims | flow-core | tests",
        f"flow-steady | <1,>=0.1 | 0.1.0 (today) | passed; {note}",
    ]
    assert repository.job().returncode == 1
    untested = repository.job("other", "--oldest-only")
    assert untested.returncode == 0
    assert rows(untested.stdout)[1:] == [f"flow-other | <1,>=0.1 | none | {note}"]


def test_another_flow_core_than_that_of_the_repository_is_not_called_todays(tmp_path):
    repository = Repository(tmp_path)
    repository.plugin("steady", ">=0.1,<1", "now")
    repository.go_on("0.3.0")
    done = subprocess.run(
        [sys.executable, str(TOOL), "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"error: \S+ imports flow-core \S+ from \S+, not 0\.3\.0 from ", done.stderr)
