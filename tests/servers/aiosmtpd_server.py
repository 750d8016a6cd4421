"""An aiosmtpd with TLS and AUTH that keeps what it gets, and a CA of the test's own."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "letterbook", "pass:w@rd/%+"


@dataclass(frozen=True)
class Authority:
    """A CA and one certificate of it for localhost."""

    ca: str
    context: ssl.SSLContext


def make_authority(folder: Path) -> Authority:
    """Make a CA, and a server context with a certificate that it signed."""
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])

    def certificate(subject: x509.Name, public: Any, *, ca: bool) -> x509.Certificate:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(ca_key, hashes.SHA256())

    root = certificate(ca_name, ca_key.public_key(), ca=True)
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    server = certificate(server_name, key.public_key(), ca=False)
    pem = serialization.Encoding.PEM
    path = folder / "server.pem"
    path.write_bytes(
        server.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Authority(root.public_bytes(pem).decode(), context)


class Keeper:
    """aiosmtpd's handler: keeps envelopes."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    right = isinstance(data, LoginPassword) and data == LoginPassword(
        USER.encode(), PASSWORD.encode()
    )
    return AuthResult(success=right)


@asynccontextmanager
async def running_aiosmtpd(
    loop: Any, authority: Authority, *, implicit: bool
) -> AsyncIterator[Any]:
    """Run a server that wants TLS and AUTH; yields it with ``port`` and ``keeper``."""
    keeper = Keeper()

    def factory() -> SMTP:
        return SMTP(
            keeper,
            enable_SMTPUTF8=True,
            require_starttls=not implicit,
            tls_context=None if implicit else authority.context,
            auth_required=True,
            auth_require_tls=not implicit,
            authenticator=authenticate,
            loop=loop,
        )

    server = await loop.create_server(
        factory, "127.0.0.1", 0, ssl=authority.context if implicit else None
    )
    server.keeper = keeper
    server.port = server.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.close()
