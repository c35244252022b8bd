"""What uv says, in words of ours. The texts are those of uv 0.13."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flow_core.api import CommandFailed, NoEnvironment
from flow_pypi.sources import Sources, hide
from flow_pypi.trouble import disk_full, explain

INDEX = Sources(index_url="https://bob:s3cret@index.example/simple")
_NO = "error: No solution found when resolving dependencies\n  cause: "


def told(output: str, *, there: Mapping[str, str] | None = None) -> NoEnvironment:
    error = CommandFailed("uv failed", command=["uv"], status=1, output=output)
    return explain(error, INDEX, there=there)


def test_two_that_clash() -> None:
    error = told(
        _NO + "Because tensorflow==2.12.0 depends on numpy>=1.22,<1.24 and you require "
        "tensorflow==2.12.0, we can conclude that you require numpy>=1.22,<1.24.\n"
        "         And because you require numpy==2.*, we can conclude that your requirements are "
        "unsatisfiable.\n"
    )
    assert str(error) == (
        "'tensorflow' needs numpy>=1.22,<1.24, but the step asks for numpy==2.*\n"
        "  where: environment provider 'pypi'\n"
        "  why:   tensorflow==2.12.0 depends on numpy>=1.22,<1.24 and you require tensorflow==2.12.0\n"
        "         you require numpy==2.*\n"
        "  try:   leave open the version of one of them"
    )


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        (
            (
                "Because all versions of needy depend on tiny>=2 and all versions of clash depend on "
                "tiny<2, we can conclude that all versions of clash and all versions of needy are "
                "incompatible.\n         And because you require clash and needy, we can conclude that "
                "your requirements are unsatisfiable."
            ),
            "'needy' needs tiny>=2, but 'clash' needs tiny<2",
        ),
        (
            (
                "Because pandas==2.2.2 depends on numpy{python_full_version < '3.12'}>=1.23.2 and you "
                "require pandas==2.2.2, we can conclude that you require numpy>=1.23.2.\n         And "
                "because you require numpy==1.19.0, we can conclude that your requirements are "
                "unsatisfiable."
            ),
            "'pandas' needs numpy>=1.23.2, but the step asks for numpy==1.19.0",
        ),
        (
            (
                "Because only tiny>=2 is available and all versions of clash depend on tiny<2, we can "
                "conclude that all versions of clash cannot be used.\n         And because you require "
                "clash, we can conclude that your requirements are unsatisfiable."
            ),
            "'clash' needs tiny<2, but there is only tiny>=2",
        ),
        (
            (
                "Because there is no version of pandas==99 and you require pandas==99, we can conclude "
                "that your requirements are unsatisfiable."
            ),
            "No package fits 'pandas==99'",
        ),
        (
            (
                "Because only tiny<=2.0 is available and you require tiny==3.*, we can conclude that your "
                "requirements are unsatisfiable."
            ),
            "No package fits 'tiny==3.*'",
        ),
        (
            (
                "Because nonexist was not found in the package registry and all versions of needsnew "
                "depend on nonexist>=2, we can conclude that all versions of needsnew cannot be used.\n"
                "         And because you require needsnew, we can conclude that your requirements are "
                "unsatisfiable."
            ),
            "There is no package 'nonexist', which 'needsnew' needs",
        ),
        (
            (
                "Because the requested Python version (>=3.10) does not satisfy Python>=3.11 and all of:\n"
                "             numpy==2.4.0rc1\n             numpy>=2.4.1,<=2.4.6\n         depend on "
                "Python>=3.11, we can conclude that numpy cannot be used.\n         And because you "
                "require numpy==2.4.*, we can conclude that your requirements are unsatisfiable."
            ),
            "'numpy' does not run in Python 3.10",
        ),
        (
            (
                "Because blake3==1.0.11 has no wheels with a matching platform tag (e.g., "
                "`macosx_13_0_arm64`) and only blake3==1.0.11 is available, we can conclude that all "
                "versions of blake3 cannot be used.\n         And because you require blake3, we can "
                "conclude that your requirements are unsatisfiable."
            ),
            "'blake3 1.0.11' has no wheel for the platform of the environment",
        ),
        (
            (
                "Because tiny was not found in the cache and you require tiny, we can conclude that your "
                "requirements are unsatisfiable."
            ),
            "What @pypi asks for was not resolved yet, and no network may be used",
        ),
        (
            "Something that nobody has foreseen.",
            "The packages that the step asks for do not fit together",
        ),
    ],
)
def test_why_there_is_no_solution(reason: str, what: str) -> None:
    error = told(_NO + reason)
    assert error.what == what
    assert error.where
    assert error.why
    assert error.hint


def test_what_conda_has_installed_is_named_with_its_version() -> None:
    reason = (
        "Because only tiny>=2.5 is available and all versions of clash depend on tiny<2, we can "
        "conclude that all versions of clash cannot be used."
    )
    error = told(_NO + reason, there={"tiny": "2.5"})
    assert error.what == "'clash' needs tiny<2, but tiny 2.5 is there already"


def test_near_names_are_those_installed_here_and_those_in_folders(tmp_path: Path) -> None:
    (tmp_path / "rates_of_ours-1.0-py3-none-any.whl").touch()
    for typed, meant in (("clik", "click"), ("rates-of-our", "rates-of-ours")):
        text = f"Because {typed} was not found in the provided package locations and you require it, we can conclude that"
        error = CommandFailed("x", command=["uv"], status=1, output=_NO + text)
        found = explain(error, Sources(links=(str(tmp_path),), no_index=True))
        assert found.hint == f"did you mean '{meant}'?"
        assert found.why == f"asked: {tmp_path}"


def test_a_name_is_not_near_to_itself() -> None:
    error = told(
        _NO + "Because PyTest was not found in the package registry and you require PyTest, we can "
        "conclude that your requirements are unsatisfiable.\n"
    )
    assert error.what == "There is no package 'PyTest'"
    assert "'pytest'" not in str(error.hint)


def test_a_folder_with_wheels_that_is_not_there_is_named() -> None:
    error = told(
        "error: Failed to read `--find-links` directory: /nope\n"
        "  cause: No such file or directory (os error 2)\n"
    )
    assert error.what == "The folder with wheels '/nope' is not there"
    assert error.why == "No such file or directory (os error 2)"


def test_no_network_names_each_index_without_its_password() -> None:
    error = told(
        "error: Request failed after 3 retries in 7.1s\n"
        "  cause: Failed to fetch: https://bob:s3cret@index.example/simple/clash/\n"
        "  cause: error sending request for url (https://index.example/simple/clash/)\n"
        "  cause: client error (Connect)\n  cause: tcp connect error\n"
        "  cause: Connection refused (os error 111)\n"
    )
    assert error.what == "The package index cannot be reached"
    assert error.where == "https://***@index.example/simple/clash/"
    assert error.why == (
        "Connection refused (os error 111)\nasked: https://***@index.example/simple"
    )
    assert "s3cret" not in str(error)


def test_an_index_that_wants_a_password() -> None:
    error = told(
        "error: Failed to download `clash==1.0`\n"
        "  cause: Failed to fetch: http://index.example/files/clash.whl\n"
        "  cause: HTTP status client error (401 Unauthorized) for url (http://index.example/files)\n"
    )
    assert error.why == "it answered 401 Unauthorized"
    assert error.where == "http://index.example/files/clash.whl"


def test_other_bytes_than_in_the_lock() -> None:
    error = told(
        "error: Failed to download `tiny==1.0`\n  cause: Hash mismatch for `tiny==1.0`\n\n"
        f"         Expected:\n           sha256:{'a' * 64}\n\n"
        f"         Computed:\n           sha256:{'b' * 64}\n"
    )
    assert error.what == "'tiny==1.0' is not what it was when the environment was resolved"
    assert error.why == f"its SHA-256 is {'b' * 16}…, and the lock has {'a' * 16}…"


def test_a_full_disk() -> None:
    error = told(
        "error: Failed to install: tiny-1.0-py3-none-any.whl (tiny==1.0)\n"
        "  cause: failed to copy file from `/a/b` to `/c/d`: No space left on device (os error 28)\n"
    )
    assert (error.what, error.where) == ("The disk is full", "/c/d")
    assert "flow env clean" in str(error.hint)
    assert disk_full(OSError(28, "No space left on device", "/x/y"), "/z").where == "/x/y"


def test_a_full_disk_is_not_where_the_interpreter_is() -> None:
    error = told(
        "error: Failed to inspect Python interpreter from provided path at `/usr/bin/python`\n"
        "  cause: Failed to query Python interpreter\n"
        "  cause: failed to write to file `/cache/.tmp1/x.py`: No space left on device (os error 28)\n"
    )
    assert error.where == "/cache/.tmp1/x.py"


def test_a_full_disk_whose_file_is_not_told() -> None:
    error = told("error: x\n  cause: I/O error: No space left on device (os error 28)\n")
    assert error.where == "environment provider 'pypi'"


def test_what_no_network_allows() -> None:
    error = told(
        "error: Failed to download `clash==1.0`\n  cause: Network connectivity is disabled, but the "
        "requested data wasn't found in the cache: http://127.0.0.1:1/files/clash.whl\n"
    )
    assert error.why == "missing: clash 1.0"
    assert error.hint == "build it once with network: FLOW_OFFLINE=0"


@pytest.mark.parametrize(
    ("url", "where", "typed"),
    [
        ("file:///srv/ours@nope", "file:///srv/ours@nope", "file:///srv/ours"),
        ("ssh://git@h.example/ours@v1#subdirectory=a", "ssh://git@h.example/ours@v1", None),
        ("https://h.example/ours", "https://h.example/ours", "https://h.example/ours"),
    ],
)
def test_a_repository_that_cannot_be_read(url: str, where: str, typed: str | None) -> None:
    error = told(
        f"error: Failed to download and build `ours @ git+{url}`\n"
        "  cause: Git operation failed\n"
        "  cause: process didn't exit successfully: `/usr/bin/git fetch 'x'` (exit status: 128)\n"
        "         --- stderr\n"
        "         fatal: couldn't find remote ref refs/tags/nope\n"
    )
    assert error.what == "A repository cannot be read, or has no such branch, tag or commit"
    assert error.where == where
    assert error.why == "fatal: couldn't find remote ref refs/tags/nope"
    assert error.hint == f"try it by hand: git ls-remote {typed or where.removesuffix('@v1')}"


def test_whatever_else_uv_says_is_passed_on() -> None:
    assert told("warning: x\nerror: it is broken\n").why == "it is broken"


def test_passwords_are_hidden() -> None:
    assert hide("asked: https://TOKEN@h/simple") == "asked: https://***@h/simple"
    text = "a https://u:p@h/x and http://token:@h/y but git+ssh://git@h/z"
    assert hide(text) == "a https://***@h/x and http://***@h/y but git+ssh://git@h/z"
