"""Whether a run is there at all of which a command of a cluster has found no job."""

from __future__ import annotations

from collections.abc import Callable, Collection

from flow_core.api import NotFound, Session, did_you_mean, near_misses, unknown_run


def check_run(
    session: Session, pathspec: str, in_cluster: Callable[[], Collection[str]], cluster: str
) -> None:
    """Return for a flow, run or step that is there: that it has no job is no error then.

    Args:
        session: the session of the command: its index and store are asked first.
        pathspec: ``Flow``, ``Flow/run`` or ``Flow/run/step``, and what stands behind.
        in_cluster: returns the runs, ``Flow/run``, of all jobs that the cluster still knows; called
            for what index and store do not know, which may be a colleague's.
        cluster: the cluster, for the error: ``namespace team``.

    Raises:
        NotFound: neither index nor store nor cluster knows it; with near misses.

    Since 0.1.
    """
    flow, run, step = [*pathspec.strip("/").split("/"), "", ""][:3]
    if not run:
        _check_flow(session, flow, in_cluster, cluster)
    elif _is_stored(session, flow, run):
        _check_step(session, flow, run, step)
    else:
        _check_run(session, flow, run, in_cluster, cluster)


def _check_flow(
    session: Session, flow: str, in_cluster: Callable[[], Collection[str]], cluster: str
) -> None:
    metadata = session.metadata
    if metadata.runs(flow, limit=1) or session.store.folders(f"runs/{flow}/"):
        return
    flows = {run.partition("/")[0] for run in in_cluster()}
    if flow not in flows:
        raise NotFound(
            f"There is no run of a flow '{flow}'",
            where=f"{metadata.url}, {cluster}",
            why="the index knows none, and the cluster no job of one",
            hint=did_you_mean(flow, flows.union(metadata.flows())) or "flow runs",
        )


def _check_run(
    session: Session, flow: str, run: str, in_cluster: Callable[[], Collection[str]], cluster: str
) -> None:
    runs = in_cluster()
    if f"{flow}/{run}" in runs:
        return
    error = unknown_run(session, flow, run)
    meant = near_misses(f"{flow}/{run}", runs)
    raise NotFound(
        error.what,
        where=f"{error.where}, {cluster}",
        why=f"{error.why}, and the cluster has no job of it",
        hint=did_you_mean(f"{flow}/{run}", meant) or error.hint,
    )


def _check_step(session: Session, flow: str, run: str, step: str) -> None:
    if not step:
        return
    try:
        steps = session.run_document(flow, run).plans
    except NotFound:  # only the index knows the run still
        return
    if step not in steps:
        raise NotFound(
            f"Run {flow}/{run} has no step '{step}'",
            where=session.store.url,
            hint=did_you_mean(step, steps),
        )


def _is_stored(session: Session, flow: str, run: str) -> bool:
    if session.metadata.run(flow, run) is not None:
        return True
    return run in session.store.folders(f"runs/{flow}/")
