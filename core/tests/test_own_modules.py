"""Which modules are a person's own, and what files import."""

import sys
import textwrap

import pytest

from flow_core import own_modules
from flow_core.own_modules import (
    Module,
    OwnModules,
    distribution_files,
    full_name,
    imported_names,
    in_development,
    is_own,
    loaded_file,
    names_in,
    outside_modules,
    package_of,
    statements,
)
from flow_core.package import code_folder

PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/common.py": "",
    "pkg/flows/__init__.py": "",
    "pkg/flows/parts.py": "from ..common import twice\n",
    "pkg/flows/mine.py": """
        import beside
        from .parts import work
        def late():
            from .. import common
        """,
    "beside.py": "import deeper.inside\n",
    "deeper/__init__.py": "",
    "deeper/inside.py": "import json, numpy\n",
    "stranger.py": "import beside\n",
}


def write(folder, sources):
    for name, text in sources.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
    return str(folder / "pkg/flows/mine.py")


def imported(main, foreign=(), known=None):
    seen = {main}
    names = imported_names([Module(full_name(main), main)], known or {}, seen, statements)
    modules = OwnModules(code_folder(main), foreign)
    return {m.file: m.path for m in outside_modules(names, modules, known or {}, seen, statements)}


def test_what_a_flow_imports(tmp_path):
    main = write(tmp_path, PACKAGE)
    found = imported(main)
    assert found.keys() == PACKAGE.keys() - {"stranger.py", "pkg/flows/mine.py"}
    assert found["deeper/inside.py"] == str(tmp_path / "deeper/inside.py")
    assert "beside.py" not in imported(main, foreign=["beside"])


def test_what_is_known_is_not_searched_but_read(tmp_path):
    main = write(tmp_path, PACKAGE)
    known = {name: str(tmp_path / name) for name in PACKAGE if name.startswith("pkg/")}
    assert imported(main, known=known).keys() == {
        "beside.py",
        "deeper/__init__.py",
        "deeper/inside.py",
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import a.b as c, d\n", {"a", "a.b", "d"}),
        ("from x import y as z, w  # why\n", {"x", "x.y", "x.w"}),
        ("from x import (\n    y,  # one, two\n    w as v,\n)\n", {"x", "x.y", "x.w"}),
        ("from x import y, \\\n    w\n", {"x", "x.y", "x.w"}),
        ("def f():\n    if 1: import a; import b\n", {"a", "b"}),
        ("from . import y\n", {"pkg", "pkg.sub", "pkg.sub.y"}),
        ("from ..z import y\n", {"pkg", "pkg.z", "pkg.z.y"}),
        ("important = 1\nx.imports\n", set()),
        ("m = importlib.import_module('a.b')\n", {"a", "a.b"}),
        ('m = import_module(\n    "a", pkg)\n', {"a"}),
        ("m = __import__('a')\nimport_module(f'b.{x}')\nmy_import_module('c')\n", {"a"}),
    ],
)
def test_imports_in_the_text_of_a_file(tmp_path, text, names):
    file = tmp_path / "part.py"
    file.write_text(text)
    assert names_in(statements(str(file)), Module("pkg.sub.part", str(file))) == names
    package = tmp_path / "__init__.py"
    package.write_text(text)
    assert names_in(statements(str(package)), Module("pkg.sub", str(package))) == names


def test_a_library_that_is_developed_is_left_out(tmp_path, monkeypatch):
    main = write(tmp_path, PACKAGE)
    monkeypatch.setattr(own_modules, "LARGEST", 1)
    assert imported(main).keys() == {"beside.py"}


def test_what_is_own(tmp_path):
    assert is_own(str(tmp_path / "x.py"))
    assert not is_own(textwrap.__file__)
    assert not is_own(pytest.__file__)
    assert not is_own(str(tmp_path / "lib/dist-packages/x.py"))
    assert loaded_file("textwrap") == ""
    assert loaded_file("not.there") == ""


def test_our_own_plugins_are_not_in_development_but_those_of_others_are(tmp_path, monkeypatch):
    import flow_core.testing

    assert flow_core.testing  # loaded
    file = tmp_path / "acme.py"
    file.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import acme

    assert in_development(["acme", "flow_core", "pytest", "never_loaded"]) == {"acme"}
    monkeypatch.delitem(sys.modules, acme.__name__)


def test_the_package_of_a_module(tmp_path):
    write(tmp_path, PACKAGE)
    inside = Module("pkg.flows.parts", str(tmp_path / "pkg/flows/parts.py"))
    assert package_of(inside) == ("pkg", str(tmp_path / "pkg"))
    init = Module("deeper", str(tmp_path / "deeper/__init__.py"))
    assert package_of(init) == ("deeper", str(tmp_path / "deeper"))
    assert package_of(Module("beside", str(tmp_path / "beside.py"))) == ("", "")
    spaced = write(tmp_path, {"space/pkg/__init__.py": "", "space/pkg/a.py": ""})
    assert spaced
    part = Module("space.pkg.a", str(tmp_path / "space/pkg/a.py"))
    assert package_of(part) == ("space/pkg", str(tmp_path / "space/pkg"))


def test_the_files_by_which_a_plugin_is_found(tmp_path):
    place = tmp_path / "acme-1.0.dist-info"
    place.mkdir()
    for name in ("METADATA", "RECORD", "entry_points.txt", "direct_url.json"):
        (place / name).touch()
    assert list(distribution_files(str(place))) == [
        "acme-1.0.dist-info/METADATA",
        "acme-1.0.dist-info/entry_points.txt",
    ]
