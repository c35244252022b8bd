"""A Slurm cluster on this machine, in a folder of its own: for tests, and for trying things out.

It is a real one: munged, slurmctld and a slurmd for each node. It needs no root, no configuration of the
system and no network beyond this machine; several may run beside each other.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flow_core.api import FlowError
from flow_slurm import daemons
from flow_slurm.programs import find_program, need_program

INSTALL = "apt-get install slurm-wlm munge slurm-wlm-basic-plugins"
"""What brings Slurm to a machine with Debian or Ubuntu."""

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")

_LONGEST_SOCKET = 100  # characters; the system's limit is a few more


class Nodes(NamedTuple):
    """What the nodes of a sandbox have, or claim to have.

    Attributes:
        number: how many there are.
        cpus: processors of each.
        memory: megabytes of each.
        gpus: graphics processors that each claims; no job sees one.
    """

    number: int = 1
    cpus: int = 1
    memory: int = 1000
    gpus: int = 0

    @classmethod
    def of_this_machine(cls, number: int = 1) -> Nodes:
        """Return nodes that share the processors and the memory of this machine."""
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        memory = page * pages // 2**20
        # A little is left to the system; jobs are to end before the machine has no memory left.
        return cls(
            number,
            max((os.cpu_count() or 1) // number, 1),
            max(int(memory * 0.9) // number, 100),
        )


class Sandbox:
    """A local cluster. Use it as a context, or call `start` and `stop`.

    It ends when the process that has started it ends, however that happens, with all that its jobs
    have started. Partitions: ``main``, the default; ``short``, whose jobs run for 5 minutes at most;
    ``urgent``, for whose jobs those of the others are preempted.

    Args:
        folder: for its files; made if it is not there, and kept. None = a temporary one.
        nodes: of the cluster; None = one, with what this machine has.
        more: further lines of ``slurm.conf``, which stand for those of this class that begin alike.
        owner: process whose end ends the sandbox; None = this one.

    Since 0.1.
    """

    def __init__(
        self,
        folder: str | None = None,
        nodes: Nodes | None = None,
        more: Mapping[str, str] | None = None,
        owner: int | None = None,
    ) -> None:
        self._given = folder
        self.folder = os.path.abspath(folder) if folder else ""
        self.nodes = nodes or Nodes.of_this_machine()
        self._more = more or {}
        self._owner = owner or os.getpid()
        self._guard = 0
        self.name = f"sandbox-{random.randrange(16**8):08x}"

    @classmethod
    def opened(cls, folder: str) -> Sandbox:
        """Return a sandbox that another process has started; it may be watched, and disturbed."""
        told = json.loads(Path(folder, "sandbox.json").read_text())
        found = cls(folder, Nodes(**told["nodes"]))
        found.name, found._guard = told["name"], told["guard"]
        return found

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def configuration(self) -> str:
        """Path of its ``slurm.conf``: the value of ``SLURM_CONF``."""
        return f"{self.folder}/slurm.conf"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables with which Slurm's programs speak to it."""
        return {"SLURM_CONF": self.configuration}

    @property
    def names(self) -> list[str]:
        """The names of its nodes."""
        if not _many_daemons():
            return [_host()]
        return [f"node{number}" for number in range(1, self.nodes.number + 1)]

    def start(self, timeout: float = 60.0) -> None:
        """Start all daemons; return when all nodes are ready for jobs.

        Args:
            timeout: seconds after which it is an error that they are not.

        Raises:
            FlowError: Slurm is not installed, or a daemon does not come up.
        """
        for program in PROGRAMS:
            _need(program)
        self._make_folder()
        self._start_guard()
        try:
            self.start_munge()
            self.start_controller()
            for node in self.names:
                self.start_node(node)
            self.wait_ready(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all daemons, and all that jobs have started. Safe to call twice."""
        if not self._guard:
            return
        daemons.end_processes(self.name)
        with suppress(ProcessLookupError):
            os.kill(self._guard, signal.SIGKILL)
        self._guard = 0
        if self._given is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start_guard(self) -> None:
        """Start what ends the sandbox when its owner ends. It has no mark, and is ended last."""
        guard = [sys.executable, "-I", daemons.__file__, self.folder, str(self._owner), self.name]
        told = subprocess.run(
            ["/bin/sh", "-c", '"$@" >/dev/null & echo $!', "sh", *guard],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
        )
        self._guard = int(told.stdout)
        known = {"name": self.name, "nodes": self.nodes._asdict(), "guard": self._guard}
        Path(self.folder, "sandbox.json").write_text(json.dumps(known))

    # --- its parts ------------------------------------------------------------------------------

    def start_munge(self) -> None:
        """Start what tells Slurm's programs and daemons who somebody is."""
        munge = f"{self.folder}/munge"
        command = [
            need_program("munged"),
            "--foreground",
            "--force",  # also below a home that nobody else may enter
            f"--key-file={munge}/key",
            f"--socket={munge}/socket",
            f"--pid-file={munge}/pid",
            f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
        ]
        self._daemon(command, "munged", {})
        self._wait_for(f"{munge}/socket", "munged")

    def start_controller(self) -> None:
        """Start slurmctld: it knows what it knew when it ended."""
        self._daemon([need_program("slurmctld"), "-D"], "slurmctld", {})

    def stop_controller(self) -> None:
        """End slurmctld, which writes down what it knows: jobs go on, but nobody tells of them."""
        with suppress(FileNotFoundError, ProcessLookupError):
            process = int(Path(self.folder, "slurmctld.pid").read_text())
            os.kill(process, signal.SIGTERM)
            while daemons.lives(process):  # until the port is free
                time.sleep(0.01)

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node."""
        chosen = ["-N", name] if _many_daemons() else []
        command = [need_program("slurmd"), "-D", *chosen]
        self._daemon(command, f"slurmd.{name}", {"SLURMD_NODENAME": name})

    def stop_node(self, name: str) -> None:
        """Let a node be gone, as by a loss of power: its slurmd, and all that ran there."""
        daemons.end_processes(self.name, name)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when all nodes are ready for jobs.

        Raises:
            FlowError: they are not, after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        said = ""
        while time.monotonic() < deadline:
            told = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T")
            said = (told.stdout + told.stderr).strip()
            states = dict(line.split(None, 1) for line in told.stdout.splitlines())
            if len(states) == self.nodes.number and {*states.values()} <= {*_READY}:
                return
            time.sleep(0.1)
        raise FlowError(
            f"The sandbox is not ready after {timeout:g} seconds",
            where=self.folder,
            why=said or None,
            hint=f"look into the logs of its daemons: {self.folder}/log",
        )

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's programs against it."""
        return subprocess.run(
            [need_program(program), *arguments],
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _daemon(self, command: list[str], name: str, variables: Mapping[str, str]) -> None:
        log = f"{self.folder}/log/{name}.out"
        daemons.start_daemon(command, log, self.name, {**self.variables, **variables})

    def _wait_for(self, path: str, daemon: str) -> None:
        said = ""
        for _ in range(1000):
            if os.path.exists(path):
                return
            said = Path(self.folder, "log", f"{daemon}.out").read_text(errors="replace")
            if "Error: " in said:
                break
            time.sleep(0.01)
        raise FlowError(
            f"The daemon {daemon} of the sandbox does not come up",
            where=self.folder,
            why=said.strip()[-500:] or None,
            hint=f"look into its log: {self.folder}/log/{daemon}.out",
        )

    # --- its files ------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        self.folder = self.folder or tempfile.mkdtemp(prefix="slurm-")
        self._take_name()
        if len(f"{self.folder}/munge/socket") > _LONGEST_SOCKET:
            raise FlowError(
                "The path of the sandbox is too long",
                where=self.folder,
                why=f"a socket in it would have more than {_LONGEST_SOCKET} characters",
                hint="choose a folder nearer to /: flow slurm sandbox --folder /tmp/slurm",
            )
        for part in ("log", "state", "spool", "munge"):
            os.makedirs(f"{self.folder}/{part}", mode=0o755, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/munge/socket")
        key = Path(self.folder, "munge", "key")
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(1024))
        if self._given is not None:
            Path(self.folder, "keep").touch()
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            Path(self.folder, name).write_text(getattr(self, "_" + name.replace(".", "_"))())

    def _take_name(self) -> None:
        """Take the name of the cluster whose folder this was: slurmctld reads no other's state."""
        told = Path(self.folder, "sandbox.json")
        if not told.exists():
            return
        self.name = json.loads(told.read_text())["name"]
        if daemons.running(self.name):
            raise FlowError(
                "There is a sandbox in this folder, and it runs",
                where=self.folder,
                hint=f"use it: export SLURM_CONF={self.configuration}",
            )

    def _slurm_conf(self) -> str:
        """Return the text of the cluster's configuration."""
        control, *ports = _free_ports(1 + self.nodes.number)
        folder, host, user = self.folder, _host(), _user()
        values = {
            "ClusterName": self.name,
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={folder}/munge/socket",
            "SlurmctldPort": control,
            "SlurmctldPidFile": f"{folder}/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd.%n.pid",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool/%n",
            "SlurmctldLogFile": f"{folder}/log/slurmctld.log",
            "SlurmdLogFile": f"{folder}/log/slurmd.%n.log",
            # Nothing that needs root, or control groups.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "PropagateResourceLimits": "NONE",
            # Memory counts: who takes more than was asked for is killed, as on a real cluster.
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SlurmdParameters": "config_overrides",  # nodes may claim more than there is
            # Quick answers.
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,"
            "sched_min_interval=100000,bf_interval=1",
            "KillWait": 5,
            "SlurmdTimeout": 10,
            "ReturnToService": 2,
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
        }
        if self.nodes.gpus:
            values["GresTypes"] = "gpu"
        known = {name.lower() for name in self._more}
        lines = [f"{name}={value}" for name, value in values.items() if name.lower() not in known]
        lines += [f"{name}={value}" for name, value in self._more.items()]
        lines += [self._node(*each) for each in zip(self.names, ports, strict=True)]
        lines += [
            "PartitionName=main Nodes=ALL Default=YES PriorityTier=1",
            "PartitionName=short Nodes=ALL MaxTime=5 PriorityTier=1",
            "PartitionName=urgent Nodes=ALL PriorityTier=10",
        ]
        return "".join(f"{line}\n" for line in lines)

    def _node(self, name: str, port: int) -> str:
        gpus = f" Gres=gpu:{self.nodes.gpus}" if self.nodes.gpus else ""
        return (
            f"NodeName={name} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port}"
            f" CPUs={self.nodes.cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={self.nodes.cpus}"
            f" ThreadsPerCore=1 RealMemory={self.nodes.memory}{gpus}"
        )

    def _gres_conf(self) -> str:
        if not self.nodes.gpus:
            return ""
        files = [f"{self.folder}/gpu{number}" for number in range(self.nodes.gpus)]
        for file in files:  # slurmd counts devices
            Path(file).touch()
        names = ",".join(self.names)
        return "".join(f"NodeName={names} Name=gpu File={file}\n" for file in files)

    def _cgroup_conf(self) -> str:
        # Later releases look for control groups even where nothing uses them.
        return "CgroupPlugin=disabled\n" if _release() >= (23, 2) else ""


_READY = ("idle", "mixed", "allocated")


def missing_programs() -> list[str]:
    """Return the programs that a sandbox needs and that are not here."""
    return [name for name in PROGRAMS if find_program(name) is None]


def _need(program: str) -> None:
    if find_program(program) is None:
        raise FlowError(
            f"A local Slurm needs '{program}', which is not on this machine",
            hint=f"on Debian or Ubuntu: {INSTALL}",
        )


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise FlowError(
            f"The user {os.getuid()} has no name on this machine, and Slurm needs one",
            hint="run it as a user that /etc/passwd knows",
        ) from None


def _many_daemons() -> bool:
    """Whether several slurmd can run on one machine: a choice of who has built Slurm."""
    told = subprocess.run(
        [need_program("slurmd"), "-h"], capture_output=True, text=True, check=False
    )
    return "-N node" in told.stdout + told.stderr


def _release() -> tuple[int, int]:
    """Return the year and the month of the release of Slurm."""
    told = subprocess.run(
        [need_program("slurmd"), "-V"], capture_output=True, text=True, check=False
    )
    year, month, *_ = told.stdout.split()[-1].split(".")
    return int(year), int(month)


def _free_ports(count: int) -> list[int]:
    """Choose ports below those that the system gives to clients, which come and go."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in chosen:
                chosen.append(port)
    return chosen
