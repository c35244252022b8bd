"""Where spins lie: the store and the index ``spin``, over those of real runs.

``spin://BASE`` is a store whose own objects are below ``BASE/spin``. What a spin has not written
itself it reads from BASE: blobs, and the records of the tasks on whose results it ran.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flow_core.api import (
    OWN_INDEX,
    NotFound,
    OverlayStore,
    RunDocument,
    Settings,
    Store,
    UsageError,
    installed,
    open_store_index,
    run_key,
)

NAME = "spin"
"""Name of the store, of the index, and of the note in ``run.json`` that makes a run a spin."""

STORE = "flow.stores"
INDEX = "flow.metadata"


def own_place(url: str) -> str:
    """Return the place of spins beside the place of real runs."""
    return f"{url.rstrip('/')}/{NAME}"


class SpinStore(OverlayStore):
    """The store ``spin``.

    Args:
        root: text of the store of real runs, ``local:///data/.flow``; None = that of the settings.
    """

    def __init__(self, root: str | None = None) -> None:
        base: Store = installed().open(STORE, root or _chosen("datastore"))
        own: Store = installed().open(STORE, own_place(base.url))
        super().__init__(own, base, self._of_origin, f"{NAME}://{base.url}")
        self._spins: dict[tuple[str, str], RunDocument | None] = {}

    def _of_origin(self, key: str) -> str | None:
        """Return the key of a record in the run on whose tasks a spin stands.

        Not of the task that was spun: until its result is there, it has none.
        """
        parts = key.split("/")
        if len(parts) != 7 or parts[0] != "runs" or parts[6] != "manifest":
            return None
        flow, run, step, task = parts[1:5]
        document = self._document(flow, run)
        note = document.notes.get(NAME) if document is not None else None
        if document is None or note is None or note["task"] == f"{step}/{task}":
            return None
        return "/".join(["runs", str(document.origin), *parts[3:]])

    def _document(self, flow: str, run: str) -> RunDocument | None:
        if (flow, run) not in self._spins:
            key = run_key(flow, run)
            raw = next(iter(self.own.read([key])))
            self._spins[flow, run] = None if raw is None else RunDocument.decode(raw, key)
        return self._spins[flow, run]


def open_index(root: str | None = None) -> Any:
    """Open the index of spins.

    Args:
        root: text of the store or of the index of real runs; None = that of the settings.
    """
    text = root if root is not None else _index_of_settings()
    name, _, place = text.partition("://")
    if name == OWN_INDEX and place:  # of a store that has none beside it
        text = f"{_default('metadata')}://{place}"
    elif name == NAME or name not in installed().group(INDEX):
        text = _default("metadata")
    real = installed().open(INDEX, text)
    try:
        place = own_place(real.url)
    finally:
        real.close()
    return installed().open(INDEX, place)


def _index_of_settings() -> str:
    settings = Settings()
    names = [name for name in installed().names(INDEX) if name != NAME]
    store = _chosen("datastore")
    settings.override("datastore", store, NAME)
    if not settings.index_is_apart(names):
        return settings.index_place(names)
    return str(
        open_store_index(
            settings, names, installed().open(STORE, store), partial(installed().open, INDEX)
        ).url
    )


def _chosen(setting: str) -> str:
    text: str = Settings()[setting]
    return _default(setting) if text.partition("://")[0] == NAME else text


def _default(setting: str) -> str:
    (found,) = (s.default for s in Settings().declared() if s.name == setting)
    return str(found)


def inspect_spin(datastore: str | None = None) -> Any:
    """Let the client show spins instead of runs, in a ``with`` block.

        with inspect_spin():
            Task("MyFlow/3/train/7").data.accuracy

    Args:
        datastore: text of the store of real runs; None = that of the settings.

    Raises:
        NotFound: nothing was spun there.
        UsageError: no client is installed.

    Since 0.1.
    """
    from flow_core.api import Session

    settings = Settings()
    settings.override("datastore", NAME if datastore is None else f"{NAME}://{datastore}", NAME)
    settings.override("metadata", settings["datastore"], NAME)
    session = Session(settings=settings)
    if not session.store.folders("runs/"):
        raise NotFound(
            "Nothing was spun yet", where=session.store.url, hint="flow spin my_flow.py STEP"
        )
    try:
        from flow_core import using
    except ImportError as error:
        raise UsageError(
            "Spins are read with the client", why=str(error), hint="pip install flow-client"
        ) from None
    return using(session)
