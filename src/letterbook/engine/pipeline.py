"""The journey of a part: claim → write → deposit → intent → send → settle.

The stages stream into one another and are shared by all parts of a worker; a part is a job, and
its job ends when the last of its letters has left the pipeline.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

import structlog

from letterbook.engine.admission import Admission
from letterbook.engine.brake import Brake
from letterbook.engine.contents import Contents, Frozen
from letterbook.engine.database import LOST, Database, persist
from letterbook.engine.deposit import Deposit
from letterbook.engine.gauge import Demand
from letterbook.engine.health import Health
from letterbook.engine.intent import Intent
from letterbook.engine.leases import Leases
from letterbook.engine.ledger import Claim, Ledger
from letterbook.engine.metrics import (
    ARCHIVE_LAG,
    CONNECTIONS,
    IN_FLIGHT,
    QUEUED,
    ROUTE_UP,
    SAMPLE,
    Metrics,
)
from letterbook.engine.pool import Pool
from letterbook.engine.routes import Archive, Route
from letterbook.engine.send import Send
from letterbook.engine.settle import Settle
from letterbook.engine.tokens import Tokens
from letterbook.engine.work import ARCHIVE, RECIPIENTS, Letter, Outcome, Part, Row, Setback
from letterbook.engine.write import write
from letterbook.mail.identity import Identity
from letterbook.mail.secrecy import Secret
from letterbook.mail.status import CopyStatus
from letterbook.sealing import Sealer
from letterbook.settings import Settings

_AT_ONCE: Final = 16
"""Letters to compose before the event loop has its turn: about two milliseconds, six with RSA."""

_log = structlog.get_logger(__name__)


class Pipeline:
    """All stages of one worker."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        settings: Settings,
        identity: Identity,
        sealer: Sealer,
        *,
        health: dict[str, Health],
        metrics: Metrics,
    ) -> None:
        window = settings.in_flight
        self._ledger = ledger
        self._secret: Secret | None = None
        self._contents = Contents(database, identity, sealer)
        # A window each, so that an archive that takes its time keeps nobody else waiting.
        self._plain = Admission(window)
        self._copied = Admission(window)
        self._at_once = min(_AT_ONCE, window)
        self._brakes: set[asyncio.Task[object]] = set()
        self._health = tuple(health.values())
        self._database = database
        self._metrics = metrics
        self._time = asyncio.get_running_loop().time
        self.leases = Leases(ledger, settings.lease)
        self.tokens = {name: Tokens(name, database) for name in (RECIPIENTS, ARCHIVE)}
        self.settle = Settle(ledger, self._contents, window, landed=self._landed, left=self._left)
        self.send = Send(
            health[RECIPIENTS],
            settings,
            Brake(self._pull_brake),
            error_address=self._error_address,
            settled=self._answered,
        )
        self.intent = self._intent(window)
        self.deposit = Deposit(
            health[ARCHIVE],
            settings,
            self.tokens[ARCHIVE],
            identity=identity,
            error_address=self._error_address,
            accepted=self._deposited,
            set_back=self.settle.setbacks.add,
            dropped=self._left,
        )

        health[ARCHIVE].when_down = self.deposit.pool.flush
        health[RECIPIENTS].when_down = self.send.pool.flush
        self._show_gauges(health)

    def _intent(self, window: int) -> Intent:
        return Intent(
            self._ledger,
            window,
            self.tokens[RECIPIENTS],
            begun_soon=lambda: self.send.pool.waiting,
            granted=self._granted,
            dropped=self._left,
            unknown=self._unknown,
            shut=self.leases.rest,
        )

    async def carry(self, delivery: int, number: int) -> None:
        """Take a part through all stages, as far as it may go."""
        log = _log.bind(delivery=delivery, part=number)
        now = asyncio.get_running_loop().time()
        try:
            claim = await self._ledger.claim(delivery, number, now)
        except LOST as error:  # if it was committed, its lease runs out and nothing was begun
            log.warning("part not claimed", error=type(error).__name__)
            return
        if claim is None:
            return
        log.info("part claimed", epoch=claim.part.epoch, due=len(claim.rows))
        with self.leases.held(claim.part):
            try:
                frozen = await persist(self._contents.load, delivery)
                claim.part.urgent = frozen.priority > 0
                await self._feed(claim, frozen)
            except Exception:
                await self._give_back(claim.part)
                raise
            await self._give_back(claim.part)
        log.info("part released", epoch=claim.part.epoch)

    async def written(self) -> None:
        """Wait until the database has what was found out about routes and deliveries."""
        for health in self._health:
            await health.written()
        if self._brakes:
            await asyncio.wait(self._brakes)

    def cut(self) -> None:
        """Wait for no server any longer: what may have arrived is in doubt, the rest goes back."""
        self.leases.shut()
        self.deposit.pool.cut()
        self.send.pool.cut()

    def use(self, archive: Archive, routes: Mapping[str, Route]) -> None:
        """Archive at ``archive``, and use ``routes``, from now on."""
        self._secret = Secret(archive.address) if archive.address else None
        self.deposit.use(archive)
        for name, pool in ((ARCHIVE, self.deposit.pool), (RECIPIENTS, self.send.pool)):
            route = routes.get(name)
            self.tokens[name].use(route.limits.rate if route else None)
            pool.use(route)

    def archive_demand(self) -> Demand:
        """Say what there is to do for the archive."""
        pool = self.deposit.pool
        return Demand(pool.busy, bound=pool.waiting * 2 > self._copied.ahead)

    def recipients_demand(self) -> Demand:
        """Say what there is to do on the recipients' route."""
        pool, intent = self.send.pool, self.intent
        busy = pool.busy or intent.waiting > 0
        waiting = intent.waiting + pool.waiting
        ahead = self._plain.ahead + self._copied.ahead + intent.flying
        return Demand(busy, bound=waiting * 2 > ahead)

    async def _give_back(self, part: Part) -> None:
        """Wait for the part's letters and release it. (Who is cancelled cannot wait for them.)"""
        await part.emptied()
        await persist(self._ledger.release, part)
        self._contents.trim(self.leases.deliveries)

    async def _feed(self, claim: Claim, frozen: Frozen) -> None:
        """Write the part's letters and put each into the stage it belongs to."""
        for rows in _chunks(claim.rows, self._at_once):
            admission = self._admission(rows[0])
            await admission.wait(len(rows), frozen.priority)
            if not claim.part.open:
                return
            admission.enter(len(rows))
            claim.part.enter(len(rows))
            began = self._time()
            written = [self._write(claim.part, row, frozen) for row in rows]
            self._metrics.stage("write", (self._time() - began) / len(rows))
            self._distribute(written)
            await asyncio.sleep(0)

    def _write(self, part: Part, row: Row, frozen: Frozen) -> Letter | Setback:
        return write(part, row, frozen, self._secret)

    def _distribute(self, written: list[Letter | Setback]) -> None:
        copies = []
        for each in written:
            if isinstance(each, Setback):
                self.settle.setbacks.add(each)
            elif each.only_copy or each.copy in (CopyStatus.WAITING, CopyStatus.REFUSED):
                copies.append(each)
            else:
                self.intent.put(each)
        if copies:
            self.deposit.put(copies)

    def _show_gauges(self, health: dict[str, Health]) -> None:
        watch = self._metrics.watch
        watch(IN_FLIGHT, lambda: self.intent.flying)
        watch(ARCHIVE_LAG, lambda: self.deposit.lag)
        self._show_route(self.send.pool, health[RECIPIENTS])
        self._show_route(self.deposit.pool, health[ARCHIVE])

    def _show_route(self, pool: Pool, health: Health) -> None:
        watch = self._metrics.watch
        watch(CONNECTIONS, lambda: pool.connections, health.route)
        watch(QUEUED, lambda: pool.waiting, health.route)
        watch(ROUTE_UP, lambda: not health.is_down, health.route)

    # From stage to stage.

    def _deposited(self, letter: Letter) -> None:
        if letter.receipt is not None and _is_timed(letter):
            self._metrics.stage("deposit", self._time() - letter.queued_at)
        if letter.only_copy:
            self.settle.copies.add(letter)
        else:
            self.intent.put(letter)

    def _granted(self, letters: list[Letter]) -> None:
        for admission in (self._plain, self._copied):
            admission.passed(sum(self._admission(each.row) is admission for each in letters))
        now = self._time()
        for letter in letters:
            letter.queued_at = now
        self.send.put(letters)

    def _answered(self, outcome: Outcome) -> None:
        if outcome.reply is not None and _is_timed(outcome.letter):
            self._metrics.stage("send", self._time() - outcome.letter.queued_at)
        self.settle.outcomes.add(outcome)

    def _unknown(self, letter: Letter) -> None:
        """The ledger may have granted it, but it was not begun: that is all there is to settle."""
        self._admission(letter.row).passed(1)
        self.send.given_back(letter)

    def _landed(self, letter: Letter) -> None:
        self.intent.landed(1)
        letter.part.leave()

    def _left(self, letter: Letter) -> None:
        self._admission(letter.row).passed(1)
        letter.part.leave()

    def _admission(self, row: Row) -> Admission:
        """The window of deliveries with Email BCC, or of those without (a delivery has one)."""
        return self._plain if row.copy is CopyStatus.NONE else self._copied

    def _error_address(self, delivery: int) -> str:
        return self._contents[delivery].error_address

    def _pull_brake(self, delivery: int, because: str) -> None:
        # The refusal is in a server's words, which may name a person: not into a log.
        _log.warning("brake", delivery=delivery)
        values = {"delivery": delivery, "because": because}
        task = asyncio.ensure_future(persist(self._database.fetch, "brake", values))
        self._brakes.add(task)
        task.add_done_callback(self._brakes.discard)


def _is_timed(letter: Letter) -> bool:
    """Whether this is one of the letters that are timed by themselves."""
    return letter.row.ordinal % SAMPLE == 1


def _chunks(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
