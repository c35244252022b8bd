"""Records: stored forms, states, ranges of inputs."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.errors import FormatError, IntegrityError, StateError
from flow_core.records import (
    ATTEMPT_TRANSITIONS,
    FORMAT,
    OK_STATES,
    RUN_TRANSITIONS,
    ArtifactRef,
    AttemptRecord,
    AttemptState,
    Failure,
    ForeachFrame,
    InputRange,
    InputRef,
    Manifest,
    RunDocument,
    RunResult,
    RunState,
    TaskSpec,
    Trace,
    Transition,
    advance_attempt,
    advance_run,
    blob_key,
    manifest_key,
    pack_inputs,
    result_key,
    run_key,
    seal,
    unpack_inputs,
)

names = st.text(min_size=1, max_size=8)
small = st.integers(min_value=0, max_value=10**6)
times = st.floats(min_value=0, max_value=1e12)
json_values = st.recursive(
    st.none() | st.booleans() | small | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
plain_refs = st.tuples(names, small, names, names)
inline_refs = st.tuples(names, small, names, st.just("json"), st.just(True), json_values)
refs = (plain_refs | inline_refs).map(lambda fields: ArtifactRef(*fields))
ranges = st.lists(st.builds(InputRange, names, small, small, small), max_size=3).map(tuple)
frames = st.lists(
    st.builds(ForeachFrame, names, small, small, names, small, small), max_size=3
).map(tuple)
failures = st.builds(Failure, names, names, names, names, st.lists(names, max_size=2).map(tuple))
transitions = st.builds(
    Transition,
    st.lists(names, max_size=3).map(tuple),
    st.none() | names,
    st.none() | small,
    st.none() | refs,
)
traces = st.builds(
    Trace,
    st.dictionaries(names, names, max_size=3),
    st.lists(names, max_size=3).map(tuple),
    st.lists(names, max_size=3).map(tuple),
)
manifests = st.builds(
    Manifest,
    names,
    names,
    names,
    small,
    small,
    st.sampled_from(AttemptState),
    st.none() | transitions,
    st.dictionaries(names, refs, max_size=3),
    ranges,
    frames,
    st.none() | names,
    times,
    times,
    times,
    small,
    st.none() | failures,
    st.dictionaries(names, json_values, max_size=2),
    names,
    small,
    small,
    st.none() | traces,
)
specs = st.builds(
    TaskSpec,
    names,
    names,
    names,
    small,
    small,
    ranges,
    frames,
    st.none() | failures,
    st.booleans(),
    small,
    st.none(),
    st.dictionaries(names, json_values, max_size=2),
)

MANIFEST = Manifest("F", "1", "start", 1, 0, AttemptState.SUCCEEDED, Transition(("end",)))
RESULT = RunResult("F", "1", RunState.FAILED, 2.5, "why", ("F/1/a/2",))
DOCUMENT = RunDocument(
    "F",
    "1",
    1.5,
    {"alpha": ArtifactRef("h", 3, "int", "json", True, 3)},
    {"LIMIT": ArtifactRef("h", 3, "int", "pickle")},
    None,
    {"name": "F"},
    {},
    tags=("a", "b"),
    info={"k": [1]},
)


class TestStoredForms:
    @given(manifests)
    def test_a_manifest_comes_back(self, manifest):
        found = Manifest.decode(manifest.encode(), manifest.key)
        assert found == manifest
        assert {type(r) for r in found.artifacts.values()} <= {ArtifactRef}
        assert type(found.state) is AttemptState

    @given(specs)
    def test_a_task_specification_comes_back_through_json(self, spec):
        import json

        assert TaskSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec

    @pytest.mark.parametrize("record", [RESULT, DOCUMENT], ids=["result", "document"])
    def test_run_records_come_back(self, record):
        found = type(record).decode(record.encode(), "key")
        assert found == record

    @pytest.mark.parametrize("record", [MANIFEST, RESULT, DOCUMENT], ids=["man", "res", "doc"])
    def test_damage_at_any_byte_is_detected(self, record):
        raw = record.encode()
        for position in range(len(raw)):
            for flip in (0x01, 0x08, 0x80):
                damaged = bytearray(raw)
                damaged[position] ^= flip
                with pytest.raises((IntegrityError, FormatError)) as caught:
                    type(record).decode(bytes(damaged), "the/key")
                assert caught.value.where == "the/key"
                assert caught.value.hint

    def test_every_truncation_is_detected(self):
        raw = MANIFEST.encode()
        for length in range(len(raw)):
            with pytest.raises(IntegrityError):
                Manifest.decode(raw[:length], "the/key")

    def test_another_kind_is_refused(self):
        with pytest.raises(IntegrityError) as caught:
            Manifest.decode(RESULT.encode(), "the/key")
        assert caught.value.what == "The manifest record is damaged"
        assert caught.value.why == "its bytes do not have the hash that it carries"

    def test_a_newer_format_says_upgrade(self):
        raw = MANIFEST.encode().replace(b"flow-manifest 1 ", b"flow-manifest 2 ", 1)
        with pytest.raises(FormatError) as caught:
            Manifest.decode(raw, "the/key")
        assert "manifest record has format 2; this flow-core reads formats up to 1" in (
            caught.value.what
        )
        assert caught.value.hint == "pip install --upgrade flow-core"
        with pytest.raises(FormatError):
            TaskSpec.from_json({**TaskSpec("F", "1", "a", 1).to_json(), "format": FORMAT + 1})

    def test_the_head_and_the_body_must_tell_one_format(self):
        raw = seal("flow-manifest", {"format": 0})
        with pytest.raises(IntegrityError):
            Manifest.decode(raw, "the/key")

    def test_records_survive_pickling(self):
        assert pickle.loads(pickle.dumps(MANIFEST)) == MANIFEST


class TestStates:
    @pytest.mark.parametrize("old", RunState)
    @pytest.mark.parametrize("new", RunState)
    def test_runs(self, old, new):
        if new in RUN_TRANSITIONS[old]:
            assert advance_run(old, new) is new
        else:
            with pytest.raises(StateError, match=f"from '{old.value}' to '{new.value}'"):
                advance_run(old, new)

    @pytest.mark.parametrize("old", AttemptState)
    @pytest.mark.parametrize("new", AttemptState)
    def test_attempts(self, old, new):
        if new in ATTEMPT_TRANSITIONS[old]:
            assert advance_attempt(old, new) is new
        else:
            with pytest.raises(StateError, match=f"from '{old.value}' to '{new.value}'"):
                advance_attempt(old, new)

    def test_ends_are_ends(self):
        for state in OK_STATES | {AttemptState.FAILED, AttemptState.CANCELLED}:
            assert not ATTEMPT_TRANSITIONS[state]
        for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED):
            assert not RUN_TRANSITIONS[state]

    def test_no_run_is_reused_from_running(self):
        assert AttemptState.REUSED not in ATTEMPT_TRANSITIONS[AttemptState.RUNNING]


class TestInputs:
    @given(st.lists(st.builds(InputRef, st.sampled_from("ab"), small, st.integers(0, 2))))
    def test_unpack_undoes_pack(self, refs):
        assert list(unpack_inputs(pack_inputs(refs))) == refs

    def test_a_foreach_is_one_range(self):
        refs = [InputRef("work", n, 0) for n in range(5, 10_005)]
        assert pack_inputs(refs) == (InputRange("work", 5, 10_004, 0),)

    def test_a_retried_task_parts_the_range(self):
        refs = [InputRef("w", 1, 0), InputRef("w", 2, 1), InputRef("w", 3, 0)]
        assert len(pack_inputs(refs)) == 3


class TestDerived:
    def test_keys(self):
        assert blob_key("abcd") == "blobs/ab/abcd"
        assert run_key("F", "1") == "runs/F/1/run.json"
        assert result_key("F", "1") == "runs/F/1/finished.json"
        assert (
            manifest_key("F", "1", "s", 2, 3)
            == "runs/F/1/s/2/3/manifest"
            == (MANIFEST._replace(step="s", task=2, attempt=3).key)
        )

    def test_pathspecs_and_indices(self):
        frame = ForeachFrame("start", 1, 0, "items", 4, 9)
        spec = TaskSpec("F", "1", "s", 2, foreach=(frame, frame._replace(index=7)))
        assert spec.pathspec == "F/1/s/2"
        assert spec.indices == (4, 7)

    def test_an_index_record_of_a_manifest(self):
        failure = Failure("error", "ValueError", "first\nsecond")
        manifest = MANIFEST._replace(failure=failure, state=AttemptState.FAILED, started=1.0)
        record = AttemptRecord.from_manifest(manifest)
        assert (record.message, record.cause, record.state) == (
            "first",
            "error",
            AttemptState.FAILED,
        )
        assert not manifest.ok


def test_failures_of_older_versions_have_no_bases_and_no_hint():
    failure = Failure("evicted", "ValueError", "no", "", ("Exception",), "ask for more memory")
    spec = TaskSpec("F", "1", "a", 1, previous=failure)
    data = json.loads(json.dumps(spec.to_json()))
    assert TaskSpec.from_json(data).previous == failure
    del data["previous"][5:]
    assert TaskSpec.from_json(data).previous == failure._replace(hint="")
    del data["previous"][4:]
    assert TaskSpec.from_json(data).previous == failure._replace(bases=(), hint="")
