"""What is killed in the chaos run, and how everybody else goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from tests.embedded.harness import postmaster_of, supervisor_of

from bench.platform import Platform
from letterbook.mail.identity import Identity, MessageRef
from letterbook.mail.status import CopyStatus, MessageStatus
from letterbook.settings import PREFIX
from letterbook.testing.account import Entry

_PATIENCE: Final = 120.0
_NO_DATABASE: Final = "letterbook: cannot reach the database"
_TROUBLE: Final = ("Traceback (most recent call last)", "DeadlockDetected")
_Result = TypeVar("_Result")


class Commands:
    """The command line, in processes of their own, as an administrator's shell runs it."""

    def __init__(self, platform: Platform, logs: Path | None = None, **settings: object) -> None:
        """``logs``: a folder to keep what each process says in."""
        self.data = platform.settings.data
        self._logs = logs or self.data / "logs"
        self._logs.mkdir(exist_ok=True)
        self._said: dict[subprocess.Popen[bytes], Path] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        given = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = kept | {f"{PREFIX}DATA": str(self.data)} | given

    def spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        log = self._logs / f"{len(self._said) + 1:03}-{arguments[0]}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "letterbook", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._said[process] = log
        return process

    def last_words(self, process: "subprocess.Popen[bytes]") -> str:
        """Return the last line that a process said."""
        lines = self._said[process].read_text("utf-8", "replace").splitlines()
        return lines[-1] if lines else ""

    def signs_of_trouble(self) -> Counter[str]:
        """Return what nobody should have said, counted: tracebacks, deadlocks."""
        found: Counter[str] = Counter()
        for log in self._said.values():
            text = log.read_text("utf-8", "replace")
            found.update({word: text.count(word) for word in _TROUBLE if word in text})
        return found

    def run(self, *arguments: str) -> None:
        """Run a command, again if the database was killed under it."""
        deadline = time.monotonic() + _PATIENCE
        while self.spawn(*arguments).wait():
            if time.monotonic() > deadline:
                raise TimeoutError(f"letterbook {' '.join(arguments)} does not succeed")


class Crew:
    """Workers that are started again whenever they end, as systemd would do it."""

    def __init__(self, commands: Commands, workers: int) -> None:
        self._commands = commands
        self._workers = [commands.spawn("worker") for _ in range(workers)]
        self.not_started = 0
        """Workers that could not start, because the database was just being killed."""
        self.deaths = 0
        """Workers that ended otherwise without having been killed."""

    def kill(self, number: int) -> None:
        """Kill one and start another in its place."""
        victim = self._workers[number % len(self._workers)]
        victim.kill()
        victim.wait()
        self._workers[number % len(self._workers)] = self._commands.spawn("worker")

    def look(self) -> None:
        """See whether all are there."""
        for number, worker in enumerate(self._workers):
            if worker.poll() is None:
                continue
            if self._commands.last_words(worker).startswith(_NO_DATABASE):
                self.not_started += 1
            else:
                self.deaths += 1
            self._workers[number] = self._commands.spawn("worker")

    def dismiss(self) -> None:
        """Let all drain and end."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait(60)


class Books:
    """The ledger, read with the patience that a database which is killed asks for."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement; it may run twice."""

        def once() -> list[tuple[Any, ...]]:
            with psycopg.connect(self._conninfo, autocommit=True) as db:
                cursor = db.execute(statement, values)
                return cursor.fetchall() if cursor.description else []

        return patiently(once)

    def states(self) -> dict[int, str]:
        """Return the state of each delivery."""
        return dict(self.ask("SELECT id, state FROM deliveries_delivery"))

    def settled(self) -> int:
        """Return how many messages have an outcome."""
        ((count,),) = self.ask(
            "SELECT coalesce(sum(sent + failed + in_doubt + cancelled), 0)::int FROM outbox_part"
        )
        return int(count)

    def only_refused_copies_wait(self) -> bool:
        """Whether nothing is left to do before the archive is asked again, an hour from now."""
        ((waiting, others),) = self.ask(
            "SELECT count(*) FILTER (WHERE copy = 'refused' AND next_attempt_at > now()), count(*) "
            "FROM outbox_message WHERE status IN ('pending', 'deposited', 'sending', 'deferred')"
        )
        return bool(waiting) and waiting == others

    def let_pass(self, interval: str) -> None:
        """Let time pass for the ledger: all that it plans comes nearer by ``interval``."""
        for table, columns in (
            ("outbox_message", ["next_attempt_at"]),
            ("outbox_part", ["due_at", "owed_at"]),
            ("deliveries_delivery", ["valid_until"]),
        ):
            shifted = ", ".join(f"{each} = {each} - interval '{interval}'" for each in columns)
            # Parts are locked before their messages, as the engine does it.
            self.ask(
                "WITH parts AS MATERIALIZED (SELECT FROM outbox_part "
                "ORDER BY delivery_id, number FOR NO KEY UPDATE) "
                f"UPDATE {table} SET {shifted} FROM (SELECT count(*) FROM parts) AS first_lock"
            )

    def entries(self, identity: Identity, domain: str) -> list[Entry]:
        """Return every message."""
        rows = self.ask(
            "SELECT delivery_id, ordinal, address, status::text, copy::text, failure::text, "
            "encode(sha256, 'hex') FROM outbox_message"
        )
        return [
            Entry(
                identity.message_id(MessageRef(delivery, ordinal), domain),
                address,
                MessageStatus(status),
                CopyStatus(copy),
                failure,
                sha256,
            )
            for delivery, ordinal, address, status, copy, failure, sha256 in rows
        ]


def patiently(work: Callable[[], _Result]) -> _Result:
    """Do ``work``, again as long as the database is away."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Assassin:
    """Kills (-9), at moments of the whole run that only the seed decides."""

    def __init__(
        self, seed: int, plan: dict[str, int], crew: Crew, commands: Commands, books: Books
    ) -> None:
        """``plan`` says how often to kill whom."""
        self._dice = random.Random(f"{seed} kills")
        self._crew = crew
        self._commands = commands
        self._books = books
        self.kills: Counter[str] = Counter()
        self._moments = sorted(
            (self._dice.uniform(0.02, 0.4 if victim == "command" else 0.95), victim)
            for victim, times in plan.items()
            for _ in range(times)
        )
        self.delivery = 0
        """The delivery that commands are killed in the analysis of."""

    @property
    def commands_left(self) -> int:
        return sum(victim == "command" for _, victim in self._moments)

    def look(self, progress: float) -> None:
        """Kill whoever's time has come."""
        if self._moments and self._moments[0][0] <= progress:
            _, victim = self._moments.pop(0)
            if self._kill(victim):
                self.kills[victim] += 1

    def _kill(self, victim: str) -> bool:
        if victim == "worker":
            self._crew.kill(self._dice.randrange(100))
            return True
        if victim == "command":
            return self._kill_command()
        if victim == "backend":
            return _kill_one(self._backends())
        find = {"postgres": postmaster_of, "supervisor": supervisor_of}[victim]
        return _kill_one([find(self._commands.data)])

    def _kill_command(self) -> bool:
        """Kill the command that analyses a delivery, or one that shows it."""
        what = self._dice.choice(("analyze", "analyze", "show"))
        command = self._commands.spawn("deliveries", what, str(self.delivery))
        with suppress(subprocess.TimeoutExpired):
            command.wait(self._dice.uniform(0.3, 2.0))
        was_running = command.poll() is None
        command.kill()
        command.wait()
        return was_running

    def _backends(self) -> Sequence[int]:
        found = self._books.ask(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() ORDER BY pid"
        )
        return [pid for (pid,) in found][:1]


def _kill_one(pids: Sequence[int]) -> bool:
    for pid in pids:
        if pid > 1:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
    return False
