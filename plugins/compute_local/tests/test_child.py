"""A forked task is like a spawned one."""

import json
import os
import random
import tempfile
import uuid

import pytest


@pytest.fixture(params=["auto", "never"], ids=["forked", "spawned"])
def bench(start, request):
    return start(fork=request.param)


def told(bench, handle):
    bench.wait(handle)
    return json.loads(bench.stored(handle, "stdout"))


def test_process_state_is_that_of_a_fresh_process(script):
    process = script("""
if __name__ == "__main__":
    for fork in ("auto", "never"):
        bench = begin(fork=fork)
        assert (bench.compute.notice is None) == (fork == "auto"), bench.compute.notice
        handle = bench.launch("describe", TaskSpec("F", "1", "describe", 1))
        bench.wait(handle)
        print(bench.stored(handle, "stdout").decode().strip())
        bench.compute.close()
""")
    out, err = process.communicate(timeout=30)
    forked, spawned = map(json.loads, out.splitlines())
    assert forked.pop("input") == ""  # a spawned one has read its task from there
    spawned.pop("input")
    assert forked == spawned, err
    assert forked["leads_group"]
    assert forked["descriptors"] == [1, 2]
    assert forked["signals"]["SIGINT"] == "<built-in function default_int_handler>"


def test_random_states_differ(bench):
    import numpy

    state = numpy.random.get_state()[1][:3].tolist()  # so that it is imported before the fork
    first, second = (told(bench, bench.launch("draw")) for _ in range(2))
    ours = {
        "random": random.random(),
        "numpy": numpy.random.rand(),
        "generator": None,
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "temporary": os.path.basename(tempfile.mktemp()),
        "bytes": None,
    }
    assert state
    for kind in ours:
        assert len({first[kind], second[kind], ours[kind]}) == 3, kind


def test_threads_and_matrices_work(bench):
    import numpy

    numpy.ones((300, 300)) @ numpy.ones((300, 300))  # the pool of the launcher has been used
    handle = bench.launch("use_threads")
    assert bench.wait(handle)[0].code == 0, bench.stored(handle, "stderr")
    assert bench.stored(handle, "stdout") == b"2470 400.0\n"


def test_logging_works(bench):
    handle = bench.launch("log_something")
    bench.wait(handle)
    assert bench.stored(handle, "stderr") == b"logged\n"


def test_multiprocessing_works(bench):
    handle = bench.launch("use_multiprocessing")
    (end,) = bench.wait(handle)
    assert bench.stored(handle, "stdout") == b"[1, 2]\n", bench.stored(handle, "stderr")
    assert end.notes == ()


def test_exit_handlers_of_the_task_run(bench):
    handle = bench.launch("register_exit")
    bench.wait(handle)
    assert bench.stored(handle, "stdout") == b"task's exit handler\n"


def test_files_left_open_are_flushed(bench, tmp_path):
    path = tmp_path / "kept"
    bench.run("leave_files_open", variables={"KEPT": str(path)})
    assert path.read_text() == "not flushed by the task"


def test_threads_are_waited_for(bench):
    handle = bench.launch("leave_thread")
    bench.wait(handle)
    assert bench.stored(handle, "stdout") == b"body done\nthread done\n"


def test_it_is_said_for_whom_a_finished_step_waits(start):
    bench = start(fork="auto")
    handle = bench.launch("leave_slow_threads")
    bench.wait(handle)
    assert bench.stored(handle, "stderr") == (
        b"The step is finished; its process waits for 2 threads: watcher, other\n"
    )
    for harmless in ("leave_brief_thread", "leave_idle_pool"):
        handle = bench.launch(harmless)
        bench.wait(handle)
        assert not bench.stored(handle, "stderr"), harmless


def test_temporary_folders_of_the_task_are_removed(bench):
    kept = tempfile.TemporaryDirectory()  # one of the launcher must stay
    handle = bench.launch("temporary_folder")
    bench.wait(handle)
    assert not os.path.exists(bench.stored(handle, "stdout").decode().strip())
    assert os.path.exists(kept.name)
    kept.cleanup()


def test_closing_the_output_does_no_harm(bench):
    handle = bench.launch("close_output")
    (end,) = bench.wait(handle)
    assert bench.stored(handle, "stdout") == b"before\n"
    assert end.signal is None


def test_exit_with_text(bench):
    handle = bench.launch("exit_with_text")
    assert bench.wait(handle)[0].code == 1
    assert bench.stored(handle, "stderr") == b"no more\n"


def test_same_arguments_and_main_as_the_launcher(script):
    process = script("""
if __name__ == "__main__":
    sys.argv.append("extra")
    bench = begin()
    assert bench.compute.notice is None, bench.compute.notice
    handle = bench.launch("surroundings")
    bench.wait(handle)
    print(bench.stored(handle, "stdout").decode())
    bench.compute.close()
""")
    out, err = process.communicate(timeout=30)
    facts = json.loads(out or err)
    assert facts["argv"] == [facts["main"], "extra"]
    assert facts["cwd"] == os.getcwd()


def test_nothing_of_the_launcher_is_written_or_run_twice(script, tmp_path):
    path = tmp_path / "unflushed"
    process = script(f"""
other = open({str(path)!r}, "w")
if __name__ == "__main__":
    atexit.register(os.write, 1, b"launcher's exit handler\\n")
    sys.stdout.write("not flushed;")
    other.write("neither this;")
    bench = begin()
    for _ in range(3):
        assert bench.run("nothing").code == 0
    bench.compute.close()
""")
    out, err = process.communicate(timeout=30)
    assert (out, err) == (b"launcher's exit handler\nnot flushed;", b"") or (
        out,
        err,
    ) == (b"not flushed;launcher's exit handler\n", b"")
    assert path.read_text() == "neither this;"


def test_an_open_file_has_its_own_position_in_each_task(script, tmp_path):
    (tmp_path / "shared").write_text("abcdef")
    process = script(f"""
shared = open({str(tmp_path / "shared")!r}, buffering=1)
if __name__ == "__main__":
    bench = begin()
    for _ in range(2):
        handle = bench.launch("read_shared_file")
        bench.wait(handle)
        print(bench.stored(handle, "stdout").decode())
    print(shared.read(3))
    bench.compute.close()
""")
    out, err = process.communicate(timeout=30)
    assert out.split() == [b"abc", b"abc", b"abc"], err
