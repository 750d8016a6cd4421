"""A lease keeps the embedded PostgreSQL running: a connection to its supervisor.

The kernel closes it when its process dies, whatever the cause, so no death leaves a lease
behind. A client sends nothing; it ends its lease by shutting down its side. The supervisor sends
packets of one word each:

ready   PostgreSQL accepts connections; with it comes a pidfd of the supervisor
busy    another supervisor serves this data folder: connect to that one
kept    your lease has ended, and others keep PostgreSQL running
failed  it cannot run, followed by the reason

and closes the connection when it has ended itself.
"""

import os
import select
import socket
import threading
import time
from typing import Final

from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import CONTROL, DataFolder

READY: Final = b"ready"
BUSY: Final = b"busy"
KEPT: Final = b"kept"
FAILED: Final = b"failed\n"

_PACKET: Final = 65_536
_AGAIN_AFTER: Final = 0.1


class Abandoned(Exception):  # noqa: N818  a decision of the caller, not an error
    """The caller has given up waiting."""


class Patience:
    """How long to wait for a start; ``abandoned`` ends it early."""

    def __init__(self, seconds: float, abandoned: threading.Event) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._abandoned = abandoned

    def check(self) -> None:
        """Raise Abandoned or, when the time is over, EmbeddedDatabaseError."""
        if self._abandoned.is_set():
            raise Abandoned
        if time.monotonic() > self._deadline:
            raise EmbeddedDatabaseError(
                f"PostgreSQL has not become ready within {self._seconds:g} s; "
                "see postgresql.log in the data folder, then start again"
            )

    def pause(self) -> None:
        """Wait a moment, then check."""
        self._abandoned.wait(_AGAIN_AFTER)
        self.check()


class Lease:
    """One lease, from the client's side."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._supervisor: int | None = None  # a pidfd
        self._others_remain = False

    @classmethod
    def connect(cls, folder: DataFolder) -> "Lease | None":
        """Ask the supervisor of ``folder`` for a lease; None when no supervisor listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(folder.at(CONTROL))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def wait_until_ready(self, patience: Patience) -> bool | None:
        """Wait for PostgreSQL to accept connections.

        Return False when another supervisor is the one to ask, None when this one has ended.
        Raises EmbeddedDatabaseError when PostgreSQL cannot run, or when ``patience`` ends.
        """
        self._connection.settimeout(_AGAIN_AFTER)
        while True:
            try:
                packet = self._receive()
            except TimeoutError:
                patience.check()
                continue
            if packet.startswith(FAILED):
                raise EmbeddedDatabaseError(packet.removeprefix(FAILED).decode(errors="replace"))
            return {READY: True, BUSY: False}.get(packet)

    def wait_until_lost(self, seconds: float | None = None) -> None:
        """Return when the supervisor has closed the lease, asked to or not.

        Raises TimeoutError when nothing happens for ``seconds``.
        """
        self._connection.settimeout(seconds)
        while self._receive():
            pass

    def resign(self) -> None:
        """End the lease; it is over when ``wait_until_lost`` returns. May be called twice."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:  # the supervisor was faster
            return

    def close(self, *, seconds: float = 0) -> bool:
        """Close the lease, waiting up to ``seconds`` for a supervisor that ends with it.

        Return whether it has ended, or goes on for others.
        """
        self._connection.close()
        if self._supervisor is None:
            return True
        poll = select.poll()
        poll.register(self._supervisor, select.POLLIN)
        ended = self._others_remain or bool(poll.poll(seconds * 1_000))
        os.close(self._supervisor)
        self._supervisor = None
        return ended

    def _receive(self) -> bytes:
        try:
            packet, fds, _, _ = socket.recv_fds(
                self._connection, _PACKET, 1, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:  # it closed without having noticed us
            return b""
        if packet == READY and fds:
            self._supervisor = fds[0]
        self._others_remain = self._others_remain or packet == KEPT
        return packet
