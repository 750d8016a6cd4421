"""Every change that the engine makes to the ledger, in sets."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from letterbook.engine.arrays import intervals, numbers, octets, texts, times, truths, words
from letterbook.engine.database import Database, statement
from letterbook.engine.work import Letter, Outcome, Part, Row, Setback
from letterbook.mail.status import CopyStatus, MessageStatus


class Claim(NamedTuple):
    """A part that was taken, and what there is to do in it."""

    part: Part
    rows: list[Row]


class Ledger:
    """The one adapter between the pipeline and the ledger's tables."""

    def __init__(self, database: Database, worker: UUID, lease: timedelta) -> None:
        self._database = database
        self._worker = worker
        self._lease = lease

    async def claim(self, delivery: int, number: int, now: float) -> Claim | None:
        """Take a part; None when somebody else holds it or there is nothing to do.

        ``now`` is the worker's monotonic time before the call: the lease counts from there.
        """
        key = {"delivery": delivery, "part": number}
        async with self._database.connection() as db, db.transaction():
            cursor = await db.execute(
                statement("claim_part"), {**key, "worker": self._worker, "lease": self._lease}
            )
            taken = await cursor.fetchone()
            if taken is None:
                return None
            epoch, first, last, dated, active, expired = taken
            extent = {"delivery": delivery, "first": first, "last": last}
            if active and expired:
                await db.execute(statement("expire"), extent)
            cursor = await db.execute(statement("due_rows"), {**extent, "active": active})
            rows = [_row(values) async for values in cursor]
        deadline = now + self._lease.total_seconds()
        return Claim(Part(delivery, number, epoch, first, last, dated, deadline), rows)

    async def renew(self, parts: Sequence[Part], now: float) -> None:
        """Renew the leases of ``parts``; a part that is no longer ours or must rest is shut."""
        rows = await self._database.fetch(
            "renew_leases",
            {
                "lease": self._lease,
                "deliveries": [part.delivery for part in parts],
                "parts": [part.number for part in parts],
                "epochs": [part.epoch for part in parts],
            },
        )
        renewed = {(delivery, number): active for delivery, number, active in rows}
        for part in parts:
            active = renewed.get((part.delivery, part.number))
            if active is not None:
                part.deadline = now + self._lease.total_seconds()
            part.open = part.open and bool(active)

    async def release(self, part: Part) -> None:
        """Give a part back. What the ledger still calls sending was never begun."""
        key = {"delivery": part.delivery, "part": part.number, "epoch": part.epoch}
        async with self._database.connection() as db, db.transaction():
            cursor = await db.execute(statement("lock_part"), key)
            if await cursor.fetchone() is not None:
                extent = {"delivery": part.delivery, "first": part.first, "last": part.last}
                await db.execute(statement("take_back"), extent)
                await db.execute(statement("release_part"), key)

    async def reap(self, limit: int = 50) -> int:
        """Take parts from workers that have gone; return how many."""
        async with self._database.connection() as db, db.transaction():
            cursor = await db.execute(statement("reap_leases"), {"limit": limit})
            reaped = await cursor.fetchall()
            for delivery, number, epoch, first, last in reaped:
                extent = {"delivery": delivery, "first": first, "last": last}
                await db.execute(statement("doubt"), extent)
                key = {"delivery": delivery, "part": number, "epoch": epoch}
                await db.execute(statement("release_part"), key)
        return len(reaped)

    async def grant(self, letters: Sequence[Letter]) -> list[Letter]:
        """Commit the intent to send ``letters``; return those that may go, in order.

        The others may not be sent by this worker; what the archive accepted is noted all the
        same.
        """
        granted: list[Letter] = []
        for delivery, group in _by_delivery(letters, attrgetter("part.delivery")):
            by_ordinal = {letter.row.ordinal: letter for letter in group}
            rows = await self._database.fetch(
                "grant_intents", {"delivery": delivery, **_offer(group), **_held(group)}
            )
            for ordinal, attempt in rows:
                by_ordinal[ordinal].attempt = attempt
            granted += [by_ordinal[ordinal] for ordinal, _ in sorted(rows)]
        return granted

    async def settle(
        self, outcomes: Sequence[Outcome], retries: Sequence[timedelta | None]
    ) -> None:
        """Write down what became of letters that were granted; safe to repeat."""
        paired = list(zip(outcomes, retries, strict=True))
        for delivery, group in _by_delivery(paired, lambda pair: pair[0].letter.part.delivery):
            found = [outcome for outcome, _ in group]
            values = {
                "delivery": delivery,
                "parts": numbers(sorted({each.letter.part.number for each in found})),
                "ordinals": numbers(each.letter.row.ordinal for each in found),
                "epochs": numbers(each.letter.part.epoch for each in found),
                "attempts": numbers(each.letter.attempt for each in found),
                "statuses": words(each.status for each in found),
                "failures": words(each.failure for each in found),
                "counted": truths(each.counted for each in found),
                "at": times(each.at for each in found),
                "replies": texts(each.reply for each in found),
                "retries": intervals(retry for _, retry in group),
            }
            ((moved,),) = await self._database.fetch("settle", values)
            if moved < len(found):
                # It may have waited for a takeover to commit, and its snapshot is older than the
                # doubts that this put its messages in. A second look sees and resolves them.
                await self._database.fetch("settle", values)

    async def set_back(self, setbacks: Sequence[Setback]) -> None:
        """Write down why letters left the pipeline before their intent."""
        for delivery, group in _by_delivery(setbacks, attrgetter("letter.part.delivery")):
            retries = (each.retry_after for each in group)
            await self._database.fetch(
                "set_back",
                {
                    "delivery": delivery,
                    **_held([each.letter for each in group]),
                    "ordinals": numbers(each.letter.row.ordinal for each in group),
                    "served": truths(each.letter.only_copy for each in group),
                    "statuses": words(each.status for each in group),
                    "copies": words(each.copy for each in group),
                    "failures": words(each.failure for each in group),
                    "replies": texts(each.reply for each in group),
                    "retries": intervals(
                        None if r is None else timedelta(seconds=r) for r in retries
                    ),
                },
            )

    async def settle_copies(self, letters: Sequence[Letter]) -> None:
        """Write down copies that were owed and that the archive has accepted."""
        for delivery, group in _by_delivery(letters, attrgetter("part.delivery")):
            receipts = [letter.receipt for letter in group if letter.receipt is not None]
            await self._database.fetch(
                "settle_copies",
                {
                    "delivery": delivery,
                    "parts": numbers(sorted({letter.part.number for letter in group})),
                    "ordinals": numbers(letter.row.ordinal for letter in group),
                    "digests": octets(letter.sha256 for letter in group),
                    "generations": numbers(letter.generation for letter in group),
                    "at": times(receipt.at for receipt in receipts),
                    "versions": numbers(receipt.version for receipt in receipts),
                    "replies": texts(receipt.reply for receipt in receipts),
                },
            )


def _row(values: Sequence[Any]) -> Row:
    ordinal, recipient, address, status, copy, attempts, copies, generation, sha256, fields = values
    return Row(
        ordinal=ordinal,
        recipient_id=recipient,
        address=address,
        status=MessageStatus(status),
        copy=CopyStatus(copy),
        attempts=attempts,
        copy_attempts=copies,
        generation=generation,
        sha256=sha256,
        fields=fields,
    )


def _offer(letters: Sequence[Letter]) -> dict[str, str]:
    receipts = [letter.receipt for letter in letters]
    return {
        "ordinals": numbers(letter.row.ordinal for letter in letters),
        "digests": octets(letter.sha256 for letter in letters),
        "generations": numbers(letter.generation for letter in letters),
        "copies": words(letter.copy for letter in letters),
        "copied_at": times(receipt.at if receipt else None for receipt in receipts),
        "versions": numbers(receipt.version if receipt else None for receipt in receipts),
        "replies": texts(receipt.reply if receipt else None for receipt in receipts),
    }


def _held(letters: Iterable[Letter]) -> dict[str, str]:
    parts = sorted({(letter.part.number, letter.part.epoch) for letter in letters})
    return {
        "parts": numbers(number for number, _ in parts),
        "epochs": numbers(epoch for _, epoch in parts),
    }


def _by_delivery(items: Sequence[Any], key: Any) -> Iterable[tuple[int, list[Any]]]:
    """Group by delivery, because one statement concerns one partition."""
    for delivery, group in groupby(sorted(items, key=key), key=key):
        yield delivery, list(group)
