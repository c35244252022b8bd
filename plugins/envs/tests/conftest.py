"""A folder with a flow whose steps have environments, of a provider that needs no network."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester
from flow_core.testing.flowtester import ProcessResult

PROVIDER = """
    import hashlib
    import os
    from dataclasses import dataclass

    from flow_core.api import (
        EnvironmentCapabilities, NoEnvironment, Options, StepDecorator, hookimpl, option
    )
    from flow_core.testing import BareEnvironment


    @dataclass(frozen=True)
    class BareOptions(Options):
        value: int = option(1, "What the module tiny says.")


    bare = StepDecorator("bare", BareOptions)


    @hookimpl
    def flow_plan_step(step, draft):
        options = step.options("bare")
        if options is not None:
            draft.use_environment("bare", by="@bare", options={"value": options.value})


    class Provider(BareEnvironment):
        capabilities = EnvironmentCapabilities(offline=True, exports=True, mirrors=True)

        def resolve(self, request, work):
            value = os.environ.get("WORLD") or request.options["value"]
            if value == 13:
                raise NoEnvironment("There is nothing", where="here", why="so it is", hint="ask less")
            asked = {"modules": {"tiny": f"VALUE = {value}"}, "variables": {"TINY": "yes"}}
            lock = super().resolve(request._replace(options=asked), work)
            lock["packages"]["tiny"] = f"{value}.0"
            return {**lock, "platform": request.platform}

        def prepare(self, lock, folder, work):
            lock = {**lock, "packages": {n: v for n, v in lock["packages"].items() if n != "tiny"}}
            if work.setting("mirror_packages"):
                path = os.path.join(work.cache, "tiny")
                with open(path, "wb") as file:
                    file.write(lock["modules"]["tiny"].encode())
                with open(path, "rb") as file:
                    work.mirror.keep(hashlib.sha256(file.read()).hexdigest(), path)
            return super().prepare(lock, folder, work)

        def export(self, lock):
            return {"pylock.toml": f"# {lock['modules']['tiny']}\\n"}
"""

METADATA = (
    "Metadata-Version: 2.1\nName: flow-bare\nVersion: 0.1\nRequires-Dist: flow-core>=0.1,<1\n"
)
ENTRY_POINTS = """
[flow.decorators]
bare = flow_bare:bare
[flow.decorator_hooks]
bare = flow_bare
[flow.environments]
bare = flow_bare:Provider
"""

SOURCE = """
    from flow_core import FlowSpec, bare, step


    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.train)

        @bare
        @step
        def train(self):
            self.next(self.test)

        @bare(value=2)
        @step
        def test(self):
            self.next(self.end)

        @step
        def end(self):
            pass


    if __name__ == "__main__":
        F()
"""


class Lab:
    """Calls ``flow`` and the flow's file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.tester = FlowTester(folder)
        self.path = folder
        self.environments = folder / "environments"
        self.tester.more_plugins.append("bare")
        (folder / ".flow").mkdir()
        info = folder / "site/flow_bare-0.1.dist-info"
        info.mkdir(parents=True)
        (folder / "site/flow_bare.py").write_text(textwrap.dedent(PROVIDER))
        (info / "METADATA").write_text(METADATA)
        (info / "entry_points.txt").write_text(ENTRY_POINTS)
        (info / "RECORD").write_text(f"flow_bare.py,,\n{info.name}/METADATA,,\n")
        self.file = self.tester.write(SOURCE)

    def variables(self, **more: str) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self.path / "site"),
            "FLOW_ENVIRONMENTS": str(self.environments),
            **more,
        }

    def flow(self, *words: str, **variables: str) -> ProcessResult:
        return self.tester.flow(*words, variables=self.variables(**variables))

    def env(self, *words: str, **variables: str) -> ProcessResult:
        """Call ``python flow.py env WORDS``."""
        return self.tester.python(self.file, "env", *words, variables=self.variables(**variables))

    def json(self, *words: str) -> Any:
        return json.loads(self.env(*words, "--json").check().stdout)

    def built(self) -> list[str]:
        """The names of the environments that are built."""
        place = self.environments / "bare"
        return sorted(p.stem for p in place.glob("*.json") if p.is_file())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Run 1 has run, so both environments are there."""
    lab = Lab(tmp_path_factory.mktemp("envs"))
    lab.tester.python(lab.file, "run", variables=lab.variables()).check()
    return lab


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    """Nothing has run yet."""
    return Lab(tmp_path)
