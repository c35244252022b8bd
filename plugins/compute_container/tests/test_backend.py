"""Containers of real podman: how they start, what is told of them, and that none is left."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.podman import Podman
from watching import command_lines

from flow_core.api import FlowError
from flow_remote.backend import Ended, Running, Waiting


def test_a_job_runs_and_ends(bench: Any, here: Podman) -> None:
    id = bench.submit("exit 0")
    assert bench.end(id) == Ended(id, 0, code=0)
    assert [type(each) for each in bench.told] == [Running, Ended]
    assert bench.woken >= 2


def test_an_exit_status_and_the_log(bench: Any) -> None:
    id = bench.submit("echo said; echo wrong >&2; exit 3")
    end = bench.end(id)
    assert (end.code, end.signal, end.cause) == (3, None, "")
    assert sorted(end.log.split()) == ["said", "wrong"]


def test_a_signal_ends_it(bench: Any) -> None:
    id = bench.submit("kill -9 $$")
    end = bench.end(id)
    assert (end.code, end.signal) == (None, 9)


def test_what_a_container_gets(bench: Any, tmp_path: Path) -> None:
    script = f"echo $A > {tmp_path}/a; pwd >> {tmp_path}/a"
    options = {"volumes": [str(tmp_path)]}
    id = bench.submit(script, variables={"A": "x y"}, options=options, folder=str(tmp_path))
    assert bench.end(id).code == 0
    assert (tmp_path / "a").read_text() == f"x y\n{tmp_path}\n"
    assert (tmp_path / "a").stat().st_uid == os.getuid()


def test_the_folder_of_the_store_is_there(new_bench: Callable[..., Any], tmp_path: Path) -> None:
    bench = new_bench(mounts=[str(tmp_path)])
    assert bench.end(bench.submit(f"echo x > {tmp_path}/a")).code == 0
    assert (tmp_path / "a").read_text() == "x\n"


def test_a_missing_volume_is_named(bench: Any, tmp_path: Path) -> None:
    end = bench.end(bench.submit("true", options={"volumes": [f"{tmp_path}/none:/data"]}))
    assert end.cause == "launch"
    assert end.message.endswith(f"cannot be mounted: there is no {tmp_path}/none")
    assert end.hint == f"mkdir -p {tmp_path}/none"


def test_a_word_that_the_runtime_does_not_know(bench: Any) -> None:
    end = bench.end(bench.submit("true", options={"options": ["--no-such-option"]}))
    assert end.cause == "launch"
    assert end.message == "the container cannot be started: unknown flag: --no-such-option"
    assert "options=" in end.hint


def test_secrets_are_on_no_command_line(
    bench: Any, here: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET_KEY", "gold-and-silver")
    options = {"variables": ["TEST_SECRET_*", "NOT_SET_ANYWHERE"]}
    id = bench.submit("echo $TEST_SECRET_KEY; sleep 100", options=options)
    bench.until(lambda: bench.news(Running, id))
    bench.until(lambda: here.said("logs", id) == "gold-and-silver")
    shown = b"".join(command_lines().values())
    assert id.encode() in shown  # of the process that looks after it
    assert b"gold-and-silver" not in shown


def test_memory_that_is_used_up(bench: Any) -> None:
    script = "x=aaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    end = bench.end(bench.submit(script, resources={"memory": 20.0}))
    assert (end.signal, end.cause) == (9, "out-of-memory")
    assert end.message == "the container used up its 20 MB"
    assert "memory=40" in end.hint


def test_limits_are_set(bench: Any, here: Podman) -> None:
    amounts = {"memory": 64.0, "cpu": 0.5, "shared_memory": 8.0}
    id = bench.submit("df /dev/shm | tail -1; sleep 100", resources=amounts)
    bench.until(lambda: bench.news(Running, id))
    limits = here.said(
        "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", f"{id}"
    )
    assert limits == f"{64 << 20} 500000000"
    bench.until(lambda: " 8192 " in here.said("logs", id))  # it may run before it writes


def test_an_image_that_is_not_there(bench: Any) -> None:
    id = bench.submit("true", options={"image": "localhost/none:1"})
    end = bench.end(id)
    assert end.cause == "launch"
    assert end.message == (
        "podman has no image 'localhost/none:1', and pull='never' forbids to fetch it"
    )
    assert end.hint == "podman pull localhost/none:1"
    assert bench.news(Waiting, id) == []


def test_an_image_that_cannot_be_fetched(bench: Any) -> None:
    options = {"image": "127.0.0.1:1/none:1", "pull": "missing"}
    ids = [bench.submit("true", name=f"f-1-a-{n}-0", options=options) for n in range(3)]
    for id in ids:
        end = bench.end(id)
        assert bench.news(Waiting, id) == [Waiting(id, "fetching image 127.0.0.1:1/none:1")]
        assert end.cause == "launch"
        assert end.message.startswith("image '127.0.0.1:1/none:1' cannot be fetched: ")
        assert "connection refused" in end.message


def test_fetching_ends_with_the_run(bench: Any) -> None:
    """A registry that never answers: a port at which nobody takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/none:1"
        id = bench.submit("true", options={"image": image, "pull": "missing"})
        bench.until(lambda: bench.news(Waiting, id))
        bench.until(lambda: _fetching(image))
        began = time.monotonic()
        bench.backend.close()
        assert time.monotonic() - began < 30, "it waits for the registry"
    assert not _fetching(image)


def _fetching(image: str) -> list[bytes]:
    return [words for words in command_lines().values() if image.encode() in words]


def test_an_image_of_another_architecture(bench: Any, here: Podman) -> None:
    end = bench.end(bench.submit("true", options={"image": here.foreign_image}))
    assert end.cause == "launch"
    assert f"image '{here.foreign_image}', which is for linux/" in end.message
    assert "cannot be executed on this machine" in end.message
    assert "Exec format error" in end.message or "exec format error" in end.message


def test_an_image_without_a_shell(bench: Any, here: Podman) -> None:
    end = bench.end(bench.submit("true", options={"image": here.empty_image}))
    assert end.cause == "launch"
    assert end.message.startswith(f"image '{here.empty_image}' has no shell at /bin/sh: ")
    assert end.hint == "an image with a shell and a Python: --with container:image=…"


def test_a_line_in_pieces_is_told_of_a_failure(bench: Any) -> None:
    script = "printf one >&2; sleep 0.3; printf two >&2; sleep 0.3; echo three >&2; exit 3"
    end = bench.end(bench.submit(script))
    assert (end.code, end.log) == (3, "onetwothree\n")


def test_the_last_lines_are_told_of_a_failure(bench: Any) -> None:
    end = bench.end(bench.submit("for n in $(seq 200); do echo line $n; done; exit 3"))
    assert end.log.splitlines() == [f"line {n}" for n in range(151, 201)]


def test_a_container_that_somebody_removes_is_lost(bench: Any, here: Podman) -> None:
    id = bench.submit("sleep 100")
    bench.until(lambda: bench.news(Running, id))
    here.run("rm", "--force", id)
    end = bench.end(id)
    assert end.cause in ("lost", "")  # podman may tell the end before it removes it
    if end.cause:
        assert end.message == f"its container {id} was removed by somebody else"
    else:
        assert end.signal == 9


def test_a_container_that_is_killed(bench: Any, here: Podman) -> None:
    id = bench.submit("sleep 100")
    bench.until(lambda: bench.news(Running, id))
    here.run("kill", id)
    end = bench.end(id)
    assert (end.signal, end.cause) == (9, "")


def test_ended_by_request(bench: Any) -> None:
    id = bench.submit("trap 'exit 5' TERM; while :; do sleep 0.1; done")
    stubborn = bench.submit("trap '' TERM; while :; do sleep 0.1; done", name="f-1-b-2-0")
    bench.until(lambda: len(bench.news(Running, id) + bench.news(Running, stubborn)) == 2)
    began = time.monotonic()
    bench.backend.cancel([id, stubborn], 2)
    end = bench.end(id)
    assert (end.code, end.cause) == (5, "cancelled")
    end = bench.end(stubborn)
    assert (end.signal, end.cause) == (9, "cancelled")
    assert 2 <= time.monotonic() - began < 10, "podman itself gives ten seconds"


def test_ended_before_it_started(bench: Any) -> None:
    ids = [bench.submit("sleep 100", name=f"f-1-a-{n}-0") for n in range(12)]
    bench.backend.cancel(ids, 0)
    assert {bench.end(id).cause for id in ids} == {"cancelled"}


def test_what_goes_wrong_here_ends_the_job(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    end = bench.end(bench.submit("true"))
    assert end.cause == "launch"
    assert "No space left on device" in end.message


def test_a_runtime_that_gives_no_sensible_answer(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*_: object) -> None:
        raise KeyError("State")

    id = bench.submit("sleep 0.5")
    bench.until(lambda: bench.news(Running, id))
    monkeypatch.setattr("flow_container.backend._PATIENCE", 1.0)
    monkeypatch.setattr(bench.backend, "_tell_ends", odd)
    end = bench.end(id)
    assert end.cause == "lost"
    assert end.message == "podman does not answer: KeyError: 'State'"


def test_many_at_a_time(bench: Any) -> None:
    ids = [bench.submit(f"exit {n}", name=f"f-1-a-{n}-0") for n in range(20)]
    assert [bench.end(id).code for id in ids] == list(range(20))


def _waiting(folder: Path, code: int) -> dict[str, Any]:
    """Return a job that ends with a status as soon as there is a file ``go``."""
    script = f"until [ -e {folder}/go ]; do sleep 0.1; done; exit {code}"
    return {"script": script, "options": {"volumes": [str(folder)]}}


def test_the_same_name_is_not_started_twice(bench: Any, here: Podman, tmp_path: Path) -> None:
    id = bench.submit(**_waiting(tmp_path, 4))
    bench.until(lambda: bench.news(Running, id))
    again = bench.submit(**_waiting(tmp_path, 4))
    assert again == id
    bench.until(lambda: len(bench.news(Running, id)) == 2)
    assert len(here.containers(f"name={id}")) == 1
    (tmp_path / "go").touch()
    assert bench.end(id).code == 4


def test_another_launcher_finds_what_runs(
    new_bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = new_bench("place")
    monkeypatch.setattr(first.backend, "_look", lambda *_: None)  # as one that was killed
    running = first.submit(**_waiting(tmp_path, 6))
    first.until(lambda: first.news(Running, running))
    other = new_bench("place", run="2")
    assert other.backend.find([running, "f-1-c-1-0"]) == {running: running}
    (tmp_path / "go").touch()
    assert other.end(running).code == 6
    elsewhere = new_bench("another place")
    assert elsewhere.backend.find([running]) == {}


def test_close_leaves_nothing(new_bench: Callable[..., Any], here: Podman) -> None:
    bench, other = new_bench("one"), new_bench("two")
    ids = [bench.submit("trap '' TERM; sleep 100", name=f"f-1-a-{n}-0") for n in range(8)]
    kept = other.submit("sleep 100", name="f-1-b-1-0")
    bench.until(lambda: bench.news(Running, ids[0]))
    other.until(lambda: other.news(Running, kept))
    began = time.monotonic()
    bench.backend.close()
    bench.backend.close()
    assert time.monotonic() - began < 30, "it waits until they end by themselves"
    mine = here.containers(f"label=flow.place={bench.backend.place}")
    theirs = here.containers(f"label=flow.place={other.backend.place}")
    assert (mine, [container["Names"] for container in theirs]) == ([], [[kept]])


def test_close_says_what_may_still_run(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    id = bench.submit("sleep 100")
    bench.until(lambda: bench.news(Running, id))
    engine = bench.backend._engine("")
    with monkeypatch.context() as patch:
        patch.setitem(bench.backend._engines, "", engine._replace(path="/no/such/podman"))
        for tracked in bench.backend._tracked.values():
            tracked.engine = bench.backend._engine("")
        with pytest.raises(FlowError) as caught:
            bench.backend.close()
    assert caught.value.what == "1 container may still run"
    assert caught.value.where == id
    assert "/no/such/podman: No such file or directory" in (caught.value.why or "")
    assert caught.value.hint == f"podman rm --force {id}"
    assert engine.call("rm", "--force", "--time", "0", id).ok, "it was there"


# --- gangs --------------------------------------------------------------------------------------------

MEET = """
echo $MASTER_ADDR $MASTER_PORT $LOCAL_WORLD_SIZE > {0}/rank-$LOCAL_RANK
if [ $LOCAL_RANK = 0 ]; then
    nc -l -p $MASTER_PORT -e echo hello
else
    while [ "$(nc $MASTER_ADDR $MASTER_PORT)" != hello ]; do sleep 0.05; done
fi
"""


@pytest.mark.parametrize("network", ["", "none"])
def test_a_gang_meets(
    new_bench: Callable[..., Any], tmp_path: Path, here: Podman, network: str
) -> None:
    bench = new_bench(mounts=[str(tmp_path)], container_network=network)
    (id,) = bench.backend.submit([bench.job(*[MEET.format(tmp_path)] * 2)])
    assert [end.code for end in bench.ends(id, 2)] == [0, 0]
    assert [each.member for each in bench.news(Running, id)] == [0, 1]
    one, other = ((tmp_path / f"rank-{n}").read_text() for n in range(2))
    assert one == other
    assert one.startswith("127.0.0.1 ")
    assert one.endswith(" 2\n")


def test_a_gang_starts_whole_or_not_at_all(bench: Any, here: Podman, tmp_path: Path) -> None:
    gang = bench.job("sleep 100", "sleep 100", options={"volumes": [f"{tmp_path}/none"]})
    (id,) = bench.backend.submit([gang])
    ends = bench.ends(id, 2)
    assert [(end.member, end.cause) for end in ends] == [(0, "launch"), (1, "launch")]
    assert here.containers(f"label=flow.place={bench.backend.place}") == []


# --- the cost -----------------------------------------------------------------------------------------


def test_the_end_is_told_soon(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By podman's events: nobody looks at all containers for it."""
    for looks in ("_LOOK", "_LOOK_OFTEN"):
        monkeypatch.setattr(f"flow_container.backend.{looks}", 1000.0)
    id = bench.submit(**_waiting(tmp_path, 0))
    bench.until(lambda: bench.news(Running, id))
    (tmp_path / "go").touch()
    assert bench.end(id).code == 0


def test_nothing_is_asked_while_nothing_happens(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flow_container.engine import Engine

    asked: list[Any] = []
    real = Engine.call
    id = bench.submit(**_waiting(tmp_path, 2))
    bench.until(lambda: bench.news(Running, id))
    monkeypatch.setattr(
        Engine,
        "call",
        lambda self, *words, **more: asked.append(words[0]) or real(self, *words, **more),
    )
    time.sleep(2.5)
    assert len(asked) <= 2, "it looks for itself now and then"
    (tmp_path / "go").touch()
    assert bench.end(id).code == 2
    bench.until(lambda: "rm" in asked)
    assert len(asked) <= 8
