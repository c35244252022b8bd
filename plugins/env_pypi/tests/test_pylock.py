"""The text of a lock: what is written is read again, whatever names and URLs it has."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pypi.platforms import holds, tags, uv_platform
from flow_pypi.pylock import Package, load, read, write
from flow_pypi.uv import uv_program

NAMES = st.text("abc-7", min_size=1, max_size=8).filter(
    lambda name: "-" not in {name[0], name[-1]} and "--" not in name
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
URLS = TEXTS.map(lambda text: f"https://files.example.org/{text}/a-1-py3-none-any.whl")
SIZES = st.integers(0, 10**12)
WHEELS = st.tuples(NAMES, TEXTS, TEXTS, HASHES, URLS | st.just(""), SIZES).map(
    lambda p: Package(*p)
)
DIRECT = st.builds(
    lambda name, digest, url, size: Package(
        name, "1", "a-1-py3-none-any.whl", digest, url, size, direct=True
    ),
    NAMES,
    HASHES,
    URLS.filter(lambda url: not {"?", "#", "%"} & {*url}),
    SIZES,
)
SOURCES = st.one_of(
    st.builds(
        lambda url, commit: {"vcs": {"type": "git", "url": url, "commit-id": commit}}, URLS, HASHES
    ),
    st.builds(lambda url, digest: {"sdist": {"url": url, "sha256": digest}}, URLS, HASHES),
    st.builds(lambda path, digest: {"archive": {"path": path, "sha256": digest}}, TEXTS, HASHES),
)
BUILT = st.builds(
    lambda name, file, digest, source, build: Package(
        name, "1", file, digest, "", 7, False, source, tuple(build)
    ),
    NAMES,
    TEXTS,
    HASHES,
    SOURCES,
    st.lists(TEXTS, max_size=3),
)


@settings(max_examples=30)
@given(st.lists(WHEELS | DIRECT | BUILT, max_size=3, unique_by=lambda p: p.name))
def test_what_is_written_is_read_again(packages: list[Package]) -> None:
    text = write(packages, "3.12.4")
    assert read(text) == sorted(packages, key=lambda p: p.name)
    assert write(reversed(packages), "3.12.4") == text
    assert load(text)["requires-python"] == "==3.12.*"
    assert text.endswith("\n")


def test_markers_hold_for_the_platform_of_the_lock_and_not_for_this_one() -> None:
    for marker, platform, python, expected in (
        ("", "linux-x86_64", "3.12", True),
        ("sys_platform == 'win32'", "linux-x86_64", "3.12", False),
        ("sys_platform == 'win32'", "windows-amd64", "3.12", True),
        ("platform_machine == 'arm64' and sys_platform == 'darwin'", "macos-arm64", "3.12", True),
        ("platform_machine == 'aarch64'", "linux-arm64", "3.12", True),
        ("python_full_version < '3.12'", "linux-x86_64", "3.11", True),
        ("python_full_version < '3.12.3'", "linux-x86_64", "3.12.4", False),
        ("platform_python_implementation != 'CPython'", "linux-x86_64", "3.12", False),
    ):
        assert holds(marker, platform, python) is expected, marker


def test_platforms_have_uv_s_names_and_their_own_tags() -> None:
    assert uv_platform("macos-arm64") == "aarch64-apple-darwin"
    assert uv_platform("windows-amd64") == "x86_64-pc-windows-msvc"
    ranked = {str(tag): rank for tag, rank in tags("linux-aarch64", "3.12").items()}
    assert (
        ranked["cp312-cp312-manylinux_2_28_aarch64"] < ranked["cp312-abi3-manylinux_2_17_aarch64"]
    )
    assert ranked["cp311-abi3-manylinux2014_aarch64"] < ranked["py3-none-any"]
    assert "cp312-cp312-manylinux_2_35_aarch64" not in ranked


def test_threads_that_begin_at_once_all_find_uv() -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(uv_program())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [uv_program()] * 8
