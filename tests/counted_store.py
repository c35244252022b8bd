"""A store in the network, as far as a test needs one: each request is noted, and takes its time."""

import os
import time

from flow_core.api import StoreCapabilities
from flow_store_local.store import LocalStore

__flow__ = {"flow.stores": {"counted": "CountedStore"}}

_SECONDS = float(os.environ.get("COUNTED_SECONDS", "0"))


class CountedStore:
    capabilities = StoreCapabilities(shared=True, forkable=True)

    def __init__(self, root=None):
        self._behind = LocalStore(root)
        self._file = os.path.join(self._behind.root, "requests.log")
        self._note("NEW", ["-"])

    @property
    def url(self):
        return f"counted://{self._behind.root}"

    def _ask(self, kind, keys):
        """Many at once take the time of one: a store in the network sends them at the same time."""
        self._note(kind, keys)
        if _SECONDS and keys:
            time.sleep(_SECONDS)

    def _note(self, kind, keys):
        at = time.time()
        lines = "".join(f"{kind} {key} {os.getpid()} {at}\n" for key in keys)
        os.makedirs(self._behind.root, exist_ok=True)
        with open(self._file, "ab", buffering=0) as file:
            file.write(lines.encode())

    def read(self, keys):
        keys = list(keys)
        self._ask("GET", keys)
        yield from self._behind.read(keys)

    def read_range(self, key, offset, length):
        self._ask("GET", [key])
        return self._behind.read_range(key, offset, length)

    def stream(self, key):
        self._ask("GET", [key])
        return self._behind.stream(key)

    def describe(self, keys):
        self._ask("HEAD", keys)
        return self._behind.describe(keys)

    def exists(self, keys):
        self._ask("HEAD", keys)
        return self._behind.exists(keys)

    def size(self, key):
        self._ask("HEAD", [key])
        return self._behind.size(key)

    def refresh(self, key, age=300.0):
        self._ask("HEAD", [key])
        return self._behind.refresh(key, age)

    def write(self, items, *, create_only=False):
        items = list(items)
        self._ask("PUT", [key for key, _ in items])
        return self._behind.write(items, create_only=create_only)

    def write_content(self, chunks, key):
        found = []

        def named():
            found.append(key())
            return found[0]

        written = self._behind.write_content(chunks, named)
        self._ask("PUT", found)
        return written

    def write_stream(self, key, chunks, *, create_only=False, attributes=None):
        self._ask("PUT", [key])
        return self._behind.write_stream(key, chunks, create_only=create_only)

    def folders(self, prefix=""):
        self._ask("LIST", [prefix])
        return self._behind.folders(prefix)

    def list(self, prefix=""):
        self._ask("LIST", [prefix])
        return self._behind.list(prefix)

    def delete(self, keys, *, older_than=None):
        keys = list(keys)
        self._ask("DELETE", keys)
        self._behind.delete(keys, older_than=older_than)

    def local_path(self, key):
        self._behind.local_path(key)
