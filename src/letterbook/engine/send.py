"""Send: what was granted goes to the recipients' route, pipelined."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from letterbook.engine.brake import Brake
from letterbook.engine.health import Health
from letterbook.engine.pool import Pool
from letterbook.engine.verdict import Verdict, judge_message, judge_test
from letterbook.engine.work import Letter, Outcome
from letterbook.mail.status import CopyStatus, Failure, MessageStatus
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

_SENT: Final = (MessageStatus.SENT, None)
_TESTED: Final = (MessageStatus.CANCELLED, Failure.TESTED)
_DEFERRED: Final = (MessageStatus.DEFERRED, None)
_REFUSED: Final = (MessageStatus.FAILED, Failure.REFUSED)


class Send:
    """The stage that hands messages to the recipients' route. Each ends in one ``settled``."""

    def __init__(
        self,
        health: Health,
        settings: Settings,
        brake: Brake,
        *,
        error_address: Callable[[int], str],
        settled: Callable[[Outcome], None],
    ) -> None:
        self._health = health
        self._brake = brake
        self._error_address = error_address
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self.pool = Pool(self, health, settings)

    def put(self, letters: list[Letter]) -> None:
        """Take letters whose intent is committed."""
        self.pool.put(letters)

    # What the pool asks and tells (see pool.Stop).

    def transaction(self, letter: Letter) -> Transaction:
        return Transaction(
            sender=self._error_address(letter.part.delivery),
            recipient=letter.row.address,
            content=letter.content,
            subject=letter,
            needs_8bit=letter.needs_smtputf8,
            needs_smtputf8=letter.needs_smtputf8,
            stuffed=letter.content,
            test_only=letter.test_only,
        )

    def may_go(self, letter: Letter) -> bool:
        """After 354: only the lease counts; a pause lets what is in flight settle."""
        return self._loop.time() < letter.part.deadline

    def finished(self, letter: Letter, stage: Stage, reply: Reply) -> None:
        judge = judge_test if letter.test_only else judge_message
        verdict = judge(stage, reply)
        if verdict is Verdict.ROUTE:
            self._health.down(reply.text)
            self.given_back(letter)
            return
        if verdict is Verdict.ACCEPTED:
            status, failure = _TESTED if letter.test_only else _SENT
        else:
            status, failure = _DEFERRED if verdict is Verdict.AGAIN else _REFUSED
        if verdict is Verdict.ACCEPTED:
            self._health.well()
        self._brake.note(letter.part.delivery, None if verdict is not Verdict.REFUSED else reply)
        self._settled(Outcome(letter, status, datetime.now(UTC), reply.text, failure))

    def unsupported(self, letter: Letter, why: str) -> None:
        now = datetime.now(UTC)
        failed = MessageStatus.FAILED
        self._settled(Outcome(letter, failed, now, why, Failure.NOT_SUPPORTED))

    def in_doubt(self, letter: Letter) -> None:
        """Its last byte may have been written, and no reply came: nobody can know."""
        self._settled(Outcome(letter, MessageStatus.IN_DOUBT, datetime.now(UTC)))

    def given_back(self, letter: Letter) -> None:
        """It has not begun, or was not accepted through no fault of its recipient's."""
        copied = letter.copy is CopyStatus.ACCEPTED
        status = MessageStatus.DEPOSITED if copied else MessageStatus.PENDING
        self._settled(Outcome(letter, status, datetime.now(UTC), counted=False))
