"""Certificates of a server on this machine, for what speaks TLS."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Write a certificate authority, and the key and certificate of a server at 127.0.0.1 that it vouches
    for; return their files."""
    own, of_server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # Python 3.13 asks for all that the standard does.
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = _signed("the team's own", None, own, own, x509.BasicConstraints(True, None), signs)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([address])
    server = _signed("127.0.0.1", root.subject, of_server, own, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    private = of_server.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + server.public_bytes(pem))
    return folder / "ca.pem", folder / "server.pem"


def _signed(
    name: str, issuer: x509.Name | None, key: Any, signing: Any, *extensions: Any
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(
        issuer or subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(hours=1),
        now + timedelta(days=1),
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
    )
    for extension in extensions:
        of_authority = isinstance(extension, (x509.BasicConstraints, x509.KeyUsage))
        builder = builder.add_extension(extension, critical=of_authority)
    return builder.sign(signing, hashes.SHA256())
