"""How a run starts: what is fixed then, its number, its first records; and how its failure is told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core import __version__
from flow_core.errors import (
    ArtifactError,
    FormatError,
    IntegrityError,
    NotFound,
    RunFailed,
    StoreError,
    UsageError,
    did_you_mean,
)
from flow_core.finding import no_run
from flow_core.flowspec import constants
from flow_core.index import distributions
from flow_core.parameters import resolve_parameters
from flow_core.records import (
    ArtifactRef,
    Message,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    json_text,
    numbers_prefix,
    run_key,
)
from flow_core.snapshots import KeptCode, keep_code
from flow_core.tags import check_tags
from flow_core.text import module_of
from flow_core.together import together

if TYPE_CHECKING:
    from flow_core.flowspec import FlowSpec
    from flow_core.interfaces import Metadata, Store
    from flow_core.session import Session

_WITHOUT_FILE = frozenset({"dump", "logs", "reindex"})
"""Commands that find what they show by a pathspec; all that runs a flow needs its file."""
_RUNNING = frozenset({"run", "resume"})
"""Commands that take decorators from the command line."""


class RunRequest(NamedTuple):
    """What a run is asked to be.

    Attributes:
        parameters: parameter name → value from outside (text or Python value).
        tags: the user's tags.
        origin: pathspec of the run to resume, or None; its parameters are then used where none
            are given.
        max_workers: tasks at a time; None = the setting.
        run_id_file: file that gets the run id as soon as it is known, or None.
        options: `RunOption` name → value, for options of the flow's decorators.
        repeats: pathspec of a run that is run anew from its start, or None: parameters are as there
            where none are given, steps have the locks that they had there, whatever they ask for,
            and the code is that of the run: who asks for it has loaded the flow from there.
    """

    parameters: Mapping[str, Any] = {}
    tags: tuple[str, ...] = ()
    origin: str | None = None
    max_workers: int | None = None
    run_id_file: str | None = None
    options: Mapping[str, Any] = {}
    repeats: str | None = None

    @property
    def earlier(self) -> str | None:
        """Pathspec of the run whose parameters count where none are given, or None."""
        return self.origin or self.repeats


class RunOption(NamedTuple):
    """An option that a plugin adds to the commands that run or deploy a flow: ``--branch NAME``.

    Attributes:
        name: as in `RunRequest.options`; on the command line with ``-`` for ``_``.
        help: one sentence.
        metavar: what stands for the value in the help.
        flag: whether it takes no value; given or not.
        multiple: whether it may be repeated; its value is a tuple then.

    Since 0.1.
    """

    name: str
    help: str
    metavar: str = "TEXT"
    flag: bool = False
    multiple: bool = False


class RunDraft:
    """What is fixed when a run starts, or a flow is deployed, while plugins may still add to it.

    Attributes:
        flow: name of the flow.
        user: who starts or deploys it.
        scope: names in front of the flow's own where it is deployed, outermost first: of two
            flows with different scopes none triggers, hides or replaces the other.
        parameters: parameter name → value from outside. What a plugin sets is converted like text
            from the command line.
        system_tags: tags that the run gets besides the user's.
        notes: JSON data of plugins, by name. Tasks find it in ``task.run.notes``.
        decorators: the flow's own decorators as JSON data; made after the hook has been called.

    Since 0.1.
    """

    def __init__(self, flow: str, user: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.flow = flow
        self.user = user
        self.scope: tuple[str, ...] = ()
        self.parameters: dict[str, Any] = dict(parameters or {})
        self.system_tags: list[str] = []
        self.notes: dict[str, Any] = {}
        self.decorators: tuple[dict[str, Any], ...] = ()

    @property
    def scoped_name(self) -> str:
        """The flow's name behind its scope: ``movies.user.ada.MoviesFlow``."""
        return ".".join((*self.scope, self.flow))


def draft_run(session: Session, request: RunRequest) -> RunDraft:
    """Return what plugins say of a run that is about to start, or of a deployment.

    Args:
        session: a session of the flow.
        request: what is asked for.

    Raises:
        UsageError: an option that the flow does not have, or what plugins object to.

    Since 0.1.
    """
    known = [option.name for option in session.run_options]
    for name in request.options:
        if name not in known:
            raise UsageError(
                f"Flow '{session.definition.name}' has no option '{name}' for its runs",
                hint=did_you_mean(name, known),
            )
    draft = RunDraft(session.definition.name, session.settings.user(), request.parameters)
    draft.system_tags.extend(_system_tags(draft.user))
    session.plugins.hook.flow_run_draft(session=session, request=request, draft=draft)
    draft.decorators = tuple(
        {"name": a.name, "options": a.options.to_json(draft), "source": a.source}
        for a in session.definition.attached
    )
    return draft


def describe_run(session: Session, request: RunRequest) -> RunDocument:
    """Return what is fixed when the run starts, all but its id."""
    if request.run_id_file:
        _check_run_id_file(request.run_id_file)
    check_tags(request.tags)
    if session.has_environments:  # first: plugins may ask for locks
        earlier = session.run_document(*request.earlier.split("/")) if request.earlier else None
        session.environments.resolve(earlier=earlier, as_there=request.repeats is not None)
    draft = draft_run(session, request)
    parameters = store_parameters(session, request, draft)
    kept = _code_of(session, request.repeats) if request.repeats else keep_code(session)
    return RunDocument(
        flow=draft.flow,
        run="",
        created_at=time.time(),
        parameters=parameters,
        constants=_constants(session),
        code=kept.hash,
        graph=session.graph.to_json(),
        plans={name: plan.to_json() for name, plan in session.plans.items()},
        origin=request.origin,
        tags=tuple(sorted(set(request.tags))),
        system_tags=tuple(sorted({*draft.system_tags})),
        user=draft.user,
        info=_info(session, kept),
        scope=draft.scope,
        decorators=draft.decorators,
        notes=draft.notes,
        configs=tuple(session.configs),
        values=_texts(session, parameters),
        environments=session.environments.record() if session.has_environments else {},
    )


def _code_of(session: Session, pathspec: str) -> KeptCode:
    document = session.run_document(*pathspec.split("/"))
    info = document.info
    return KeptCode(document.code, str(info.get("script", "")), str(info.get("code_folder", "")))


@contextmanager
def store_is_told(session: Session) -> Iterator[None]:
    """Say, where a shared store does not work when a run starts, that this is what is wrong: which
    object it was that could not be written first, is no help."""
    try:
        yield
    except StoreError as error:
        store = session.__dict__.get("store")
        if store is None or not store.capabilities.shared:
            raise
        raise StoreError(
            "No task was started: the store cannot be used",
            where=store.url,
            why=error.why or error.what,
            hint=error.hint,
        ) from error


@contextmanager
def end_is_told(session: Session, document: RunDocument) -> Iterator[None]:
    """Say, where the launcher itself could not use the store, which run ended by that, and how it
    goes on: what it was about to read or write then, is the reason only."""
    try:
        yield
    except (IntegrityError, FormatError):
        raise  # what is damaged there stays so
    except StoreError as error:
        again = command_line(session, "resume", f"--origin-run-id {document.run}")
        raise StoreError(
            f"Run {document.flow}/{document.run} failed",
            where=error.where,
            why=_reason(error),
            hint=f"{error.hint}; then: {again}" if error.hint else again,
        ) from error


def _reason(error: StoreError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


def register_run(
    session: Session,
    document: RunDocument,
    run_id_file: str | None,
    *,
    origin_is_here: bool = True,
) -> RunDocument:
    """Claim a run id by writing ``run.json``, and record the run.

    Args:
        session: the session.
        document: the run, all but its id.
        run_id_file: file that gets the id, or None.
        origin_is_here: whether the run's origin, if it has one, is in the same store.
    """
    document = _claim(session, document)
    if origin_is_here:
        _check_origin(session, document)
    session.metadata.register_run(_run_record(document))
    if run_id_file:
        _write_run_id(run_id_file, document.run)
    return document


def _claim(session: Session, document: RunDocument) -> RunDocument:
    """Give the run the next free number. The create-only write makes it ours alone."""
    prefixes = (f"runs/{document.flow}/", numbers_prefix(document.flow))
    found = together(session.store, session.store.folders, prefixes)
    taken = [int(name) for names in found for name in names if name.isdigit()]
    number = max(taken, default=0) + 1
    if not session.store.capabilities.create_only:
        number = time.time_ns() // 1000  # ordered by time, and unlikely to clash
    # An index that belongs to this store alone follows it; another one may know runs of several.
    alone = session.settings.index_is_apart(session.metadata_names)
    while True:
        claimed = document._replace(run=str(number))
        if not alone and session.metadata.run(claimed.flow, claimed.run) is not None:
            number += 1  # the index knows a run of this number, from another store
            continue
        key, content = run_key(claimed.flow, claimed.run), claimed.encode()
        if session.store.write([(key, content)], create_only=True)[0]:
            session.keep_document(RunDocument.decode(content, key))  # as others will read it
            return claimed
        number += 1


def _check_origin(session: Session, document: RunDocument) -> None:
    """Raise `NotFound` when the run to resume has been removed since it was read.

    Who removes runs deletes their records first, and looks then for runs that go on. So of the two
    at least one sees the other.
    """
    if document.origin is None:
        return
    if not session.store.exists([run_key(*document.origin.split("/"))])[0]:
        session.store.delete([run_key(document.flow, document.run)])
        raise NotFound(
            f"Run {document.origin} was removed while it was about to be resumed",
            where=session.store.url,
            hint=command_line(session, "run"),
        )


def store_parameters(
    session: Session, request: RunRequest, draft: RunDraft
) -> dict[str, ArtifactRef]:
    """Store the values of a run's parameters and configurations; return the references by name."""
    earlier: Mapping[str, ArtifactRef] = {}
    if request.earlier:
        flow, _, run = request.earlier.partition("/")
        kept = session.run_document(flow, run).parameters
        earlier = {name: ref for name, ref in kept.items() if name not in draft.parameters}
    declared = [p for p in session.definition.parameters if p.name not in earlier]
    store = session.settings["datastore"].partition("://")[0]
    values = {
        **{name: value for name, value in session.configs.items() if name not in earlier},
        **resolve_parameters(
            declared, draft.parameters, draft.flow, draft.user, session.configs, store
        ),
    }
    new = {name: session.artifacts.save(name, value) for name, value in values.items()}
    return {**earlier, **new}


def adopt_parameters(
    session: Session, document: RunDocument, given: Mapping[str, Any] | None = None
) -> RunDocument:
    """Return an earlier run's facts with the parameters of today's flow, which may have got more.

    Args:
        session: a session of the flow.
        document: the earlier run.
        given: parameter name → Python value that counts instead.

    Raises:
        ParameterError: a parameter is new and required, or a value is none of its type.

    Since 0.1.
    """
    chosen, configs = given or {}, session.configs
    other = {*chosen, *(configs if any(session.configs_given) else ())}
    kept = {n: ref for n, ref in document.parameters.items() if n not in other}
    declared = [p for p in session.definition.parameters if p.name not in kept]
    store = session.settings["datastore"].partition("://")[0]
    values = {
        **{name: value for name, value in configs.items() if name not in kept},
        **resolve_parameters(
            declared, dict(chosen), document.flow, session.settings.user(), configs, store
        ),
    }
    new = {name: session.artifacts.save(name, value) for name, value in values.items()}
    parameters = {**kept, **new}
    return document._replace(
        parameters=parameters, values=_texts(session, parameters), configs=tuple(configs)
    )


def _texts(session: Session, parameters: Mapping[str, ArtifactRef]) -> dict[str, str]:
    """Return the JSON texts of the values that are not in their references as they are."""
    texts: dict[str, str] = {}
    for name, ref in parameters.items():
        if ref.inline and ref.serializer != "json":
            text = json_text(session.artifacts.load(ref, f"parameter '{name}'"))
            if text is not None:
                texts[name] = text
    return texts


def _constants(session: Session) -> dict[str, ArtifactRef]:
    """Store the class constants, for readers: steps read them from the class itself."""
    assert session.flow is not None
    stored = {}
    for name, value in constants(session.flow).items():
        try:
            stored[name] = session.artifacts.save(name, value)
        except ArtifactError as error:
            # The steps can use it all the same; only the client will not find it.
            session.emit(Message(f"Constant not stored: {error.what}", "warning", time.time()))
    return stored


def _info(session: Session, kept: KeptCode) -> dict[str, Any]:
    from flow_core import package

    assert session.flow is not None
    host = os.uname().nodename if hasattr(os, "uname") else ""
    return {
        **kept.info(),
        "command": sys.argv,
        "python": ".".join(map(str, sys.version_info[:3])),
        "flow_core": __version__,
        "plugins": sorted({e.origin for e in session.index.entry_points}),
        "host": host,
        "git": package.git_state(os.path.dirname(os.path.abspath(session.graph.file))),
        "packages": distributions(sys.path),
        **_given(session),
    }


def _given(session: Session) -> dict[str, Any]:
    """Return what was chosen for this run beside its flow and its parameters, as far as anything
    was: what it takes to run it again."""
    assert session.flow is not None
    module, (decorators, plugins) = session.flow.__module__, session.given
    settings = session.settings.overrides()
    found = {
        "module": module if module != "__main__" else "",
        "with": list(decorators),
        "choices": list(plugins),
        "settings": {n: settings[n] for n in ("compute", "environment") if n in settings},
        "hash_seed": session.settings.script_environment().get("PYTHONHASHSEED", ""),
    }
    return {name: value for name, value in found.items() if value}


def _system_tags(user: str) -> tuple[str, ...]:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (f"flow_core_version:{__version__}", f"python_version:{python}", f"user:{user}")


def _run_record(document: RunDocument) -> RunRecord:
    record = document.record(RunState.CREATED)
    return record._replace(pid=os.getpid(), heartbeat_at=document.created_at)


def _write_run_id(path: str, run: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(run)
    except OSError as error:
        raise _no_run_id_file(path, error.strerror) from None


def _check_run_id_file(path: str) -> None:
    """Raise what `_write_run_id` would raise, while there is no run yet."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise _no_run_id_file(path, f"there is no folder '{folder}'")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise _no_run_id_file(path, "permission denied")


def _no_run_id_file(path: str, why: str | None) -> UsageError:
    return UsageError(
        f"The run id cannot be written to '{path}'",
        where="--run-id-file",
        why=why,
        hint="name a file in a folder that exists and is yours",
    )


def run_failed(
    document: RunDocument, result: RunResult, graph_file: str, session: Session | None = None
) -> RunFailed:
    """Return the error that tells how a run ended; ``session`` makes the hint complete."""
    pathspec = f"{document.flow}/{document.run}"
    word = "was interrupted" if result.state is RunState.INTERRUPTED else "failed"
    options = top_level_options(session, "resume") if session is not None else ""
    front = session.program if session is not None else None
    flow = session.flow if session is not None else None
    return RunFailed(
        f"Run {pathspec} {word}",
        pathspec=pathspec,
        state=result.state.value,
        where=", ".join(result.failed[:3]) or None,
        why=result.message or None,
        hint=_line(options, "resume", f"--origin-run-id {document.run}", graph_file, front, flow),
    )


def command_line(session: Session, command: str, arguments: str = "") -> str:
    """Return what a person types to call ``command`` on what this session works with, for hints.

    It has the form in which the program was started, with the store, the index and the plugins that
    were given on the command line: without them the command would look elsewhere.

    Args:
        session: the session of the run.
        command: name of the command.
        arguments: what stands behind the command.

    Since 0.1.
    """
    file = session.graph.file if session.flow is not None else None
    return _line(
        top_level_options(session, command), command, arguments, file, session.program, session.flow
    )


def index_lacks(metadata: Metadata, store: Store, flow: str, run: str | None = None) -> bool:
    """Return whether ``store`` has runs that the index should know: it was lost, or lags behind.

    For errors that say that nothing was found; the command ``reindex`` is then the way out.

    Args:
        metadata: the index.
        store: where the truth is.
        flow: name of the flow that was asked for; ``""`` = any.
        run: the run that was asked for, unknown to the index; None = any of the flow.

    Since 0.1.
    """
    stored = store.folders(f"runs/{flow}/") if flow else []
    if run in stored if run is not None else stored and not metadata.runs(flow, limit=1):
        return True
    return not metadata.flows() and bool(store.folders("runs/"))


def unknown_run(session: Session, flow: str, run: str) -> NotFound:
    """Return the error for a run that the index does not know, for commands to raise.

    It tells which runs there are, or which flows; or, where the store has the run and only the index
    lacks it, that ``reindex`` is the way out.

    Args:
        session: the session of the command.
        flow: name of the flow.
        run: id of the run.

    Since 0.1.
    """
    if not index_lacks(session.metadata, session.store, flow, run):
        return no_run(session.metadata, flow, run)
    return NotFound(
        f"The index does not know the run {flow}/{run}",
        where=session.metadata.url,
        why=f"the store {session.store.url} has runs that the index lacks",
        hint=command_line(session, "reindex"),
    )


def top_level_options(session: Session, command: str) -> str:
    """Return the options before a command that lead to the same store, index and plugins, and let
    tasks run in the same place."""
    from shlex import quote  # only where something went wrong

    words = [word for text in _given_plugins(session) for word in ("-p", text)]
    chosen = session.settings.overrides()
    for name in ("datastore", "metadata", "compute", "environment"):
        if name in chosen:
            words += [f"--{name}", chosen[name]]
    if command in _RUNNING:
        words += [word for text in _given_decorators(session) for word in ("--with", text)]
    return " ".join(map(quote, words))


def _given_decorators(session: Session) -> list[str]:
    """Return the texts of ``--with``: those of the setting are found again without being typed."""
    set_anyway = session.settings["with"].split()
    return [text for text in session.given[0] if text not in set_anyway]


def _given_plugins(session: Session) -> list[str]:
    """Return the texts of ``-p``: those of the setting are found again without being typed."""
    set_anyway = [text.strip() for text in session.settings["plugins"].split(",")]
    return [text for text in session._choices if text not in set_anyway]


def _line(
    options: str,
    command: str,
    arguments: str,
    file: str | None,
    front: str | None,
    flow: type[FlowSpec] | None,
) -> str:
    program = sys.argv[0]
    if front is not None:
        words = [front, options, command, arguments]
    elif program.endswith(".py") and (
        file is None or os.path.basename(program) == os.path.basename(file)
    ):
        words = ["python", module_of(program) or program, options, command, arguments]
    else:
        place = os.path.relpath(file) if file and command not in _WITHOUT_FILE else ""
        if place and flow is not None:
            from flow_core.flowfile import name_for  # only where something went wrong

            place = name_for(flow, place)
        words = ["flow", options, command, place, arguments]
    return " ".join(word for word in words if word)
