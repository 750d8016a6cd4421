"""Deposit: the copy goes to the archive first, and its 250 is kept (promise P1)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from letterbook.engine.health import Health
from letterbook.engine.pace import Pace
from letterbook.engine.pool import Pool
from letterbook.engine.retry import HOURLY, copy_backoff
from letterbook.engine.routes import Archive
from letterbook.engine.tokens import Tokens
from letterbook.engine.verdict import Verdict, judge_copy
from letterbook.engine.work import Letter, Receipt, Setback
from letterbook.mail.identity import Identity, MessageRef
from letterbook.mail.status import ArchivePolicy, CopyStatus
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
from letterbook.smtp.grammar import Dsn
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

_POSTPONED_IN_A_ROW: Final = 3
_REFUSED_IN_A_ROW: Final = 10
OWE_AFTER: Final = 30.0
"""Seconds after which a deposit takes too long for the policy *owe*."""


class Deposit:
    """The stage that hands copies to the archive.

    A letter leaves it by one of four doors: ``accepted`` (with its receipt, or owed by policy),
    ``set_back`` (the ledger says when again), ``dropped`` (its row is as it was), or, for a copy
    that was owed, ``accepted`` too.
    """

    def __init__(
        self,
        health: Health,
        settings: Settings,
        tokens: Tokens,
        *,
        identity: Identity,
        error_address: Callable[[int], str],
        accepted: Callable[[Letter], None],
        set_back: Callable[[Setback], None],
        dropped: Callable[[Letter], None],
    ) -> None:
        self._health = health
        self._identity = identity
        self._error_address = error_address
        self._accepted = accepted
        self._set_back = set_back
        self._dropped = dropped
        self._archive = Archive(None, None, ArchivePolicy.HOLD)
        self._versions: dict[Letter, int] = {}
        self._postponed = 0
        self._refused = 0
        self._loop = asyncio.get_running_loop()
        self.owe_after = OWE_AFTER
        # The first connection that is lost means that the archive is down (design, section 6).
        self._pace = Pace(self._loop.time())
        self.pool = Pool(self, health, settings, strikes_allowed=1, tokens=tokens, pace=self._pace)

    def use(self, archive: Archive) -> None:
        """Deposit at ``archive`` from now on."""
        self._archive = archive

    @property
    def lag(self) -> float:
        """Seconds that the oldest copy in this stage has waited for the archive's 250."""
        under_way = (letter.queued_at for letter in self._versions)
        now = self._loop.time()
        return now - min(self.pool.oldest or now, min(under_way, default=now))

    def put(self, letters: list[Letter]) -> None:
        """Take letters whose copies are to be deposited."""
        now = self._loop.time()
        for letter in letters:
            letter.queued_at = now
        self.pool.put(letters)

    def owe_overdue(self) -> None:
        """Under *owe*, let letters go whose copies have waited too long."""
        if self._archive.policy is ArchivePolicy.OWE:
            latest = self._loop.time() - self.owe_after
            self.pool.cut_silent(latest)
            for letter in self.pool.take_back_older(latest):
                self._health.slow(f"a deposit takes over {self.owe_after:g} s")
                self.given_back(letter)

    # What the pool asks and tells (see pool.Stop).

    def transaction(self, letter: Letter) -> Transaction:
        delivery, ordinal = letter.part.delivery, letter.row.ordinal
        assert self._archive.address is not None
        assert self._archive.version is not None
        self._versions[letter] = self._archive.version
        return Transaction(
            sender=self._identity.copies_return_path(
                MessageRef(delivery, ordinal), self._error_address(delivery)
            ),
            recipient=self._archive.address,
            content=letter.content,
            subject=letter,
            needs_8bit=letter.needs_smtputf8,
            needs_smtputf8=letter.needs_smtputf8,
            dsn=Dsn(
                ret="HDRS",
                envid=f"{delivery}.{ordinal}",
                notify=("FAILURE",),
                orcpt=letter.row.address,
            ),
            stuffed=letter.content,
        )

    def may_go(self, letter: Letter) -> bool:
        return letter.part.may_begin(self._loop.time())

    def finished(self, letter: Letter, stage: Stage, reply: Reply) -> None:
        version = self._versions.pop(letter)
        match judge_copy(stage, reply):
            case Verdict.ACCEPTED:
                self._postponed = self._refused = 0
                if self._pace.is_full:
                    self._health.well()
                letter.copy = CopyStatus.ACCEPTED
                letter.receipt = Receipt(datetime.now(UTC), version, reply.text)
                self._accepted(letter)
            case Verdict.AGAIN:
                self._postpone(letter, reply)
            case Verdict.REFUSED:
                self._refuse(letter, reply.text)
            case Verdict.ROUTE:
                self._health.down(reply.text)
                self.given_back(letter)

    def unsupported(self, letter: Letter, why: str) -> None:
        self._versions.pop(letter, None)
        self._refuse(letter, why)

    def in_doubt(self, letter: Letter) -> None:
        """The archive may have it or not: it gets the same bytes again."""
        self._versions.pop(letter, None)
        self.pool.put_first(letter)

    def given_back(self, letter: Letter) -> None:
        """The letter cannot be deposited now."""
        self._versions.pop(letter, None)
        if self._may_owe(letter) and letter.part.may_begin(self._loop.time()):
            letter.copy = CopyStatus.OWED
            self._accepted(letter)
        else:
            self._dropped(letter)

    def _may_owe(self, letter: Letter) -> bool:
        """Other bytes than an attempt before had are deposited first, whatever the policy."""
        owes = self._archive.policy is ArchivePolicy.OWE
        return owes and not letter.only_copy and letter.generation <= max(letter.row.generation, 1)

    def _postpone(self, letter: Letter, reply: Reply) -> None:
        self._postponed += 1
        self._pace.put_off()
        if self._postponed >= _POSTPONED_IN_A_ROW:
            self._postponed = 0
            self._health.down(reply.text)
            self.given_back(letter)
            return
        self._health.slow(reply.text)
        wait = copy_backoff(letter.row.copy_attempts + 1)
        self._leave(letter, letter.copy, reply.text, wait)

    def _refuse(self, letter: Letter, reply: str) -> None:
        self._refused += 1
        if self._refused >= _REFUSED_IN_A_ROW:
            self._refused = 0
            self._health.down(reply)
        copy = CopyStatus.OWED if letter.only_copy else CopyStatus.REFUSED
        self._leave(letter, copy, reply, HOURLY.total_seconds())

    def _leave(self, letter: Letter, copy: CopyStatus, reply: str, wait: float) -> None:
        status = letter.row.status
        self._set_back(Setback(letter, status, copy, None, reply, wait))
