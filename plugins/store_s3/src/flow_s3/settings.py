"""What can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.api import Settings


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    add = settings.declare
    add("s3_root", "", "Where --datastore s3 keeps runs: s3://bucket/prefix.")
    add("s3_endpoint_url", "", "URL of another service than AWS: https://minio.example.com:9000.")
    add("s3_region", "", "Region of the bucket; empty = as the AWS tools find it.")
    add("s3_profile", "", "Profile of ~/.aws/config and ~/.aws/credentials.")
    add("s3_role", "", "ARN of a role to assume.")
    add(
        "s3_path_style",
        "auto",
        "Whether the bucket stands in the path of URLs; auto = with an endpoint_url.",
        choices=("auto", "always", "never"),
    )
    add("s3_ca_bundle", "", "File of CA certificates (PEM) to trust as well.")
    add("s3_verify", True, "Whether the service's certificate is checked.")
    add(
        "s3_encryption",
        "",
        "How the service encrypts objects; empty = as the bucket says.",
        choices=("", "AES256", "aws:kms", "aws:kms:dsse"),
    )
    add("s3_kms_key", "", "Id of the KMS key for s3_encryption = aws:kms.")
    add("s3_requester_pays", False, "Whether you pay for requests to buckets of others.")
    add("s3_anonymous", False, "Whether requests go without credentials, to public buckets.")
    add("s3_retry_time", 60.0, "Seconds for one request with its repetitions.", minimum=0)
    add(
        "s3_checksum",
        "sha256",
        "Checksum that the service verifies of what is uploaded.",
        choices=("sha256", "crc64nvme", "none"),
    )
