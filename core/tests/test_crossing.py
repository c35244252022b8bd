"""Which version a lock states, and what an unreadable value lacks."""

from __future__ import annotations

from typing import Any

import pytest

from flow_core.crossing import _module_of, version_in
from flow_core.records import ArtifactRef

PYLOCK = """
lock-version = "1.0"

[[packages]]
name = "pandas-stubs"
version = "1.0"

[[packages]]
name = "pandas"
version = "2.2.3"
"""

CONDA_LOCK = """
package:
- name: python
  version: 3.12.1
  manager: conda
- name: Typing_Extensions
  version: '4.12.2'
"""


@pytest.mark.parametrize(
    ("lock", "name", "version"),
    [
        ({"packages": [{"name": "pandas", "version": "2.2.3"}]}, "pandas", "2.2.3"),
        ({"packages": [{"name": "Typing_Extensions", "version": "4"}]}, "typing-extensions", "4"),
        ({"python": "3.12", "packages": []}, "python", "3.12"),
        ({"packages": {"numpy": "1.26.4"}}, "numpy", "1.26.4"),
        ({"modules": {"tiny": "VALUE = 1"}}, "tiny", None),
        ({"pylock": PYLOCK}, "pandas", "2.2.3"),
        ({"pylock": PYLOCK}, "stubs", None),
        ({"lock": CONDA_LOCK}, "python", "3.12.1"),
        ({"lock": CONDA_LOCK}, "typing-extensions", "4.12.2"),
        ({}, "pandas", None),
        (None, "pandas", None),
    ],
)
def test_versions_are_found_in_any_lock(lock: Any, name: str, version: str | None) -> None:
    assert version_in(lock, name) == version


@pytest.mark.parametrize(
    ("error", "kind", "module"),
    [
        (ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core"), "x.Y", "pandas"),
        (AttributeError("Can't get attribute 'A' on <module 'tiny' from 'x'>"), "list", "tiny"),
        (TypeError("unexpected keyword"), "numpy.ndarray", "numpy"),
        (TypeError("unexpected keyword"), "list", ""),
        (ValueError("unsupported pickle protocol: 6"), "collections.Counter", ""),
    ],
)
def test_what_is_lacking_is_known_from_the_error_or_the_type(
    error: Exception, kind: str, module: str
) -> None:
    assert _module_of(error, ArtifactRef("0" * 64, 1, kind, "pickle")) == module
