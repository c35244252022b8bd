"""A task begins where there is nothing but Python, or says in one line why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from booting import FETCHER, START, Place, archive, digest
from watching import wait_for

from flow_remote import boot
from flow_remote.script import boot_command, boot_program

HERE = boot.this_machine()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store, and a task in it with a runtime of one part."""
    made = Place(tmp_path)
    made.add_part({"started_here.py": START})
    return made


def test_it_runs_the_start_module_of_the_runtime(place: Place) -> None:
    told = place.run().told
    folder = str(place.cache / "runtime" / place.parts[0]["sha256"])
    assert told["folders"] == told["path"] == [folder]
    assert told["file"] == f"{folder}/started_here.py"
    assert told["argv"] == told["spec"]["start"] == ["started_here", "one", "two"]
    assert told["spec"]["url"] == "local://here#x"
    assert not told["left"], "FLOW_TASK is not passed on to what the task starts"


def test_the_first_process_is_the_task_in_the_end(place: Place) -> None:
    process = place.begin()
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["pid"] == process.pid, "no shell is left between the two"


def test_the_exit_status_is_that_of_the_start_module(place: Place) -> None:
    for code in (0, 3):
        place.variables["START_CODE"] = str(code)
        assert place.run().code == code


def test_what_is_in_the_cache_is_not_fetched_again(place: Place) -> None:
    first = place.run().told
    task = place.task()
    (place.store / place.parts[0]["key"]).unlink()
    assert place.run(task).told["folders"] == first["folders"]


def test_modules_in_the_current_folder_are_not_imported(place: Place) -> None:
    for name in ("json.py", "started_here.py", "zipfile.py"):
        (place.folder / name).write_text("raise SystemExit('wrong one')")
    assert place.run().told["folders"]


# --- hashes -------------------------------------------------------------------------------------


def test_a_changed_specification_is_refused(place: Place) -> None:
    task = place.task()
    content = (place.store / "a/spec").read_bytes()
    place.write("a/spec", content.replace(b"started_here", b"started_evil"))
    failure = place.run(task).failure
    assert failure["what"] == "The specification of the task is not what was submitted"
    assert digest(content) in failure["why"]
    assert failure["where"] == f"a/spec in {place.store}"


def test_a_changed_part_is_refused_and_nothing_of_it_stays(place: Place) -> None:
    place.write(place.parts[0]["key"], archive({"started_here.py": "print('evil')"}))
    failure = place.run().failure
    assert failure["what"] == "A part of flow-core's runtime is not what was submitted"
    assert not list((place.cache / "runtime").glob("*/**/*.py"))


def test_what_a_network_has_changed_is_fetched_once_more(place: Place) -> None:
    place.source = FETCHER.replace(
        "    def read(key):",
        "    import io\n    seen = set()\n    def read(key):\n"
        "        if key not in seen:\n            seen.add(key)\n            return b'noise'",
    )
    assert place.run().told["folders"]


# --- what is missing, or wrong ------------------------------------------------------------------


def test_no_task() -> None:
    done = subprocess.run(
        [sys.executable, "-c", boot_program()], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 202
    assert '"why": "it is not set"' in done.stderr


def test_a_task_of_another_format(place: Place) -> None:
    task = json.dumps({**json.loads(place.task()), "format": 9})
    failure = place.run(task).failure
    assert failure["why"] == "its format is 9, and this knows 1"


def test_a_missing_specification(place: Place) -> None:
    task = place.task()
    (place.store / "a/spec").unlink()
    failure = place.run(task).failure
    assert failure["what"] == "The specification of the task is not in the store"


def test_a_store_that_cannot_be_read_is_told_in_its_own_words(place: Place) -> None:
    place.source = (
        "class Failed(OSError):\n    hint = 'open the door'\n"
        "def open(config):\n    def read(key):\n        raise Failed('the door is shut')\n"
        "    return read\n"
    )
    failure = place.run().failure
    assert failure["why"] == "the door is shut"
    assert failure["hint"] == "open the door"


def test_a_fetcher_that_is_broken_is_named(place: Place) -> None:
    place.source = "def open(config): return {}[config['root']]"
    failure = place.run().failure
    assert failure["why"].startswith("KeyError in the fetcher")


def test_a_start_module_that_cannot_be_imported(place: Place) -> None:
    place.parts.clear()
    place.add_part({"started_here.py": "import library_that_is_not_here"})
    failure = place.run().failure
    assert "started_here cannot be imported" in failure["what"]
    assert "No module named 'library_that_is_not_here'" in failure["why"]


def test_a_failure_is_left_where_clusters_look_for_it(place: Place) -> None:
    log = place.folder / "termination-log"
    place.variables["FLOW_TERMINATION_LOG"] = str(log)
    failure = place.run("{}").failure
    assert log.read_text() == f"FLOW-BOOT-FAILED {json.dumps(failure)}\n"


# --- what fits --------------------------------------------------------------------------------


def test_the_part_for_this_machine_is_chosen(place: Place) -> None:
    for python in ("3.1", HERE["python"], "3.99"):
        marks = {**HERE, "python": python}
        place.add_part({"binary.so": python}, name="compiled", **marks)
    folders = place.run().told["folders"]
    assert len(folders) == 2
    assert Path(folders[1], "binary.so").read_text() == HERE["python"]


@pytest.mark.parametrize(
    ("kind", "other", "offered"),
    [
        ("python", "3.99", f"Python 3.99 {HERE['platform']} {HERE['libc']}"),
        (
            "platform",
            "linux-riscv64",
            f"Python {HERE['python']} linux-riscv64 {HERE['libc']}",
        ),
        ("libc", "musl", f"Python {HERE['python']} {HERE['platform']} musl"),
    ],
)
def test_nothing_fits(place: Place, kind: str, other: str, offered: str) -> None:
    provides = {"blake9": "1.0", "obstore9": "2.0"}
    place.add_part({"binary.so": ""}, name="compiled", provides=provides, **{**HERE, kind: other})
    failure = place.run().failure
    assert failure["what"] == "No runtime of flow-core fits this machine"
    here = f"Python {HERE['python']} {HERE['platform']} {HERE['libc']}"
    assert failure["why"] == f"compiled: here is {here}; the launcher offers: {offered}"
    assert failure["hint"] == (
        f"use an image with {offered}, or install in this one: "
        "pip install blake9==1.0 obstore9==2.0"
    )


def test_what_the_image_has_need_not_fit(place: Place) -> None:
    ranges = {"blake3": ">=1"}
    made = {"name": "compiled", "python": "3.99", "provides": {"blake3": "9"}}
    place.add_part({"blake3/binary.so": ""}, **made, ranges=ranges)
    assert len(place.run().told["folders"]) == 1, "the tests' Python has blake3"
    place.variables["FLOW_RUNTIME"] = "store"
    assert "pip install blake3==9" in place.run().failure["hint"]


def test_what_the_image_has_is_not_replaced_unless_it_will_not_do(place: Place) -> None:
    """A step finds the versions that its image was made with."""
    provides = {"click": "99.0", "pluggy": "99.0", "nowhere": "99.0"}
    files: dict[str, str | bytes] = {f"{name}/{name}.py": "" for name in provides}
    ranges = {"click": ">=1", "pluggy": ">=98,<100", "nowhere": ">=1"}
    part = place.add_part(files, name="libraries", provides=provides, ranges=ranges)
    folders = place.run().told["folders"]
    here = f"{place.cache}/runtime/{part['sha256']}"
    assert folders[1:] == [f"{here}/pluggy", f"{here}/nowhere"]
    place.variables["FLOW_RUNTIME"] = "store"
    assert len(place.run().told["folders"]) == 4


def test_a_part_of_which_all_is_there_is_not_fetched(place: Place) -> None:
    provides = {"click": "99.0"}
    part = place.add_part({"click/click.py": ""}, name="libraries", provides=provides)
    (place.store / part["key"]).unlink()
    assert len(place.run().told["folders"]) == 1


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("1.2", "", True),
        ("1.2", ">=1,<2", True),
        ("2.0", ">=1,<2", False),
        ("1.10", ">=1.9", True),
        ("1.0", "==1", True),
        ("1.4.7", "==1.4.*", True),
        ("1.5", "==1.4.*", False),
        ("1.5", "!=1.4.*,!=1.6", True),
        ("1.6.0", "!=1.6", False),
        ("2.3.1", "~=2.2", True),
        ("3.0", "~=2.2", False),
        ("2.2.9", "~=2.2.1", True),
        ("2.3", "~=2.2.1", False),
        ("1.0", ">1.0", False),
        ("1.0.1", "<=1.0", False),
        ("2.0rc1", ">=1", False),
        ("1.0", ">=1.0a1", False),
        ("1.0", "@ file:///x", False),
    ],
)
def test_versions_that_will_do(version: str, wanted: str, expected: bool) -> None:
    assert boot.satisfies(version, wanted) is expected


def test_what_is_installed_is_used(place: Place) -> None:
    from importlib.metadata import version

    place.installed = {"flow-core": version("flow-core"), "click": version("click")}
    place.variables["PYTHONPATH"] = str(place.folder / "image")
    (place.folder / "image").mkdir()
    (place.folder / "image" / "started_here.py").write_text(START)
    for part in place.parts:
        (place.store / part["key"]).unlink()
    assert not place.run().told["folders"], "nothing was fetched"
    place.installed["click"] = "0.0.1"
    assert "is not in the store" in place.run().failure["what"]


def test_a_runtime_of_the_store_on_demand(place: Place) -> None:
    from importlib.metadata import version

    place.installed = {"click": version("click")}
    place.variables["FLOW_RUNTIME"] = "store"
    assert place.run().told["folders"]


def test_no_runtime_at_all(place: Place) -> None:
    place.parts.clear()
    assert place.run().failure["what"] == "There is no flow-core here"


# --- the cache ----------------------------------------------------------------------------------


def runtime(place: Place) -> Path:
    return place.cache / "runtime" / place.parts[0]["sha256"]


@pytest.mark.parametrize("damage", ["truncated", "other", "missing", "unlisted", "contents"])
def test_a_damaged_folder_is_replaced(place: Place, damage: str) -> None:
    place.run()
    file = runtime(place) / "started_here.py"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:10])
    elif damage == "other":
        file.write_bytes(file.read_bytes().replace(b"main", b"mayn"))
    elif damage == "missing":
        file.unlink()
    elif damage == "unlisted":
        (runtime(place) / ".flow-contents").unlink()
    else:
        contents = runtime(place) / ".flow-contents"
        contents.write_bytes(contents.read_bytes()[:-9])
    assert place.run().told["folders"] == [str(runtime(place))]
    assert file.read_text() == START


@pytest.mark.parametrize(
    "name", ["../outside.py", "/outside.py", "a/../../outside.py", "a\\b.py", "./a.py"]
)
def test_an_archive_that_reaches_outside_is_refused(place: Place, name: str) -> None:
    place.parts.clear()
    place.add_part({"started_here.py": START, name: "evil"})
    failure = place.run().failure
    assert failure["what"] == "A part of the runtime is refused"
    assert not list(place.folder.rglob("outside.py"))


def test_a_link_in_an_archive_is_refused(place: Place, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "with.zip", "w") as file:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc")
    place.add_part((tmp_path / "with.zip").read_bytes())
    assert place.run().failure["what"] == "A part of the runtime is refused"


def test_what_is_no_archive_is_named(place: Place) -> None:
    place.add_part(b"no archive")
    assert place.run().failure["why"] == "File is not a zip file"


def test_many_tasks_of_one_machine_begin_at_once(place: Place) -> None:
    place.parts[0] = place.add_part(
        {"started_here.py": START, **{f"f{i}.bin": os.urandom(5000) for i in range(200)}}
    )
    place.parts.pop()
    log = place.folder / "reads"
    place.source = FETCHER.replace(
        "        try:", f"        io.open({str(log)!r}, 'a').write(key + '\\n')\n        try:", 1
    )
    task = place.task()
    running = [place.begin(task) for _ in range(8)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 7, err
        assert json.loads(out)["folders"] == [str(runtime(place))]
    reads = log.read_text().splitlines()
    assert reads.count(place.parts[0]["key"]) == 1, "one of them fetches it, the others wait"
    left = sorted(path.name for path in (place.cache / "runtime").iterdir())
    digest_ = place.parts[0]["sha256"]
    assert left == [digest_, f"{digest_}.lock"]


def test_killed_half_way(place: Place) -> None:
    files: dict[str, str | bytes] = {f"f{i}.bin": os.urandom(3000) for i in range(2000)}
    place.parts.clear()
    place.add_part({"started_here.py": START, **files})
    task, folder = place.task(), runtime(place)
    for tries in range(6):
        process = place.begin(task)
        mine = f"runtime/*.new-{process.pid}-*/f0.bin"
        wait_for(lambda mine=mine: [*place.cache.glob(mine)] or folder.exists(), 60)
        time.sleep(0.01 * tries)
        process.kill()
        process.communicate()
        assert not folder.exists() or boot.is_sound(str(folder))
    assert [*place.cache.glob("runtime/*.new-*")], "none was killed half way"
    assert place.run(task).told["folders"] == [str(folder)]
    assert boot.is_sound(str(folder))
    assert len(list(folder.glob("f*.bin"))) == 2000


def test_what_killed_tasks_left_is_swept_a_day_later(place: Place) -> None:
    old, new = (place.cache / "runtime" / f"{'0' * 64}.new-{n}-x" for n in (1, 2))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    os.utime(old, (0, 0))
    place.run()
    assert not old.exists()
    assert new.exists()


def test_what_nobody_uses_is_removed_in_the_end(place: Place) -> None:
    place.run()
    first = runtime(place)
    os.utime(first, (time.time() - 59 * 86400,) * 2)
    place.run()
    assert time.time() - first.stat().st_mtime < 1000, "it was used now"
    os.utime(first, (0, 0))
    place.parts[0] = place.add_part({"started_here.py": START + "\n"})
    place.parts.pop()
    place.run()
    assert runtime(place).is_dir()
    assert not first.exists()


def test_the_end_is_asked_for_while_it_fetches(place: Place) -> None:
    begun = place.folder / "begun"
    place.source = FETCHER.replace(
        "    def read(key):",
        "    import io, time\n    def read(key):\n"
        f"        io.open({str(begun)!r}, 'w').close()\n        time.sleep(60)",
    )
    process = place.begin()
    wait_for(begun.exists, 60)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 143
    assert not err


def test_a_home_that_cannot_be_written(place: Place) -> None:
    """Then a folder for temporary files is used, in which nobody else may write."""
    home, temporary = place.folder / "home", place.folder / "tmp"
    home.touch()
    temporary.mkdir()
    environment = {**place.environment(), "HOME": str(home), "TMPDIR": str(temporary)}
    del environment["FLOW_CACHE"]

    def run() -> dict[str, Any]:
        done = subprocess.run(
            boot_command([sys.executable]), env=environment, capture_output=True, check=False
        )
        assert done.returncode == 7, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    own = temporary / f"flow-{os.getuid()}"
    assert run()["folders"][0].startswith(f"{own}/runtime/")
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)
    assert not run()["folders"][0].startswith(f"{own}/runtime/"), "others may write there"


def test_a_named_cache_that_cannot_be_written(place: Place) -> None:
    place.cache.touch()
    failure = place.run().failure
    assert failure["what"] == "The runtime cannot be kept"
    assert failure["where"] == f"{place.cache}/runtime"
    assert failure["hint"].startswith("FLOW_CACHE=")


def test_no_space_is_left(place: Place) -> None:
    """A limit on the size of files stands for a full disk: what is written fails the same."""
    place.parts.clear()
    place.add_part({"started_here.py": START, "large.bin": bytes(300_000)}, unpacked=300_500)
    shell = (
        "/bin/sh",
        "-c",
        'ulimit -f 100; exec "$@"',
        "limited",
        *boot_command([sys.executable]),
    )
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        failure = place.run(words=shell).failure
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
    assert failure["what"] == "The runtime cannot be kept"
    assert failure["where"] == str(place.cache / "runtime")
    assert "it needs 300500 bytes there" in failure["why"]
    assert not list(place.cache.glob("runtime/*.new-*")), "nothing half-written stays"


def test_threads_raise_what_one_of_them_raised() -> None:
    done: list[int] = []
    gate = threading.Barrier(2, timeout=10)

    def work(item: int) -> None:
        gate.wait()
        if item == 1:
            raise boot.Failed("one")
        done.append(item)

    with pytest.raises(boot.Failed, match="one"):
        boot.together(work, [0, 1])
    assert done == [0]


def test_libc_of_this_machine() -> None:
    built_for = sysconfig.get_config_var("HOST_GNU_TYPE").rpartition("-")[2]
    assert boot.libc() == {"gnu": "glibc", "musl": "musl"}.get(built_for, "")
    assert HERE["platform"].startswith(sys.platform)
