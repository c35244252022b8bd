"""The store ``azure``, also called ``az``."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flow_azure.settings import client_config, declare
from flow_core.api import Bootstrap, StoreError, check_attributes
from flow_objectstore.faults import KINDS
from flow_objectstore.library import load_store
from flow_objectstore.roots import fetch_source, own_settings, split_root
from flow_objectstore.store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flow_core.api import Attributes, Buffer, ObjectInfo
    from flow_objectstore.faults import Fault

_WHYS = {
    "no-bucket": "there is no container '{container}' there",
    "bad-secret": "the key does not belong to the account",
    "refused": "nothing listens at {address}",
    "unknown-host": "there is no host '{host}'",
    "no-answer": "{address} does not answer",
    "no-http": "what listens at {address} does not answer in HTTP",
}
_HINTS = {
    "no-bucket": "make it: az storage container create --name {container}, or correct the URL",
    "bad-secret": "check AZURE_STORAGE_KEY, or the connection string: is it this account's key?",
    "denied": "give this identity the role 'Storage Blob Data Contributor' on the container",
    "no-credentials": "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_USE_AZURE_CLI=true",
    "expired": "get new credentials: az login, or a new SAS token",
    "settings": "check AZURE_STORAGE_KEY (it is base64 of 64 bytes) and AZURE_STORAGE_BLOB_ENDPOINT, "
    "http://… or https://…",
    "refused": "is the service running? check AZURE_STORAGE_BLOB_ENDPOINT",
    "unknown-host": "check the name of the account: AZURE_STORAGE_ACCOUNT",
    "no-answer": "check network and proxy, or the address: AZURE_STORAGE_BLOB_ENDPOINT",
    "no-http": "is it http:// or https://, and the right port? check AZURE_STORAGE_BLOB_ENDPOINT",
}


class AzureStore(ObjectStore):
    """Blobs in a container of an Azure storage account.

    Args:
        root: container and prefix, ``container/prefix``; None = the setting ``azure_root``.
        settings: values of settings by name, for those that are not to be looked up.

    Attributes:
        container: name of the container.

    Since 0.1.
    """

    # Names of Azure's metadata have no '-', which those of `Attributes` may have.
    capabilities = ObjectStore.capabilities._replace(attributes=False)
    bulk_delete = False  # a missing blob among many is an error there

    def __init__(
        self, root: str | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._settings = {**own_settings(declare, "azure_"), **(settings or {})}
        self.container, prefix = split_root(
            root or self._settings["azure_root"], ("azure", "az"), "container"
        )
        url = f"azure://{self.container}/{prefix}".rstrip("/")
        super().__init__(url, prefix, patience=self._settings["azure_retry_time"])

    def make_client(self, large: bool) -> Any:
        """Return an obstore client of the container."""
        client = load_store("AzureStore")
        retry = timedelta(seconds=max(self._settings["azure_retry_time"], 0.001))
        return client(
            self.container,
            config=client_config(self._settings, os.environ),
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=3),
                "read_timeout": timedelta(seconds=120 if large else 20),
                "timeout": timedelta(seconds=300),
            },
            retry_config={"max_retries": 10 if large else 0, "retry_timeout": retry},
        )

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size, without attributes."""
        check_attributes(attributes, self.url)
        return super().write_stream(key, chunks, create_only=create_only)

    def renew(self, key: str, info: ObjectInfo) -> bool:
        """Let an object count as changed now, by writing it again; False when it is gone."""
        pieces = self.stream(key)
        return False if pieces is None else self.write_stream(key, pieces)

    def bootstrap(self) -> Bootstrap:
        """Return how a bare Python reads blobs, with the credentials that it finds there."""
        found = client_config(self._settings, os.environ)
        config = {
            "prefix": self.base,
            "container": self.container,
            "account": found["account_name"],
            "patience": self._settings["azure_retry_time"],
        }
        if "endpoint" in found:
            config["endpoint"] = found["endpoint"].rstrip("/")
        return Bootstrap(fetch_source("flow_azure"), config)

    @property
    def identity(self) -> str:
        """What tells this store from those of other accounts with a container of this name."""
        config = client_config(self._settings, os.environ)
        return f"{self.url} at {config.get('endpoint') or config['account_name']}"

    def explain(self, fault: Fault, what: str, where: str) -> StoreError:
        """Return the error for a person: which of address, container or key is wrong on Azure."""
        from urllib.parse import urlsplit  # most runs need none

        kind = fault.kind
        if kind == "denied" and "signature" in fault.text:
            kind = "bad-secret"  # the emulator's word for it is that of a missing right
        address = self._address()
        words = {
            "container": self.container,
            "address": address,
            "host": urlsplit(address).hostname,
        }
        # What the service says of these is longer, and no more.
        why = _WHYS[kind].format(**words) if kind in _WHYS else _said(fault)
        hint = _HINTS.get(kind, "check the store's URL, and the variables AZURE_STORAGE_…")
        return StoreError(
            what,
            where=f"{where}, at {address}",
            why=why,
            hint=hint.format(container=self.container),
        )

    def _address(self) -> str:
        found = client_config(self._settings, os.environ)
        default = f"https://{found['account_name']}.blob.core.windows.net"
        return str(found.get("endpoint", default)).rstrip("/")


def _said(fault: Fault) -> str:
    return KINDS[fault.kind] + (f": {fault.text}" if fault.text else "")
