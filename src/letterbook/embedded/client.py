"""Attach to the embedded PostgreSQL, and stay attached."""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from letterbook.embedded.account import name_of
from letterbook.embedded.configuration import DATABASE, PORT, ROLE
from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import LOG, PASSWORD, SOCKETS, DataFolder, open_folder, read_file
from letterbook.embedded.lease import Abandoned, Lease, Patience

START: Final = 600.0
"""Seconds that a start may take: the longest one recovers from a kill during an import."""

STOP: Final = 90.0
"""Seconds that a stop may take."""

_MOST_DEATHS: Final = 3
_LONGEST_BACK_OFF: Final = 10.0

logger = logging.getLogger(__name__)


def attach(data: Path) -> "Database":
    """Return the embedded PostgreSQL of the data folder ``data``, running and ready.

    The first process that attaches starts it, and makes what is missing; the last that closes
    stops it. Should the server die in between, it is started again.

    Raises EmbeddedDatabaseError when it cannot run here.
    """
    if sys.platform != "linux":
        raise EmbeddedDatabaseError(
            "the embedded PostgreSQL runs on Linux only; "
            "name a PostgreSQL of your own in LETTERBOOK_DATABASE_URL"
        )
    try:
        with ExitStack() as undo:
            folder = DataFolder.open(data, create=True)
            undo.callback(folder.close)
            lease = _acquire(folder, Patience(START, threading.Event()))
            undo.callback(_abandon, lease)
            database = Database(folder, lease)
            undo.pop_all()
            return database
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"cannot attach to the PostgreSQL in {data}: {error}; mend that, then start again"
        ) from error


class Database:
    """A running PostgreSQL, kept running until ``close``. Made by ``attach``."""

    def __init__(self, folder: DataFolder, lease: Lease) -> None:
        self._folder = folder
        self._lease = lease
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._sockets = open_folder(SOCKETS, dir_fd=folder.fd)
        self._password = (read_file(PASSWORD, dir_fd=folder.fd) or "").strip()
        self._watcher = threading.Thread(
            target=self._watch, name="embedded PostgreSQL", daemon=True
        )
        self._watcher.start()

    @property
    def socket_folder(self) -> Path:
        """The folder of the server's socket; its path may be too long to connect to."""
        return self._folder.path / SOCKETS

    @property
    def log_file(self) -> Path:
        """The server's log, which holds no recipient's data."""
        return self._folder.path / LOG

    def conninfo(self, database: str = DATABASE) -> str:
        """Return what libpq needs to connect from this process; it stays the same until close.

        It serves forked children too, but no other program: that one attaches by itself.

        Raises EmbeddedDatabaseError after ``close``.
        """
        if self._closing.is_set():
            raise EmbeddedDatabaseError("this database has been closed; attach again")
        name = database.replace("\\", "\\\\").replace("'", "\\'")
        return (
            f"host=/proc/self/fd/{self._sockets} port={PORT} user={ROLE} "
            f"password={self._password} dbname='{name}'"
        )

    def close(self) -> None:
        """Give up the lease; if it was the last one, return when PostgreSQL has ended.

        Raises EmbeddedDatabaseError when it has not ended within a minute and a half.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        with self._mutex:
            self._lease.resign()
        self._watcher.join(STOP)
        if self._watcher.is_alive() or not self._lease.close(seconds=STOP):
            raise EmbeddedDatabaseError(
                f"PostgreSQL has not stopped within {STOP:g} s; see {self.log_file}"
            )
        os.close(self._sockets)
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self) -> None:
        """See to it that there is a lease, until close."""
        while True:
            self._lease.wait_until_lost()
            if self._closing.is_set():
                return
            logger.warning("the embedded PostgreSQL has gone; starting it again")
            revived = self._revive()
            if revived is None:
                return
            self._lease.close()
            with self._mutex:
                self._lease = revived
                if self._closing.is_set():
                    revived.resign()

    def _revive(self) -> Lease | None:
        back_off = 0.0
        while not self._closing.wait(back_off):
            try:
                return _acquire(self._folder, Patience(START, self._closing))
            except Abandoned:
                break
            except (EmbeddedDatabaseError, OSError) as error:
                logger.error("cannot start the embedded PostgreSQL again: %s", error)  # noqa: TRY400
            back_off = min(2 * back_off + 0.1, _LONGEST_BACK_OFF)
        return None


def _acquire(folder: DataFolder, patience: Patience) -> Lease:
    """Get a lease on a server that is ready, starting a supervisor if there is none."""
    deaths = 0
    while True:
        lease = Lease.connect(folder)
        started_here = lease is None
        lease = lease or _start_supervisor(folder)
        try:
            ready = lease.wait_until_ready(patience)
        except BaseException:
            _abandon(lease)
            raise
        if ready:
            return lease
        lease.close()
        if ready is None and started_here:
            deaths += 1
        if deaths > _MOST_DEATHS:
            raise EmbeddedDatabaseError(
                f"the supervisor of {folder.path} was killed again and again while it started; "
                f"see {folder.path / LOG}"
            )
        patience.pause()


def _abandon(lease: Lease) -> None:
    """End a lease before PostgreSQL is ready, and wait for what was started for it."""
    lease.resign()
    with suppress(TimeoutError):
        lease.wait_until_lost(STOP)
    lease.close()


def _start_supervisor(folder: DataFolder) -> Lease:
    """Start a supervisor, which leaves this process's session, and return its first lease."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            _run_supervisor(folder, theirs)
        except BaseException:
            ours.close()
            raise
    return Lease(ours)


def _run_supervisor(folder: DataFolder, lease: socket.socket) -> None:
    """Return when the supervisor has left this process behind."""
    command = (sys.executable, "-P", "-m", "letterbook.embedded.supervisor", str(folder.path))
    try:
        begun = subprocess.run(
            command,
            stdin=lease.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"cannot start the supervisor of {folder.path}: {error}; install Python and letterbook "
            f"where {name_of(os.geteuid())} can run them"
        ) from error
    if begun.returncode != 0:
        raise EmbeddedDatabaseError(
            f"cannot start the supervisor of {folder.path}:\n{begun.stdout.strip()}\n"
            "if that does not say how to mend it, install letterbook again"
        )
