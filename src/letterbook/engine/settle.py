"""Settle: what became of each message is committed, in batches."""

from collections.abc import Callable
from datetime import timedelta

from letterbook.engine.batch import Batch
from letterbook.engine.contents import Contents
from letterbook.engine.ledger import Ledger
from letterbook.engine.retry import retry_after
from letterbook.engine.work import Letter, Outcome
from letterbook.mail.status import MessageStatus


class Settle:
    """The last stage. Outcomes are kept until the ledger has them, however long it is away."""

    def __init__(
        self,
        ledger: Ledger,
        contents: Contents,
        window: int,
        *,
        landed: Callable[[Letter], None],
        left: Callable[[Letter], None],
    ) -> None:
        """``landed`` letters had an intent; ``left`` ones leave the pipeline without."""
        self._ledger = ledger
        self._contents = contents
        enough = max(1, window // 4)
        self.outcomes = Batch(self._settle, lambda each: landed(each.letter), enough)
        self.setbacks = Batch(ledger.set_back, lambda each: left(each.letter), enough)
        self.copies = Batch(ledger.settle_copies, left, enough)

    async def _settle(self, outcomes: list[Outcome]) -> None:
        await self._ledger.settle(outcomes, [self._retry(each) for each in outcomes])

    def _retry(self, outcome: Outcome) -> timedelta | None:
        frozen = self._contents[outcome.letter.part.delivery]
        attempt = outcome.letter.attempt
        resent = outcome.status is MessageStatus.IN_DOUBT and frozen.resends(attempt)
        if outcome.status is not MessageStatus.DEFERRED and not resent:
            return None
        return retry_after(attempt, frozen.retry_period, frozen.retry_max)
