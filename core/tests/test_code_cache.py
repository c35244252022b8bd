"""What is remembered of a flow's code: never anything but what reading would find."""

import os
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_core import code_cache
from flow_core.code_cache import CodeCache, Known
from flow_core.package import read_file
from flow_core.snapshots import keep_code

FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""
LATER = 10 * 10**9
"""Nanoseconds after which a file's times are believed."""


@pytest.fixture
def folder(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"import {name[0]}x\n")
    return tmp_path


def cache(folder, later=0):
    """A memory as it is opened ``later`` nanoseconds from now."""
    made = CodeCache(str(folder / "cache"), str(folder / "a.py"), "")
    made._begun += later
    return made


def files_of(folder):
    return {name: str(folder / name) for name in ("a.py", "b.py")}


def remember(folder, later=LATER):
    files = files_of(folder)
    made = cache(folder, later)
    made.statements(files["b.py"])
    states = {path: read_file(path)[1] for path in files.values()}
    made.remember(files, {"ax"}, files, states, Known("0a", 7))
    return made


class TestMemory:
    def test_what_is_unchanged_is_known(self, folder):
        remember(folder)
        found = cache(folder)
        assert found.names(files_of(folder)) == {"ax"}
        assert found.snapshot(files_of(folder), 1) == Known("0a", 7)
        assert found.snapshot(files_of(folder), 0.000_001) is None  # the limit is lower today
        assert found.snapshot({"a.py": str(folder / "a.py")}, 1) is None

    def test_nothing_is_known_at_first(self, folder):
        assert cache(folder).names(files_of(folder)) is None
        assert cache(folder).snapshot(files_of(folder), 1) is None

    @pytest.mark.parametrize("change", ["content", "same size, same time", "mode", "other file"])
    def test_what_has_changed_is_not(self, folder, change):
        remember(folder)
        path = folder / "b.py"
        before = path.stat()
        if change == "content":
            path.write_text("import something_else\n")
        elif change == "same size, same time":
            path.write_text("import cx\n")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif change == "mode":
            path.chmod(0o755)
        else:
            (folder / "new").write_bytes(path.read_bytes())
            os.utime(folder / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
            os.replace(folder / "new", path)
        found = cache(folder)
        assert found.names(files_of(folder)) is None
        assert found.snapshot(files_of(folder), 1) is None

    def test_files_that_were_just_written_are_not_believed(self, folder):
        """What is written again within a tick of the clock may have the same times."""
        remember(folder, later=0)
        assert cache(folder).snapshot(files_of(folder), 1) is None

    def test_imports_of_changed_files_are_read_again(self, folder):
        remember(folder)
        (folder / "b.py").write_text("import other\n")
        assert cache(folder).statements(str(folder / "b.py")) == [("", "", "other", "")]

    @pytest.mark.parametrize("damage", [b"", b"nonsense", b"{}", None])
    def test_damage_is_no_harm(self, folder, damage):
        remember(folder)
        (file,) = (folder / "cache").iterdir()
        content = file.read_bytes()
        file.write_bytes(content.replace(b'"0a"', b'"0b"') if damage is None else damage)
        assert cache(folder).snapshot(files_of(folder), 1) is None

    def test_a_folder_that_cannot_be_written(self, folder):
        (folder / "cache").write_text("a file")
        remember(folder)
        assert cache(folder).snapshot(files_of(folder), 1) is None

    def test_many_launchers(self, folder):
        threads = [threading.Thread(target=remember, args=(folder,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache(folder).snapshot(files_of(folder), 1) == Known("0a", 7)
        assert len([*(folder / "cache").iterdir()]) == 1

    def test_old_ones_go(self, folder):
        (folder / "cache").mkdir()
        old = folder / "cache/old.json"
        old.touch()
        os.utime(old, (0, 0))
        remember(folder)
        assert not old.exists()


@pytest.fixture
def lab(flowtester, monkeypatch):
    """A session of a flow with a memory, for which files are old enough at once."""
    monkeypatch.setattr("flow_core.snapshots._FEW", 0)
    monkeypatch.setattr(code_cache, "_TICK", -LATER)
    flowtester.write("x = 1\n", "lib/part.py")
    return flowtester.session(flowtester.load(FLOW))


class TestRuns:
    def test_unchanged_code_is_neither_read_nor_sent_again(self, lab, monkeypatch):
        first = keep_code(lab)
        opened = []
        monkeypatch.setattr("flow_core.package.read_file", opened.append)
        monkeypatch.setattr(lab.store, "write", opened.append)
        assert keep_code(lab) == first
        assert opened == []

    def test_a_change_is_seen(self, lab, flowtester):
        first = keep_code(lab)
        flowtester.write("x = 2\n", "lib/part.py")
        second = keep_code(lab)
        assert second.hash != first.hash
        flowtester.write("x = 1\n", "lib/part.py")
        assert keep_code(lab).hash == first.hash

    def test_what_is_gone_from_the_store_is_sent_again(self, lab):
        first = keep_code(lab)
        key = f"blobs/{first.hash[:2]}/{first.hash}"
        for damage in (lambda: lab.store.delete([key]), lambda: lab.store.write([(key, b"x")])):
            damage()
            assert keep_code(lab) == first
            assert len(next(iter(lab.store.read([key])))) > 1000

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["a.py", "lib/b.py", "lib/part.py", ".flowignore", "d.txt"]),
                st.sampled_from([None, "", "x = 1\n", "x = 2\n", "/a.py\n", "import json\n"]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def test_with_and_without_a_memory_it_is_the_same(self, lab, flowtester, monkeypatch, steps):
        for name, text in steps:
            path = flowtester.path / name
            if text is None:
                path.unlink(missing_ok=True)
            else:
                flowtester.write(text, name)
            known = keep_code(lab)
            with monkeypatch.context() as patch:
                patch.setattr("flow_core.snapshots._FEW", 10**6)
                assert keep_code(lab) == known


def test_an_old_memory_is_used_by_a_later_run(lab, flowtester):
    first = keep_code(lab)
    time.sleep(0.01)
    other = flowtester.session(flowtester.load(FLOW))
    assert keep_code(other) == first
