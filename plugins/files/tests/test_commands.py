"""The commands ``ls`` and ``cp``."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from flow_core.testing import CommandSuite, MemoryStore
from flow_files import cp, ls
from flow_files.download import save
from flow_files.places import Target
from flow_files.progress import Meter


class TestLsSuite(CommandSuite):
    examples = ((), ("SuiteFlow/1",))
    mistakes = (("SuiteFlow/7",), ("SuitFlow",), ("SuiteFlow/1/none",))

    @pytest.fixture
    def command(self):
        return ls.command


class TestCpSuite(CommandSuite):
    examples = (("flow.py", "SuiteFlow/1/flow.py", "--force"),)
    mistakes = (("SuiteFlow/1/none", "."), ("a", "b"))

    @pytest.fixture
    def command(self):
        return cp.command


def names(text):
    return [line.split("  ")[-1] for line in text.splitlines()]


class TestLs:
    def test_levels(self, call, run):
        assert call("ls") == (0, "F/\n", "")
        assert call("ls", "F") == (0, "1/\n", "")
        status, out, _ = call("ls", "F/1")
        assert (status, names(out)) == (0, ["data/", "note", "report.csv"])
        assert out.splitlines()[1].lstrip().startswith("40 B  20")
        assert names(call("ls", "F/1/data")[1]) == ["a.txt", "b.txt"]
        assert names(call("ls", "F/1/data/a.txt")[1]) == ["a.txt"]
        assert names(call("ls", "-r", "F/1")[1]) == [
            "data/a.txt",
            "data/b.txt",
            "note",
            "report.csv",
        ]

    def test_json(self, call, run):
        found = json.loads(call("ls", "F/1", "--json")[1])
        assert [(f["name"], f["folder"], f["size"]) for f in found] == [
            ("data", True, None),
            ("note", False, 40),
            ("report.csv", False, 100),
        ]
        assert found[1]["url"] == f"{run.url}/files/F/1/note"
        assert found[1]["modified"] > 1e9

    def test_urls(self, call, run, here):
        assert names(call("ls", f"{run.url}/files/F/1/")[1]) == ["data/", "note", "report.csv"]
        assert names(call("ls", f"file://{here}/.flow/files/F/1/note")[1]) == ["note"]

    @pytest.mark.parametrize(
        ("place", "what", "hint"),
        [
            ("F/1/report.cvs", "no object or folder 'F/1/report.cvs'", "'F/1/report.csv'"),
            ("F/1/zzz", "no object or folder", "there are: data, note, report.csv"),
            ("F/1/note/", "no object or folder 'F/1/note'", "'F/1/note'"),
            ("F/2", "no run F/2", "its latest runs: 1"),
            ("G", "no run of a flow 'G'", "flows here: F"),
            ("1/2", "'1/2' names neither a run nor a URL", "flow ls MyFlow/3, or "),
            ("nosuch://x/y", "no plugin provides the store 'nosuch'", ""),
        ],
    )
    def test_mistakes(self, call, run, place, what, hint):
        status, out, error = call("ls", place)
        assert status in (1, 2)
        assert out == ""
        assert what in error
        assert hint in error

    def test_nothing(self, call, run):
        run.delete([f.key for f in run.list("files/")])
        assert call("ls") == (0, "", "No run here has files of its own.\n")
        assert call("ls", "F") == (0, "", "No run of F has files of its own.\n")
        assert call("ls", "F/1") == (0, "", "Run F/1 has no files of its own.\n")
        assert call("ls", "F/1", "--json") == (0, "[]\n", "")

    def test_names_that_a_terminal_would_obey(self, call, run):
        run.write([("files/F/1/a\x1b[31mb", b"")])
        assert "\x1b" not in call("ls", "F/1")[1]


class TestCp:
    def test_down(self, call, run, here):
        assert call("cp", "F/1/report.csv", ".") == (0, "Copied 1 file, 100 B.\n", "")
        assert call("cp", "F/1/report.csv", "./new/name.csv")[0] == 0
        for name in ("report.csv", "new/name.csv"):
            assert (here / name).read_bytes() == b"report.csv" * 10
        assert call("cp", "-r", "F/1", "all")[1] == "Copied 4 files, 340 B.\n"
        assert sorted(p.name for p in (here / "all").rglob("*")) == [
            "a.txt",
            "b.txt",
            "data",
            "note",
            "report.csv",
        ]
        assert not list(here.rglob("*.part"))

    def test_up(self, call, run, here):
        (here / "a.txt").write_text("a")
        (here / "folder" / "deep").mkdir(parents=True)
        (here / "folder" / "deep" / "x").write_text("x")
        (here / "folder" / "y").write_text("y")
        assert call("cp", "a.txt", "F/1")[0] == 0
        assert call("cp", "./a.txt", "F/1/new.txt")[0] == 0
        assert call("cp", "a.txt", "F/1/into/")[0] == 0
        assert call("cp", "-r", "folder", "F/1/tree")[0] == 0
        found = [k.key.removeprefix("files/F/1/") for k in run.list("files/F/1/")]
        assert {"a.txt", "new.txt", "into/a.txt", "tree/deep/x", "tree/y"} <= {*found}

    def test_between_stores_with_attributes(self, call, run, here):
        from flow_core import Files

        with Files(run="F/1") as files:
            files.put("typed", "x", content_type="text/csv", metadata={"a": "b"})
        assert call("cp", "-r", "F/1", f"local://{here}/other/sub")[0] == 0
        with Files(root=f"local://{here}/other") as files:
            found = files.info("sub/typed")
            assert (found.content_type, found.metadata) == ("text/csv", {"a": "b"})
            assert len(files.list_recursive()) == 5

    def test_nothing_is_replaced(self, call, run, here):
        (here / "all").mkdir()
        (here / "all" / "note").write_text("mine")
        status, out, error = call("cp", "-r", "F/1", "all")
        assert (status, out) == (1, "")
        assert "'all/note' exists" in error
        assert "--force" in error
        assert os.listdir(here / "all") == ["note"]  # nothing was copied
        assert call("cp", "-r", "F/1", "all", "--force")[0] == 0
        assert (here / "all" / "note").read_bytes() == b"note" * 10
        status, _, error = call("cp", "all/note", "F/1/report.csv")
        assert (status, "report.csv' exists" in error) == (1, True)
        status, _, error = call("cp", "-r", "all", "F/1")
        assert "4 files exist already" in error

    def test_standard_streams(self, call, run, here, monkeypatch):
        assert call("cp", "F/1/note", "-") == (0, "note" * 10, "")
        with open(__file__, encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", file)
            assert call("cp", "-", "F/1/stdin")[0] == 0
        assert next(run.read(["files/F/1/stdin"])) == Path(__file__).read_bytes()

    def test_json(self, call, run, here):
        (found,) = json.loads(call("cp", "F/1/note", "x", "--json")[1])
        assert found == {"source": f"{run.url}/files/F/1/note", "target": "x", "size": 40}

    def test_what_looks_like_a_pathspec(self, call, run, here):
        (here / "sub").mkdir()
        (here / "sub" / "f").write_text("local")
        assert call("cp", "sub/f", "F/1/f")[0] == 0
        assert call("cp", "F/1/f", "sub/g")[0] == 0
        assert (here / "sub" / "g").read_text() == "local"
        (here / "F" / "1").mkdir(parents=True)
        (here / "F" / "1" / "note").write_text("other")
        status, _, error = call("cp", "F/1/note", "z")
        assert status == 2
        assert "may be a file or beside a run" in error
        assert "./F/1/note for the file" in error

    @pytest.mark.parametrize(
        ("arguments", "what", "hint"),
        [
            (("F/1/data", "."), "'F/1/data' is a folder", "flow cp --recursive F/1/data …"),
            (("F/1/nope", "."), "no object or folder 'F/1/nope'", "did you mean 'F/1/note'?"),
            (("F/1/note", "F/9/note"), "no run F/9", "its latest runs: 1"),
            (("none", "F/1"), "no such file", "current folder"),
            (("a", "b"), "Neither of the two is in a store", "cp a b"),
            ((".", "F/1"), "'.' is a folder", "--recursive"),
            (("-", "F/1"), "standard input cannot be copied", "flow cp - MyFlow/3/name"),
            (("a", "-"), "cannot be written to the standard output", "cat a"),
        ],
    )
    def test_mistakes(self, call, run, arguments, what, hint):
        status, _, error = call("cp", *arguments)
        assert status in (1, 2)
        assert what in error
        assert hint in error

    def test_names_that_would_lie_elsewhere(self):
        from flow_files.cp import Item, _path_below
        from flow_files.errors import FilesURLError

        for name in ("../x", "a/../../x", "/x", "a//b"):
            with pytest.raises(FilesURLError, match="cannot be the name of a file"):
                _path_below("folder", Item(name, "x", None, 0))

    def test_object_that_is_a_folder_too(self, call, run, here):
        from flow_files.cp import _refuse_clashes
        from flow_files.errors import FilesError

        _refuse_clashes(["out/a", "out/ab/c", "/out"])
        with pytest.raises(FilesError, match="'out/a' would be a file and a folder"):
            _refuse_clashes(["out/b", "out/a", "out/a/b/c"])
        (here / "out").write_text("a file")
        status, _, error = call("cp", "F/1/note", "out/note")
        assert status == 1
        assert "a file lies where a folder is needed" in error

    def test_what_is_no_file_is_not_replaced(self, call, run, here):
        os.mkfifo(here / "pipe")
        (here / "link").symlink_to("pipe")
        for name in ("pipe", "link"):
            status, _, error = call("cp", "--force", "F/1/note", name)
            assert status == 1
            assert f"'{name}' is no file that can be replaced" in error
            assert "'-' is the standard output" in error
        assert stat.S_ISFIFO((here / "link").stat().st_mode)
        (here / "note").mkdir()
        status, _, error = call("cp", "--force", "F/1/note", ".")
        assert (status, "it is a folder" in error) == (1, True)

    def test_a_folder_that_takes_no_files(self, call, run):
        status, _, error = call("cp", "F/1/note", "/proc/note")
        assert status == 1
        assert "where: /proc/note\n" in error
        assert "name another folder\n" in error

    def test_rights_are_those_of_new_files(self, call, run, here):
        (here / "mine").write_text("")
        assert call("cp", "F/1/note", "copy")[0] == 0
        with_memory = MemoryStore("other")
        with_memory.write([("note", b"x")])
        target = Target(with_memory, "note", "note", None, "note")
        save(with_memory, target, str(here / "streamed"), Meter("a", "b", 1, 1))
        rights = {name: (here / name).stat().st_mode for name in ("mine", "copy", "streamed")}
        assert len(set(rights.values())) == 1, rights
