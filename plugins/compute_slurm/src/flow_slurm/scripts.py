"""The folder of a job: its batch script, a script for each task, and what comes of them.

It lies on a file system that the launcher and all nodes see:

    job.sh      what sbatch gets: it picks the task of its index
    jobs.json   the names of the tasks, by index: how another launcher finds them again
    0.sh …      variables and command of each task; a gang has one for each member
    0.log …     what the task's process wrote before its own log was open, and what Slurm wrote
    ended/0 …   its exit status, or ``setup`` where the lines of ``setup`` failed
    grace       seconds between SIGTERM and SIGKILL, once somebody has cancelled

Nothing in it is a secret: those come by the environment of sbatch. Only its owner can read it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from shlex import quote
from typing import NamedTuple

from flow_remote.backend import Job

SCRIPT = "job.sh"
_NAMES = "jobs.json"
_GRACE = "grace"
_ENDED = "ended"

SETUP_FAILED = "setup"
"""What stands in place of an exit status where the lines of ``setup`` failed."""

_LOG = 8000  # bytes that are read of the end of a log

_RUN = """
# The task runs beside this shell, which can end it by force when a grace is over that is shorter
# than that of the cluster. Slurm sends SIGTERM to all processes of the job.
run() {
    rm -f "$folder/ended/$1"  # of an earlier start of the same job, by Slurm itself
    trap 'end_task' TERM
    /bin/sh "$folder/$1.sh" </dev/null &
    task=$!
    while :; do
        wait "$task"
        status=$?
        [ "$status" -gt 128 ] && kill -0 "$task" 2>/dev/null || break
    done
    echo "$status" >"$folder/$1.ended" && mv "$folder/$1.ended" "$folder/ended/$1"
    exit "$status"
}
end_task() {
    [ -n "$!" ] || exit 143 # nothing has begun
    task=$!
    trap '' TERM
    [ -r "$folder/grace" ] || return 0
    { sleep "$(cat "$folder/grace")"; kill -KILL "$task"; } >/dev/null 2>&1 &
}
"""

_GANG = """
# The members reach the first one by the name of its machine, where that leads to it.
MASTER_ADDR=$SLURMD_NODENAME
case $(getent hosts "$MASTER_ADDR") in '' | 127.* | ::1*) MASTER_ADDR= ;; esac
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
while grep -qi ":$(printf %04X "$MASTER_PORT") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do
    MASTER_PORT=$((MASTER_PORT + 1))
done
export MASTER_ADDR MASTER_PORT
rm -f "$folder"/ended/*  # of an earlier start of the same job, by Slurm itself
# All members are told apart by who has written what; who fails first is for flow-core to say.
srun --kill-on-bad-exit=0 --wait=0 --distribution=block --cpus-per-task={cpus} \\
    --output="$folder/%t.log" /bin/sh "$folder/member.sh" &
task=$!
trap : TERM
while :; do
    wait "$task"
    status=$?
    [ "$status" -gt 128 ] && kill -0 "$task" 2>/dev/null || break
done
exit "$status"
"""

_MEMBER = """
: "${MASTER_ADDR:=$SLURM_LAUNCH_NODE_IPADDR}"
LOCAL_RANK=$SLURM_LOCALID NODE_RANK=$SLURM_NODEID LOCAL_WORLD_SIZE=1
# How many members each machine has: 2(x3),1
rest=$SLURM_STEP_TASKS_PER_NODE machines=0
while [ -n "$rest" ]; do
    part=${rest%%,*}
    [ "$part" = "$rest" ] && rest= || rest=${rest#*,}
    times=1
    case $part in *x*) times=${part#*x} times=${times%)} ;; esac
    machines=$((machines + times))
    [ "$SLURM_NODEID" -ge "$machines" ] || { LOCAL_WORLD_SIZE=${part%%(*} && break; }
done
export MASTER_ADDR MASTER_PORT LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK
run "$SLURM_PROCID"
"""


_TRIAL = """\
import os, platform
print("Python", platform.python_version(), "on", platform.node(), "in", os.getcwd())
print("a task could run here")"""


class Folder(NamedTuple):
    """The folder of one submission.

    Attributes:
        path: absolute.
        names: the `Job.name` of each task by its index; of a gang, the one name of all.
        members: how many members the gang has; None = it is none, but an array or one task.
        run: that it belongs to: ``MoviesFlow/12``.
        steps: the step of each name.
        cluster: the name of the one that got the jobs.
    """

    path: str
    names: tuple[str, ...]
    members: int | None = None
    run: str = ""
    steps: tuple[str, ...] = ()
    cluster: str = ""

    @property
    def script(self) -> str:
        """Path of the batch script; the cluster tells it of each job."""
        return script_in(self.path)

    def status(self, index: int) -> int | str | None:
        """Return how a task has ended, as its shell tells it; None = it has not written that."""
        try:
            with open(f"{self.path}/{_ENDED}/{index}") as file:
                text = file.read().strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else text or None

    def ended(self) -> set[int]:
        """Return the tasks that have written how they ended; one request to the file system."""
        try:
            return {int(name) for name in os.listdir(f"{self.path}/{_ENDED}")}
        except OSError:
            return set()

    def start_anew(self, indices: Iterable[int]) -> None:
        """Forget how tasks have ended: Slurm starts them again by itself."""
        for index in indices:
            with suppress(OSError):
                os.unlink(f"{self.path}/{_ENDED}/{index}")

    def log(self, index: int, most: int = _LOG) -> str:
        """Return the end of what a task wrote before its log was open, and what Slurm says of it.

        Args:
            index: of the task.
            most: bytes of each file that are read.
        """
        files = ["job.log", f"{index}.log"] if self.members is not None else [f"{index}.log"]
        return "".join(_end_of(f"{self.path}/{name}", most) for name in files)

    def has_begun(self, index: int) -> bool:
        """Whether Slurm has ever started a task: it creates its log before anything runs."""
        return os.path.exists(f"{self.path}/{index}.log") or self.status(index) is not None

    def index_of(self, id: str) -> int | None:
        """Return which task of the folder a job is, by its id in Slurm; None where it is none."""
        index = id.partition("_")[2] or ("0" if len(self.names) == 1 else "")
        return int(index) if index and int(index) < len(self.names) else None

    def script_of(self, index: int) -> str:
        """Path of the script of one task."""
        return f"{self.path}/{index}.sh"

    def grant(self, grace: float) -> None:
        """Say how long tasks may take to end, once they are told to."""
        with suppress(FileNotFoundError):
            _write(f"{self.path}/{_GRACE}", f"{max(grace, 0):g}\n")

    def remove(self) -> None:
        """Remove the folder. A job of it that would still begin ends at once."""
        shutil.rmtree(self.path, ignore_errors=True)


def write_folder(
    root: str,
    run: str,
    jobs: Sequence[Job],
    options: Sequence[str],
    setup: Sequence[str],
    cpus: int,
    cluster: str = "",
) -> Folder:
    """Write all files of a submission.

    Args:
        root: the folder below which it lies.
        run: that the jobs belong to.
        jobs: the tasks of an array, or one gang.
        options: for sbatch, which the script shows; sbatch gets them as words too.
        setup: lines of shell before each task.
        cpus: processors of each member of a gang.
        cluster: the name of the one that gets the jobs.
    """
    first = jobs[0]
    path = os.path.join(root, f"{first.name}-{secrets.token_hex(4)}")
    os.makedirs(path, mode=0o700)
    os.mkdir(f"{path}/{_ENDED}")
    members = len(first.tasks) if first.is_gang else None
    names, steps = zip(*((job.name, job.tasks[0].step) for job in jobs), strict=True)
    folder = Folder(path, names, members, run, steps, cluster)
    tasks = list(zip(first.commands, first.variables, strict=True)) if members else [
        (job.commands[0], job.variables[0]) for job in jobs
    ]  # fmt: skip
    for index, (command, variables) in enumerate(tasks):
        _write(folder.script_of(index), _task_script(command, variables, first.folder))
    _write(folder.script, _batch_script(folder, options, setup, cpus))
    if members:
        _write(f"{path}/member.sh", f"#!/bin/sh\nfolder={quote(path)}\n{_RUN}{_MEMBER}")
    told = {"run": run, "names": names, "steps": steps, "members": members, "cluster": cluster}
    _write(f"{path}/{_NAMES}", json.dumps(told))
    return folder


def script_in(path: str) -> str:
    """Return the path of the batch script in a folder of a submission."""
    return f"{path}/{SCRIPT}"


def read_folder(script: str) -> Folder | None:
    """Return the folder of a batch script of ours; None where it is none, or cannot be read."""
    path, name = os.path.split(script)
    if name != SCRIPT:
        return None
    try:
        with open(f"{path}/{_NAMES}", encoding="utf-8") as file:
            told = json.load(file)
        names, steps = tuple(told["names"]), tuple(told["steps"])
        return Folder(path, names, told["members"], told["run"], steps, told.get("cluster", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def output_of(folder: Folder) -> str:
    """Return where Slurm is to write what the batch script writes, in its own pattern."""
    path = folder.path.replace("%", "%%")
    if folder.members is not None:
        return f"{path}/job.log"
    return f"{path}/%a.log" if len(folder.names) > 1 else f"{path}/0.log"


def shown_name(names: Sequence[str]) -> str:
    """Return one name for all tasks of an array: what they have in common, ``moviesflow-12-train``."""
    if len(names) == 1:
        return names[0]
    first, last = min(names), max(names)  # what these have in common all have
    same = next((i for i, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), 0)
    return re.sub(r"-[^-]*$", "", first[:same]) or first


def trial_script(options: Sequence[str], setup: Sequence[str], python: str) -> str:
    """Return a batch script that looks whether a task could run, and needs no folder."""
    lines = ["#!/bin/bash -l" if setup else "#!/bin/sh"]
    lines += [f"#SBATCH {_directive(option)}" for option in options]
    if setup:
        lines += ["set -e", *setup]
    begin = "srun" if _is_gang(options) else "exec"
    lines += [f"{begin} {quote(python)} -c {quote(_TRIAL)}", ""]
    return "\n".join(lines)


def _is_gang(options: Sequence[str]) -> bool:
    return any(option.startswith("--ntasks=") and option != "--ntasks=1" for option in options)


def _batch_script(folder: Folder, options: Sequence[str], setup: Sequence[str], cpus: int) -> str:
    # What `module` and the like need is in the profiles that a login shell of bash reads.
    lines = ["#!/bin/bash -l" if setup else "#!/bin/sh"]
    lines += [f"#SBATCH {_directive(option)}" for option in options]
    lines.append(f"folder={quote(folder.path)}")
    index = '"$SLURM_ARRAY_TASK_ID"' if len(folder.names) > 1 else "0"
    if setup:
        lines += ["set -e", f"trap 'echo {SETUP_FAILED} >\"$folder/ended/\"{index}' EXIT"]
        lines += [*setup, "trap - EXIT", "set +e"]
    if folder.members is not None:
        return "\n".join(lines) + _GANG.replace("{cpus}", str(cpus))
    return "\n".join(lines) + f"\n{_RUN}run {index}\n"


def _directive(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"{name}={quote(value)}" if equals else option


def _task_script(command: Sequence[str], variables: Mapping[str, str], folder: str | None) -> str:
    lines = [f"export {name}={quote(value)}" for name, value in variables.items()]
    if folder is not None:
        lines.append(f"cd {quote(folder)} || exit 1")
    return "\n".join([*lines, "exec " + " ".join(map(quote, command)), ""])


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _end_of(path: str, most: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - most, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
