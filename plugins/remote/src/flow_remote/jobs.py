"""Attempts turned into jobs: their specifications are written, and what a cluster starts is put together."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Sequence
from functools import cached_property

from flow_core.api import (
    Bootstrap,
    PluginError,
    Runtime,
    Store,
    TaskCommand,
    TaskSpec,
)
from flow_remote.backend import Job
from flow_remote.boot import FORMAT, PACKED
from flow_remote.bundle import make_runtime
from flow_remote.script import boot_command, lean
from flow_remote.specification import GRACE, Specifications, Written, job_name

Member = tuple[TaskSpec, TaskCommand]

_KILL_LATER = 60.0  # seconds that a cluster's own limit comes after flow-core's


class JobMaker:
    """Makes the jobs of one run.

    Args:
        name: of the compute provider, under which steps have their options.
        runtime: the session.
        store: the store of the run.
        folder: working directory of tasks whose command names none; None = where their code is.
        shares_files: whether tasks see the files of this machine: its Python is tried first then.

    Raises:
        PluginError: a bare Python cannot read this store.
    """

    def __init__(
        self, name: str, runtime: Runtime, store: Store, folder: str | None, shares_files: bool
    ) -> None:
        self._name = name
        self._runtime = runtime
        self._store = store
        self._folder = folder
        self._fetcher = fetcher_of(name, store, shares_files)
        pythons = [sys.executable] if shares_files else []
        self._command = boot_command(pythons, f"{sys.version_info[0]}.{sys.version_info[1]}")

    @cached_property
    def _specifications(self) -> Specifications:
        bundle = make_runtime(self._runtime, self._store)
        settings = self._fetcher.settings
        return Specifications(self._runtime, self._store, bundle.document(), self._folder, settings)

    def make(self, groups: Sequence[Sequence[Member]]) -> list[Job]:
        """Write the specifications of attempts, with one call of the store; return their jobs.

        Args:
            groups: for each job its attempts: one, or the members of a gang.

        Raises:
            StoreError: they cannot be written.
        """
        written = [[self._specifications.write(*member) for member in group] for group in groups]
        self._store.write([(one.key, one.content) for group in written for one in group])
        return [self._job(*pair) for pair in zip(groups, written, strict=True)]

    def _job(self, group: Sequence[Member], written: Sequence[Written]) -> Job:
        first, command = group[0]
        plan = self._runtime.plan(first.step)
        timeout = None
        if plan.timeout is not None:
            timeout = plan.timeout + plan.timeout_grace + _KILL_LATER
        return Job(
            job_name(self._store.url, first),
            tuple(task for task, _ in group),
            (self._command,) * len(group),
            tuple(self._variables(one) for one in written),
            options=plan.options.get(self._name, {}),
            resources=command.resources or plan.resources,
            timeout=timeout,
            folder=command.folder or self._folder,
        )

    def _variables(self, written: Written) -> dict[str, str]:
        """Return what `flow_remote.boot` reads."""
        task = {
            "format": FORMAT,
            "source": self._fetcher.source,
            "config": self._fetcher.config,
            "key": written.key,
            "sha256": written.sha256,
            "grace": GRACE,
        }
        return {"FLOW_TASK": json.dumps(task)}


def fetcher_of(name: str, store: Store, shares_files: bool) -> Bootstrap:
    """Return how the Python of a task reads a store.

    Args:
        name: of the compute provider.
        store: the store.
        shares_files: whether that is the launcher's own, which has all that the store needs. What an
            image has is known when its tasks begin, which is too late to refuse it.

    Raises:
        PluginError: it cannot.
    """
    bootstrap = getattr(store, "bootstrap", None)
    found: Bootstrap | None = bootstrap() if bootstrap is not None else None
    if found is None or (found.needs and not shares_files):
        needs = ", ".join(found.needs) if found is not None else ""
        raise PluginError(
            f"Tasks of compute '{name}' could not begin: a bare Python cannot read the store",
            where=store.url,
            why=f"it is read by {needs}, and what an image has is known only there"
            if needs
            else "its plugin does not say how: it has no bootstrap",
            hint="--datastore s3://bucket/prefix, gs://bucket/prefix or azure://container/prefix"
            + (", or local://FOLDER where all machines see the folder" if shares_files else ""),
        )
    return found._replace(source=packed(lean(found.source)))


def packed(source: str) -> str:
    """Return the text of a fetcher as it travels: clusters keep it with each job."""
    return PACKED + base64.b64encode(zlib.compress(source.encode(), 9)).decode()
