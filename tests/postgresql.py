"""A PostgreSQL that is not Letterbook's own, with any settings: a primary, or its standby."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from letterbook.embedded.account import Account
from letterbook.embedded.binaries import usable_programs
from letterbook.embedded.folder import DataFolder
from letterbook.embedded.launch import Launcher

USER = "letterbook"


class Server:
    """One server; ``socket_folder`` and ``conninfo`` are what a house needs of its cluster."""

    def __init__(self, programs: Path, launcher: Launcher, folder: Path) -> None:
        self._programs = programs
        self._launcher = launcher
        self._process: subprocess.Popen[str] | None = None
        self.data = folder / "data"
        self.socket_folder = folder
        folder.mkdir(mode=0o700)
        os.chown(folder, launcher.account.uid, launcher.account.gid)

    def make(self) -> None:
        """Make an empty cluster."""
        options = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        self._run("initdb", f"--pgdata={self.data}", f"--username={USER}", *options)

    def follow(self, primary: "Server") -> None:
        """Become a copy of ``primary`` that will stream from it, asynchronously."""
        where = f"host={primary.socket_folder} user={USER}"
        options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream")
        self._run("pg_basebackup", f"--pgdata={self.data}", f"--dbname={where}", *options)

    def start(self, **settings: str) -> None:
        """Start, and return when it answers."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.socket_folder)}
        options |= settings
        command = [self._programs / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self._process = self._launcher.start(command, fds=())
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.02)

    def crash(self) -> None:
        """End at once, as after a power cut. (What PostgreSQL calls an immediate shutdown.)"""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def conninfo(self, database: str = "postgres") -> str:
        return f"host={self.socket_folder} user={USER} password=none dbname={database}"

    def sql(self, query: str) -> list[tuple]:
        with psycopg.connect(self.conninfo(), autocommit=True) as db:
            cursor = db.execute(query)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        try:
            return bool(self.sql("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _run(self, name: str, *arguments: str) -> None:
        done = self._launcher.run([self._programs / name, *arguments])
        assert done.returncode == 0, done.stderr


@contextmanager
def servers(*names: str) -> Iterator[list[Server]]:
    """Servers that are neither made nor started; nothing is left of them after the block."""
    as_root = os.geteuid() == 0
    account = Account(65_534, 65_534) if as_root else Account(os.geteuid(), os.getegid())
    folder = Path(tempfile.mkdtemp(prefix="lb-servers-"))  # a socket's path must be short
    folder.chmod(0o755)
    (folder / "programs").mkdir(mode=0o700)
    data, lock = DataFolder.open(folder / "programs"), os.open(folder / "lock", os.O_CREAT)
    launcher = Launcher(account, lock)
    started: list[Server] = []
    try:
        with usable_programs(data, launcher) as programs:
            started = [Server(programs, launcher, folder / name) for name in names]
            try:
                yield started
            finally:
                for server in started:
                    server.crash()
    finally:
        os.close(lock)
        data.close()
        shutil.rmtree(folder)
