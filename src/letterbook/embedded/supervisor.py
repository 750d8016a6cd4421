"""The one process that owns the PostgreSQL of a data folder.

    python -m letterbook.embedded.supervisor <data folder>

is started by a client (client.py), with the first lease as its standard input. It leaves the
client's session and terminal, takes the lock, starts PostgreSQL, and ends with the last lease.
"""

import logging
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from letterbook.embedded.account import Account
from letterbook.embedded.binaries import usable_programs
from letterbook.embedded.cluster import CLUSTER, open_cluster
from letterbook.embedded.control import Control
from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import DataFolder
from letterbook.embedded.launch import Launcher
from letterbook.embedded.lease import Lease
from letterbook.embedded.lock import take_lock
from letterbook.embedded.log import ServerLog
from letterbook.embedded.server import Server

_LOOK_EVERY: Final = 0.02  # while PostgreSQL starts
_QUICK: Final = 60.0
_MOST_QUICK_FAILURES: Final = 3

logger = logging.getLogger("letterbook.embedded.supervisor")


def main() -> None:
    """Become the supervisor of the data folder that the command line names."""
    try:
        _, data = sys.argv
        first = socket.socket(fileno=os.dup(0))
    except (OSError, ValueError):
        sys.exit("the supervisor is started by Letterbook, not by hand")
    path = Path(data)
    if os.fork():
        os._exit(0)  # the client need not wait for us, nor reap us
    _leave_the_client()
    control = Control(first)
    try:
        _supervise(path, control)
    except EmbeddedDatabaseError as error:
        control.fail(str(error))
    except OSError as error:
        control.fail(f"PostgreSQL cannot run in {path}: {error}; mend that, then start again")
    except BaseException:
        control.fail(f"the supervisor of {path} has a defect:\n{traceback.format_exc()}")
        raise


def _leave_the_client() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # It lives as long as its leases: at a system's shutdown its clients get the same signal, and
    # need the database until they have ended. A handler, unlike SIG_IGN, is not inherited.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def _supervise(path: Path, control: Control) -> None:
    with ExitStack() as stack:
        folder = DataFolder.open(path)
        lock = take_lock(folder, unless=lambda: _is_served(folder) or not control.is_wanted())
        if lock is None:
            control.refer()
            return
        if not control.is_wanted():
            return
        control.listen(folder)
        log = ServerLog.begin(folder)
        account = Account.for_cluster(
            str(folder.path / CLUSTER), folder.owner_of(CLUSTER), os.fstat(folder.fd)
        )
        launcher = Launcher(account, lock)
        programs = stack.enter_context(usable_programs(folder, launcher))
        cluster = open_cluster(folder, programs, launcher)
        sockets = folder.open_sockets(account)
        server = Server(programs, launcher, cluster=cluster, sockets=sockets)
        stack.callback(server.stop)
        stack.callback(control.retire)  # before the server stops: who comes now starts another
        _keep_running(server, control, log)


def _is_served(folder: DataFolder) -> bool:
    """Whether the holder of the lock takes leases."""
    lease = Lease.connect(folder)
    if lease is not None:
        lease.close()
    return lease is not None


def _keep_running(server: Server, control: Control, log: ServerLog) -> None:
    """Run the server while it is wanted, again if it dies; raise when it dies over and over."""
    quick_failures, was_ready = 0, False
    ended = server.start()
    while control.is_wanted():
        if control.wait(None if control.is_ready else _LOOK_EVERY, ended):
            os.close(ended)
            was_killed = server.bury()
            quick_failures = quick_failures + 1 if server.age() < _QUICK else 1
            control.announce_ready(ready=False)
            if not (was_ready or was_killed) or quick_failures > _MOST_QUICK_FAILURES:
                raise EmbeddedDatabaseError(_does_not_run(log))
            logger.warning("PostgreSQL has ended; starting it again")
            time.sleep(0.2 * (quick_failures - 1))
            ended = server.start()
        elif not control.is_ready and server.is_ready():
            was_ready = True
            control.announce_ready(ready=True)


def _does_not_run(log: ServerLog) -> str:
    return (
        f"PostgreSQL does not run; mend what its log says, then start again. "
        f"The end of {log.path}:\n{log.tail()}"
    )


if __name__ == "__main__":
    main()
