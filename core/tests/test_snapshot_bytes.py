"""The bytes of a code snapshot: the same tree has the same ones, wherever and however it lies."""

import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core import package
from flow_core.code_files import Selection, collect
from flow_core.errors import FlowError
from flow_core.package import CodeFile, pack, read_code, read_file

NAMES = st.text("abÄ é.-_☃", min_size=1, max_size=120).filter(lambda n: n.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=1200), st.booleans()), max_size=6)


@given(TREES)
def test_what_is_packed_is_read_back(tree):
    files = {name: CodeFile(*file) for name, file in tree.items()}
    content = pack(files, 1)
    assert read_code(content, "the code") == files
    assert pack(dict(reversed(files.items())), 1) == content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == sorted(files)


SOURCES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "Ä", "é☃"]), min_size=1, max_size=3).map(
        lambda names: "/".join(names) + ".py"
    ),
    st.tuples(st.binary(max_size=300), st.booleans()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(tree=SOURCES, seed=st.randoms(use_true_random=False))
def test_the_same_tree_has_the_same_bytes(tree, seed):
    tree = {"flow.py": (b"\r\n", False), **tree}
    found = [_snapshot(tree, seed, umask) for umask in (0o022, 0o077, 0o002)]
    assert found[0] == found[1] == found[2]
    kept = read_code(found[0], "the code")
    assert {n: (file.content, file.executable) for n, file in kept.items()} == tree


def _snapshot(tree, seed, umask):
    """Write the tree in some order, with some times, under a umask; return its snapshot."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
    before = os.umask(umask)
    try:
        order = [*tree]
        seed.shuffle(order)
        for name in order:
            content, executable = tree[name]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            (folder / name).chmod((0o777 if executable else 0o666) & ~umask)
            os.utime(folder / name, (0, seed.randrange(10**9)))
        files = collect(str(folder / "flow.py"), Selection()).files
        return pack({name: read_file(path)[0] for name, path in files.items()}, 1)
    finally:
        os.umask(before)
        shutil.rmtree(folder)


def test_a_link_counts_as_its_file(tmp_path):
    (tmp_path / "flow.py").write_text("x = 1\n")
    (tmp_path / "lib.py").write_text("y = 1\n")
    plain = {n: read_file(p)[0] for n, p in _files(tmp_path).items()}
    os.rename(tmp_path / "lib.py", tmp_path / "lib.txt")
    (tmp_path / "lib.py").symlink_to("lib.txt")
    assert {n: read_file(p)[0] for n, p in _files(tmp_path).items()} == plain


def _files(folder):
    return collect(str(folder / "flow.py"), Selection()).files


class TestReading:
    def test_a_file_that_vanished(self, tmp_path):
        with pytest.raises(FlowError) as caught:
            read_file(str(tmp_path / "gone.py"))
        assert caught.value.what == "A file of the code snapshot cannot be read"
        assert caught.value.where == str(tmp_path / "gone.py")
        assert caught.value.why == "No such file or directory"

    def test_a_file_that_changes_while_it_is_read(self, tmp_path, monkeypatch):
        path = tmp_path / "busy.py"
        path.write_bytes(b"x")
        real = package.state_of
        changes = iter(range(3))

        def busy(stat):
            for _ in changes:  # somebody writes between two looks at it, twice
                path.write_bytes(path.read_bytes() + b"y")
                break
            return real(stat)

        monkeypatch.setattr(package, "state_of", busy)
        content = read_file(str(path))[0].content
        assert content == path.read_bytes()

    def test_a_file_that_never_rests(self, tmp_path, monkeypatch):
        path = tmp_path / "busy.py"
        path.write_bytes(b"x")
        counted = iter(range(100))
        monkeypatch.setattr(package, "state_of", lambda stat: (next(counted), 0, 1, 0, False))
        with pytest.raises(FlowError, match="changes while it is read"):
            read_file(str(path))

    def test_too_large(self):
        files = {f"{n}.py": CodeFile(bytes(n * 50_000)) for n in range(5)}
        with pytest.raises(FlowError) as caught:
            pack(files, 0.1)
        error = caught.value
        assert error.what == "The code snapshot is larger than 0.1 MB"
        assert error.where == "4.py"
        assert error.why.endswith("the largest files: 4.py (0.2 MB), 3.py (0.1 MB), 2.py (0.1 MB)")
        assert "a line '/4.py' in .flowignore" in error.hint
        assert "FLOW_CODE_LIMIT" in error.hint
