"""A house with a server on each side: what a test of the engine does, and what it sees."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from letterbook.control.outbox import actions
from letterbook.control.platform.actions import set_archive_policy
from letterbook.engine.database import Database
from letterbook.engine.run import Worker
from letterbook.mail.status import ArchivePolicy, CopyStatus, MessageStatus
from tests.engine.audit import Line, audit, books_balance, lines_of
from tests.engine.faults import Side
from tests.house import ACTOR, ARCHIVE_ADDRESS, House, _disconnect, in_django

PLAIN_HTML = (
    "<p>Hello {{ recipient.email }}. <a href='https://example.com/unsubscribe'>Stop</a></p>"
)


class Post:
    """Recipients, archive, and a house between them, with one clock for all."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.recipients = Side(forbidden=ARCHIVE_ADDRESS.encode())
        self.archive = Side()
        self.owing = False
        """Whether messages may go before their copies."""
        self.resending = False
        """Whether what is in doubt is sent again, so that somebody may get two."""
        self.books_only = False
        """Whether only the ledger is of interest, not what went over the wires."""
        self._others = 0
        self.stop = asyncio.Event()
        """Set: the worker of ``working`` drains and ends."""
        self.unlock = asyncio.Event()
        """Set: ``locked`` lets go."""

    async def open(self) -> None:
        await self.recipients.start()
        await self.archive.start()
        self.house.set_up(self.recipients, self.archive)

    async def close(self) -> None:
        await self.recipients.stop()
        await self.archive.stop()

    def audit(self) -> None:
        """Check the promises."""
        in_django(_disconnect)()  # its connection may have been cut
        if self.books_only:
            books_balance(self.house)
            return
        audit(
            self.house,
            self.recipients,
            self.archive,
            owing=self.owing,
            resending=self.resending,
        )

    # What a test does.

    def owe(self) -> None:
        """Choose the policy *owe*."""
        self.owing = True
        in_django(set_archive_policy)(ACTOR, ArchivePolicy.OWE)

    async def deliver(self, count: int, **options: Any) -> int:
        """Send a delivery to ``count`` people, until the worker is idle."""
        delivery = self.house.started(count, **options)
        await self.house.work()
        return delivery

    async def another(self, count: int, **options: Any) -> int:
        """Start one more delivery, to other people, while a worker runs."""
        return await self.house.do(self._another, count, options)

    def _another(self, count: int, options: dict[str, Any]) -> int:
        self._others += 1
        name = f"other-{self._others}"
        rows = [{"email": f"{name}-{number}@example.org"} for number in range(count)]
        self.house.import_rows(rows, name)
        template = self.house.template(name, html=PLAIN_HTML, **options)
        delivery = self.house.delivery(template, [name])
        report = self.house.analyze(delivery)
        assert not report.errors, report.errors
        actions.start(ACTOR, delivery)
        return delivery

    async def act(self, action: Callable[..., Any], delivery: int, *more: Any) -> None:
        """Pause, resume, stop or release while a worker runs."""
        await self.house.do(action, ACTOR, delivery, *more)

    @asynccontextmanager
    async def working(self, conninfo: str | None = None) -> AsyncIterator[Worker]:
        """A worker inside the block, to look into; it drains at the end."""
        self.stop = stop = asyncio.Event()
        async with Database(conninfo or self.house.conninfo) as database:
            worker = Worker(database, self.house.settings, self.house.sealer)
            await worker.prepare()
            work = asyncio.create_task(worker.run(stop, until_idle=False))
            try:
                yield worker
            finally:
                stop.set()
                await asyncio.wait([work], timeout=30)
                work.cancel()
            await work

    @asynccontextmanager
    async def locked(self, statement: str) -> AsyncIterator[None]:
        """Hold the rows that ``statement`` locks inside the block, or until ``unlock`` is set."""
        self.unlock.clear()
        async with await psycopg.AsyncConnection.connect(self.house.conninfo) as db:
            await db.execute(statement)

            async def let_go() -> None:
                await self.unlock.wait()
                await db.rollback()

            task = asyncio.create_task(let_go())
            try:
                yield
            finally:
                self.unlock.set()
                await task

    def waits_for_lock(self, statement: str) -> bool:
        """Whether somebody waits for a lock in a statement that has these words."""
        return bool(
            self.house.sql(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND position(%s IN query) > 0",
                statement,
            )
        )

    async def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Wait until ``condition()`` is true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s:\n{self.account()}") from None

    async def until_state(self, delivery: int, state: str, seconds: float = 20) -> None:
        """Wait for a state: ``finished``, or ``held (archive)``, and so on."""
        await self.until(lambda: self.state(delivery) == state, seconds)

    async def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Do something that a worker in this event loop may have to make way for."""
        return await asyncio.to_thread(self.house.sql, statement, *values)

    async def probe_now(self) -> None:
        """Let the next probe be due, instead of waiting for it."""
        await self.sql("UPDATE outbox_health SET probe_at = now() WHERE state = 'down'")

    async def use_route(self, name: str, port: int, **more: Any) -> None:
        """Set a route while a worker runs."""
        await self.house.do(self.house.set_route, name, port, **more)

    async def let_pass(self, interval: str) -> None:
        """Let time pass for the ledger: all that it plans comes nearer by ``interval``."""
        for table, columns in (
            ("outbox_message", ["next_attempt_at"]),
            ("outbox_part", ["due_at", "owed_at"]),
            ("deliveries_delivery", ["valid_until"]),
        ):
            shifted = ", ".join(f"{each} = {each} - interval '{interval}'" for each in columns)
            # Parts are locked before their messages, as the engine does it.
            await self.sql(
                "WITH parts AS MATERIALIZED (SELECT FROM outbox_part "
                "ORDER BY delivery_id, number FOR NO KEY UPDATE) "
                f"UPDATE {table} SET {shifted} FROM (SELECT count(*) FROM parts) AS first_lock"
            )

    # What a test sees.

    def lines(self, delivery: int) -> dict[str, Line]:
        """The delivery's messages, by address."""
        return lines_of(self.house, delivery)

    def line(self, delivery: int, number: int) -> Line:
        """The message to ``user<number>``."""
        return self.lines(delivery)[f"user{number}@example.org"]

    def expect(self, delivery: int, state: str = "finished", **counts: int) -> None:
        """Compare the whole delivery: its state, its messages and its copies."""
        words = {str(each) for each in MessageStatus}
        messages = {name: n for name, n in counts.items() if name in words}
        copies = {name: n for name, n in counts.items() if name not in words}
        assert set(copies) <= {str(each) for each in CopyStatus}
        found = (self.state(delivery), self.counts(delivery), self.copies(delivery))
        assert found == (state, messages, copies), self.account()

    def counts(self, delivery: int) -> dict[str, int]:
        """The messages by status."""
        return self._count("status", delivery)

    def copies(self, delivery: int) -> dict[str, int]:
        """The copies by status."""
        return self._count("copy", delivery)

    def _count(self, column: str, delivery: int) -> dict[str, int]:
        counted = f"SELECT {column}::text, count(*) FROM outbox_message WHERE delivery_id = %s"
        return dict(self.house.sql(f"{counted} GROUP BY 1", delivery))

    def state(self, delivery: int) -> str:
        ((state, route),) = self.house.sql(
            "SELECT state, held_route FROM deliveries_delivery WHERE id = %s", delivery
        )
        return f"held ({route})" if state == "held" else str(state)

    def because(self, delivery: int) -> str:
        ((because,),) = self.house.sql(
            "SELECT because FROM deliveries_delivery WHERE id = %s", delivery
        )
        return because or ""

    def health(self, route: str) -> str:
        ((state,),) = self.house.sql("SELECT state FROM outbox_health WHERE route = %s", route)
        return str(state)

    def replies(self, delivery: int, *, of: str) -> Counter[str]:
        """The replies of the ``archive`` or the ``recipients``, as the ledger keeps them."""
        return Counter(
            text
            for (text,) in self.house.sql(
                "SELECT reply FROM outbox_reply WHERE delivery_id = %s AND to_archive = %s",
                delivery,
                of == "archive",
            )
        )

    def account(self) -> str:
        """Say how everything stands, for somebody who wonders why a test failed."""
        return "\n".join(
            str(self.house.sql(query))
            for query in (
                "SELECT id, state, held_route, because FROM deliveries_delivery",
                "SELECT route, state, because, probe_at - now() FROM outbox_health",
                (
                    "SELECT delivery_id, number, epoch, lease_until - now(), due_at - now(), "
                    "owed_at - now() FROM outbox_part"
                ),
                (
                    "SELECT delivery_id, status::text, copy::text, failure::text, attempts, "
                    "count(*) FROM outbox_message GROUP BY 1, 2, 3, 4, 5"
                ),
            )
        )
