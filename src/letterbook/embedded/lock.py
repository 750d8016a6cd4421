"""One supervisor at a time, and only after the last server is gone.

The lock belongs to an open file that every process of PostgreSQL inherits: the kernel frees it
when the last of them has ended, however that came about.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import LOCK, DataFolder

WAIT: Final = 90.0
"""Seconds that a new supervisor waits; longer than an old one takes to stop its server."""

_AGAIN_AFTER: Final = 0.03


def take_lock(folder: DataFolder, *, unless: Callable[[], bool], wait: float = WAIT) -> int | None:
    """Return the descriptor of the lock, or None as soon as ``unless`` says it is not wanted.

    Raises EmbeddedDatabaseError when others still hold it after ``wait`` seconds.
    """
    fd = os.open(
        LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder.fd
    )
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if unless():
                os.close(fd)
                return None
        else:
            return fd
        if time.monotonic() > deadline:
            holders = ", ".join(f"{name} ({pid})" for pid, name in lock_holders(fd))
            os.close(fd)
            raise EmbeddedDatabaseError(
                f"the database in {folder.path} is still in use by "
                f"{holders or 'processes that this user cannot see'}; end them, or wait for them, "
                "and start again"
            )
        time.sleep(_AGAIN_AFTER)


def lock_holders(fd: int) -> Iterator[tuple[int, str]]:
    """Yield (pid, name) of each other process that has the file of ``fd`` open."""
    ours = os.fstat(fd)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and any(
                os.path.samestat(ours, each.stat()) for each in (process / "fd").iterdir()
            ):
                yield int(process.name), (process / "comm").read_text().strip()
        except OSError:  # it has ended, or is somebody else's
            continue
