"""One message, or none at all, over one connection of its own: probes and the platform's mail."""

import asyncio
from dataclasses import dataclass

from letterbook.engine.errors import ProbeError
from letterbook.engine.lane import Lane
from letterbook.engine.routes import Route
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Answer:
    """How far a transaction came, and what the server said there."""

    stage: Stage
    reply: Reply
    extensions: Extensions


async def run_errand(route: Route, settings: Settings, transaction: Transaction) -> Answer:
    """Carry out ``transaction`` alone. Raises ProbeError when the connection does not get there."""
    errand = _Errand(transaction)
    lane: Lane[object] = Lane(route, settings, errand)
    try:
        await lane.open()
        while not errand.done.done():
            await asyncio.wait([errand.done], timeout=0.2)
            silence = lane.overdue(asyncio.get_running_loop().time())
            if silence is not None:
                lane.abort(silence)
        stage, reply = errand.done.result()
        return Answer(stage, reply, lane.extensions)
    finally:
        errand.done.cancel()
        lane.quit()
        lane.abort(None)


class _Errand:
    """A carrier with one transaction (see lane.Carrier)."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction: Transaction | None = transaction
        self.done: asyncio.Future[tuple[Stage, Reply]] = asyncio.get_running_loop().create_future()

    def next_letter(self) -> object | None:
        return self._transaction

    def transaction(self, letter: object) -> Transaction:
        assert isinstance(letter, Transaction)
        self._transaction = None
        return letter

    def may_go(self, letter: object) -> bool:
        return True

    def finished(self, letter: object, stage: Stage, reply: Reply) -> None:
        if not self.done.done():
            self.done.set_result((stage, reply))

    def unsupported(self, letter: object, why: str) -> None:
        self._fail(why)

    def unanswered(self, letter: object, content_written: bool) -> None:
        """Its connection's end says why."""

    def hungry(self, lane: Lane[object]) -> None:
        """There is nothing more to carry."""

    def gone(self, lane: Lane[object], fault: str | None, opening: bool) -> None:
        self._fail(fault or "the server closed the connection")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ProbeError(why))
