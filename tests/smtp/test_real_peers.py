"""The client machine against aiosmtpd, and the standard library's client against our server."""

import asyncio
import datetime as dt
import smtplib
import ssl
from contextlib import asynccontextmanager

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from letterbook.smtp.client import Client
from letterbook.smtp.events import Closing, ContentWanted, Event, Finished, Phase, Stage, TlsWanted
from letterbook.smtp.opening import Tls
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import Credentials
from letterbook.smtp.server import Server
from letterbook.smtp.server_events import Login, Message, ServerOptions
from letterbook.smtp.transaction import Transaction

from .dialogue import letter

WHO = Credentials("tim", "tanstaaf")


@pytest.fixture(scope="module")
def tls_contexts(tmp_path_factory):
    """A server's and a client's context around one certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


class Handler:
    """Keeps what aiosmtpd takes; knows one recipient that does not exist."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):  # noqa: N802
        if address == "r2@b.example":
            return "550 5.1.1 nobody"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.contents.append(envelope.original_content)
        return f"250 2.0.0 {len(self.contents)}"


async def converse(
    client: Client, port: int, tls: ssl.SSLContext, letters: list[Transaction]
) -> list[Event]:
    """A shell in little: send the letters, say QUIT, return every event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waiting, told = letters[::-1], []
    while client.phase is not Phase.CLOSED:
        data = await reader.read(65_536)
        events = client.receive(data) if data else client.connection_lost()
        told += events
        for event in events:
            if isinstance(event, TlsWanted):
                await writer.start_tls(tls, server_hostname="localhost")
                client.tls_established()
            elif isinstance(event, ContentWanted):
                client.send_content()
            elif isinstance(event, Closing):
                client.quit()
        if client.can_begin and waiting:
            client.begin(waiting.pop())
        elif not waiting and client.waiting_for is None:
            client.quit()
        writer.writelines(client.take_output())
    writer.close()
    await writer.wait_closed()
    return told


@asynccontextmanager
async def listening(factory):
    """A server of the protocol that ``factory`` makes; yields its port."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def endings(events: list[Event]) -> list[tuple[object, Stage, str]]:
    return [
        (event.transaction.subject, event.stage, event.reply.text)
        for event in events
        if isinstance(event, Finished)
    ]


@pytest.mark.parametrize("password", ["tanstaaf", "wrong"])
async def test_against_aiosmtpd_with_starttls_and_auth(tls_contexts, password):
    handler = Handler()

    def authenticate(server, session, envelope, mechanism, data):
        known = (data.login, data.password) == (b"tim", b"tanstaaf")
        return AuthResult(success=known, handled=known)

    def factory():
        return SMTP(
            handler, hostname="mx.example", tls_context=tls_contexts[0], require_starttls=True,
            authenticator=authenticate, auth_required=True, loop=asyncio.get_running_loop(),
        )  # fmt: skip

    body = b"Subject: x\r\n\r\n.dot\r\n..\r\n" + b"x" * 70 + b"\r\n"
    letters = [letter(number, body) for number in (1, 2, 3)]
    client = Client("c.example", tls=Tls.STARTTLS, credentials=Credentials("tim", password))
    async with listening(factory) as port:
        events = await converse(client, port, tls_contexts[1], letters)
    if password == "wrong":
        closings = [event.stage for event in events if isinstance(event, Closing)]
        assert closings == [Stage.AUTH, Stage.QUIT]
        assert handler.contents == []
    else:
        assert handler.contents == [body, body]
        assert endings(events) == [
            (1, Stage.CONTENT, "250 2.0.0 1"),
            (2, Stage.RCPT, "550 5.1.1 nobody"),
            (3, Stage.CONTENT, "250 2.0.0 2"),
        ]


@asynccontextmanager
async def our_server(contents: list[bytes], tls: ssl.SSLContext):
    """Our server machine behind a socket; it takes everything from WHO. Yields its port."""

    async def serve(reader, writer) -> None:
        server = Server(ServerOptions(starttls=True, auth=("PLAIN", "LOGIN")))
        while not server.ended:
            while (event := server.next_event()) is not None:
                if isinstance(event, Message):
                    contents.append(event.content)
                known = isinstance(event, Login) and event.credentials == WHO
                server.respond(Reply(235, ("2.7.0 Welcome",)) if known else None)
            writer.write(server.take_output())
            if server.wants_tls:
                await writer.start_tls(tls)
                server.tls_established()
            if not server.ended:
                server.receive(await reader.read(65_536) or b"QUIT\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_both_machines_over_tls(tls_contexts):
    contents: list[bytes] = []
    client = Client("c.example", tls=Tls.STARTTLS, credentials=WHO)
    letters = [letter(number, b".\r\n" * number) for number in (1, 2)]
    async with our_server(contents, tls_contexts[0]) as port:
        events = await converse(client, port, tls_contexts[1], letters)
    assert contents == [b".\r\n", b".\r\n.\r\n"]
    assert [ending[1] for ending in endings(events)] == [Stage.CONTENT] * 2


async def test_the_standard_client_against_our_server(tls_contexts):
    contents: list[bytes] = []

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
            smtp._host = "localhost"  # the name in the certificate
            smtp.starttls(context=tls_contexts[1])
            with pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login("tim", "wrong")
            smtp.login(WHO.username, WHO.password)
            smtp.sendmail("a@b", ["c@d"], b"Subject: x\r\n\r\n.dot\r\n", ["RET=HDRS"])

    async with our_server(contents, tls_contexts[0]) as port:
        await asyncio.to_thread(send, port)
    assert contents == [b"Subject: x\r\n\r\n.dot\r\n"]
