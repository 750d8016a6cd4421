"""The log of the server and its supervisor: one file in the data folder, and the one before.

It holds no recipient's data; see configuration.py.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from letterbook.embedded.folder import LOG, PREVIOUS_LOG, DataFolder

LARGEST: Final = 1_000_000
"""A start with a larger log than this begins a new one."""

_QUOTED: Final = 10_000
_QUOTED_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class ServerLog:
    """The log as this process writes it."""

    path: Path
    start: int
    """Where the lines of this run begin."""

    @classmethod
    def begin(cls, folder: DataFolder) -> Self:
        """Make the log this process's standard output and error, and its children's."""
        fd = _open(folder)
        if os.fstat(fd).st_size > LARGEST:
            os.close(fd)
            os.rename(LOG, PREVIOUS_LOG, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            fd = _open(folder)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
        logging.Formatter.converter = time.gmtime
        logging.basicConfig(format="%(asctime)s UTC [%(process)d] supervisor: %(message)s")
        logging.getLogger("letterbook.embedded").setLevel(logging.INFO)
        return cls(folder.path / LOG, os.fstat(2).st_size)

    def tail(self) -> str:
        """Return the last lines of this run."""
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(self.start, size - _QUOTED))
            lines = file.read(_QUOTED).decode(errors="replace").splitlines()
        return "\n".join(lines[-_QUOTED_LINES:])


def _open(folder: DataFolder) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(LOG, flags, 0o600, dir_fd=folder.fd)
