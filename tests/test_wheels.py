"""The distributions as people get them: wheels, installed with pip into a fresh environment.

Everything else in the tests runs on editable installs, which hide what a wheel lacks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from servers.sharing import shared

REPOSITORY = Path(__file__).parents[1]

FOLLOWED = ["tutorial", "decorator", "store", "card", "command"]
"""Pages for authors of plugins: `test_docs` leaves them out, since they are done here, with less."""

FLOW = """
from flow_core import FlowSpec, card, current, step


class WheelFlow(FlowSpec):
    @card(type="blank")
    @step
    def start(self):
        self.attempts = current.retry_count + 1
        if "retry" in self.wanted and not current.retry_count:
            raise ValueError("the first attempt fails")
        self.next(self.end)

    @step
    def end(self):
        print("attempts:", self.attempts)

    wanted = "%s"


if __name__ == "__main__":
    WheelFlow()
"""


@dataclass
class Fresh:
    """A fresh environment, and a folder to work in."""

    environment: Path
    wheels: Path
    folder: Path

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = str(self.environment / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        done = subprocess.run([*pip, *arguments], check=False, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def install(self, *names: str) -> None:
        self.pip("install", "--quiet", "--no-index", "--find-links", str(self.wheels), *names)

    def call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, with nothing of the environment of the tests."""
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "USER": "wheels"},
            check=False,
            text=True,
            capture_output=True,
        )

    def check(self, program: str, *arguments: str) -> str:
        done = self.call(program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plugins(self) -> set[str]:
        listed: list[dict[str, Any]] = json.loads(self.check("flow", "plugins", "--json"))
        return {plugin["name"] for plugin in listed}


@pytest.fixture(scope="module")
def wheels() -> Path:
    """All wheels, built once for all workers."""
    return Path(shared("wheels", _build_wheels)["folder"])


def _build_wheels(folder: Path) -> dict[str, str]:
    tool = [sys.executable, str(REPOSITORY / "tools" / "wheels.py"), str(folder)]
    done = subprocess.run(
        [*tool, "--requirements", "flow-core", "flow-cards"],
        check=False,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {"folder": str(folder)}


@pytest.fixture(scope="module")
def fresh(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    environment = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(environment, symlinks=True)
    folder = tmp_path_factory.mktemp("work")
    (folder / "plain.py").write_text(FLOW % "")
    (folder / "failing.py").write_text(FLOW % "retry")
    made = Fresh(environment, wheels, folder)
    made.install("flow-core", "flow-cards")
    return made


@pytest.fixture(scope="module")
def author(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The environment of somebody who writes plugins: also pip, and the tools of the pages."""
    environment = tmp_path_factory.mktemp("author") / "env"
    venv.create(environment, symlinks=True, with_pip=True)
    made = Fresh(environment, wheels, environment)
    tools = ["hatchling", "hypothesis", "mypy", "pytest", "ruff"]
    made.pip("install", "--quiet", "-c", str(REPOSITORY / "constraints.txt"), *tools)
    made.install("flow-core[testing]", "flow-cards")
    return made


FOLLOW = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import blocks
page = Path(sys.argv[1], "plugins", sys.argv[2])
for block, trouble, _ in blocks.run_page(page.read_text(encoding="utf-8"), Path.cwd()):
    if trouble is not None:
        print(f"{page}:{trouble.line}: {trouble.text}")
"""
"""Does what a page says, and tells what does not come out as it says."""


def metadata_of(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def distributions() -> list[Path]:
    return [REPOSITORY / "core", *sorted(p.parent for p in REPOSITORY.glob("plugins/*/src"))]


@pytest.mark.slow
class TestWheels:
    def test_every_distribution_has_one(self, wheels):
        assert len(list(wheels.glob("flow_*.whl"))) == len(distributions())

    def test_they_hold_every_file_of_the_source(self, wheels):
        """Also types, templates and pages: not Python files are forgotten easily."""
        held: set[str] = set()
        for wheel in wheels.glob("flow_*.whl"):
            held.update(ZipFile(wheel).namelist())
        wanted = {
            file.relative_to(project / "src").as_posix()
            for project in distributions()
            for file in (project / "src").rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        assert {name for name in held if ".dist-info/" not in name} == wanted

    def test_they_say_what_they_are(self, wheels):
        for wheel in wheels.glob("flow_*.whl"):
            metadata = metadata_of(wheel)
            assert metadata["Summary"], wheel.name
            assert len(str(metadata.get_payload())) > 100, f"{wheel.name}: its README is missing"
            assert metadata["License-Expression"] == "Apache-2.0", wheel.name


@pytest.mark.slow
class TestFreshEnvironment:
    def test_core_and_a_plugin_are_all_one_needs(self, fresh):
        fresh.pip("check")
        assert "Done: WheelFlow/" in fresh.check("python", "plain.py", "run")
        cards = json.loads(fresh.check("flow", "card", "list", "WheelFlow", "--json"))
        assert [card["type"] for card in cards] == ["run", "blank"]

    def test_nothing_comes_from_the_repository(self, fresh):
        where = fresh.check("python", "-c", "import flow_core; print(flow_core.__file__)")
        assert where.startswith(str(fresh.environment))
        assert fresh.plugins() >= {"cards", "retry", "run"}

    def test_a_plugin_that_is_uninstalled_is_gone_alone_and_comes_back(self, fresh):
        everything = fresh.plugins()
        assert "attempts: 2" in fresh.check(
            "python", "failing.py", "run", "--with", "retry:delay=0"
        )

        fresh.pip("uninstall", "--yes", "--quiet", "flow-retry")
        assert everything - fresh.plugins() == {"retry"}
        refused = fresh.call("python", "failing.py", "run", "--with", "retry")
        assert refused.returncode == 2
        assert "no plugin provides the decorator 'retry': pip install flow-retry" in refused.stderr
        assert "attempts: 1" in fresh.check("python", "plain.py", "run")

        fresh.install("flow-retry")
        assert fresh.plugins() == everything
        assert "attempts: 2" in fresh.check(
            "python", "failing.py", "run", "--with", "retry:delay=0"
        )


@pytest.mark.slow
class TestAuthors:
    @pytest.mark.parametrize("page", FOLLOWED)
    def test_who_follows_a_page_has_a_plugin_that_works(self, author, tmp_path_factory, page):
        """They write it, test it, install it and use it, with nothing of the repository."""
        follower = replace(author, folder=tmp_path_factory.mktemp("flow-docs-", numbered=True))
        docs = str(REPOSITORY / "docs")
        assert follower.check("python", "-c", FOLLOW, docs, f"{page}.md") == ""
