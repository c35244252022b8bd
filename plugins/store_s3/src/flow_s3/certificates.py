"""Certificates of services that are not everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import StoreError

if TYPE_CHECKING:
    from ssl import SSLContext


def read_bundle(path: str) -> bytes:
    """Return the content of a file of CA certificates; `StoreError` if it is none."""
    try:
        with open(path, "rb") as file:
            found = file.read()
        why = "it holds no certificates in PEM"
    except OSError as error:
        found, why = b"", error.strerror or str(error)
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise StoreError(
            "The file of CA certificates cannot be read",
            where=path,
            why=why,
            hint="name another: AWS_CA_BUNDLE, or the setting s3_ca_bundle",
        )
    return found


def context_of(path: str | None, *, verify: bool = True) -> SSLContext:
    """Return what a connection trusts: the system's certificates, and those of a file.

    Args:
        path: of the file, or None.
        verify: whether certificates are checked at all.
    """
    import ssl

    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif path:
        try:
            context.load_verify_locations(cadata=read_bundle(path).decode("ascii", "ignore"))
        except ssl.SSLError as error:
            raise StoreError(
                "The file of CA certificates cannot be read",
                where=path,
                why=str(error),
                hint="name another: AWS_CA_BUNDLE, or the setting s3_ca_bundle",
            ) from error
    return context
