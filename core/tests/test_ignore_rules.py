"""``.flowignore``: the syntax of git, checked against git itself and against a library."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.errors import FlowError
from flow_core.ignore_rules import IgnoreRules, parse

pathspec = pytest.importorskip("pathspec", reason="the oracle: pip install pathspec")

TREE = (
    "a.py",
    "a.pyc",
    "#a",
    "!a",
    "a ",
    "b/a.py",
    "b/c/a.py",
    "b/c/d/a.csv",
    "data/raw/x.csv",
    "data/raw/keep.csv",
    "data/y.csv",
    "build/z",
    "deep/build/z",
    "doc/build",
    "[x]",
    "x1",
    "x-",
    "a\\b",
    "Ä.py",
)
RULES = (
    "# a comment\n\n*.pyc\n",
    "*.csv\n!keep.csv\n",
    "data/*\n!data/raw\ndata/raw/*\n!data/raw/keep.csv\n",
    "data/\n!data/raw/keep.csv\n",
    "/a.py\n",
    "a.py\n",
    "b/a.py\n",
    "b/*\n",
    "b/**\n",
    "**/a.py\n",
    "b/**/a.py\n",
    "b/**/*.csv\n",
    "build/\n",
    "/build\n",
    "doc/build/\n",
    "\\#a\n\\!a\n",
    "a \n",
    "a\\ \n",
    "x[0-9]\n",
    "x[!0-9]\n",
    "x[[:digit:]]\n",
    "\\[x]\n",
    "[[]x[]]\n",
    "x[]-]\n",
    "x[1\n",
    "?\n",
    "a\\\\b\n",
    "*\n!*.py\n",
    "*\n!*/\n!*.py\n",
    "/*/\n",
    "/\n",
    "b/c/\r\na.pyc\r\n",
    "**\n",
    "***.csv\n",
    "Ä*\n",
    "a.py\n!a.py\n/a.py\n",
    "\ufeff*.csv\n",
)


def git_ignores(folder: Path, paths: Iterable[str] = TREE) -> set[str]:
    """What git says: with none of its own rules but ours."""
    for file in folder.rglob(".flowignore"):
        (file.parent / ".gitignore").write_bytes(file.read_bytes())
    git = ["git", "-C", str(folder), "-c", "core.excludesFile=/dev/null"]
    if not (folder / ".git").exists():
        subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
    names = "\0".join(paths)
    checked = subprocess.run(
        [*git, "check-ignore", "-z", "--stdin"],
        input=names,
        capture_output=True,
        text=True,
        check=False,  # its exit status says whether it ignores any
    )
    return set(filter(None, checked.stdout.split("\0")))


def make(folder: Path) -> Path:
    for name in TREE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize("rules", RULES)
def test_as_git_reads_it(tree: Path, rules: str) -> None:
    (tree / ".flowignore").write_bytes(rules.encode())
    ours = IgnoreRules(str(tree))
    assert {name for name in TREE if ours.leaves_out(name)} == git_ignores(tree)


def test_files_in_subfolders_go_before_those_above(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / ".flowignore").write_text("*.csv\nb/\n")
    (tmp_path / "data/.flowignore").write_text("!/y.csv\nraw/keep.csv\n")
    (tmp_path / "data/raw/.flowignore").write_text("!*\n")
    (tmp_path / "b/.flowignore").write_text("!a.py\n")
    ours = IgnoreRules(str(tmp_path))
    found = {name for name in TREE if ours.leaves_out(name)}
    assert found == git_ignores(tmp_path)
    assert found == {"b/a.py", "b/c/a.py", "b/c/d/a.csv"}


def test_nothing_said_and_taken_back_are_not_the_same(tmp_path: Path) -> None:
    (tmp_path / ".flowignore").write_text("*.csv\n!keep.csv\n")
    rules = IgnoreRules(str(tmp_path))
    assert [rules.verdict(n) for n in ("a.csv", "keep.csv", "a.py")] == [True, False, None]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".flowignore").mkdir()
    with pytest.raises(FlowError) as caught:
        IgnoreRules(str(tmp_path)).leaves_out("a.py")
    assert caught.value.what == ".flowignore cannot be read"
    assert caught.value.where == str(tmp_path / ".flowignore")


NAMES = st.text("ab.c", min_size=1, max_size=3).filter(lambda name: name.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
WORDS = st.sampled_from(["a", "b", "*", "?", "**", "a*", "*.c", "[ab]", "[!a]", "\\a", "a?b", "c"])
LINES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "!", "", "#"]),
    st.sampled_from(["", "/"]),
    st.lists(WORDS, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["", "/", "  "]),
)


def _is_read_alike(line: str) -> bool:
    """The library takes ``a/**/`` for files as well; git, which is asked below, for folders only."""
    return not line.startswith("!") and not line.rstrip().endswith("**/")


@given(LINES.filter(_is_read_alike), PATHS)
def test_a_line_as_a_library_reads_it(line: str, path: str) -> None:
    spec = pathspec.GitIgnoreSpec.from_lines([line])
    assert _rules([line]).leaves_out(path) == spec.match_file(path)


@settings(max_examples=40)
@given(lines=st.lists(LINES, max_size=6), paths=st.lists(PATHS, min_size=5, max_size=20))
def test_many_lines_as_git_reads_them(empty: Path, lines: list[str], paths: list[str]) -> None:
    (empty / ".flowignore").write_text("\n".join(lines))
    rules = _rules(lines)
    assert {p for p in paths if rules.leaves_out(p)} == git_ignores(empty, paths)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


def _rules(lines: list[str]) -> IgnoreRules:
    """Rules of a folder that is not there: nothing is read from the disk."""
    rules = IgnoreRules("/nowhere")
    rules._patterns[""] = parse("\n".join(lines))
    return rules
