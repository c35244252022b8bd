"""The store ``s3``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flow_core.api import Settings, UsageError, check_key
from flow_objectstore.library import load_store
from flow_objectstore.store import ObjectStore
from flow_s3.settings import declare

if TYPE_CHECKING:
    from collections.abc import Mapping


class S3Store(ObjectStore):
    """Objects in a bucket of S3, or of a service that speaks its language.

    Args:
        root: bucket and prefix, ``bucket/prefix``; None = the setting ``s3_root``.
        settings: values of settings by name, for those that are not to be looked up.

    Attributes:
        bucket: name of the bucket.

    Since 0.1.
    """

    def __init__(
        self, root: str | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        found = Settings()
        declare(found)
        self._settings = {
            s.name: found[s.name] for s in found.declared() if s.name.startswith("s3_")
        }
        self._settings |= settings or {}
        self.bucket, prefix = _parts(root or self._settings["s3_root"])
        url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        super().__init__(url, prefix, patience=self._settings["s3_retry_time"])

    def make_client(self, large: bool) -> Any:
        """Return an obstore client of the bucket."""
        import os

        client = load_store("S3Store")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        endpoint = self._settings["s3_endpoint_url"] or endpoint
        config: dict[str, Any] = {"virtual_hosted_style_request": not endpoint}
        if endpoint:
            config["endpoint"] = endpoint
        config["copy_if_not_exists"] = "multipart"
        config["checksum_algorithm"] = "sha256"
        return client(
            self.bucket,
            config=config,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=3),
                "read_timeout": timedelta(seconds=120 if large else 20),
                "timeout": timedelta(seconds=300),
            },
            retry_config={
                "max_retries": 10 if large else 0,
                "retry_timeout": timedelta(seconds=max(self._settings["s3_retry_time"], 0.001)),
            },
        )


def _parts(root: str) -> tuple[str, str]:
    """``bucket/some/prefix/`` → ``("bucket", "some/prefix/")``."""
    bucket, _, prefix = root.removeprefix("s3://").rstrip("/").partition("/")
    if not bucket:
        raise UsageError(
            "The store 's3' needs a bucket",
            where="--datastore s3",
            hint="--datastore s3://bucket/prefix, or set it once: FLOW_S3_ROOT=s3://bucket/prefix",
        )
    if prefix:
        check_key(prefix)
    return bucket, f"{prefix}/" if prefix else ""
