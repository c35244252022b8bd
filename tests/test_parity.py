"""The table beside the predecessor is complete, and each test that it names exists."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
# How many traps (⚠) of each section have a row of their own.
TRAPS = {
    "1.1": 1,
    "1.2": 3,
    "1.3": 5,
    "1.4": 1,
    "1.5": 1,
    "1.6": 1,
    "2.2": 1,
    "3.2": 1,
    "3.5": 1,
    "3.6": 2,
    "3.8": 1,
    "3.9": 1,
    "4.1": 2,
    "4.2": 1,
    "4.4": 1,
    "6.4": 3,
    "8": 1,
}
EXTRA_TRAPS = 13


def _parity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_parity", ROOT / "docs/parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


parity = _parity()
ROWS = parity.everything()


@cache
def _tests(file: str) -> frozenset[str]:
    """The tests and classes of tests of a file: ``test_x``, ``TestY``, ``TestY::test_z``."""
    found = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [m.name for m in node.body if isinstance(m, ast.FunctionDef)]
            found |= {f"{node.name}::{name}" for name in methods if name.startswith("test_")}
            found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section} {row.behaviour}"[:60])
def test_each_row_has_a_verdict_and_a_test_that_exists(row):
    assert row.kind, row
    assert row.part in parity.SECTIONS, row
    assert row.behaviour, row
    if row.kind == "not offered":
        assert len(row.verdict) > len("not offered: x"), f"why? {row}"
    else:
        assert row.tests, f"which test shows it? {row}"
    for test in row.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), f"there is no {file}: {row}"
        assert name, f"which test of {file}? {row}"
        assert name.rpartition("::")[2].startswith(("test_", "Test")), f"no test: {test}"
        assert name.partition("[")[0] in _tests(file), f"there is no {test}: {row}"


def test_no_row_stands_there_twice():
    double = [key for key, n in Counter((r.section, r.behaviour) for r in ROWS).items() if n > 1]
    assert not double


def test_each_section_has_rows():
    assert {row.part for row in ROWS} >= set(parity.SECTIONS) - {"9", "10.1", "10.2", parity.BESIDE}


def test_each_trap_has_a_row():
    traps = Counter(row.part for row in ROWS if "⚠" in row.behaviour + row.verdict)
    missing = {part: (traps[part], n) for part, n in TRAPS.items() if traps[part] < n}
    assert not missing, "section: (rows with ⚠, traps)"


def test_each_of_the_forty_has_a_row_and_each_extra_trap():
    numbers = {row.section for row in ROWS if row.part == "13"}
    assert not {f"13.{n}" for n in range(1, 41)} - numbers
    assert sum(row.part == parity.EXTRA for row in ROWS) >= EXTRA_TRAPS


def test_the_page_is_in_order_and_counted():
    if list(parity.PIECES.glob("*.md")):
        pytest.skip("there are pieces to join: python docs/parity.py")
    page = parity.PAGE.read_text(encoding="utf-8")
    assert page == parity.page(parity.rows(page)), "python docs/parity.py"
