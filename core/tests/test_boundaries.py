"""What the kernel must never do: checks over its source and in fresh processes."""

import ast
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import importlib_metadata
import pytest

import flow_core

SOURCE = Path(flow_core.__file__).parent
MODULES = sorted(
    ".".join(("flow_core", *p.relative_to(SOURCE).with_suffix("").parts))
    .removesuffix(".__init__")
    .removesuffix(".__main__")
    for p in SOURCE.rglob("*.py")
)
KERNEL = [p for p in sorted(SOURCE.rglob("*.py")) if "testing" not in p.parts]
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv"}
STORED_KINDS = {"flow-run"}  # the first word of a run.json, as old as the format
HEAVY = ["click", "pluggy", "fsspec", "asyncio", "sqlite3", "numpy", "importlib_metadata"]


def python(code, *options, **variables):
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


class TestImports:
    def test_importing_flow_core_loads_nothing_heavy(self):
        code = f"import flow_core, sys; print([m for m in {HEAVY} if m in sys.modules])"
        assert python(code).stdout == "[]\n"

    def test_a_flow_file_loads_nothing_it_does_not_need(self):
        code = (
            "from flow_core import FlowSpec, step, Parameter, IncludeFile, current\n"
            f"import sys; print([m for m in {HEAVY} if m in sys.modules])"
        )
        assert python(code).stdout == "[]\n"

    def test_every_module_imports_alone_without_warnings(self):
        # One process imports each module with a fresh table of modules: a hidden order shows.
        code = f"""
import sys
kept = set(sys.modules)
for name in {[m for m in MODULES if "testing" not in m]}:
    for loaded in [m for m in sys.modules if m.startswith("flow_core")]:
        del sys.modules[loaded]
    __import__(name)
print("done")
"""
        found = python(code, "-W", "error")
        assert found.stdout == "done\n", found.stderr

    def test_import_does_no_work(self, tmp_path):
        code = "import flow_core.api, flow_core.cli, flow_core.session, os; print(os.listdir())"
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert found.stdout == "[]\n"


def plugin_names():
    """Short and package names of the plugins that flow-core brings."""
    requires = importlib_metadata.requires("flow-core") or ()
    found = [re.match(r"flow-([\w-]+)", r) for r in requires]
    return sorted(m.group(1) for m in found if m)


class TestSource:
    def test_there_are_plugins_to_look_for(self):
        assert "retry" in plugin_names()

    @pytest.mark.parametrize("path", KERNEL, ids=lambda p: p.name)
    def test_no_plugin_is_named(self, path):
        tree = ast.parse(path.read_text())
        packages = {f"flow_{n.replace('-', '_')}" for n in plugin_names()}
        distributions = {f"flow-{n}" for n in plugin_names()}
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not {a.name.split(".")[0] for a in node.names} & packages
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in packages
            elif isinstance(node, ast.Constant) and id(node) not in docs:
                words = set(re.findall(r"flow[-_][\w-]+", str(node.value))) - STORED_KINDS
                assert not words & (packages | distributions), f"line {node.lineno}"

    @pytest.mark.parametrize("path", KERNEL, ids=lambda p: p.name)
    def test_decorators_and_vendors_are_not_tested_for(self, path):
        """No comparison with the name of a decorator, a cloud or a vendor."""
        words = {"retry", "catch", "kubernetes", "s3", "conda", "timeout", "card", "aws", "slurm"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                assert not words & {t for t in texts if isinstance(t, str)}, node.lineno

    @pytest.mark.parametrize("path", KERNEL, ids=lambda p: p.name)
    def test_output_and_environment_have_their_places(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print" or path.name == "cli.py", node.lineno
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                dotted = f"{node.value.id}.{node.attr}"
                assert dotted != "os.system", node.lineno
                assert path.name == "settings.py" or dotted not in ENVIRONMENT, node.lineno
            if isinstance(node, ast.keyword) and node.arg == "shell":
                pytest.fail(f"a shell in line {node.value.lineno}")

    @pytest.mark.parametrize("path", KERNEL, ids=lambda p: p.name)
    def test_no_module_keeps_a_registry_that_functions_change(self, path):
        """No function changes a list, dict or set of its module."""
        tree = ast.parse(path.read_text())
        tables = set()
        for node in tree.body:
            value = getattr(node, "value", None)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(
                value, (ast.Dict, ast.List, ast.Set)
            ):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                tables |= {t.id for t in targets if isinstance(t, ast.Name)}
        changers = {"append", "add", "update", "setdefault", "pop", "extend", "insert", "clear"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert not (node.value.id in tables and node.attr in changers), node.lineno
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
                name = node.value.id if isinstance(node.value, ast.Name) else None
                assert name not in tables, node.lineno


class TestWithoutPlugins:
    def test_a_command_that_is_left_out_says_how_to_get_it_back(self, flowtester):
        found = flowtester.flow("run", "flow.py", plugins=[])
        assert found.returncode == 2
        assert "The command 'run' is left out" in found.stderr
        assert "-p only:run" in found.stderr

    def test_its_help_lists_no_commands(self, flowtester):
        found = flowtester.flow("--help", plugins=[])
        assert found.returncode == 0
        assert "Usage: flow" in found.stdout
        assert "\nCommands" not in found.stdout

    @pytest.mark.slow
    def test_a_real_installation_of_core_alone(self, tmp_path):
        venv.create(tmp_path / "env", with_pip=False, symlinks=True)
        (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
        (site / "core.pth").write_text(str(SOURCE.parent))
        for needed in ("click", "pluggy", "importlib_metadata", "zipp", "blake3"):
            module = __import__(needed)
            path = Path(module.__file__)
            source = path.parent if path.name.startswith("__init__") else path
            (site / source.name).symlink_to(source)
        interpreter = str(tmp_path / "env" / "bin" / "python")

        def run(code):
            return subprocess.run(
                [interpreter, "-I", "-c", code],
                capture_output=True,
                text=True,
                check=False,
                cwd=tmp_path,
            )

        found = run("from flow_core.index import installed; print(installed().plugins())")
        assert found.stdout == "[]\n", found.stderr
        found = run("from flow_core.cli import main; main(['run', 'x.py'])")
        assert "no plugin provides the command 'run': pip install flow-run" in found.stderr
