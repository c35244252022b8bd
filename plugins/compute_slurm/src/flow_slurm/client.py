"""Slurm's programs, as functions: submit, look, cancel. All that is run of Slurm is run here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from flow_core.api import FlowError
from flow_slurm.programs import need_program
from flow_slurm.states import COLUMNS, JobState, Shortened, compact, read_columns, read_json

_PATIENCE = 120.0  # seconds for one program; they give up by themselves before that
_AWAY = re.compile(
    r"unable to contact slurm|connect failure|timed out|connection refused|zero bytes|"
    r"communication connection|temporarily unable|temporarily unavailable|not responding|"
    r"transport endpoint|failed while looking for jobs|in standby mode|unexpected message received",
    re.IGNORECASE,
)

KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
    "LD_LIBRARY_PATH",
)  # fmt: skip
"""Variables that each job gets: without them a Python that a person's shell finds may not start."""

_FOR_SLURM = re.compile(
    r"SLURM_CONF(_SERVER)?|SLURM_CLUSTERS|SLURM_JWT|SLURM_DEBUG_FLAGS|SBATCH_.*"
)
_NOT_FOR_JOBS = {"SBATCH_ARRAY_INX", "SBATCH_EXPORT", "SBATCH_WAIT", "SBATCH_GET_USER_ENV"}
_NOT_FOR_JOBS |= {"SBATCH_REQUEUE", "SBATCH_NO_REQUEUE", "SBATCH_OUTPUT", "SBATCH_ERROR"}
_NOT_FOR_JOBS |= {"SBATCH_INPUT", "SBATCH_JOB_NAME", "SBATCH_CLUSTERS"}

# Preferences of a person: they would leave jobs out, or have scancel ask.
_PREFERENCES = re.compile(r"(SQUEUE|SCANCEL|SINFO|SACCT)_.*")


class SlurmError(Exception):
    """A program of Slurm says no; the text is its own words."""


class SlurmAway(SlurmError):
    """Slurm does not answer at all: nothing is known, and it may have done what it was asked."""


class Partition(NamedTuple):
    """A partition, as sinfo tells it.

    Attributes:
        name: of the partition.
        default: whether it is that of jobs that name none.
        state: ``up``, ``down``, …
        time: its longest time limit, in Slurm's words.
        cpus: processors of its largest node.
        memory: megabytes of its largest node.
        gres: graphics processors and the like of its nodes.
        features: what ``constraint`` may name.
    """

    name: str
    default: bool
    state: str
    time: str
    cpus: int
    memory: int
    gres: frozenset[str]
    features: frozenset[str]


class Cluster(NamedTuple):
    """What a cluster tells of itself.

    Attributes:
        name: by which its administrators tell it from others.
        longest_array: elements that an array may have; 1 = there are no arrays.
    """

    name: str
    longest_array: int


class Client:
    """Speaks to the cluster that this machine belongs to."""

    def __init__(self) -> None:
        self._json = True

    def submit(self, words: Sequence[str], script: str, names: Collection[str]) -> str:
        """Submit a script; return the id of the job, or of the array.

        Args:
            words: options of sbatch.
            script: path of the script.
            names: variables of this process that the job gets, beside `KEPT`.

        Raises:
            SlurmAway: it does not answer; the job may have been taken.
            SlurmError: it is refused.
        """
        # Not --export=NAMES: that makes each node ask a login shell for the rest, for seconds. The
        # job gets all that sbatch has, and sbatch gets no more than the job is to have.
        environment = {n: os.environ[n] for n in (*KEPT, *names) if n in os.environ}
        environment |= {
            name: value
            for name, value in os.environ.items()
            if _FOR_SLURM.fullmatch(name) and name not in _NOT_FOR_JOBS
        }
        out = self._run(
            "sbatch", "--parsable", "--export=ALL", *words, script, variables=environment
        )
        return out.strip().partition(";")[0]

    def jobs(self) -> list[JobState]:
        """Return all jobs that Slurm knows of, of all people, also those that ended a while ago.

        Raises:
            SlurmAway: it does not answer.
            SlurmError: it says no.
        """
        if self._json:
            try:
                return self._jobs_by_json()
            except _NoJson:
                self._json = False
        columns = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
        out = self._run("squeue", "-h", "-r", "-t", "all", f"--Format={columns}")
        try:
            return list(read_columns(out))
        except Shortened as error:  # nothing is known of the others, so nothing is said of any
            raise SlurmAway(f"squeue tells of a part of the jobs only: {error}") from None

    def _jobs_by_json(self) -> list[JobState]:
        try:
            out = self._run("squeue", "--json", "--states=all")
        except SlurmAway:
            raise
        except SlurmError as error:
            if "json" in str(error).lower() or "unrecognized option" in str(error):
                raise _NoJson from None
            raise
        try:
            told = json.loads(out)
        except ValueError:
            raise _NoJson from None
        for trouble in told.get("errors") or ():
            words = (trouble.get("description"), trouble.get("error"))
            raise SlurmAway(f"squeue: {': '.join(filter(None, words))}")
        try:
            return list(read_json(told))
        except Shortened:
            raise _NoJson from None

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs: those that wait at once, others by SIGTERM, and SIGKILL a while later.

        Raises:
            SlurmAway: it does not answer.
        """
        if ids:
            self._run("scancel", "--quiet", *compact(ids))

    def ended(self, ids: Collection[str]) -> dict[str, JobState]:
        """Return what accounting knows of jobs that the cluster itself has forgotten; nothing where
        there is no accounting."""
        if not ids:
            return {}
        fields = "JobID,State,ExitCode,NodeList"
        try:
            out = self._run("sacct", "-n", "-P", "-X", "-o", fields, "-j", ",".join(ids))
        except SlurmError:  # most often since there is none
            return {}
        found = {}
        for line in out.splitlines():
            job, state, status, nodes = line.split("|")
            code, _, signal = status.partition(":")
            raw = (int(code or 0) << 8) | int(signal or 0)
            found[job] = JobState(job, state.split()[0], nodes=nodes, status=raw)
        return found

    def partitions(self) -> list[Partition]:
        """Return the partitions. Raises as `jobs`."""
        out = self._run("sinfo", "-h", "--exact", "-o", "%R|%P|%a|%l|%c|%m|%G|%f")
        found: dict[str, Partition] = {}
        for line in out.splitlines():
            name, marked, state, time, cpus, memory, gres, features = line.split("|")
            one = Partition(
                name, marked.endswith("*"), state, time, _number(cpus), _number(memory),
                frozenset(_parts(gres)), frozenset(_parts(features)),
            )  # fmt: skip
            other = found.get(name, one)
            found[name] = one._replace(
                cpus=max(one.cpus, other.cpus),
                memory=max(one.memory, other.memory),
                gres=one.gres | other.gres,
                features=one.features | other.features,
            )
        return list(found.values())

    def ping(self) -> str:
        """Return which controllers answer, in Slurm's words. Raises as `jobs`."""
        return "; ".join(line.strip() for line in self._run("scontrol", "ping").splitlines())

    def cluster(self) -> Cluster:
        """Return what the cluster tells of itself. Raises as `jobs`."""
        out = self._run("scontrol", "show", "config")
        told = dict(re.findall(r"^(ClusterName|MaxArraySize)\s*=\s*(\S+)", out, re.MULTILINE))
        return Cluster(told.get("ClusterName", ""), max(_number(told.get("MaxArraySize", "")), 1))

    def _run(self, program: str, *words: str, variables: Mapping[str, str] | None = None) -> str:
        path = need_program(program)
        try:
            done = subprocess.run(
                [path, *words],
                env=dict(_for_questions() if variables is None else variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=False,
                start_new_session=True,  # Ctrl-C of the terminal is for the launcher
            )
        except subprocess.TimeoutExpired:
            raise SlurmAway(f"{program} has not answered for {_PATIENCE:g} seconds") from None
        if done.returncode == 0:
            return done.stdout
        said = words_of(done.stderr or done.stdout, program)
        raise SlurmAway(said) if _AWAY.search(said) else SlurmError(said)


class _NoJson(Exception):
    """This squeue was built without JSON, or leaves jobs out of it."""


def unreachable(error: SlurmError, what: str = "Slurm does not answer") -> FlowError:
    """Return what a person is told of a cluster that says nothing.

    Args:
        error: what its programs say.
        what: is not possible therefore.
    """
    if re.search("configuration (source|file)", str(error)):
        hint = "run this where squeue works, on a login node; to try it out: flow slurm sandbox -- COMMAND"
    else:
        hint = "see whether its controller is there: scontrol ping"
    where = os.environ.get("SLURM_CONF")
    return FlowError(what, where=where and f"SLURM_CONF={where}", why=str(error), hint=hint)


def words_of(text: str, program: str) -> str:
    """Return what a program has said as one line, without what it puts before each of its own."""
    lines = [re.sub(rf"^({program}|slurm\w*): (error: )?", "", line) for line in text.splitlines()]
    said = "; ".join(line.strip() for line in lines if line.strip() and "--help" not in line)
    return said or f"{program} failed and says nothing"


def _for_questions() -> dict[str, str]:
    """Return the variables of programs that tell of jobs, or end them: they are to tell of all."""
    kept = {name: text for name, text in os.environ.items() if not _PREFERENCES.fullmatch(name)}
    return kept | {"SLURM_BITSTR_LEN": "0"}  # otherwise long lists of elements end in "..."


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _parts(text: str) -> list[str]:
    return [] if text == "(null)" else [part for part in text.split(",") if part]
