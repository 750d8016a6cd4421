"""The data folder: what lies where, and who may use it.

It is held open and used through its descriptor: a path to it may be too long for a socket, and
the user who runs PostgreSQL may not be able to walk there.
"""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from letterbook.embedded.account import Account, name_of
from letterbook.embedded.errors import EmbeddedDatabaseError

LOCK: Final = "supervisor.lock"
CONTROL: Final = "supervisor.socket"
LOG: Final = "postgresql.log"
PREVIOUS_LOG: Final = "postgresql.log.1"
PASSWORD: Final = "postgresql.password"  # noqa: S105  a file's name
SOCKETS: Final = "postgresql.socket"
COPY: Final = "postgresql.copy"

_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder that this process may use, open as ``fd``."""

    path: Path
    fd: int

    @classmethod
    def open(cls, data: Path, *, create: bool = False) -> Self:
        """Open ``data``, making it (0700) if it is missing and ``create`` says so.

        Raises EmbeddedDatabaseError when it cannot be made or may not be used.
        """
        path = data.absolute()
        try:
            if create:
                _make(path)
            fd = open_folder(path)
        except OSError as error:
            raise EmbeddedDatabaseError(_cannot_open(path, error)) from error
        try:
            _require_ours(path, os.fstat(fd))
            folder = cls(path, fd)
            folder._require_files_ours()
        except BaseException:
            os.close(fd)
            raise
        return folder

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)

    def at(self, name: str) -> str:
        """Return a path to ``name`` that is short and needs no walk, for this process only."""
        return f"/proc/self/fd/{self.fd}/{name}"

    def owner_of(self, name: str) -> int | None:
        """Return the uid that owns ``name``, or None when there is no such thing."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_uid
        except FileNotFoundError:
            return None

    def _require_files_ours(self) -> None:
        for name in (LOCK, LOG, PREVIOUS_LOG, PASSWORD):
            owner = self.owner_of(name)
            if owner is not None and owner != os.geteuid():
                raise EmbeddedDatabaseError(
                    f"{self.path / name} belongs to {name_of(owner)}, who ran Letterbook here "
                    f"before; run it as {name_of(owner)}, or give everything to "
                    f"{name_of(os.geteuid())} with: chown -R {os.geteuid()} {self.path}"
                )

    def open_sockets(self, account: Account) -> int:
        """Open the folder of PostgreSQL's socket: ``account``'s, closed to everyone else."""
        if self.owner_of(SOCKETS) is None:
            os.mkdir(SOCKETS, 0o700, dir_fd=self.fd)
        fd = open_folder(SOCKETS, dir_fd=self.fd)
        if os.fstat(fd).st_uid != account.uid:
            os.fchown(fd, account.uid, account.gid)
        os.fchmod(fd, 0o700)
        return fd


def open_folder(path: str | Path, *, dir_fd: int | None = None) -> int:
    """Open a folder; within the data folder never through a symbolic link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if dir_fd is not None:
        flags |= os.O_NOFOLLOW
    return os.open(path, flags, dir_fd=dir_fd)


def replace_file(name: str, content: str, *, dir_fd: int, account: Account | None = None) -> None:
    """Write ``name`` (0600) whole or not at all, and for ``account`` if one is given.

    Another user may own the folder, so nothing that lies there already is opened for writing.
    """
    new = f"{name}.{secrets.token_hex(4)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o600, dir_fd=dir_fd), "w", encoding="utf-8") as file:
            if account is not None and account.dedicated:
                os.fchown(file.fileno(), account.uid, account.gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        remove_file(new, dir_fd=dir_fd)
        raise


def remove_file(name: str, *, dir_fd: int) -> None:
    """Remove ``name`` if it is there."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return


def read_file(name: str, *, dir_fd: int) -> str | None:
    """Return what ``name`` holds, or None when there is no such file."""
    # O_NONBLOCK: what another user put there must not keep us waiting.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, encoding="utf-8", errors="replace") as file:
        return file.read(65_536)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def _cannot_open(path: Path, error: OSError) -> str:
    try:
        owner = path.stat().st_uid
    except OSError:
        owner = os.geteuid()
    if owner != os.geteuid():
        return _belongs_to(path, owner)
    return (
        f"cannot use {path} as data folder: {error.strerror}; "
        "set LETTERBOOK_DATA to a folder that you may write to"
    )


def _belongs_to(path: Path, owner: int) -> str:
    return (
        f"the data folder {path} belongs to {name_of(owner)} and this process runs as "
        f"{name_of(os.geteuid())}; run Letterbook as {name_of(owner)}, or set LETTERBOOK_DATA to "
        "another folder"
    )


def _require_ours(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise EmbeddedDatabaseError(_belongs_to(path, found.st_uid))
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise EmbeddedDatabaseError(
            f"other users may write to the data folder {path}; "
            f"close it to them with: chmod go-w {path}"
        )
