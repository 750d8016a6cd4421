"""Real processes: who runs for a data folder, and clients that can be killed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from letterbook.embedded import Database
from letterbook.embedded.cluster import CLUSTER
from letterbook.embedded.folder import LOCK, PASSWORD
from letterbook.embedded.lock import lock_holders

AS_ROOT = os.geteuid() == 0
NOBODY = 65_534

CLIENT = """
import sys
from pathlib import Path
from letterbook.embedded import attach
with attach(Path(sys.argv[1])):
    print("attached", flush=True)
    sys.stdin.read()
print("closed", flush=True)
"""

ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"


def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Return what ``condition`` returns once it is true; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return found


def processes(data: Path) -> dict[int, str]:
    """Return pid and name of the supervisor and of every process of PostgreSQL."""
    try:
        fd = os.open(data / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    try:
        return dict(lock_holders(fd))
    finally:
        os.close(fd)


def is_quiet(data: Path) -> bool:
    """Whether no supervisor and no process of PostgreSQL runs: the lock is free."""
    try:
        fd = os.open(data / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def supervisor_of(data: Path) -> int:
    """Return the pid of the supervisor, or 0."""
    found = [pid for pid in processes(data) if b"embedded.supervisor" in command_line(pid)]
    # A child looks the same until it becomes another program.
    return next((pid for pid in found if parent_of(pid) not in found), 0)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def postmaster_of(data: Path) -> int:
    """Return the pid of PostgreSQL's first process, or 0."""
    try:
        noted = (data / CLUSTER / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return 0
    pid = int(noted[0]) if noted else 0
    return pid if pid in processes(data) else 0  # what a killed one noted stays there


def ask(database: Database | str, statement: str) -> Any:
    """Run ``statement`` on a connection of its own and return the first value, if any."""
    conninfo = database if isinstance(database, str) else database.conninfo()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def has_another(find: Callable[[Path], int], data: Path, old: int) -> bool:
    """Whether ``find`` now finds another process than ``old``."""
    return find(data) not in {0, old}


def answers(database: Database) -> bool:
    try:
        return ask(database, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def connect_through(sockets: Path) -> str:
    """Return what connects by the real path, as another program would."""
    password = (sockets.parent / PASSWORD).read_text()
    return f"host={sockets} user=letterbook password={password} dbname=letterbook"


@contextmanager
def moved(path: Path, elsewhere: Path) -> Iterator[None]:
    """Move ``path`` elsewhere, and back."""
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


def kill(pid: int) -> None:
    assert pid > 1, "nobody to kill"  # 0 would be the group of this very process
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Client:
    """A process that attaches, and closes when its input ends."""

    def __init__(self, data: Path, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def attached(self) -> Self:
        """Wait until it has attached."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "attached\n", self.finish()
        return self

    def finish(self) -> tuple[str, str]:
        """Let it close; return what it wrote."""
        return self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)
