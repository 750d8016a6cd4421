"""How PostgreSQL's programs are run: as their own user, tied to the supervisor's life."""

import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from letterbook.embedded.account import Account

_PR_SET_PDEATHSIG: Final = 1
# Nothing of the caller's: PGDATA or PGPORT would change what the server does, and what the
# caller keeps in its environment would be readable by the user who runs PostgreSQL.
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Launcher:
    """Runs programs as ``account``; they inherit ``lock``, which is free when all have ended."""

    account: Account
    lock: int

    def as_named(self) -> Self:
        """Return the launcher of the programs that want a user with a name."""
        return replace(self, account=self.account.named())

    def run(
        self, command: Sequence[str | Path], *, fds: Sequence[int] = (), feed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` to its end with ``feed`` as its input."""
        return subprocess.run(
            command, input=feed, capture_output=True, text=True, errors="replace", check=False,
            **self._options(fds, signal.SIGKILL),
        )  # fmt: skip

    def start(self, command: Sequence[str | Path], *, fds: Sequence[int]) -> subprocess.Popen[str]:
        """Start a server that shuts down by itself (SIGINT) if the supervisor dies."""
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, **self._options(fds, signal.SIGINT)
        )

    def _options(self, fds: Sequence[int], at_our_death: signal.Signals) -> dict[str, Any]:
        options: dict[str, Any] = {
            "cwd": "/",
            "env": _ENVIRONMENT,
            "pass_fds": (self.lock, *fds),
            "preexec_fn": _tie(os.getpid(), at_our_death),
        }
        if self.account.dedicated:
            options |= {
                "user": self.account.uid,
                "group": self.account.gid,
                "extra_groups": (),
            }
        return options


def _tie(parent: int, at_our_death: signal.Signals) -> Callable[[], None]:
    """Return what the child does before it becomes the program.

    It runs after the change of user, which would undo the request for a signal.
    """

    def tie() -> None:
        # A core file would hold personal data.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        failed = _libc.prctl(_PR_SET_PDEATHSIG, int(at_our_death), 0, 0, 0)
        if failed or os.getppid() != parent:  # the parent died before it could be noticed
            os._exit(1)

    return tie
