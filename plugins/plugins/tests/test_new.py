"""``flow plugins new``: what it writes works at once, and what it refuses it explains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_core.api import main
from flow_core.testing import ProcessResult
from flow_plugins.new_files import distribution, single_file, write_folder
from flow_plugins.new_kinds import KINDS
from flow_plugins.new_names import names_of

New = Callable[..., ProcessResult]

SMOKE = {
    "decorator": "not warns",
    "compute": "success or variables or cancel_before",
    "store": "one_file or no_database or test_write",
    "metadata": "round_trip or no_database or outlives",
    "environment": "runs or refused",
    "command": "is_a_command or help or options",
    "card": "numbers or failure or draws_a_task",
    "serializer": "",
    "secrets": "not flows_use_it",
}
"""Which of the generated tests run in the quick suite; the slow one runs all."""


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> New:
    """Return a function that calls ``flow plugins new`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> ProcessResult:
        with pytest.raises(SystemExit) as stopped:
            main(["plugins", "new", *words])
        assert isinstance(stopped.value.code, int)
        return ProcessResult(stopped.value.code, *capsys.readouterr())

    return call


def generated(kind: str, folder: Path, name: str = "") -> Path:
    """Write the distribution of a kind; return its folder."""
    names = names_of(name or f"sample-{kind}")
    place = folder / names.distribution
    write_folder(str(place), distribution(KINDS[kind], names))
    return place


def run_in(place: Path, *words: str, **variables: str) -> ProcessResult:
    """Run Python in a folder, without settings of anybody's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLOW_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env={**kept, "HOME": str(place), **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return ProcessResult(done.returncode, done.stdout + done.stderr, "")


# --- what it says -------------------------------------------------------------------------------


class TestWritten:
    def test_the_summary(self, new: New) -> None:
        shown = new("gpu-pool", "--kind", "decorator").check().stdout
        assert shown.startswith("Wrote the decorator 'gpu_pool' in flow-gpu-pool:\n\n")
        assert re.search(
            r"^  tests/test_gpu_pool.py +DecoratorSuite and its own tests$", shown, re.MULTILINE
        )
        assert shown.endswith('\nNext:\n  cd flow-gpu-pool\n  pip install -e ".[test]"\n  pytest\n')

    def test_json(self, new: New, tmp_path: Path) -> None:
        found = json.loads(new("gpu-pool", "--kind", "store", "--json").check().stdout)
        assert found["name"] == "gpu-pool"
        assert (found["kind"], found["provides"]) == ("store", "gpu-pool")
        assert (found["distribution"], found["package"]) == ("flow-gpu-pool", "flow_gpu_pool")
        assert found["folder"] == str(tmp_path / "flow-gpu-pool")
        assert found["next"][0] == "cd flow-gpu-pool"
        written = {f["path"] for f in found["files"]}
        there = (tmp_path / "flow-gpu-pool").rglob("*")
        assert written == {
            str(p.relative_to(tmp_path / "flow-gpu-pool")) for p in there if p.is_file()
        }
        assert {".gitignore", "README.md", "src/flow_gpu_pool/py.typed"} <= written

    @pytest.mark.parametrize("name", ["flow-gpu-pool", "GPU_Pool", "gpu.pool"])
    def test_other_forms_of_a_name(self, new: New, name: str) -> None:
        found = json.loads(new(name, "--kind", "command", "--json").check().stdout)
        assert (found["name"], found["provides"]) == ("gpu-pool", "gpu-pool")

    def test_folder_and_package(self, new: New, tmp_path: Path) -> None:
        new("gpu-pool", "--kind", "command", "--folder", "a/b", "--package", "company_gpus").check()
        assert (tmp_path / "a/b/src/company_gpus/command.py").is_file()
        text = (tmp_path / "a/b/pyproject.toml").read_text()
        assert 'gpu-pool = "company_gpus.command:command"' in text
        assert 'name = "flow-gpu-pool"' in text

    def test_an_environment_comes_with_its_decorator(self, new: New, tmp_path: Path) -> None:
        shown = new("gpu-pool", "--kind", "environment").check().stdout
        assert shown.startswith("Wrote the provider of environments 'gpu-pool' in flow-gpu-pool:")
        text = (tmp_path / "flow-gpu-pool/pyproject.toml").read_text()
        points = dict(re.findall(r'^\[project\.entry-points\."(.*)"\]\n(.*)$', text, re.MULTILINE))
        assert points == {
            "flow.decorators": 'gpu_pool = "flow_gpu_pool:gpu_pool"',
            "flow.decorator_hooks": 'gpu_pool = "flow_gpu_pool.hooks"',
            "flow.environments": 'gpu-pool = "flow_gpu_pool.environment:GpuPoolEnvironment"',
        }

    def test_an_empty_folder_may_be_there(self, new: New, tmp_path: Path) -> None:
        (tmp_path / "flow-gpu-pool").mkdir()
        new("gpu-pool", "--kind", "command").check()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["flow-gpu-pool"]

    def test_no_name_is_left_open(self, tmp_path: Path) -> None:
        for kind in KINDS:
            for file in generated(kind, tmp_path).rglob("*"):
                assert file.is_dir() or "{{" not in file.read_text(), file

    def test_help_lists_the_kinds(self, new: New) -> None:
        shown = new("--help").check().stdout
        for kind in KINDS.values():
            assert re.search(rf"^ +{kind.name} +{re.escape(kind.summary)}$", shown, re.MULTILINE)


class TestRefused:
    def test_without_a_kind(self, new: New) -> None:
        done = new("gpu-pool")
        assert done.returncode == 2
        assert done.error["error"] == "Say what the plugin provides: --kind"
        assert done.error["why"].startswith("decorator    what a step asks for")
        assert "\n         store        where artifacts" in done.stderr
        assert done.error["try"] == "flow plugins new gpu-pool --kind decorator"

    def test_near_misses_of_kinds(self, new: New) -> None:
        done = new("gpu-pool", "--kind", "stroe")
        assert (done.returncode, done.error["try"]) == (2, "did you mean 'store'?")

    @pytest.mark.parametrize(
        ("name", "better"),
        [("gpu pool", "gpu-pool"), ("-x", "x"), ("größe", "gr-e"), ("", "gpu-pool")],
    )
    def test_what_no_distribution_can_be_called(self, new: New, name: str, better: str) -> None:
        done = new("--kind", "store", "--", name)
        assert done.returncode == 2
        assert done.error["error"] == f"'{name}' cannot be the name of a plugin"
        assert done.error["try"] == f"flow plugins new {better}"

    @pytest.mark.parametrize("name", ["3d", "class", "flow-import"])
    def test_what_no_package_can_be_called(self, new: New, name: str) -> None:
        done = new(name, "--kind", "decorator")
        assert done.returncode == 2
        assert "is to be imported, so it begins with a letter" in done.error["why"]
        assert done.error["try"] == f"flow plugins new my-{name.removeprefix('flow-')}"

    def test_a_package_that_cannot_be_imported(self, new: New) -> None:
        done = new("gpu-pool", "--kind", "store", "--package", "gpu-pool")
        assert done.error["error"] == "'gpu-pool' cannot be the name of a package"
        assert done.error["try"] == "--package flow_gpu_pool"

    def test_a_plugin_that_is_installed(self, new: New) -> None:
        done = new("retry", "--kind", "store")
        assert (done.returncode, done.error["error"]) == (2, "The plugin 'retry' is there already")
        assert "flow plugins new my-retry" in done.error["try"]

    def test_a_name_that_another_plugin_provides(self, new: New) -> None:
        done = new("local", "--kind", "store")
        assert done.error["error"] == "The name 'local' is taken"
        assert "flow-store-local" in done.error["why"]

    @pytest.mark.parametrize("kind", ["decorator", "environment"])
    def test_a_name_of_flow_core(self, new: New, kind: str) -> None:
        done = new("step", "--kind", kind)
        assert done.error["error"] == "The name 'step' is taken"
        assert done.error["where"] == "flow_core.step"

    def test_a_module_that_is_there(self, new: New) -> None:
        done = new("gpu-pool", "--kind", "store", "--package", "json")
        assert done.error["error"] == "There is a module 'json' already"
        assert "--package another_gpu_pool" in done.error["try"]
        single = new("json", "--kind", "store", "--single-file")
        assert single.error["error"] == "There is a module 'json' already"

    def test_a_folder_that_is_there(self, new: New, tmp_path: Path) -> None:
        (tmp_path / "flow-gpu-pool").mkdir()
        (tmp_path / "flow-gpu-pool/mine.py").write_text("mine")
        done = new("gpu-pool", "--kind", "store")
        assert (done.returncode, done.error["error"]) == (2, "'flow-gpu-pool' is there already")
        assert os.listdir(tmp_path / "flow-gpu-pool") == ["mine.py"]

    def test_a_folder_that_cannot_be_made(self, new: New, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = new("gpu-pool", "--kind", "store", "--folder", "file/below")
        assert (done.returncode, done.error["error"]) == (2, "The plugin cannot be written")
        assert os.listdir(tmp_path) == ["file"]

    def test_a_file_has_no_package(self, new: New) -> None:
        done = new("gpu-pool", "--kind", "store", "--single-file", "--package", "x")
        assert done.error["error"] == "A single file has no package"


# --- that it works ------------------------------------------------------------------------------


def put_on_the_path(place: Path) -> str:
    """Write what an installation writes; return the folder to put on the path."""
    text = (place / "pyproject.toml").read_text()
    (name,) = re.findall(r'^name = "(.*)"$', text, re.MULTILINE)
    info = place / "src" / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    tables = re.findall(r'^\[project\.entry-points\."(.*)"\]\n(.*)\n', text, re.MULTILINE)
    points = [f"[{group}]\n{line.replace(chr(34), '')}\n" for group, line in tables]
    (info / "entry_points.txt").write_text("\n".join(points))
    return str(place / "src")


def test_its_tests_pass(tmp_path: Path) -> None:
    """Some of them, of all kinds in one process, which starts but once."""
    assert SMOKE.keys() == KINDS.keys()
    places = [generated(kind, tmp_path) for kind in KINDS]
    path = os.pathsep.join(map(put_on_the_path, places))
    files = [str(file) for place in places for file in place.glob("tests/test_sample*.py")]
    chosen = [
        f"(sample_{k} and ({words}))" if words else f"sample_{k}" for k, words in SMOKE.items()
    ]
    words = [
        "-c",
        os.devnull,
        "--rootdir=.",
        "--import-mode=importlib",
        "-W",
        "error",
        "-k",
        " or ".join(chosen),
    ]
    done = run_in(
        tmp_path, "-m", "pytest", "-v", "--durations=8", *words, *files, PYTHONPATH=path
    ).check()
    for kind in KINDS:
        assert re.search(rf"sample_{kind}\.py::.* PASSED", done.stdout), kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_and_all_its_tests_pass(kind: str, tmp_path: Path) -> None:
    place = generated(kind, tmp_path)
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", "--no-deps"]
    run_in(place, *pip, "--no-build-isolation", "--target", str(tmp_path / "site"), ".").check()
    done = run_in(place, "-m", "pytest", "-q", "-x", PYTHONPATH=str(tmp_path / "site")).check()
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout


@pytest.mark.parametrize("name", ["z", "gpu-pool", "a-name-of-forty-characters-for-a-plugin"])
def test_it_is_in_good_style(name: str, tmp_path: Path) -> None:
    for kind in KINDS:
        generated(kind, tmp_path / kind, name)
        module = single_file(KINDS[kind], names_of(name))
        (tmp_path / kind / module.path).write_text(module.content)
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    # A long name makes lines that a formatter would break; what is wrong it must not make.
    rules = [] if len(name) < 20 else ["--ignore", "E501,I001"]
    run_in(tmp_path, "-m", "ruff", "check", *rules, ".").check()
    if not rules:
        run_in(tmp_path, "-m", "ruff", "format", "--check", ".").check()


@pytest.mark.slow
def test_its_types_are_right(tmp_path: Path) -> None:
    """All kinds together, with their tests: one run of mypy is much faster than many."""
    files: list[str] = []
    for kind in KINDS:
        place = generated(kind, tmp_path)
        files += map(str, [*place.rglob("src/*/*.py"), *place.rglob("tests/test_sample*.py")])
        single = single_file(KINDS[kind], names_of(f"alone-{kind}"))
        (tmp_path / single.path).write_text(single.content)
        files.append(single.path)
    files.append(str(next(tmp_path.rglob("test_readme.py"))))
    sources = os.pathsep.join(map(str, tmp_path.glob("*/src")))
    done = run_in(tmp_path, "-m", "mypy", "--strict", *files, MYPYPATH=sources)
    assert "Success" in done.stdout, done.stdout


class TestSingleFile:
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_kind_can_be_loaded(self, new: New, tmp_path: Path, kind: str) -> None:
        words = (f"alone-{kind}", "--kind", kind, "--single-file")
        written = json.loads(new(*words, "--json").check().stdout)
        assert os.listdir(tmp_path) == [f"alone_{kind}.py"]
        assert written["package"] == f"alone_{kind}"
        assert written["distribution"] is None
        code = "from flow_core.cli import main; main()"
        show = ["-p", f"alone_{kind}", "plugins", "show", f"alone_{kind}", "--json"]
        found = json.loads(run_in(tmp_path, "-c", code, *show).check().stdout)
        assert (found["status"], found["error"]) == ("ok", None)
        assert [e["name"] for e in found["entry_points"]] == [written["provides"]]

    def test_the_summary(self, new: New) -> None:
        shown = new("gpu-pool", "--kind", "decorator", "--single-file").check().stdout
        assert shown.startswith("Wrote the decorator 'gpu_pool':\n\n  gpu_pool.py  ")
        assert "  flow -p gpu_pool run my_flow.py --with gpu_pool:warn_after=30\n" in shown
        assert '[tool.flow] plugins = ["gpu_pool"]' in shown

    def test_a_file_that_is_there(self, new: New, tmp_path: Path) -> None:
        (tmp_path / "gpu_pool.py").write_text("mine")
        done = new("gpu-pool", "--kind", "store", "--single-file")
        assert (done.returncode, done.error["error"]) == (2, "'gpu_pool.py' is there already")
        assert (tmp_path / "gpu_pool.py").read_text() == "mine"

    def test_a_flow_uses_it(self, new: New, tmp_path: Path) -> None:
        new("gpu-pool", "--kind", "decorator", "--single-file").check()
        (tmp_path / "pyproject.toml").write_text('[tool.flow]\nplugins = ["gpu_pool"]\n')
        (tmp_path / ".flow").mkdir()
        (tmp_path / "flow.py").write_text(
            "from flow_core import FlowSpec, gpu_pool, step\n\n"
            "class F(FlowSpec):\n"
            "    @gpu_pool(warn_after=9)\n    @step\n    def start(self):\n"
            "        self.next(self.end)\n\n"
            "    @step\n    def end(self):\n        pass\n\n"
            "if __name__ == '__main__':\n    F()\n"
        )
        done = run_in(tmp_path, "flow.py", "run").check()
        assert "[gpu-pool] step start took 0." in done.stdout
