"""What ``@audited`` does: hooks, loaded for the flows that carry it.

They all run in the launcher, wherever the tasks run: so a task that is killed has its lines too, and
machines that compute need not see the file.
"""

from __future__ import annotations

from flow_acme import AuditedOptions
from flow_acme.audit_log import AuditLog, end_line, start_line
from flow_core.api import (
    Manifest,
    RunDocument,
    RunDraft,
    RunRequest,
    Session,
    Settings,
    TaskCommand,
    TaskPlan,
    TaskSpec,
    hookimpl,
)

NAME = "audited.listener"


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where the lines go."""
    settings.declare("acme_audit_file", "audit.jsonl", "File to which @audited appends its lines.")


@hookimpl
def flow_session_started(session: Session) -> None:
    """Listen to what becomes of tasks."""
    session.plugins.manager.register(Auditor(session), NAME)


class Auditor:
    """Writes two lines for each attempt of an audited step.

    Args:
        session: whose attempts.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._log = AuditLog(session.settings["acme_audit_file"])
        self._document: RunDocument | None = None

    @hookimpl
    def flow_run_draft(self, session: Session, request: RunRequest, draft: RunDraft) -> None:
        """Refuse a run that could not be audited, before it is there."""
        self._log.check()

    @hookimpl
    def flow_task_command(self, task: TaskSpec, plan: TaskPlan, command: TaskCommand) -> None:
        """Say that an attempt begins. A failure here ends the run: nothing starts unseen."""
        options = self._options(task.step)
        if options is not None:
            self._log.append(start_line(self._run_of(task), task, options))

    @hookimpl
    def flow_task_finished(self, task: TaskSpec, manifest: Manifest) -> None:
        """Say how it ended."""
        options = self._options(task.step)
        if options is not None:
            self._log.append(end_line(self._run_of(task), manifest, options))

    def _options(self, step: str) -> AuditedOptions | None:
        options = self._session.definition.steps[step].options("audited")
        return options if isinstance(options, AuditedOptions) else None

    def _run_of(self, task: TaskSpec) -> RunDocument:
        """Return what is fixed of the run; it is read once."""
        known = self._document
        if known is None or (known.flow, known.run) != (task.flow, task.run):
            self._document = known = self._session.run_document(task.flow, task.run)
        return known
