"""Senders that are programs of Postfix: the relay with always_bcc, and smtp-source alone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers.postfix import Postfix, running_postfix

from bench.letters import ARCHIVE_ADDRESS, SENDER, composed

SMTP_SOURCE: Final = "/usr/sbin/smtp-source"
_FEEDERS: Final = 10
_RELAY: Final = """
virtual_mailbox_domains =
default_transport = smtp
relayhost = [127.0.0.1]:{recipients}
always_bcc = {archive_address}
transport_maps = inline:{{ {archive_domain}=smtp:[127.0.0.1]:{archive} }}
default_destination_concurrency_limit = {connections}
initial_destination_concurrency = {connections}
smtp_destination_recipient_limit = 1
smtp_connection_cache_on_demand = yes
default_process_limit = 200
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
"""


def source_command(port: int, connections: int, messages: int, letter: Path) -> list[str]:
    """smtp-source with ``connections`` that stay open, one reply awaited after another."""
    to = "user@example.org"
    options = ["-d", "-N", "-c", "-f", SENDER, "-t", to, "-F", str(letter)]
    counts = ["-s", str(min(connections, messages)), "-m", str(messages)]
    return [SMTP_SOURCE, *options, *counts, f"127.0.0.1:{port}"]


def feed_command(relay: int, messages: int, letter: Path) -> list[str]:
    """What brings the relay its messages."""
    return source_command(relay, _FEEDERS, messages, letter)


@contextmanager
def letter_file(size: int) -> Iterator[Path]:
    """One of the messages, in the form that smtp-source reads."""
    ((_, letter),) = composed(1, size)
    with tempfile.NamedTemporaryFile(prefix="letterbook-letter-") as file:
        file.write(letter.replace(b"\r\n", b"\n"))
        file.flush()
        yield Path(file.name)


@contextmanager
def running_relay(recipients: int, archive: int, connections: int) -> Iterator[tuple[Postfix, int]]:
    """A Postfix between the senders and the sinks, and the process of its master."""
    more = _RELAY.format(
        recipients=recipients,
        archive=archive,
        connections=connections,
        archive_address=ARCHIVE_ADDRESS,
        archive_domain=ARCHIVE_ADDRESS.partition("@")[2],
    )
    with tempfile.TemporaryDirectory(prefix="letterbook-relay-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postfix's own users must get in
        with running_postfix(folder / "postfix", more) as postfix:
            master = int((folder / "postfix" / "queue" / "pid" / "master.pid").read_text())
            yield postfix, master
