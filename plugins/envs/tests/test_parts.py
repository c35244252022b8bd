"""Packages of locks, and bytes on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import EnvironmentLock, NotFound, UsageError
from flow_envs.disk import Usage
from flow_envs.packages import Change, Package, changes, packages_of
from flow_envs.targets import targets_of
from flow_envs.wording import within

PYLOCK = {
    "lock-version": "1.0",
    "packages": [
        {"name": "rates", "version": "1.4", "wheels": [{"url": "https://a.example/rates-1.4.whl"}]},
        {"name": "ours", "vcs": {"type": "git", "url": "https://me:secret@b.example/ours.git"}},
    ],
}

TEXT = """
lock-version = "1.0"

[[packages]]
name = "rates"
version = "1.4"
wheels = [{ path = "./rates-1.4.whl", hashes = { sha256 = "0" } }]
"""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"packages": [{"name": "a", "version": "1", "file": "a-1.whl", "sha256": "0"}]},
            [Package("a", "1", "a-1.whl")],
        ),
        ({"packages": {"b": "2", "A": "1"}}, [Package("A", "1"), Package("b", "2")]),
        (
            {"format": 1, "pylock": PYLOCK},
            [
                Package("ours", "", "https://b.example/ours.git"),
                Package("rates", "1.4", "https://a.example/rates-1.4.whl"),
            ],
        ),
        (
            {"conda": {"metadata": {}, "package": [{"name": "c", "version": "3", "url": "u"}]}},
            [Package("c", "3", "u")],
        ),
        (
            {"packages": [{"name": "python", "version": "3.12.1"}], "pypi": TEXT},
            [Package("python", "3.12.1"), Package("rates", "1.4", "./rates-1.4.whl")],
        ),
        ({"format": 3, "text": "[[packages]] nonsense", "what": "else"}, []),
        ({"format": 3, "what": ["else"]}, []),
    ],
)
def test_packages_of_locks(data: dict[str, Any], expected: list[Package]) -> None:
    assert packages_of(EnvironmentLock.of("any", data)) == expected


def test_files_that_are_no_locks(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"The file '.*no.json' cannot be read"):
        read_file(tmp_path / "no.json")
    (tmp_path / "some.json").write_text("{}")
    with pytest.raises(UsageError, match=r"The file '.*some.json' is no lock"):
        read_file(tmp_path / "some.json")
    (tmp_path / "lock.json").write_text('{"provider": "venv", "lock": {"format": 1}}')
    found = read_file(tmp_path / "lock.json")
    assert found.lock == EnvironmentLock.of("venv", {"format": 1})


def read_file(path: Path) -> Any:
    session: Any = Without()
    return targets_of(session, str(path))[0]


class Without:
    """A session without a flow."""

    flow = None


def test_changes() -> None:
    old = [Package("typing_extensions", "4.1"), Package("gone", "1"), Package("same", "1")]
    new = [Package("typing-extensions", "4.2"), Package("new", "2"), Package("same", "1")]
    found = changes(old, new)
    assert found == [
        Change("gone", "1", ""),
        Change("new", "", "2"),
        Change("typing-extensions", "4.1", "4.2"),
    ]
    assert [c.text for c in found] == ["- gone 1", "+ new 2", "typing-extensions 4.1 → 4.2"]


def test_a_file_with_two_names_is_counted_once_and_freed_with_the_last(tmp_path: Path) -> None:
    for name in ("one", "two", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "cache/file").write_bytes(b"x" * 100_000)
    for name in ("one", "two"):
        os.link(tmp_path / "cache/file", tmp_path / name / "file")
    usage = Usage()
    assert usage.add(str(tmp_path / "one")) >= 100_000
    assert usage.freed < 100_000
    usage.add(str(tmp_path / "two"))
    assert usage.freed < 100_000
    assert 100_000 <= usage.total < 200_000
    usage.add(str(tmp_path / "cache"))
    assert usage.freed == usage.total


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (None, "https://h.example/packages/4b/ff/a-1.0-py3-none-any.whl"),
        (55, "https://h.example/packages/4b/ff/a-1.0-py3-none-any.whl"),
        (54, "https://h.example/…/a-1.0-py3-none-any.whl"),
        (42, "https://h.example/…/a-1.0-py3-none-any.whl"),
        (41, "https://h.example/…/a-1.0-py3-none-any.w…"),
        (3, "https://h.example/…"),
    ],
)
def test_a_url_has_the_room_of_a_terminal(room: int | None, shown: str) -> None:
    assert within("https://h.example/packages/4b/ff/a-1.0-py3-none-any.whl", room) == shown
    assert within("https://h.example/a.whl", room) == "https://h.example/a.whl"
    assert within("a place that is no URL", room) == "a place that is no URL"
