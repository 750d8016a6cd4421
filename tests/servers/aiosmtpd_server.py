"""An aiosmtpd with TLS and AUTH that keeps what it gets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from letterbook.testing.authority import Authority

USER, PASSWORD = "letterbook", "pass:w@rd/%+"


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
