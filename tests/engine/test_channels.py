"""The channels of alerts: a real HTTP server, with TLS too, and a real command."""

import datetime as dt
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from letterbook.engine import channels
from letterbook.engine.channels import Alert, Channels
from letterbook.engine.database import Database
from letterbook.engine.errors import ChannelError
from tests.engine.hook import Hook, Script
from tests.house import House

ALERT = Alert(
    event="opened",
    alert=7,
    cause="held",
    object="archive route",
    text="It is held.",
    deliveries=(1, 2),
    count=2,
    sign="452 4.2.2",
    opened_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    closed_at=None,
    platform="http://localhost:8000",
)
ENCODED = {
    "event": "opened",
    "alert": 7,
    "cause": "held",
    "object": "archive route",
    "text": "It is held.",
    "deliveries": [1, 2],
    "count": 2,
    "sign": "452 4.2.2",
    "opened_at": "2026-01-02T03:04:05Z",
    "closed_at": None,
    "platform": "http://localhost:8000",
}


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
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
    path = tmp_path_factory.mktemp("tls") / "hook.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return path


async def tell(house: House, kind: str, target: str) -> None:
    sealed = house.sealer.seal(f"alert channel {kind}", target.encode())
    sender = Channels(Database(house.conninfo), house.sealer, house.settings)
    await sender.tell(kind, sealed, ALERT)


async def test_a_webhook_gets_the_alert_as_json(house: House, hook: Hook):
    await tell(house, "webhook", hook.url)
    assert hook.requests == [("/hook/secret-token?key=secret-key", ENCODED)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(house: House, hook: Hook, status: int):
    elsewhere = Hook()
    hook.status, hook.location = status, elsewhere.url
    with pytest.raises(ChannelError, match=rf"^it answered with status {status}$"):
        await tell(house, "webhook", hook.url)
    assert not elsewhere.requests
    elsewhere.close()


async def test_a_webhook_that_nobody_listens_at(house: House):
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(ChannelError, match=r"^no answer: ConnectionRefusedError$"):
        await tell(house, "webhook", f"http://127.0.0.1:{port}/")


async def test_a_webhooks_certificate_is_verified(
    house: House, certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    hook = Hook(context)
    url = f"https://localhost:{hook.port}/x"
    with pytest.raises(ChannelError, match=r"^its certificate cannot be verified$"):
        await tell(house, "webhook", url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(ChannelError, match=r"^its certificate cannot be verified$"):
        await tell(house, "webhook", f"https://127.0.0.1:{hook.port}/x")  # another name
    assert not hook.requests
    await tell(house, "webhook", url)
    assert hook.alerts == [ENCODED]
    hook.close()


async def test_a_command_gets_the_alert_and_none_of_our_secrets(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LETTERBOOK_SEAL_KEY", "our secret")
    script = Script(tmp_path)
    await tell(house, "command", str(script.path))
    assert script.alerts == [ENCODED]
    assert "secret" not in script.environment.read_text()


async def test_a_command_that_fails(house: House, tmp_path: Path):
    script = Script(tmp_path, "exit 3")
    with pytest.raises(ChannelError, match=r"^it ended with status 3$"):
        await tell(house, "command", str(script.path))
    script.path.chmod(0o644)
    with pytest.raises(ChannelError, match=r"^it cannot be run: Permission denied$"):
        await tell(house, "command", str(script.path))


async def test_a_command_that_does_not_end_is_killed_with_all_it_started(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channels, "PATIENCE", 1.0)
    script = Script(
        tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600 & echo $! >> {tmp_path}/pid; wait"
    )
    with pytest.raises(ChannelError, match=r"^not done within 1 s$"):
        await tell(house, "command", str(script.path))
    for number in (tmp_path / "pid").read_text().split():
        assert not runs(int(number))


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_webhook_that_does_not_answer(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channels, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            ChannelError, match=r"^(not done within 0.3 s|no answer: TimeoutError)$"
        ):
            await tell(house, "webhook", f"http://127.0.0.1:{port}/")


async def test_a_command_that_does_not_read(house: House, tmp_path: Path):
    path = tmp_path / "deaf"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    await tell(house, "command", str(path))
