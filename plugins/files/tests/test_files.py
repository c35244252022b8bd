"""Files over a store that keeps attributes and one that does not: the same behaviour."""

import gc
import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core import (
    FileRange,
    Files,
    FilesAccessDenied,
    FilesError,
    FilesInsufficientDiskSpace,
    FilesInvalidObject,
    FilesInvalidRange,
    FilesNotFound,
    FilesURLError,
    FileUpload,
)
from flow_core.api import AccessDenied, StoreError, UsageError
from flow_core.testing import MemoryStore
from flow_files.attributes import decode_metadata, encode_metadata

BIG = bytes(range(256)) * 20_000  # five megabytes: it does not stay in memory


@pytest.fixture
def files(store):
    with Files(root=store) as files:
        yield files


class TestGet:
    def test_one(self, files):
        url = files.put("a/x.csv", "größe\n")
        found = files.get("a/x.csv")
        assert (found.url, found.prefix, found.key) == (url, files.url, "a/x.csv")
        assert (found.exists, found.downloaded, found.size) == (True, True, 8)
        assert (found.text, found.blob) == ("größe\n", "größe\n".encode())
        assert Path(found.path).read_text() == "größe\n"
        assert found.path.endswith("x.csv")
        assert found.blob == "größe\n".encode()  # also after its file was asked for
        assert found.range_info is None

    @pytest.mark.parametrize("content", [b"", b"x", BIG])
    def test_any_size(self, files, content):
        files.put("k", content)
        found = files.get("k")
        assert found.blob == content
        assert Path(found.path).read_bytes() == content
        assert found.size == len(content)

    def test_many_come_in_order(self, files):
        keys = [f"k{n}" for n in range(200)]
        files.put_many((key, key * 3) for key in keys)
        asked = [*keys[::-1], "missing", "k7"]
        found = files.get_many(asked, return_missing=True)
        assert [f.key for f in found] == asked
        assert [f.text for f in found[:200]] == [key * 3 for key in keys[::-1]]
        assert (found[200].exists, found[200].downloaded) == (False, False)
        assert [found[200].blob, found[200].path, found[200].text, found[200].size] == [None] * 4

    def test_a_missing_one(self, files):
        with pytest.raises(FilesNotFound) as caught:
            files.get_many(["no/such"])
        assert caught.value.where == f"{files.url}/no/such"
        assert "return_missing=True" in caught.value.hint
        assert not files.get("no/such", return_missing=True).has_info
        with pytest.raises(LookupError):
            files.info("no/such")

    def test_what_is_downloaded_is_a_copy(self, files):
        for key, content in (("small", b"x"), ("big", BIG)):
            files.put(key, content)
            with open(files.get(key).path, "r+b") as file:
                file.write(b"changed")
            assert files.get(key).blob == content

    def test_what_was_got_stays_when_it_is_replaced(self, files):
        for key, content in (("small", b"x"), ("big", BIG)):
            files.put(key, content)
            found = files.get(key)
            files.put(key, "new")
            assert found.blob == content

    def test_no_text(self, files):
        files.put("k", b"\xff")
        with pytest.raises(FilesInvalidObject, match="no UTF-8"):
            _ = files.get("k").text

    def test_below_folders(self, files):
        files.put_many([(k, k) for k in ("a/1", "a/b/2", "ab/3", "c")])
        found = files.get_recursive(["a", "c"])
        assert [(f.prefix, f.key, f.text) for f in found] == [
            (f"{files.url}/a", "1", "a/1"),
            (f"{files.url}/a", "b/2", "a/b/2"),
        ]
        assert [f.key for f in files.get_all()] == ["a/1", "a/b/2", "ab/3", "c"]
        assert not found[0].has_info
        assert files.get_all(return_info=True)[0].last_modified > 0


class TestRanges:
    @pytest.mark.parametrize(
        ("offset", "length", "start", "stop"),
        [
            (0, 4, 0, 4),
            (10, 5, 10, 15),
            (10, None, 10, None),
            (0, -7, -7, None),
            (len(BIG) - 2, 100, -2, None),
            (1, 3_000_000, 1, 3_000_001),
            (0, -10 * len(BIG), 0, None),
            (0, 0, 0, 0),
        ],
    )
    def test_a_part(self, files, offset, length, start, stop):
        files.put("k", BIG)
        found = files.get(FileRange("k", offset, length))
        assert found.blob == BIG[start:stop]
        assert found.size == len(found.blob)
        first = start if start >= 0 else len(BIG) + start
        assert found.range_info == (len(BIG), first, found.size)

    def test_whole_ones_and_parts_together(self, files):
        files.put_many([("a", "abcdef"), ("b", "ghijkl")])
        found = files.get_many([FileRange("b", 1, 2), "a", FileRange("a", 3)])
        assert [f.text for f in found] == ["hi", "abcdef", "def"]

    def test_behind_the_end(self, files):
        files.put("k", "abc")
        with pytest.raises(FilesInvalidRange, match="no byte 3") as caught:
            files.get(FileRange("k", 3))
        assert caught.value.why == "the object has 3 bytes"

    @pytest.mark.parametrize("wrong", [FileRange("k", -1), FileRange("k", 5, -3)])
    def test_contradictions(self, files, wrong):
        with pytest.raises(FilesInvalidRange, match="no range"):
            files.get(wrong)

    def test_no_number(self, files):
        with pytest.raises(FilesURLError, match="'3' is no number"):
            files.get(FileRange("k", "3"))

    def test_a_missing_one(self, files):
        assert not files.get(FileRange("k", 3), return_missing=True).exists

    def test_replaced_while_it_is_read(self):
        class Changing(MemoryStore):
            def read_range(self, key, offset, length):
                found = super().read_range(key, offset, length)
                self.write([(key, b"y" * len(BIG))])
                return found

        store = Changing("x")
        with Files(root=store) as files:
            files.put("k", BIG * 4)
            with pytest.raises(FilesError, match="changed while it was read"):
                files.get(FileRange("k", 1))


class TestPut:
    def test_what_content_may_be(self, files, tmp_path):
        (tmp_path / "f").write_bytes(BIG)
        with open(tmp_path / "f", "rb") as file:
            file.seek(5)
            files.put_many(
                [
                    ("text", "ü"),
                    ("bytes", b"b"),
                    ("array", bytearray(b"a")),
                    ("view", memoryview(BIG)[::2]),
                    ("file", file),
                    ("words", io.StringIO("ü" * 9)),
                    FileUpload("path", path=str(tmp_path / "f")),
                ]
            )
        keys = ["text", "bytes", "array", "view", "file", "words", "path"]
        contents = ["ü".encode(), b"b", b"a", BIG[::2], BIG[5:], "ü".encode() * 9, BIG]
        assert [f.blob for f in files.get_many(keys)] == contents

    @pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, Path("x"), object])
    def test_what_it_may_not_be(self, files, wrong):
        with pytest.raises(FilesInvalidObject):
            files.put("k", wrong)
        assert files.list_recursive() == []

    def test_without_overwriting(self, files):
        url = files.put("a", "old")
        assert files.put("a", "new", overwrite=False) == url
        assert files.put_many([("a", "x"), ("b", "y")], overwrite=False) == [
            ("b", f"{files.url}/b")
        ]
        assert files.put("big", io.BytesIO(BIG), overwrite=False)
        assert [f.blob for f in files.get_many(["a", "b", "big"])] == [b"old", b"y", BIG]

    def test_files(self, files, tmp_path):
        for name, content in (("a.txt", b"small"), ("b.bin", BIG)):
            (tmp_path / name).write_bytes(content)
        pairs = [("x/a", tmp_path / "a.txt"), ("x/b", str(tmp_path / "b.bin"))]
        assert files.put_files(pairs) == [(k, f"{files.url}/{k}") for k in ("x/a", "x/b")]
        assert [f.size for f in files.get_all()] == [5, len(BIG)]

    def test_a_closed_file(self, files, tmp_path):
        tmp_path.joinpath("words").write_text("words")
        with open(tmp_path / "words", "rb") as file:
            pass
        with pytest.raises(FilesInvalidObject, match="A closed file") as caught:
            files.put("k", file)
        assert "put_files" in caught.value.hint

    def test_files_that_are_none(self, files, tmp_path):
        with pytest.raises(FilesNotFound, match="no such file") as caught:
            files.put_files([("k", tmp_path / "none")])
        assert caught.value.where == str(tmp_path / "none")
        with pytest.raises(FilesInvalidObject, match="A folder"):
            files.put_files([("k", tmp_path)])

    def test_pairs_are_taken_while_it_goes(self, files):
        """However many there are, they are not all made first."""
        waiting = 0
        most = 0

        def pairs():
            nonlocal waiting, most
            for n in range(300):
                waiting += 1
                most = max(most, waiting)
                yield f"{n}", b"x" * 1_000_000

        class Counting(MemoryStore):
            def write(self, items, **options):
                nonlocal waiting
                done = super().write(((k, b"") for k, _ in items), **options)
                waiting -= len(done)
                return done

        with Files(root=Counting("x")) as counting:
            assert len(counting.put_many(pairs())) == 300
        assert most < 100

    def test_one_key_twice(self, files):
        with pytest.raises(FilesURLError, match="'k' is given twice"):
            files.put_many([("k", "1"), ("k", "2")])

    def test_what_is_no_pair(self, files):
        with pytest.raises(FilesURLError, match="does not say what is to be put where"):
            files.put_many(["ab"])

    def test_encryption_of_one_object(self, files):
        with pytest.raises(FilesURLError, match="encryption of a single object"):
            files.put_many([FileUpload("k", "v", encryption="AES256")])


class TestAttributes:
    GIVEN = {"plain": "text", "Ünï code": "wörd\n", "a_b": ""}

    def test_they_come_back(self, files, store):
        files.put("a/k", "x", content_type="text/csv", metadata=self.GIVEN)
        files.put_many([FileUpload("big", BIG, content_type="x/y"), ("none", "")])
        for found in (files.get("a/k"), files.info("a/k")):
            assert (found.content_type, found.metadata) == ("text/csv", self.GIVEN)
        assert files.info("big").content_type == "x/y"
        assert files.info("none").metadata is None
        assert [f.key for f in files.list_recursive()] == ["a/k", "big", "none"]
        assert [f.key for f in files.list_paths(["a"])] == ["k"]
        assert files.get("a/k", return_info=False).metadata is None

    def test_they_go_with_what_is_replaced(self, files):
        files.put("k", "x", content_type="text/csv")
        files.put("k", "y", overwrite=False)
        assert files.info("k").content_type == "text/csv"
        files.put("k", "y")
        assert (files.info("k").content_type, files.info("k").metadata) == (None, None)

    def test_those_of_an_object_that_somebody_deleted(self, files, store):
        files.put("k", "x", content_type="text/csv")
        store.delete(["k"])
        files.put("k", "x", overwrite=False)
        assert files.info("k").content_type is None

    @pytest.mark.parametrize(
        ("content_type", "metadata"), [(3, None), (None, {"a": 1}), (None, {1: "a"})]
    )
    def test_what_is_no_text(self, files, content_type, metadata):
        with pytest.raises(FilesInvalidObject, match="must be text, not int"):
            files.put("k", "v", content_type=content_type, metadata=metadata)

    @pytest.mark.parametrize("content_type", ["a\nb", "text/plain; charset=\u00fc", "a\0"])
    def test_what_no_header_can_carry(self, files, content_type):
        with pytest.raises(FilesInvalidObject, match="cannot be a content type"):
            files.put("k", "v", content_type=content_type)
        assert list(files.list_recursive()) == []

    def test_metadata_without_names(self, files):
        with pytest.raises(FilesInvalidObject, match="texts by name, not a list"):
            files.put("k", "v", metadata=[("a", "b")])

    def test_what_is_known_is_asked_when_it_is_wanted(self):
        asked = []

        class Watched(MemoryStore):
            def describe(self, keys):
                asked.append(len(keys))
                return super().describe(keys)

        with Files(root=Watched("x")) as files:
            files.put_many([(f"{n}", "x") for n in range(50)])
            found = files.get_many([f"{n}" for n in range(50)])
            assert asked == []
            assert all(f.last_modified for f in found)
            assert asked == [50]

    @given(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=["Cs"]))))
    def test_any_metadata(self, metadata):
        encoded = encode_metadata(metadata)
        assert all(name.isascii() and value.isascii() for name, value in encoded.items())
        assert decode_metadata(encoded) == metadata

    def test_what_other_programs_keep(self):
        assert decode_metadata({"flow-metadata": "no json", "a": "b"}) == {
            "flow-metadata": "no json",
            "a": "b",
        }


class TestLooking:
    def test_one_level(self, files):
        files.put_many([(k, "xyz") for k in ("a/1", "a/b/2", "c")])
        level = [(f.key, f.exists, f.size, f.url) for f in files.list_paths()]
        assert level == [("a", False, None, f"{files.url}/a"), ("c", True, 3, f"{files.url}/c")]
        assert [f.key for f in files.list_paths(["a", "a/b"])] == ["1", "b", "2"]
        assert files.list_paths(["nothing"]) == []

    def test_all(self, files):
        files.put_many([(k, "xyz") for k in ("a/1", "a/b/2", "c")])
        assert [(f.key, f.size, f.downloaded) for f in files.list_recursive(["a"])] == [
            ("1", 3, False),
            ("b/2", 3, False),
        ]

    def test_info(self, files):
        files.put("k", "abc")
        found = files.info_many(["k", "no"], return_missing=True)
        assert [(f.exists, f.size, f.has_info) for f in found] == [
            (True, 3, True),
            (False, None, False),
        ]
        assert (found[0].blob, found[0].path) == (None, None)


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "hint"),
        [
            ("/a", "'a'"),
            ("a/", "'a'"),
            ("a//b", "'a/b'"),
            ("../x", "'x'"),
            ("a/../../x", "'a/x'"),
            ("", "'folder/name'"),
            (".", "'folder/name'"),
            ("\0", ""),
            ("a/.attributes/b", "use another name"),
            (5, "'folder/name'"),
            (b"a", "'folder/name'"),
            ("a\udcff", "use another name"),
            ("s3://b/k", "Files() without a root takes full URLs"),
        ],
    )
    def test_what_is_none(self, files, key, hint):
        for use in (files.get, files.info, lambda k: files.put(k, "x")):
            with pytest.raises(FilesURLError) as caught:
                use(key)
            assert hint in caught.value.hint
            assert caught.value.exit_code == 2

    def test_a_full_url_below_the_root(self, files):
        with pytest.raises(FilesURLError) as caught:
            files.get(f"{files.url}/a/b")
        assert caught.value.hint == "'a/b'"

    def test_a_text_is_no_list_of_keys(self, files):
        for use in (files.get_many, files.get_recursive, files.info_many, files.list_paths):
            with pytest.raises(FilesURLError, match="not the text 'abc'") as caught:
                use("abc")
            assert caught.value.hint == "['abc']"


class TestPlaces:
    def test_full_urls(self, tmp_path):
        url = f"file://{tmp_path}/data/x.txt"
        with Files() as files:
            assert files.url is None
            assert files.put(url, "abc") == url
            found = files.get(url)
            assert (found.key, found.prefix, found.url, found.text) == (url, None, url, "abc")
            assert [f.key for f in files.list_paths([f"file://{tmp_path}/data"])] == ["x.txt"]
            assert [f.text for f in files.get_recursive([f"file://{tmp_path}"])] == ["abc"]
        assert (tmp_path / "data" / "x.txt").read_text() == "abc"

    @pytest.mark.parametrize("key", ["a/b", None, 3])
    def test_without_a_root_keys_are_urls(self, key):
        with Files() as files, pytest.raises(FilesURLError) as caught:
            files.get(key)
        assert "Files(run=self)" in caught.value.hint

    def test_listing_needs_a_root(self):
        with Files() as files, pytest.raises(FilesURLError, match="which key"):
            files.get_all()

    def test_the_root_itself_may_be_an_object(self, tmp_path):
        (tmp_path / "x").write_text("abc")
        with Files(root=f"file://{tmp_path}/x") as files:
            assert files.get().text == "abc"

    def test_folders_of_this_machine(self, tmp_path):
        with Files(root=f"file://{tmp_path}/data/") as files:
            files.put("a/b", "x")
        assert (tmp_path / "data/a/b").read_text() == "x"

    @pytest.mark.parametrize("root", ["data", "/data", 3, Path("/data")])
    def test_what_is_no_root(self, root):
        with pytest.raises(FilesURLError):
            Files(root=root)

    @pytest.mark.parametrize(
        ("root", "hint"),
        [
            ("s3:/bucket/x", "did you mean 's3://bucket/x'?"),
            ("/data/x", "'file:///data/x'"),
            ("data", "s3://bucket/folder, file:///folder, local:///folder"),
        ],
    )
    def test_what_a_root_should_have_been(self, root, hint):
        with pytest.raises(FilesURLError, match="no URL of a store") as caught:
            Files(root=root)
        assert caught.value.hint == hint

    def test_a_whole_store(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with Files() as files:
            files.put(f"local://{tmp_path}/.flow/x", "abc")
            (found,) = files.list_paths(["local://"])
            assert found.url == f"local://{tmp_path}/.flow/x"
            assert files.get(found.url).text == "abc"
            assert files._locator.folder("file:///").target("x").url == "file:///x"

    def test_an_unknown_store(self):
        with pytest.raises(UsageError, match="pip install flow-nosuch"):
            Files(root="nosuch://x")

    def test_run_and_root(self, store):
        with pytest.raises(FilesURLError, match="Both a run and a root"):
            Files(run="F/1", root=store)

    def test_a_named_run(self, run):
        with Files(run="F/1") as files:
            assert files.get("note").text == "note" * 10
        with pytest.raises(FilesNotFound, match="no run F/7") as caught:
            Files(run="F/7")
        assert caught.value.hint == "its latest runs: 1"

    @pytest.mark.parametrize("wrong", ["F", "F/1/step", 3, object()])
    def test_what_is_no_run(self, wrong, here):
        with pytest.raises(FilesURLError):
            Files(run=wrong)


class TestEnd:
    def test_files_vanish(self, store, tmp_path):
        with Files(root=store, temporary=str(tmp_path)) as files:
            files.put("k", BIG)
            found, small = files.get("k"), files.put("s", "x") and files.get("s")
            path = found.path
            assert path.startswith(str(tmp_path))
        assert not os.path.exists(os.path.dirname(path))
        for gone in (found, small):
            for name in ("path", "blob", "text"):
                with pytest.raises(FilesError, match="is gone"):
                    getattr(gone, name)
        assert found.size == len(BIG)
        assert found.url
        files.close()

    def test_use_after_the_end(self, store):
        with Files(root=store) as files:
            pass
        for use in (
            lambda: files.get("k"),
            lambda: files.put("k", "v"),
            files.list_paths,
            lambda: files.info("k"),
            files.__enter__,
        ):
            with pytest.raises(FilesError, match="is closed"):
                use()

    def test_without_a_block(self, store):
        files = Files(root=store)
        files.put("k", BIG)
        found = files.get("k")
        path = found.path
        del files
        gc.collect()
        assert found.blob == BIG  # what is held is kept
        del found
        gc.collect()
        assert not os.path.exists(path)

    def test_a_forked_child_leaves_the_files_of_its_parent(self, store):
        with Files(root=store) as files:
            files.put("k", BIG)
            path = files.get("k").path
            child = os.fork()
            if child == 0:
                try:
                    files.close()
                    gc.collect()
                    os._exit(0 if os.path.exists(path) else 1)
                finally:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0
            assert os.path.exists(path)

    def test_many_threads(self, store):
        wrong = []
        with Files(root=store) as files:

            def work(number):
                keys = [f"{number}/{n}" for n in range(20)]
                files.put_many((key, key) for key in keys)
                found = files.get_many(keys)
                if [Path(f.path).read_text() for f in found] != keys:
                    wrong.append(number)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len({f.path for f in files.get_all()}) == 160
        assert wrong == []


class TestTrouble:
    def test_the_store_refuses(self):
        class Refusing(MemoryStore):
            def stream(self, key):
                raise AccessDenied("No", where="w", why="y", hint="h")

            def write(self, items, **options):
                raise StoreError("Unreachable", where="w", why="y", hint="h")

        with Files(root=Refusing("x")) as files:
            with pytest.raises(FilesAccessDenied) as caught:
                files.get("k")
            assert str(caught.value) == "No\n  where: w\n  why:   y\n  try:   h"
            with pytest.raises(FilesError, match="Unreachable") as other:
                files.put("k", "v")
            assert other.value.failure_cause == "store"

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
    def test_a_full_disk(self, tmp_path, monkeypatch):
        store = MemoryStore("x")
        store.write([("k", BIG)])
        monkeypatch.setattr("flow_files.scratch.Scratch.path", lambda self, name: "/dev/full")
        monkeypatch.setattr("flow_files.download._NEW", os.O_WRONLY)
        with Files(root=store) as files, pytest.raises(FilesInsufficientDiskSpace) as caught:
            files.get("k")
        assert "free space" in caught.value.hint

    def test_no_folder_for_temporary_files(self):
        store = MemoryStore("x")
        store.write([("k", BIG)])
        with Files(root=store, temporary="/no/such") as files, pytest.raises(FilesError) as caught:
            files.get("k")
        assert caught.value.where == "/no/such"

    def test_a_reader_sees_a_bound_of_memory(self):
        """A large object goes to its file piece by piece."""

        class Streaming(MemoryStore):
            def stream(self, key):
                def pieces():
                    for _ in range(64):
                        yield bytearray(1 << 20)  # the same memory may be used again

                return pieces()

        with Files(root=Streaming("x")) as files:
            found = files.get("k")
            assert found.size == 64 << 20
            assert os.path.getsize(found.path) == 64 << 20


class TestLevels:
    def test_few_objects_are_one_listing(self):
        class Watched(MemoryStore):
            asked = 0

            def describe(self, keys):
                self.asked += 1
                return super().describe(keys)

        store = Watched("x")
        with Files(root=store) as files:
            files.put_many([(f"d{n % 3}/{n}", "x") for n in range(400)] + [("d0", "xy"), ("z", "")])
            level = [(f.key, f.exists) for f in files.list_paths()]
            assert level == [
                ("d0", True),
                ("d0", False),
                ("d1", False),
                ("d2", False),
                ("z", True),
            ]
            assert store.asked == 0
            files.put_many([(f"d1/{n}x", "x") for n in range(1000)])
            assert [f.key for f in files.list_paths()] == ["d0", "d1", "d2", "z"]
            assert store.asked == 1

    def test_many_objects_of_one_level_are_not_looked_at_one_by_one(self):
        class Watched(MemoryStore):
            def describe(self, keys):
                raise AssertionError("each of them would be a request")

        names = [f"{n:04}" for n in range(2500)]
        with Files(root=Watched("x")) as files:
            files.put_many([(f"level/{name}", "x" * 7) for name in names])
            files.put("level/sub/deep/y", "y")
            level = files.list_paths(["level"])
        assert [f.key for f in level] == [*names, "sub"]
        assert [f.size for f in level] == [7] * 2500 + [None]
