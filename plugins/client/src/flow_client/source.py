"""Where the client reads from: a store and an index, without the machinery of running flows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from flow_core.api import NotFound, RunDocument, Settings, installed, run_key

if TYPE_CHECKING:
    from flow_core.api import ArtifactStore, Metadata, Store

_INDEX = "flow.metadata"


class Source(Protocol):
    """What the client needs. A `flow_core.api.Session` is one."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def store(self) -> Store:
        """The store."""

    @property
    def metadata(self) -> Metadata:
        """The index."""

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifacts in the store."""

    def run_document(self, flow: str, run: str) -> RunDocument:
        """Return the ``run.json`` of a run."""


class SettingsSource:
    """Reads what the settings name.

    It stands in for a session, whose import (graphs, plugins, decorators) takes longer than listing
    ten thousand tasks.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        words = settings["plugins"].split(",")
        self._index = installed().choose(word.strip() for word in words if word.strip())

    @cached_property
    def store(self) -> Store:
        """The store."""
        store: Store = self._index.open("flow.stores", self.settings["datastore"])
        return store

    @cached_property
    def metadata(self) -> Metadata:
        """The index."""
        names = self._index.names(_INDEX)
        if self.settings.index_is_apart(names):
            from flow_core.api import open_store_index

            return open_store_index(self.settings, names, self.store, self._open_index)
        return self._open_index(self.settings.index_place(names))

    def _open_index(self, place: str) -> Metadata:
        metadata: Metadata = self._index.open(_INDEX, place)
        return metadata

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifacts in the store."""
        from flow_core.api import ArtifactStore

        return ArtifactStore(self.store, self._index)

    def run_document(self, flow: str, run: str) -> RunDocument:
        """Return the ``run.json`` of a run; `NotFound` when there is none."""
        key = run_key(flow, run)
        raw = next(iter(self.store.read([key])))
        if raw is None:
            raise NotFound(
                f"The record of run {flow}/{run} is missing",
                where=f"{self.store.url}, key {key}",
                why="the index knows the run, but the store has lost it",
                hint="restore the store from a copy, or run the flow again",
            )
        return RunDocument.decode(raw, key)
