"""What squeue tells, in the shapes of several releases, and how a job has ended by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flow_remote.backend import Ended, Waiting
from flow_slurm.endings import ended, waiting_text
from flow_slurm.scripts import Folder, read_folder, shown_name, write_folder
from flow_slurm.states import (
    COLUMNS,
    JobState,
    Shortened,
    compact,
    expand,
    expand_nodes,
    read_columns,
    read_json,
)
from flow_slurm.table import Table

from .conftest import job

OLD = {
    "job_id": 7,
    "array_job_id": 5,
    "array_task_id": 2,
    "array_task_string": "",
    "job_state": "FAILED",
    "state_reason": "NonZeroExitCode",
    "state_description": "",
    "exit_code": 768,
    "nodes": "node1",
    "restart_cnt": 0,
    "command": "/jobs/x/job.sh",
    "name": "f-1-a",
    "user_name": "ada",
    "submit_time": 1700000000,
}
"""As Slurm 21.08 and 22.05 tell it."""


def number(value: int | None) -> dict[str, Any]:
    return {"set": value is not None, "infinite": False, "number": value or 0}


NEW = {
    **OLD,
    "array_job_id": number(5),
    "array_task_id": number(2),
    "job_state": ["FAILED"],
    "exit_code": {
        "status": ["ERROR"],
        "return_code": number(3),
        "signal": {"id": number(None), "name": ""},
    },
    "submit_time": number(1700000000),
}
"""As 23.02 and later tell it."""


def read(one: dict[str, Any], **changes: Any) -> list[JobState]:
    return list(read_json({"jobs": [{**one, **changes}]}))


@pytest.mark.parametrize("told", [OLD, NEW])
def test_both_shapes(told: dict[str, Any]) -> None:
    assert read(told) == [
        JobState("5_2", "FAILED", False, "NonZeroExitCode", "", "node1", 768, 0, "/jobs/x/job.sh",
                 "f-1-a", "ada", 1700000000.0),
    ]  # fmt: skip
    (state,) = read(told)
    assert (state.code, state.signal, state.has_ended) == (3, None, True)


def test_signals() -> None:
    (old,) = read(OLD, exit_code=9)
    signal = {"id": number(9), "name": "KILL"}
    (new,) = read(NEW, exit_code={"return_code": number(0), "signal": signal})
    (shell,) = read(OLD, exit_code=137 << 8)
    for state in (old, new, shell):
        assert (state.code, state.signal) == (None, 9)


def test_jobs_that_are_no_array() -> None:
    assert [s.id for s in read(OLD, array_job_id=0, array_task_id=None)] == ["7"]
    assert [s.id for s in read(NEW, array_job_id=number(0), array_task_id=number(None))] == ["7"]


def test_an_array_that_waits_is_one_record() -> None:
    waits = {"job_state": "PENDING", "array_task_id": None, "array_task_string": "0-2,7%2"}
    assert [s.id for s in read(OLD, **waits)] == ["5_0", "5_1", "5_2", "5_7"]


def test_elements_that_were_cancelled_before_they_began_have_one_record_without_indices() -> None:
    gone = {"job_state": "CANCELLED", "array_task_id": None, "array_task_string": ""}
    assert [(s.id, s.state) for s in read(OLD, **gone)] == [("5", "CANCELLED")]


def test_a_list_of_elements_that_is_cut_short_is_never_taken_for_all_of_them() -> None:
    waits = {"job_state": "PENDING", "array_task_id": None, "array_task_string": "0,2-3,5-6,8-..."}
    with pytest.raises(Shortened):
        read(OLD, **waits)
    with pytest.raises(Shortened):
        list(read_columns("5_[0,2-3...]".ljust(60) + "PENDING".ljust(30) + " " * 1000))


@pytest.mark.parametrize(
    ("told", "state", "going", "waits"),
    [
        ("RUNNING", "RUNNING", True, False),
        (["RUNNING"], "RUNNING", True, False),
        ("COMPLETING", "COMPLETING", True, False),
        (["CANCELLED", "COMPLETING"], "CANCELLED", True, False),
        (["PENDING", "REQUEUED"], "PENDING", False, True),
        (["RUNNING", "CONFIGURING"], "RUNNING", True, False),
        ("SUSPENDED", "SUSPENDED", True, False),
        (["COMPLETED"], "COMPLETED", False, False),
        ("REQUEUE_HOLD", "REQUEUE_HOLD", False, True),
    ],
)
def test_states(told: Any, state: str, going: bool, waits: bool) -> None:
    (known,) = read(OLD, job_state=told)
    assert known.state == state
    assert known.waits == waits
    assert known.has_ended == (not going and not waits)


def test_columns() -> None:
    cells = ["5_2", "FAILED", "768", "1", "NonZeroExitCode", "node1", "ada", "f-1-a"]
    cells += ["2023-11-14T22:13:20", "/jobs/a b/job.sh"]
    line = "".join(cell.ljust(width) for cell, width in zip(cells, COLUMNS.values(), strict=True))
    waiting = line.replace("5_2    ", "5_[3-4]").replace("FAILED ", "PENDING")
    states = list(read_columns(f"{line}\n{waiting}\n\n"))
    assert [s.id for s in states] == ["5_2", "5_3", "5_4"]
    assert states[0].status == 768
    assert states[0].restarts == 1
    assert states[0].command == "/jobs/a b/job.sh"


def test_lists() -> None:
    assert expand("0-3,7%2") == [0, 1, 2, 3, 7]
    assert expand("0-6:3") == [0, 3, 6]
    assert expand("") == []
    assert compact(["1", "2_1", "2_0", "2_5"]) == ["1", "2_[0-1,5]"]
    assert expand_nodes("node[1-3,07],gpu,a[1-2]-x") == [
        "node1", "node2", "node3", "node07", "gpu", "a1-x", "a2-x",
    ]  # fmt: skip
    assert expand_nodes("") == []


# --- ends ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The files of two tasks."""
    jobs = [job("true", name=f"f-1-a-{n}-0") for n in range(2)]
    return write_folder(str(tmp_path), "F/1", jobs, ["--nodes=1"], (), 1)


def end(folder: Folder, state: str, by_us: bool = False, log: str = "", **more: Any) -> Ended:
    Path(folder.path, "0.log").write_text(log)
    known = JobState("5_0", state, nodes="node1", **more)
    return ended("5_0", known, folder, 0, 0, by_us)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("OUT_OF_MEMORY", "out-of-memory"),
        ("TIMEOUT", "timeout"),
        ("DEADLINE", "timeout"),
        ("NODE_FAIL", "lost"),
        ("BOOT_FAIL", "launch"),
        ("PREEMPTED", "preempted"),
        ("CANCELLED", "cancelled"),
        ("REVOKED", "cancelled"),
    ],
)
def test_what_slurm_ends_is_a_cause(folder: Folder, state: str, cause: str) -> None:
    found = end(folder, state, reason="Something", status=15)
    assert found.cause == cause
    assert found.message.startswith(f"Slurm job 5_0 on node1: {state} (Something)")


def test_what_slurm_writes_into_the_log_is_told(folder: Folder) -> None:
    log = (
        "from the task\n"
        "slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch. Some of the step tasks "
        "have been OOM Killed.\n"
    )
    found = end(folder, "OUT_OF_MEMORY", log=log, status=125)
    assert "Detected 1 oom_kill event in StepId=5.batch" in found.message
    assert found.log == log


def test_a_prolog_that_fails_is_a_launch_that_failed(folder: Folder) -> None:
    found = end(folder, "FAILED", reason="JobLaunchFailure", status=1 << 8)
    assert found.cause == "launch"


def test_what_we_cancel_is_cancelled_however_it_ends(folder: Folder) -> None:
    assert end(folder, "FAILED", by_us=True, status=4 << 8).cause == "cancelled"
    assert end(folder, "TIMEOUT", by_us=True).cause == "cancelled"


def test_why_jobs_wait() -> None:
    def text(reason: str, description: str = "", **more: Any) -> str:
        state = JobState("5", "PENDING", reason=reason, description=description, **more)
        return waiting_text(state)

    assert text("QOSMaxCpuPerUserLimit") == "QOSMaxCpuPerUserLimit"
    assert text("Resources", "Nodes are DOWN") == "Resources: Nodes are DOWN"
    assert text("ReqNodeNotAvail", "ReqNodeNotAvail, UnavailableNodes:n1").startswith("ReqNode")
    assert text("BeginTime", restarts=1) == "started again (restart 1), BeginTime"
    assert waiting_text(JobState("5", "SPECIAL_EXIT")) == "SPECIAL_EXIT"


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_is_read_again(folder: Folder, tmp_path: Path) -> None:
    assert read_folder(folder.script) == folder
    assert read_folder(f"{tmp_path}/other.sh") is None
    assert read_folder(f"{tmp_path}/none/job.sh") is None
    (tmp_path / "job.sh").write_text("")
    (tmp_path / "jobs.json").write_text('{"names": 1}')
    assert read_folder(f"{tmp_path}/job.sh") is None


def test_names_of_arrays() -> None:
    assert shown_name(["f-1-a-7-0"]) == "f-1-a-7-0"
    assert shown_name(["f-1-a-7-0", "f-1-a-70-0", "f-1-a-8-0"]) == "f-1-a"
    assert shown_name(["a-1", "b-1"]) == "a-1"


# --- the table ----------------------------------------------------------------------------------


def test_a_job_of_the_same_id_is_another(folder: Folder) -> None:
    table = Table()
    table.add("5_0", folder, 0)
    stranger = JobState("5_0", "FAILED", command="/elsewhere/job.sh")
    assert table.look([stranger], 0.0).news == []
    assert len(table) == 1


def test_a_job_is_forgotten_when_it_is_missing_twice(folder: Folder) -> None:
    table = Table()
    tracked = table.add("5_0", folder, 0)
    assert table.look([], tracked.since - 1).forgotten == []  # it may have come later
    assert table.look([], tracked.since + 1).forgotten == []
    assert table.look([], tracked.since + 2).forgotten == [tracked]
    (news,) = table.forget(tracked, {"5_0": JobState("5_0", "TIMEOUT")})
    assert isinstance(news, Ended)
    assert news.cause == "timeout"


@pytest.mark.parametrize("rest", ["5", "5_1"])
def test_an_element_that_is_missing_and_never_began_was_cancelled(
    folder: Folder, rest: str
) -> None:
    table = Table()
    tracked = table.add("5_0", folder, 0)
    other = JobState(rest, "CANCELLED", command=folder.script)
    for n in (1, 2):
        look = table.look([other], tracked.since + n)
    assert look.forgotten == [tracked]
    (news,) = table.forget(tracked, {})
    assert isinstance(news, Ended)
    assert (news.cause, news.message) == (
        "cancelled",
        "Slurm job 5_0: CANCELLED, by somebody else",
    )


@pytest.mark.parametrize("others", [True, False])
def test_an_element_that_has_begun_or_whose_array_is_gone_is_lost(
    folder: Folder, others: bool
) -> None:
    table = Table()
    tracked = table.add("5_0", folder, 0)
    if others:
        Path(folder.path, "0.log").touch()  # Slurm has started it
    states = [JobState("5_1", "RUNNING", command=folder.script)] if others else []
    for n in (1, 2):
        table.look(states, tracked.since + n)
    (news,) = table.forget(tracked, {})
    assert isinstance(news, Ended)
    assert news.cause == "lost"
    assert "Slurm has forgotten job 5_0" in news.message


def test_what_we_cancel_is_cancelled_also_where_it_is_forgotten(folder: Folder) -> None:
    table = Table()
    tracked = table.add("5_0", folder, 0)
    tracked.cancelled = True
    (news,) = table.forget(tracked, {})
    assert isinstance(news, Ended)
    assert (news.cause, news.message) == ("cancelled", "Slurm job 5_0: CANCELLED")


def test_the_rest_of_an_array_is_no_task_of_it(folder: Folder) -> None:
    assert [folder.index_of(id) for id in ("5_0", "5_1", "5_2", "5")] == [0, 1, None, None]
    assert folder._replace(names=("a",)).index_of("5") == 0


def test_reasons_are_told_once_and_not_at_once(folder: Folder) -> None:
    table = Table()
    tracked = table.add("5_0", folder, 0)
    state = JobState("5_0", "PENDING", reason="Resources")
    assert table.look([state], 0.0).news == []
    tracked.since -= 10
    assert table.look([state], 0.0).news == [Waiting("5_0", "Resources")]
    assert table.look([state], 0.0).news == []
