"""The store ``gs``, also called ``gcs``."""

from __future__ import annotations

import importlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flow_core.api import Bootstrap, PluginError, StoreError
from flow_gs.settings import access, declare
from flow_objectstore.faults import KINDS
from flow_objectstore.library import load_store
from flow_objectstore.roots import fetch_source, own_settings, split_root
from flow_objectstore.store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_objectstore.faults import Fault

_HINTS = {
    "no-bucket": "make it: gcloud storage buckets create gs://{bucket}, or correct the URL",
    "denied": "give this identity the role 'Storage Object User' on the bucket",
    "bad-secret": "get new credentials: gcloud auth application-default login",
    "bad-key": "get new credentials: gcloud auth application-default login",
    "no-credentials": "gcloud auth application-default login, or export "
    "GOOGLE_APPLICATION_CREDENTIALS=/path/to/service-account.json",
    "expired": "get new credentials: gcloud auth application-default login",
    "refused": "is the service running? check gs_endpoint_url, or STORAGE_EMULATOR_HOST",
    "unknown-host": "check the network, and gs_endpoint_url or STORAGE_EMULATOR_HOST",
    "no-http": "is it http:// or https://, and the right port? check gs_endpoint_url, or "
    "STORAGE_EMULATOR_HOST",
    "clock": "set this machine's clock: its signatures are refused",
    "slow-down": "wait, or spread the writes: a bucket takes some 1000 a second at first",
}


_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class GoogleStore(ObjectStore):
    """Objects in a bucket of Google Cloud Storage.

    Args:
        root: bucket and prefix, ``bucket/prefix``; None = the setting ``gs_root``.
        settings: values of settings by name, for those that are not to be looked up.

    Attributes:
        bucket: name of the bucket.

    Since 0.1.
    """

    bulk_delete = False  # the service has none for this client

    def __init__(
        self, root: str | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._settings = {**own_settings(declare, "gs_"), **(settings or {})}
        self.bucket, prefix = split_root(root or self._settings["gs_root"], ("gs", "gcs"), "bucket")
        url = f"gs://{self.bucket}/{prefix}".rstrip("/")
        super().__init__(url, prefix, patience=self._settings["gs_retry_time"])

    @property
    def identity(self) -> str:
        """The URL, and the address of the service where that is not Google's."""
        own = self._settings["gs_endpoint_url"] or os.environ.get("STORAGE_EMULATOR_HOST", "")
        return f"{self.url} {own}".rstrip()

    def bootstrap(self) -> Bootstrap:
        """Return how a bare Python reads objects, with the credentials that it finds there."""
        settings = self._settings
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        config = {
            "prefix": self.base,
            "bucket": self.bucket,
            "endpoint": (settings["gs_endpoint_url"] or emulator).rstrip("/"),
            "anonymous": bool(emulator and not settings["gs_endpoint_url"]),
            "payer": settings["gs_billing_project"] or os.environ.get("GOOGLE_CLOUD_QUOTA_PROJECT"),
            "credentials": settings["gs_credentials"],
            "patience": settings["gs_retry_time"],
        }
        known = {name: value for name, value in config.items() if value is not None}
        return Bootstrap(fetch_source("flow_gs"), known)

    def make_client(self, large: bool) -> Any:
        """Return an obstore client of the bucket."""
        client = load_store("GCSStore")
        found = access(self._settings, os.environ)
        options: dict[str, Any] = {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=3),
            "read_timeout": timedelta(seconds=120 if large else 20),
            "timeout": timedelta(seconds=300),
        }
        if found.headers:
            options["default_headers"] = found.headers
        more: dict[str, Any] = {}
        if found.library:
            more["credential_provider"] = _of_library(found.library)
        retry = timedelta(seconds=max(self._settings["gs_retry_time"], 0.001))
        return client(
            self.bucket,
            config=found.config,
            client_options=options,
            retry_config={"max_retries": 10 if large else 0, "retry_timeout": retry},
            **more,
        )

    def explain(self, fault: Fault, what: str, where: str) -> StoreError:
        """Return the error for a person, with what to do at Google."""
        hint = _HINTS.get(fault.kind, "check the store's URL, and GOOGLE_APPLICATION_CREDENTIALS")
        why = KINDS[fault.kind] + (f": {fault.text}" if fault.text else "")
        return StoreError(what, where=where, why=why, hint=hint.format(bucket=self.bucket))


def _of_library(path: str) -> Any:
    """Return what gives the client tokens for credentials that it cannot read itself."""
    try:
        google = importlib.import_module("google.auth")
        found = importlib.import_module("obstore.auth.google")
    except ImportError as error:
        raise PluginError(
            "These credentials need Google's own library",
            where=path,
            why=f"they are neither of a service account nor of a person, and {error}",
            hint='pip install "flow-gs[auth]"',
        ) from error
    credentials, _ = google.load_credentials_from_file(path, scopes=[_SCOPE])
    return found.GoogleCredentialProvider(credentials)
