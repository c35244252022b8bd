"""What uv writes while it installs, as progress."""

from __future__ import annotations

from typing import Any

from flow_pypi.progress import Fetching
from flow_pypi.pylock import Package


class _Work:
    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def tell(self, text: str, part: float | None = None) -> None:
        self.told.append((text, part))


def _package(name: str, size: int) -> Package:
    return Package(name=name, version="1", file=f"{name}-1-py3-none-any.whl", sha256="0", size=size)


def _told(lines: list[str], sizes: dict[str, int]) -> list[tuple[str, float | None]]:
    work: Any = _Work()
    fetching = Fetching([_package(n, s) for n, s in sizes.items()], work, 0.1)
    for line in lines:
        fetching(line)
    return [(text, None if part is None else round(part, 3)) for text, part in work.told]


def test_bytes_of_large_files_count() -> None:
    lines = [
        "Using Python 3.12 environment",
        "Downloading Big.Lib (11.8MiB)",
        " Downloaded Big.Lib",
    ]
    assert _told(lines, {"big-lib": 9_000_000, "small": 1_000_000}) == [
        ("fetching Big.Lib, 10.0 MB", 0.1),
        ("fetched Big.Lib, 9.0 MB of 10.0 MB", 0.82),
    ]


def test_when_all_is_there_it_is_linked() -> None:
    assert _told(["Prepared 4 packages in 1.45s"], {"small": 1_000}) == [("linking packages", 0.9)]


def test_without_sizes_it_names_what_is_fetched() -> None:
    assert _told(["Downloading lib (2.0MiB)"], {"lib": 0}) == [("fetching lib", None)]
