"""The supervisor's end of the leases."""

import os
import select
import socket
from typing import Final

from letterbook.embedded.folder import CONTROL, DataFolder, remove_file
from letterbook.embedded.lease import BUSY, FAILED, KEPT, READY

_BACKLOG: Final = 128


class Control:
    """Who wants PostgreSQL to run.

    It begins with one lease, the one of the process that started this supervisor: there is no
    moment at which nobody wants it yet.
    """

    def __init__(self, first: socket.socket) -> None:
        self._listener: socket.socket | None = None
        self._folder: DataFolder | None = None
        self._leases = [first]
        self._leaving: list[socket.socket] = []
        self._told: set[socket.socket] = set()
        self._ready = False
        self._self = -1  # a pidfd, once there is something to be ready
        first.setblocking(False)

    def listen(self, folder: DataFolder) -> None:
        """Accept leases from now on. The caller holds the lock, so a socket found is a dead one."""
        remove_file(CONTROL, dir_fd=folder.fd)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(folder.at(CONTROL))
        os.chmod(CONTROL, 0o600, dir_fd=folder.fd)
        self._listener.listen(_BACKLOG)
        self._self = os.pidfd_open(os.getpid())
        self._folder = folder

    def is_wanted(self) -> bool:
        """Whether anyone holds a lease. Those who left learn that others remain."""
        self._accept()
        self._leases = [each for each in self._leases if not self._has_left(each)]
        if self._leases:
            for each in self._leaving:
                _send(each, KEPT)
                each.close()
            self._leaving.clear()
        return bool(self._leases)

    def wait(self, seconds: float | None, ended: int) -> bool:
        """Wait until something happens; return whether ``ended`` became readable."""
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        for each in (*self._leases, *filter(None, (self._listener,))):
            poll.register(each, select.POLLIN)
        happened = poll.poll(None if seconds is None else seconds * 1_000)
        return any(fd == ended for fd, _ in happened)

    def announce_ready(self, *, ready: bool) -> None:
        """Tell everyone who waits, and everyone who comes, that PostgreSQL is ready; or not yet."""
        self._ready = ready
        for each in self._leases:
            self._tell(each)

    @property
    def is_ready(self) -> bool:
        """Whether the leases know that PostgreSQL accepts connections."""
        return self._ready

    def refer(self) -> None:
        """Send everyone to the supervisor that holds the lock."""
        for each in self._leases:
            _send(each, BUSY)

    def fail(self, reason: str) -> None:
        """Tell everyone why PostgreSQL does not run, and take no more leases."""
        self._accept()
        for each in self._leases:
            _send(each, FAILED + reason.encode(errors="replace"))
        self.retire()

    def retire(self) -> None:
        """Take no more leases. Those that are left end with this process."""
        if self._listener is not None and self._folder is not None:
            remove_file(CONTROL, dir_fd=self._folder.fd)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                lease, _ = self._listener.accept()
            except BlockingIOError:
                return
            lease.setblocking(False)
            self._leases.append(lease)
            self._tell(lease)

    def _tell(self, lease: socket.socket) -> None:
        if self._ready and lease not in self._told:
            self._told.add(lease)
            _send(lease, READY, self._self)

    def _has_left(self, lease: socket.socket) -> bool:
        try:
            left = not lease.recv(1)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            left = True
        if left:
            self._told.discard(lease)
            self._leaving.append(lease)
        return left


def _send(lease: socket.socket, packet: bytes, *fds: int) -> None:
    try:
        socket.send_fds(lease, [packet], fds)
    except OSError:  # its process has ended; the next look at it will show that
        return
