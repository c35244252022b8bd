"""``flow plugins stubs``: what is written for the plugins that are there. Whether type checkers find
it, and what they say, tests/test_typing.py tells."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_plugins.annotations import Source, default

GPU = '''
from dataclasses import dataclass
from typing import Literal

from flow_core.api import FlowDecorator, Options, StepDecorator, option

class Pool:
    """Where they are."""

@dataclass(frozen=True)
class GpuOptions(Options):
    """Ask for graphics processors.

    They are there when the "step" begins: \\\\d.
    """

    count: int = option(help="How many.")
    kind: Literal["a100", "h100"] = option("a100", "Which.")
    pool: Pool | None = option(None, "Where.")
    limits: dict[str, float] | None = option(None, 'A """limit""" for each.')
    names: tuple[str, ...] = option(("a",), "Names.")

@dataclass(frozen=True)
class TeamOptions(Options):
    """Say whose flow it is."""

    name: str = option("data", "The team.")

gpu = StepDecorator("gpu", GpuOptions)
team = FlowDecorator("team", TeamOptions)

class Attributes:
    gpus: list[Pool]
'''
GPU_POINTS = {
    "flow.decorators": "gpu = flow_gpu:gpu\nteam = flow_gpu:team",
    "flow.current": "gpu = flow_gpu:Attributes",
}
GPU_STUB = '''
class _GpuDecorator(StepDecorator[...]):
    def __call__(  # type: ignore[override]
        self,
        *,
        count: int,
        kind: Literal['a100', 'h100'] = 'a100',
        pool: _flow_gpu.Pool | None = None,
        limits: dict[str, float] | None = None,
        names: tuple[str, ...] = ('a',),
    ) -> Callable[[_Step], _Step]:
        """Ask for graphics processors.

        They are there when the "step" begins: \\\\\\\\d.

        Args:
            count: How many.
            kind: Which.
            pool: Where.
            limits: A \\"\\"\\"limit\\"\\"\\" for each.
            names: Names.
        """

gpu: _GpuDecorator
"""Ask for graphics processors."""

class _TeamDecorator(FlowDecorator[...]):
    @overload
    def __call__(self, flow: _Flow, /) -> _Flow:
        """Say whose flow it is.

        Args:
            name: The team.
        """
    @overload
    def __call__(self, *, name: str = 'data') -> Callable[[_Flow], _Flow]:
        """Say whose flow it is.

        Args:
            name: The team.
        """

team: _TeamDecorator
"""Say whose flow it is."""
'''


def stub_of(place) -> str:
    """Write the stubs and return them."""
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert result.returncode == 0, result.stderr
    text = (place.folder / "typings/flow_core/__init__.pyi").read_text()
    ast.parse(text)
    return text


def names_of(stub: str) -> set[str]:
    """Return the names that a stub offers to others: those without ``_``, imported as themselves."""
    found = set()
    for node in ast.parse(stub).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(a.asname for a in node.names if a.asname)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found.update(t.id for t in node.targets if isinstance(t, ast.Name))
    return {n for n in found if not n.startswith("_")}


# --- what is in it ------------------------------------------------------------------------------


def test_a_decorator_has_its_options_with_types_defaults_and_texts(place):
    place.install("gpu", GPU_POINTS, GPU)
    text = stub_of(place)
    gpu, team = GPU_STUB.split("\nclass _Team")
    assert gpu.replace("\\\\\\\\d", "\\\\d") in text
    assert "\nclass _Team" + team in text
    assert "import flow_gpu as _flow_gpu  # type: ignore[import-untyped,unused-ignore]\n" in text
    assert "\nclass _CurrentHere(\n" in text
    assert "\n    _flow_gpu.Attributes,\n" in text


def test_it_offers_what_flow_core_offers_and_nothing_else(place):
    place.install("gpu", GPU_POINTS, GPU)
    code = "import flow_core.exports as e; print(*e.own_names(), *e.export_names())"
    offered = set(place.run("-c", code).stdout.split())
    assert {"gpu", "team", "retry", "Run", "step", "current"} <= offered
    assert names_of(stub_of(place)) == offered


def test_names_that_no_program_can_import_are_left_out(place):
    points = "a-b = flow_odd:x\nclass = flow_odd:x\n_hidden = flow_odd:x\nstep = flow_odd:x\nfine = flow_odd:x"
    place.install("odd", {"flow.exports": points}, "x = 3\n")
    text = stub_of(place)
    assert "from flow_odd import x as fine" in text
    assert text.count("flow_odd") == 1
    assert "from flow_core.flowspec import step as step" in text


def test_names_of_plugins_hide_no_types(place):
    points = "\n".join(f"{n} = flow_hide:x" for n in ("Any", "Callable", "overload", "str", "type"))
    place.install("hide", {"flow.exports": points}, "x = 3\n")
    text = stub_of(place)
    assert "import builtins as _builtins\n" in text
    assert "from flow_hide import x as str" in text
    assert "    @_overload\n" in text
    assert "bound=_builtins.type[FlowSpec]" in text
    assert "_Callable[[_Step], _Step]" in text
    assert re.search(r"salt: _builtins\.str = ''", text)


def test_two_decorators_have_two_classes(place):
    points = "gpu_pool = flow_gpu:gpu\ngpuPool = flow_gpu:team"
    place.install("gpu", {"flow.decorators": points}, GPU)
    text = stub_of(place)
    assert "\ngpuPool: _GpuPoolDecorator\n" in text
    assert "\ngpu_pool: _GpuPoolDecorator_\n" in text


def test_exports_of_all_forms(place):
    points = "one = flow_many:Box\ntwo = flow_many:Box.lid\nthree = flow_many"
    place.install("many", {"flow.exports": points}, "class Box:\n    lid = 3\n")
    text = stub_of(place)
    assert "\nfrom flow_many import Box as one  # type: ignore" in text
    assert "\ntwo = _flow_many.Box.lid\n" in text
    assert "\nimport flow_many as three  # type: ignore" in text


def test_a_module_of_ones_own_is_a_plugin_too(place):
    module = GPU + '__flow__ = {"flow.decorators": {"gpu": "gpu"}}\n'
    (place.folder / "ours.py").write_text(module)
    (place.folder / "pyproject.toml").write_text('[tool.flow]\nplugins = ["ours"]\n')
    text = stub_of(place)
    assert "\ngpu: _GpuDecorator\n" in text
    assert "pool: _ours.Pool | None = None" in text


def test_what_an_export_is_made_of_is_not_imported(place):
    place.install(
        "heavy", {"flow.exports": "Model = flow_heavy:Model"}, "open('imported', 'w')\nModel = 3\n"
    )
    assert "from flow_heavy import Model as Model" in stub_of(place)
    assert not (place.folder / "imported").exists()


def test_left_out_plugins_offer_nothing(place):
    result = place.flow("-p", "no:retry", "plugins", "stubs", "--output", "out")
    assert result.returncode == 0
    assert "retry" not in names_of((place.folder / "out/flow_core/__init__.pyi").read_text())


# --- what cannot be known -----------------------------------------------------------------------


def test_a_plugin_that_cannot_be_loaded_is_told_and_has_no_types(place):
    place.install(
        "broken", {"flow.decorators": "broken = flow_broken:broken"}, "import nothing_here"
    )
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert result.returncode == 0
    assert "warning: the types of 'broken' are not known:\n" in result.stderr
    assert "No module named 'nothing_here'" in result.stderr
    text = (place.folder / "typings/flow_core/__init__.pyi").read_text()
    assert "\nbroken: Any\n" in text
    assert "\nretry: _RetryDecorator\n" in text


def test_a_type_that_cannot_be_read_is_told(place):
    module = GPU.replace("pool: Pool | None", 'pool: "Poool | None"')
    place.install("gpu", GPU_POINTS, module)
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert result.returncode == 0
    assert "warning: the types of 'gpu' are not known:" in result.stderr
    assert "name 'Poool' is not defined" in result.stderr
    text = (place.folder / "typings/flow_core/__init__.pyi").read_text()
    ast.parse(text)
    assert "\ngpu: Any\n" in text
    assert "_GpuDecorator" not in text
    assert "\nteam: _TeamDecorator\n" in text


def test_two_plugins_of_one_name_are_told(place):
    place.install("gpu", {"flow.decorators": "gpu = flow_gpu:gpu"}, GPU)
    place.install("gpus", {"flow.decorators": "gpu = flow_gpus:gpu"}, GPU)
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert (
        "Two plugins provide the decorator 'gpu': flow-gpu 1.0 and flow-gpus 1.0" in result.stderr
    )
    picked = place.flow("-p", "flow-gpus/gpu", "plugins", "stubs", "--output", "typings")
    assert picked.stderr == ""
    assert "_flow_gpus.Pool" in (place.folder / "typings/flow_core/__init__.pyi").read_text()


def test_an_attribute_of_current_that_two_plugins_add_is_told(place):
    point = {"flow.current": "mine = flow_{}:Attributes"}
    for name in ("one", "two"):
        points = {g: p.format(name).replace("mine", name) for g, p in point.items()}
        place.install(name, points, "class Attributes:\n    gpus: int\n")
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert "the types of 'current.gpus' are not known" in result.stderr
    assert "flow-two 1.0 and flow-one 1.0 both add it" in result.stderr


def test_attributes_of_current_that_are_no_class_are_told(place):
    place.install("gpu", {"flow.current": "gpu = flow_gpu"}, GPU)
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert result.returncode == 0
    assert "the types of 'current: gpu' are not known:\n  flow_gpu is no class\n" in result.stderr
    text = (place.folder / "typings/flow_core/__init__.pyi").read_text()
    ast.parse(text)
    assert "flow_gpu" not in text


# --- writing and checking -----------------------------------------------------------------------


def test_it_is_the_same_each_time(place):
    first = place.flow("plugins", "stubs", "--output", "a", PYTHONHASHSEED="1")
    assert re.fullmatch(
        r"Wrote a/flow_core/__init__\.pyi: \d+ decorators and \d+ other names of plugins\.\n"
        r"mypy finds it by     \[tool\.mypy\] mypy_path = \"a\"\n"
        r"pyright finds it by  \[tool\.pyright\] stubPath = \"a\"\n",
        first.stdout,
    )
    place.flow("plugins", "stubs", "--output", "b", PYTHONHASHSEED="2")
    made = [(place.folder / n / "flow_core/__init__.pyi").read_bytes() for n in "ab"]
    assert made[0] == made[1]
    again = place.flow("plugins", "stubs", "--output", "a")
    assert again.stdout == "a/flow_core/__init__.pyi is up to date.\n"
    assert [p.name for p in (place.folder / "a/flow_core").iterdir()] == ["__init__.pyi"]


def test_check_tells_whether_it_is_up_to_date(place):
    check = ("plugins", "stubs", "--output", "typings", "--check")
    missing = place.flow(*check)
    assert missing.returncode == 1
    assert missing.stdout == ""
    assert missing.stderr == (
        "error: The stubs of flow_core are not up to date\n"
        "  where: typings/flow_core/__init__.pyi\n"
        "  why:   there is no such file\n"
        "  try:   flow plugins stubs --output typings\n"
    )
    assert not (place.folder / "typings").exists()
    stub_of(place)
    assert place.flow(*check).returncode == 0
    place.install("gpu", GPU_POINTS, GPU)
    stale = place.flow(*check)
    assert stale.returncode == 1
    assert (
        "  why:   it was written for other plugins, or for other versions of them\n" in stale.stderr
    )
    stub_of(place)
    current = place.flow(*check)
    assert (current.returncode, current.stderr) == (0, "")
    assert current.stdout == "typings/flow_core/__init__.pyi is up to date.\n"


def test_a_place_that_cannot_be_written_is_an_error_in_four_parts(place):
    (place.folder / "typings").mkdir()
    (place.folder / "typings/flow_core").write_text("a file")
    result = place.flow("plugins", "stubs", "--output", "typings")
    assert result.returncode == 1
    assert result.stderr == (
        "error: The stubs of flow_core cannot be written\n"
        "  where: typings/flow_core/__init__.pyi\n"
        "  why:   FileExistsError: File exists\n"
        "  try:   another folder: flow plugins stubs --output FOLDER\n"
    )


def test_without_a_folder_they_go_into_the_environment(place):
    venv.create(place.folder / "env", symlinks=True)
    python = place.folder / "env/bin/python"
    run = [str(python), "-c", "from flow_core.cli import main; main()", "plugins", "stubs"]
    paths = [str(place.site), *filter(None, sys.path)]
    variables = {"PYTHONPATH": ":".join(paths), "HOME": str(place.folder)}
    result = subprocess.run(
        run, env=variables, cwd=place.folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    [folder] = (place.folder / "env").glob("lib/python3*/site-packages/flow_core-stubs")
    assert (folder / "py.typed").read_text() == "partial\n"
    assert "\nretry: _RetryDecorator\n" in (folder / "__init__.pyi").read_text()
    assert result.stdout.endswith("mypy and pyright find it where they look at this environment.\n")
    assert [p.name for p in place.folder.iterdir() if p.name == "typings"] == []


# --- types and defaults -------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats()
defaults = st.recursive(plain, lambda parts: st.lists(parts, max_size=3).map(tuple))


def _local() -> type:
    class Local:
        pass

    return Local


@given(value=defaults)
def test_a_default_reads_back_or_is_left_open(value: object):
    text = default(value)
    assert text == "..." or ast.literal_eval(text) == value


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Path, "_pathlib.Path"),
        (_local(), "Any"),  # no import could reach it
    ],
)
def test_types_are_written_so_that_they_can_be_read(annotation: object, text: str):
    assert Source().type(annotation) in (text, text.replace("_pathlib.", "_pathlib__local."))
