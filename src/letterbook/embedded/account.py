"""Under which user PostgreSQL runs.

A user runs it as themself. PostgreSQL refuses to be root, so for root it gets a user of its own:
a bare number, from the range that systemd sets aside for such users, with no entry in
``/etc/passwd``. It owns the cluster and the socket folder, and nothing else.
"""

import grp
import hashlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from letterbook.embedded.errors import EmbeddedDatabaseError

DEDICATED: Final = range(61_184, 65_520)


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group that a program of PostgreSQL runs as."""

    uid: int
    gid: int

    @classmethod
    def for_cluster(cls, name: str, owner: int | None, folder: os.stat_result) -> Self:
        """Return who runs the cluster ``name``, which ``owner`` owns if it is made already.

        Raises EmbeddedDatabaseError when the cluster was made by somebody else.
        """
        if os.geteuid() != 0:
            if owner is not None and owner != os.geteuid():
                raise EmbeddedDatabaseError(_made_by_another(name, owner))
            return cls(os.geteuid(), os.getegid())
        uid = _choose(folder) if owner is None else owner
        if uid not in DEDICATED:
            raise EmbeddedDatabaseError(_not_dedicated(name, uid, _choose(folder)))
        return cls(uid, uid)

    @property
    def dedicated(self) -> bool:
        """Whether this is a user other than the one this process runs as."""
        return self.uid != os.geteuid()

    def named(self) -> Self:
        """Return the account that initdb runs as, since it insists on an entry in ``passwd``.

        Its group stays the dedicated one: the kernel then lets no other process of that user
        trace it or use its open files.
        """
        if not self.dedicated:
            self._require_name()
            return self
        users = {user.pw_name: user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0}
        if not users:
            raise EmbeddedDatabaseError(
                "initdb cannot run as root and this system has no other user; "
                "add the user nobody, or run Letterbook as a user"
            )
        return replace(self, uid=users.get("nobody", next(iter(users.values()))))

    def _require_name(self) -> None:
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            raise EmbeddedDatabaseError(
                f"this process runs as uid {self.uid}, which has no entry in /etc/passwd, and "
                "PostgreSQL's initdb insists on one; add it, or run Letterbook as another user "
                "or as root"
            ) from None


def name_of(uid: int) -> str:
    """Return the name of user ``uid``, or ``uid 61234`` when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _choose(folder: os.stat_result) -> int:
    """Pick a free number, so that each data folder gets its own."""
    digest = hashlib.sha256(f"{folder.st_dev}:{folder.st_ino}".encode()).digest()
    start = int.from_bytes(digest[:8]) % len(DEDICATED)
    taken = set(_taken())
    for step in range(len(DEDICATED)):
        uid = DEDICATED[(start + step) % len(DEDICATED)]
        if uid not in taken:
            return uid
    raise EmbeddedDatabaseError(
        f"every user number from {DEDICATED[0]} to {DEDICATED[-1]} is taken; "
        "run Letterbook as a user instead of root"
    )


def _taken() -> Iterator[int]:
    yield from (user.pw_uid for user in pwd.getpwall())
    yield from (group.gr_gid for group in grp.getgrall())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield process.stat().st_uid
        except FileNotFoundError:  # it has just ended
            continue


def _made_by_another(name: str, owner: int) -> str:
    by_root = " when Letterbook ran as root" if owner in DEDICATED else ""
    return (
        f"the database {name} belongs to {name_of(owner)}{by_root} and this process runs as "
        f"{name_of(os.geteuid())}; run Letterbook as before, or give the whole data folder to "
        f"{name_of(os.geteuid())} with chown -R"
    )


def _not_dedicated(name: str, owner: int, free: int) -> str:
    return (
        f"the database {name} belongs to {name_of(owner)}; when Letterbook runs as root, it must "
        f"have a user of its own; give it one with: chown -R {free}:{free} {name}"
    )
