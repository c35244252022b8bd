"""Artifacts: what is saved comes back, what is damaged is never believed."""

import base64
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import threading
from decimal import Decimal

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from flow_core.artifacts import (
    ALIGN,
    MAGIC,
    ArtifactStore,
)
from flow_core.blobs import compress_if_it_pays
from flow_core.errors import ArtifactError, Declined, FormatError, IntegrityError
from flow_core.index import EntryPoint, PluginIndex
from flow_core.interfaces import StoreCapabilities
from flow_core.pickling import PickleSerializer, find_unpicklable
from flow_core.records import ArtifactRef, blob_key
from flow_core.testing import MemoryStore

WHAT = "artifact 'x' of F/1/start/1"


class FolderStore(MemoryStore):
    """A store of plain files, as far as artifacts need one."""

    capabilities = StoreCapabilities(mappable=True)

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.written = 0

    def local_path(self, key):
        return str(self.folder / key.replace("/", "_"))

    def _write(self, key, content, create_only):
        path = self.local_path(key)
        if not (create_only and os.path.exists(path)):
            self.written += 1
            with open(path, "wb") as file:
                file.write(content)
        return super()._write(key, content, create_only)

    def _read(self, key):
        try:
            with open(self.local_path(key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None


@pytest.fixture(params=["memory", "files"])
def artifacts(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else FolderStore(tmp_path)
    return ArtifactStore(store, PluginIndex([]))


def back(artifacts, value):
    ref = artifacts.save("x", value)
    stored = ArtifactRef(*json.loads(json.dumps(ref)))  # as a manifest keeps it
    return artifacts.load(stored, WHAT)


def same(a, b):
    """Equality that also holds for nan, and knows 1 from True and 0.0 from -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


any_text = st.text(alphabet=st.characters(exclude_categories=()))  # surrogates too
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**52, max_value=2**70)
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | any_text
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(any_text | st.integers(), inner)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


class TestRoundTrip:
    @given(values)
    @example(float("nan"))
    @example(-0.0)
    @example(2**53)
    @example("\ud800")
    @example(b"")
    @example("x" * 5000)
    @example([b"\x28\xb5\x2f\xfd" * 2000])
    def test_python_values(self, value):
        artifacts = ArtifactStore(MemoryStore(), PluginIndex([]))
        assert same(back(artifacts, value), value)

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(3000.0).reshape(50, 60),
            np.asfortranarray(np.arange(3000.0).reshape(50, 60)),
            np.arange(9000)[::3],
            np.arange(9000).reshape(90, 100)[5:50, ::2],
            np.zeros((0, 5)),
            np.array(7),
            np.array([1 + 2j, math.nan]),
            np.array([(1, b"a"), (2, b"b")] * 500, dtype=[("n", "<i4"), ("s", "S3")]),
            np.array([{"a": 1}, None, "x"], dtype=object),
            np.array(["ä", "bc"] * 900),
            np.arange(1000).astype(">i4"),
            np.arange(20000).reshape(100, 200).T,
        ],
        ids=lambda a: f"{a.dtype}-{a.shape}",
    )
    def test_numpy_arrays(self, artifacts, array):
        found = back(artifacts, array)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        if found.size and found.dtype != object:
            found.flat[0] = found.flat[-1]  # arrays read back can be written to

    def test_many_buffers_in_one_value(self, artifacts):
        value = {n: np.full(700, n) for n in range(20)}
        found = back(artifacts, value)
        assert all((found[n] == n).all() for n in range(20))

    def test_types_are_told(self, artifacts):
        refs = [artifacts.save("x", v) for v in (1, "a", [1], np.zeros(3), None)]
        assert [r.type for r in refs] == ["int", "str", "list", "numpy.ndarray", "NoneType"]

    def test_json_scalars_are_readable_in_the_manifest(self, artifacts):
        assert artifacts.save("x", 5)[3:] == ("json", True, 5)
        assert artifacts.save("x", 5).hash != artifacts.save("x", 5.0).hash
        assert artifacts.save("x", True).hash != artifacts.save("x", 1).hash


class TestMapping:
    @pytest.fixture
    def artifacts(self, tmp_path):
        return ArtifactStore(FolderStore(tmp_path), PluginIndex([]))

    def test_big_arrays_are_mapped_aligned_and_copied_on_write(self, artifacts):
        array = np.arange(1 << 20, dtype="f8")  # 8 MiB
        ref = artifacts.save("x", [array, array + 1])
        one, two = artifacts.load(ref, WHAT)
        for found in (one, two):
            assert found.__array_interface__["data"][0] % ALIGN == 0
            assert not found.flags.owndata
        one[:] = 0
        again = artifacts.load(ref, WHAT)
        np.testing.assert_array_equal(again[0], array)
        np.testing.assert_array_equal(two, array + 1)

    def test_a_step_may_hold_more_arrays_than_files_can_be_open(self, artifacts):
        resource = pytest.importorskip("resource")
        limit, hardest = resource.getrlimit(resource.RLIMIT_NOFILE)
        small, big = (artifacts.save("x", np.arange(n)) for n in (10_000, 1 << 17))
        here = len(os.listdir("/dev/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (here + 8, hardest))
        try:
            held = [artifacts.load(ref, WHAT) for ref in [small] * 20 + [big] * 20]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hardest))
        assert [len(array) for array in held] == [10_000] * 20 + [1 << 17] * 20

    def test_an_unchanged_value_is_not_written_again(self, artifacts):
        value = {"a": np.arange(100_000), "b": "text"}
        ref = artifacts.save("x", value)
        written = artifacts.store.written
        loaded = artifacts.load(ref, WHAT)
        assert artifacts.save("x", loaded, ref) is ref
        assert artifacts.store.written == written
        loaded["a"][5] = -1
        assert artifacts.save("x", loaded, ref).hash != ref.hash
        assert artifacts.store.written == written + 1


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.makedirs, (os.environ["FLOW_TEST_MARK"],)


@pytest.fixture
def payload(artifacts, tmp_path, monkeypatch):
    """A stored value whose unpickling leaves a mark, and a function that tells whether it did."""
    mark = tmp_path / "mark"
    monkeypatch.setenv("FLOW_TEST_MARK", str(mark))
    ref = artifacts.save("x", [Payload(), os.urandom(6000)])
    return ref, mark.exists


def rewrite(artifacts, ref, change):
    """Change the stored bytes of a blob."""
    key = blob_key(ref.hash)
    (raw,) = artifacts.store.read([key])
    artifacts.store.write([(key, change(raw))])


class TestDamage:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda raw: raw[:-1], "bytes instead of"),
            (lambda raw: b"", "bytes instead of"),
            (lambda raw: raw + b"x", "bytes instead of"),
            (lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:], "the hash that names"),
            (lambda raw: b"FLOWART2" + raw[8:], "the hash that names"),
        ],
    )
    def test_a_changed_blob_is_never_unpickled(self, artifacts, payload, change, why):
        ref, unpickled = payload
        rewrite(artifacts, ref, change)
        with pytest.raises(IntegrityError) as caught:
            artifacts.load(ref, WHAT)
        assert caught.value.what == f"The stored data of {WHAT} is damaged"
        assert why in caught.value.why
        assert ref.hash[:16] in caught.value.where
        assert "resume" in caught.value.hint
        assert not unpickled()

    def test_undamaged_the_payload_does_run(self, artifacts, payload):
        ref, unpickled = payload
        artifacts.load(ref, WHAT)
        assert unpickled()

    def test_a_missing_blob(self, artifacts, payload, tmp_path):
        ref, _ = payload
        artifacts.store.delete([blob_key(ref.hash)])
        for path in tmp_path.glob("blobs_*"):
            path.unlink()
        with pytest.raises(IntegrityError) as caught:
            artifacts.load(ref, WHAT)
        assert caught.value.why == "it is missing"
        assert ref.hash in caught.value.where

    @pytest.mark.parametrize("damaged", [b"", b"raw byte", b"raw bytez"])
    def test_raw_bytes_are_healed_when_they_are_stored_again(self, artifacts, damaged):
        if len(damaged) == 9 and not artifacts.store.capabilities.mappable:
            return  # only the size is compared
        digest = artifacts.put_bytes(b"raw bytes")
        artifacts.store.write([(blob_key(digest), damaged)])
        assert artifacts.put_bytes(b"raw bytes") == digest
        assert artifacts.get_bytes(digest, WHAT) == b"raw bytes"

    def test_a_truncated_blob_of_a_remote_store_is_healed_when_it_is_saved_again(self):
        artifacts = ArtifactStore(MemoryStore(), PluginIndex([]))
        value = os.urandom(10_000)
        ref = artifacts.save("x", value)
        artifacts.store.write([(blob_key(ref.hash), b"short")])
        assert artifacts.save("x", value) == ref
        assert artifacts.load(ref, WHAT) == value

    def test_an_inline_value_is_verified_too(self, artifacts):
        ref = artifacts.save("x", [1, 2, 3])
        raw = bytearray(base64.b64decode(ref.value))
        raw[-2] ^= 1
        with pytest.raises(IntegrityError) as caught:
            artifacts.load(ref._replace(value=base64.b64encode(raw).decode()), WHAT)
        assert caught.value.where == "its manifest"

    def test_a_newer_format_is_named(self, artifacts):
        content = b"FLOWART9" + bytes(5000)
        digest = blake3(content).hexdigest()
        artifacts.store.write([(blob_key(digest), content)])
        with pytest.raises(FormatError) as caught:
            artifacts.load(ArtifactRef(digest, len(content), "list", "pickle"), WHAT)
        assert caught.value.what == f"A{WHAT[1:]} has a newer format"
        assert caught.value.hint == "pip install --upgrade flow-core"

    def test_what_is_no_container(self, artifacts):
        content = bytes(5000)
        digest = blake3(content).hexdigest()
        artifacts.store.write([(blob_key(digest), content)])
        with pytest.raises(IntegrityError, match="damaged"):
            artifacts.load(ArtifactRef(digest, len(content), "list", "pickle"), WHAT)

    def test_a_class_that_is_gone(self, artifacts):
        ref = artifacts.save("x", [Payload])
        raw = base64.b64decode(ref.value).replace(b"Payload", b"Poyload")
        changed = ref._replace(
            value=base64.b64encode(raw).decode(), hash=blake3(raw).hexdigest(), type="lib.Thing"
        )
        with pytest.raises(ArtifactError) as caught:
            artifacts.load(changed, WHAT)
        assert caught.value.what == f"A{WHAT[1:]} cannot be read back"
        assert caught.value.why.startswith("AttributeError: ")
        assert caught.value.hint == "it is a lib.Thing: install or import what defines it"

    def test_a_serializer_that_is_not_installed(self, artifacts):
        ref = artifacts.save("x", [1])._replace(serializer="pandas.parquet")
        with pytest.raises(ArtifactError, match=r"serializer 'pandas\.parquet', which"):
            artifacts.load(ref, WHAT)


class TestItems:
    @pytest.mark.parametrize("size", [1, 3000])
    def test_each_can_be_read_alone(self, artifacts, size):
        items = [{"n": n, "pad": "x" * size} for n in range(10)]
        ref, count = artifacts.save_items("items", iter(items))
        assert count == 10
        # Where a blob costs a request, more of them travel in the manifest.
        assert ref.inline is (size == 1 or not artifacts.store.capabilities.mappable)
        assert [artifacts.load_item(ref, n, count, WHAT) for n in range(10)] == items

    def test_none_at_all(self, artifacts):
        assert artifacts.save_items("items", [])[1] == 0

    def test_ten_thousand_small_ones(self, artifacts):
        ref, count = artifacts.save_items("items", range(10_000))
        assert (count, artifacts.load_item(ref, 9_999, count, WHAT)) == (10_000, 9_999)

    def test_any_damage_is_detected(self, artifacts):
        ref, count = artifacts.save_items("items", [os.urandom(25_000) for _ in range(3)])
        (raw,) = artifacts.store.read([blob_key(ref.hash)])
        rows = len(raw) - 3 * 32
        for position in (10, rows + 32 + 1, rows + 32 + 9, rows + 32 + 20):
            offset = position if position >= rows else position + 26_000
            damaged = bytearray(raw)
            damaged[offset] ^= 0x10
            rewrite(artifacts, ref, lambda _, new=damaged: bytes(new))
            with pytest.raises(IntegrityError) as caught:
                artifacts.load_item(ref, 1, count, WHAT)
            assert WHAT in caught.value.what
        rewrite(artifacts, ref, lambda _: raw[:-40])
        with pytest.raises(IntegrityError):
            artifacts.load_item(ref, 1, count, WHAT)

    def test_a_missing_table(self, artifacts, tmp_path):
        ref, count = artifacts.save_items("items", [bytes(40_000)] * 2)
        artifacts.store.delete([blob_key(ref.hash)])
        for path in tmp_path.glob("blobs_*"):
            path.unlink()
        with pytest.raises(IntegrityError, match="damaged"):
            artifacts.load_item(ref, 0, count, WHAT)


class Model:
    def __init__(self):
        self.layers = [1, 2, 3, Layer()]


class Layer:
    def __init__(self):
        self.lock = threading.Lock()


class Unshowable:
    def __repr__(self):
        raise ValueError("never")


class TestUnstorable:
    def test_the_path_is_named(self, artifacts):
        with pytest.raises(ArtifactError) as caught:
            artifacts.save("model", Model())
        assert caught.value.what == (
            "Artifact 'model' cannot be stored: self.model.layers[3].lock is a _thread.lock"
        )
        assert "cannot pickle '_thread.lock' object" in caught.value.why
        assert "self.__model" in caught.value.hint

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (threading.Lock(), "v"),
            ({"a": {"b": threading.Lock()}}, "v['a']['b']"),
            ((1, [threading.Lock()]), "v[1][0]"),
            ({(1, 2): threading.Lock()}, "v[(1, 2)]"),
            ((n for n in ()), "v"),
        ],
    )
    def test_paths(self, value, path):
        assert find_unpicklable("v", value)[0] == path

    def test_a_long_path_is_shortened(self):
        value = threading.Lock()
        for number in range(100):
            value = {f"key {number} {'x' * 1000}": value}
        path, culprit = find_unpicklable("v", value)
        assert len(path) <= 200
        assert path.startswith("v['key 99 xx")
        assert "…" in path
        assert path.endswith("xx']")
        assert not isinstance(culprit, dict)

    def test_a_key_that_cannot_be_shown(self):
        assert find_unpicklable("v", {Unshowable(): threading.Lock()})[0].endswith(".Unshowable>]")

    def test_a_value_of_too_many_levels(self, artifacts):
        value = []
        for _ in range(20_000):  # Python 3.13 allows ten thousand
            value = [value]
        with pytest.raises(
            ArtifactError, match="is a list with too many levels below it"
        ) as caught:
            artifacts.save("deep", {"tree": value})
        assert len(str(caught.value)) < 600
        assert "self.deep['tree'][0][0]" in caught.value.what
        assert "store it flat" in caught.value.hint
        assert "RecursionError" in caught.value.why

    def test_a_value_that_holds_itself(self):
        value = [threading.Lock()]
        value.append(value)
        assert find_unpicklable("v", value)[0] == "v[0]"

    def test_an_object_that_refuses_is_itself_the_culprit(self):
        class Refuses:
            def __init__(self):
                self.lock = threading.Lock()

            def __reduce__(self):
                raise TypeError("never")

        value = Refuses()
        assert find_unpicklable("v", [value]) == ("v[0]", value)

    def test_nothing_is_left_behind(self):
        store = MemoryStore()
        with pytest.raises(ArtifactError):
            ArtifactStore(store, PluginIndex([])).save("x", [bytes(9000), threading.Lock()])
        assert list(store.list()) == []


class TestCompression:
    def test_only_where_it_pays(self):
        noise, text = os.urandom(100_000), b"abc" * 40_000
        assert compress_if_it_pays(noise) == noise
        assert len(compress_if_it_pays(text)) < len(text) / 10

    def test_only_on_stores_that_cannot_map(self, tmp_path):
        value = "abc" * 40_000
        sizes = []
        for store in (MemoryStore(), FolderStore(tmp_path)):
            artifacts = ArtifactStore(store, PluginIndex([]))
            ref = artifacts.save("x", value)
            sizes.append(store.size(blob_key(ref.hash)))
            assert artifacts.load(ref, WHAT) == value
        assert sizes[0] < 2000
        assert sizes[1] > 120_000

    def test_raw_bytes_that_are_a_zstd_frame_stay_as_they_are(self, artifacts):
        import zstandard

        frame = zstandard.ZstdCompressor().compress(b"abc" * 1000)
        digest = artifacts.put_bytes(frame)
        assert artifacts.get_bytes(digest, WHAT) == frame

    def test_a_damaged_frame_may_claim_any_size(self):
        artifacts = ArtifactStore(MemoryStore(), PluginIndex([]))
        ref = artifacts.save("x", "abc" * 40_000)
        (raw,) = artifacts.store.read([blob_key(ref.hash)])
        for position in range(min(len(raw), 40)):
            damaged = bytearray(raw)
            damaged[position] ^= 0xFF
            rewrite(artifacts, ref, lambda _, new=damaged: bytes(new))
            with pytest.raises(IntegrityError):
                artifacts.load(ref, WHAT)


class Reversed:
    """A serializer of a plugin, for values of the module 'decimal'."""

    tag = "decimal.text"
    safe = True

    def can(self, value):
        return type(value).__name__ == "Decimal"

    def dump(self, value):
        return [str(value).encode()[::-1]]

    def load(self, parts):
        from decimal import Decimal

        return Decimal(bytes(parts[0])[::-1].decode())


class Cents(Reversed):
    """Another one for the same values; it stores those with two digits only."""

    tag = "decimal.cents"

    def dump(self, value):
        if value.as_tuple().exponent != -2:
            raise Declined(f"{value} has no two digits behind the point")
        return [str(value).encode()[::-1]]


class TestSerializers:
    @pytest.fixture
    def index(self, monkeypatch):
        name = "flow_test_serializers"
        monkeypatch.setitem(sys.modules, name, sys.modules[__name__])
        values = {"decimal.text": f"{name}:Reversed", "decimal.cents": f"{name}:Cents"}
        return PluginIndex(
            [EntryPoint("flow.serializers", t, value, "d", "1", "") for t, value in values.items()]
        )

    def tag(self, index, value, prefer=(), setting=()):
        artifacts = ArtifactStore(MemoryStore(), index, prefer=setting)
        ref = artifacts.save("x", value, prefer=prefer)
        assert artifacts.load(ref, WHAT) == value
        return ref.serializer

    def test_a_plugins_serializer_is_used_for_its_types_and_found_by_its_tag(self, index):
        assert self.tag(index, Decimal("1.50")) == "decimal.cents"
        assert self.tag(index, [Decimal(1)]) == "pickle"

    def test_the_preferred_one_is_asked_first(self, index):
        text, cents = "decimal.text", "decimal.cents"
        assert self.tag(index, Decimal("1.50"), setting=[text]) == text
        assert self.tag(index, Decimal("1.50"), setting=["pickle"]) == "pickle"
        assert self.tag(index, Decimal("1.50"), setting=["pickle"], prefer=[text]) == text
        assert self.tag(index, Decimal("1.50"), setting=[text], prefer=[cents]) == cents
        assert self.tag(index, [Decimal("1.50")], setting=[text]) == "pickle"

    def test_one_whose_library_is_not_here_is_told(self, index, capsys, monkeypatch):
        def dump(self, value):
            import no_such_library  # noqa: F401

        monkeypatch.setattr(Cents, "dump", dump)
        assert self.tag(index, Decimal("1.50")) == "decimal.text"
        assert capsys.readouterr().err == (
            "Artifact 'x' is stored by decimal.text, since decimal.cents cannot store it exactly: "
            "there is no module 'no_such_library' here\n"
        )

    def test_one_that_declines_is_told_with_its_reason(self, index, capsys):
        assert self.tag(index, Decimal("1.5")) == "decimal.text"
        assert capsys.readouterr().err == (
            "Artifact 'x' is stored by decimal.text, since decimal.cents cannot store it exactly: "
            "1.5 has no two digits behind the point\n"
        )
        both = PluginIndex(
            e._replace(name=name)
            for e in index.entry_points
            if e.value.endswith("Cents")
            for name in ("decimal.cents", "decimal.coins")
        )
        assert self.tag(both, Decimal("1.5")) == "pickle"
        told = capsys.readouterr().err
        assert told.startswith("Artifact 'x' is stored by pickle, since decimal.cents and decimal.")
        assert told.count("two digits") == 1

    def test_one_that_stores_says_nothing(self, index, capsys):
        self.tag(index, Decimal("1.50"))
        assert capsys.readouterr().err == ""

    def test_pickle_takes_buffers_out_of_band(self):
        parts = PickleSerializer().dump([np.zeros(1000), np.ones(1000)])
        assert len(parts) == 3
        assert len(parts[0]) < 500

    @pytest.mark.parametrize("kind", [bytes, bytearray])
    def test_long_bytes_are_not_copied_into_the_stream(self, artifacts, kind):
        value = kind(b"a" * (8 << 20) + b"z")
        stream, content = PickleSerializer().dump(value)
        assert len(stream) < 200
        assert memoryview(content) == memoryview(value)
        assert pickle.loads(stream, buffers=[content]) == value  # whoever reads it
        back = artifacts.load(artifacts.save("x", value), "x")
        assert (type(back), back) == (kind, value)
        nested = artifacts.load(artifacts.save("x", [value]), "x")
        assert (type(nested[0]), nested) == (kind, [value])

    @pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
    def test_long_bytes_are_loaded_without_twice_their_memory(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "import re, sys\n"
            "from flow_core.artifacts import _pack, _packed_size, unpack\n"
            "from flow_core.blobs import _memory\n"
            "from flow_core.pickling import PickleSerializer\n"
            "def peak():\n"
            "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) >> 10\n"
            "value = eval(sys.argv[1])(b'abcdefgh') * (8 << 20)\n"
            "serializer = PickleSerializer()\n"
            "parts = serializer.dump(value)\n"
            "content, end = _memory(_packed_size(parts)), 0\n"
            "for piece in map(memoryview, _pack(parts)):\n"
            "    start, end = end, end + piece.nbytes\n"
            "    content[start:end] = piece\n"
            "kind, length = type(value), len(value)\n"
            "del value, parts, piece\n"
            "open('/proc/self/clear_refs', 'w').write('5')\n"
            "before = peak()\n"
            "value = serializer.load(unpack(content, 'x'))\n"
            "assert (type(value), len(value)) == (kind, length)\n"
            "assert value[:8] == value[-8:] == b'abcdefgh'\n"
            "assert peak() - before < 24, (before, peak())\n"
        )
        for kind in ("bytes", "bytearray"):
            subprocess.run([sys.executable, str(script), kind], check=True, timeout=60)

    def test_the_container_begins_with_its_name(self, artifacts):
        ref = artifacts.save("x", [1])
        assert base64.b64decode(ref.value).startswith(MAGIC)

    def test_the_same_value_has_the_same_hash_in_another_process(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "from flow_core.artifacts import ArtifactStore\n"
            "from flow_core.index import PluginIndex\n"
            "from flow_core.testing import MemoryStore\n"
            "class P:\n    size = 'x'\n    def f(self): return self.size\n"
            "def g(n): return P, n\n"
            "store = ArtifactStore(MemoryStore(), PluginIndex([]))\n"
            "print(store.save('x', [P(), g, lambda n: g(n)]).hash)\n"
        )
        hashes = {
            subprocess.run(
                [sys.executable, str(script)], capture_output=True, text=True, check=True
            ).stdout
            for _ in range(2)
        }
        assert len(hashes) == 1

    def test_pickle_of_a_module_function_stays_a_reference(self):
        assert pickle.loads(PickleSerializer().dump(back)[0]) is back
