"""Making and opening the database cluster.

A cluster lies in ``postgresql-<major version>``. It is made in a folder beside it and renamed
when it is complete, so that a crash never leaves a half-made one.
"""

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from letterbook.embedded.binaries import MAJOR
from letterbook.embedded.configuration import DATABASE, ROLE, pg_hba_conf, postgresql_conf
from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import (
    PASSWORD,
    DataFolder,
    open_folder,
    read_file,
    replace_file,
)
from letterbook.embedded.launch import Launcher

CLUSTER: Final = f"postgresql-{MAJOR}"
_UNFINISHED: Final = f"{CLUSTER}.new"
# Sorted by code point, cased by Unicode: the same on every system and for ever, whereas an order
# taken from the C library changes with it and leaves indexes wrong.
_LOCALE: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_FAILURE: Final = re.compile(r"\b(ERROR|FATAL|PANIC):")


def open_cluster(folder: DataFolder, programs: Path, launcher: Launcher) -> int:
    """Open the cluster, making it if there is none, and write its configuration.

    Raises EmbeddedDatabaseError when it is of another version or cannot be made.
    """
    _remove_unfinished(folder)
    if folder.owner_of(CLUSTER) is None:
        _refuse_other_versions(folder)
        _make(folder, programs, launcher)
    fd = open_folder(CLUSTER, dir_fd=folder.fd)
    try:
        _require_usable(folder, fd)
        _configure(fd, launcher)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_usable(folder: DataFolder, fd: int) -> None:
    version = (read_file("PG_VERSION", dir_fd=fd) or "").strip()
    if version != str(MAJOR):
        raise EmbeddedDatabaseError(
            f"{folder.path / CLUSTER} is not a database of PostgreSQL {MAJOR} "
            f"(its PG_VERSION says {version or 'nothing'}); move it away, or restore it from a "
            "backup"
        )
    if read_file(PASSWORD, dir_fd=folder.fd) is None:
        raise EmbeddedDatabaseError(
            f"{folder.path / PASSWORD} is missing, and the database beside it opens with no "
            "other password; restore that file from a backup of the data folder"
        )
    os.chmod(PASSWORD, 0o600, dir_fd=folder.fd)  # a restored one may be readable by others


def _refuse_other_versions(folder: DataFolder) -> None:
    names = os.listdir(folder.fd)  # noqa: PTH208  a Path is not a descriptor
    others = sorted(name for name in names if re.fullmatch(r"postgresql-\d+", name))
    if others:
        version = others[-1].removeprefix("postgresql-")
        raise EmbeddedDatabaseError(
            f"{folder.path} holds a database of PostgreSQL {version} ({others[-1]}), and this "
            f"Letterbook brings PostgreSQL {MAJOR}; save it with pg_dump under the Letterbook "
            "that made it, move that folder away and restore the dump, or set LETTERBOOK_DATA to "
            "another folder"
        )


def _remove_unfinished(folder: DataFolder) -> None:
    if folder.owner_of(_UNFINISHED) is not None:
        shutil.rmtree(_UNFINISHED, dir_fd=folder.fd)


def _make(folder: DataFolder, programs: Path, launcher: Launcher) -> None:
    # The outer folder stays ours and closed, whoever initdb has to run as.
    os.mkdir(_UNFINISHED, 0o700, dir_fd=folder.fd)
    try:
        outer = open_folder(_UNFINISHED, dir_fd=folder.fd)
        try:
            _make_within(outer, _password(folder), programs, launcher)
            os.rename(CLUSTER, CLUSTER, src_dir_fd=outer, dst_dir_fd=folder.fd)
        finally:
            os.close(outer)
        os.fsync(folder.fd)
    finally:
        _remove_unfinished(folder)


def _make_within(outer: int, password: str, programs: Path, launcher: Launcher) -> None:
    named = launcher.as_named()
    os.mkdir(CLUSTER, 0o700, dir_fd=outer)
    fd = open_folder(CLUSTER, dir_fd=outer)
    try:
        os.fchown(fd, named.account.uid, named.account.gid)
        _initialise(fd, programs, named)
        _create_database(fd, password, programs, named)
        _hand_over(fd, launcher)
    finally:
        os.close(fd)


def _initialise(fd: int, programs: Path, launcher: Launcher) -> None:
    command = (
        programs / "initdb",
        f"--pgdata=/proc/self/fd/{fd}",
        f"--username={ROLE}",
        "--auth=reject",  # until our own pg_hba.conf is in its place
        "--encoding=UTF8",
        *_LOCALE,
        "--set=dynamic_shared_memory_type=mmap",  # in the folder, not where its user can reach it
        "--no-instructions",
    )
    made = launcher.run(command, fds=[fd])
    if made.returncode != 0:
        raise EmbeddedDatabaseError(_cannot_make("initdb", made))


def _create_database(fd: int, password: str, programs: Path, launcher: Launcher) -> None:
    """Set the password and create the database before any server runs, through a pipe."""
    command = (
        programs / "postgres",
        "--single",
        "-D",
        f"/proc/self/fd/{fd}",
        "-c",
        "log_min_error_statement=panic",  # a failed statement would be quoted with the password
        "postgres",
    )
    feed = f"ALTER ROLE {ROLE} PASSWORD '{password}'\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n"
    done = launcher.run(command, fds=[fd], feed=feed)
    if done.returncode != 0 or _FAILURE.search(done.stderr):
        raise EmbeddedDatabaseError(_cannot_make("postgres --single", done))


def _hand_over(fd: int, launcher: Launcher) -> None:
    """Give everything to the user who will run the server."""
    if not launcher.account.dedicated:
        return
    owner = launcher.account
    for _, folders, files, here in os.fwalk(dir_fd=fd):
        for name in (*folders, *files):
            os.chown(name, owner.uid, owner.gid, dir_fd=here, follow_symlinks=False)
    os.fchown(fd, owner.uid, owner.gid)


def _configure(fd: int, launcher: Launcher) -> None:
    replace_file("postgresql.conf", postgresql_conf(), dir_fd=fd, account=launcher.account)
    replace_file("pg_hba.conf", pg_hba_conf(), dir_fd=fd, account=launcher.account)


def _password(folder: DataFolder) -> str:
    """Return the password, which is on disk before a cluster that it opens."""
    if read_file(PASSWORD, dir_fd=folder.fd) is None:
        replace_file(PASSWORD, secrets.token_urlsafe(32), dir_fd=folder.fd)
    return read_file(PASSWORD, dir_fd=folder.fd) or ""


def _cannot_make(program: str, ended: subprocess.CompletedProcess[str]) -> str:
    last = "\n".join(ended.stderr.strip().splitlines()[-10:])
    return (
        f"cannot make the database: {program} failed (status {ended.returncode}):\n{last}\n"
        "mend what it says, then start again; nothing was left behind"
    )
