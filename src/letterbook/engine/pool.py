"""The lanes to one route's server: opened when letters wait, closed when they idle."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from letterbook.engine.health import Health
from letterbook.engine.lane import Lane
from letterbook.engine.pace import Pace
from letterbook.engine.routes import Limits, Route
from letterbook.engine.tokens import Tokens
from letterbook.engine.work import Letter
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

_IDLE: Final = 3.0
"""Seconds after which an idle lane leaves, well before a server would throw it out."""

_CHECK: Final = 0.25
_STRIKES: Final = 3


class Stop(Protocol):
    """The stage that a pool works for: it knows envelopes and judges replies."""

    def transaction(self, letter: Letter) -> Transaction: ...
    def may_go(self, letter: Letter) -> bool: ...
    def finished(self, letter: Letter, stage: Stage, reply: Reply) -> None: ...
    def unsupported(self, letter: Letter, why: str) -> None: ...
    def in_doubt(self, letter: Letter) -> None: ...
    def given_back(self, letter: Letter) -> None: ...


class Pool:
    """Letters that wait for a lane, and the lanes: as many as limit, share and pace allow.

    A connection that is lost is no one letter's fault: the letter goes back to the front of the
    queue. ``strikes_allowed`` such losses in a row, or one that comes before a recipient is
    named, mean that the route is down.
    """

    def __init__(
        self,
        stop: Stop,
        health: Health,
        settings: Settings,
        *,
        strikes_allowed: int = _STRIKES,
        tokens: Tokens | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``tokens`` are taken for each letter that begins, unless the stage has taken them.

        ``pace``: how it adapts to a server that struggles; None: it does not.
        """
        self._stop = stop
        self._health = health
        self._settings = settings
        self._strikes_allowed = strikes_allowed
        self._strikes = 0
        self._waiting: deque[Letter] = deque()
        self._lanes: set[Lane[Letter]] = set()
        self._hungry: dict[Lane[Letter], None] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._route: Route | None = None
        self._is_cut = False
        self._loop = asyncio.get_running_loop()
        self._limits = Limits()
        self._tokens = tokens
        self._pace = pace
        if tokens is not None:
            tokens.when_more = self._feed
        self.share: int | None = 0
        """Lanes that this worker may have because of the route's limit; None: it has none."""
        self.accepted = 0
        """Messages that the server has accepted."""
        self.when_short: Callable[[], None] = lambda: None
        """Told when letters wait and there is no lane for them."""

    @property
    def waiting(self) -> int:
        """Letters that no lane has taken yet."""
        return len(self._waiting)

    @property
    def most(self) -> int:
        """Lanes that this worker has at most, whatever its share."""
        return self._settings.connections

    @property
    def busy(self) -> bool:
        """Whether there are letters, waiting or on a lane."""
        return bool(self._waiting) or any(not lane.idle for lane in self._lanes)

    @property
    def connections(self) -> int:
        """Lanes that are open or being opened."""
        return len(self._lanes)

    @property
    def oldest(self) -> float | None:
        """When the letter that has waited longest for a lane was queued (monotonic seconds)."""
        return self._waiting[0].queued_at if self._waiting else None

    def use(self, route: Route | None) -> None:
        """Use ``route`` from now on; lanes to another one leave when they are done."""
        self._limit(route.limits if route else Limits())
        if route == self._route:
            return
        self._route = route
        for lane in list(self._lanes):
            lane.quit()
        self._feed()

    def grant(self, share: int | None) -> None:
        """Have ``share`` lanes at most from now on; those beyond leave when they are done."""
        self.share = share
        self._shrink()
        self._feed()

    def put(self, letters: Iterable[Letter]) -> None:
        """Take letters to carry; urgent ones go first."""
        for letter in letters:
            (self._waiting.appendleft if letter.part.urgent else self._waiting.append)(letter)
        self._feed()

    def put_first(self, letter: Letter) -> None:
        """Take a letter again that was on a lane which is about to go."""
        self._waiting.appendleft(letter)

    def cut_silent(self, since: float) -> None:
        """Cut the lanes whose server owes an answer and has said nothing ``since`` a time."""
        for lane in list(self._lanes):
            if not lane.idle and lane.heard_at < since:
                lane.abort(None)

    def cut(self) -> None:
        """Cut all lanes and open none any more. (No letter may begin by now.)"""
        self._is_cut = True
        for lane in list(self._lanes):
            lane.abort(None)
        self.flush()

    def flush(self) -> None:
        """Give back the letters that may not begin any more."""
        now = self._loop.time()
        kept = deque(letter for letter in self._waiting if letter.part.may_begin(now))
        lost = [letter for letter in self._waiting if not letter.part.may_begin(now)]
        self._waiting = kept
        if self._health.is_down:
            lost, self._waiting = [*lost, *kept], deque()
        for letter in lost:
            self._stop.given_back(letter)

    def take_back_older(self, than: float) -> list[Letter]:
        """Give up the letters that were queued before ``than`` (monotonic seconds)."""
        letters = [letter for letter in self._waiting if letter.queued_at < than]
        if letters:
            self._waiting = deque(each for each in self._waiting if each.queued_at >= than)
        return letters

    async def run(self) -> None:
        """Watch over the lanes until cancelled; then leave in good order."""
        try:
            while True:
                await asyncio.sleep(_CHECK)
                self._check()
        finally:
            for task in list(self._opening):
                task.cancel()
            for lane in list(self._lanes):
                lane.quit()
            for lane in list(self._lanes):
                lane.abort(None)

    # What lanes ask and tell (see lane.Carrier).

    def next_letter(self) -> Letter | None:
        now = self._loop.time()
        while self._waiting and not self._health.is_down:
            may_begin = self._waiting[0].part.may_begin(now)
            if may_begin and self._tokens is not None and not self._tokens.take(1):
                return None
            letter = self._waiting.popleft()
            if may_begin:
                return letter
            self._stop.given_back(letter)
        return None

    def transaction(self, letter: Letter) -> Transaction:
        letter.written_at = self._loop.time()  # by BDAT the content goes now
        return self._stop.transaction(letter)

    def may_go(self, letter: Letter) -> bool:
        letter.written_at = self._loop.time()
        return self._stop.may_go(letter)

    def finished(self, letter: Letter, stage: Stage, reply: Reply) -> None:
        if reply.positive:
            self._strikes = 0
            self.accepted += 1
            if self._pace is not None:
                self._pace.replied(self._loop.time() - letter.written_at)
        self._stop.finished(letter, stage, reply)

    def unsupported(self, letter: Letter, why: str) -> None:
        self._stop.unsupported(letter, why)

    def unanswered(self, letter: Letter, content_written: bool) -> None:
        if content_written:
            self._stop.in_doubt(letter)
        else:
            self.put_first(letter)

    def hungry(self, lane: Lane[Letter]) -> None:
        self._hungry[lane] = None

    def gone(self, lane: Lane[Letter], fault: str | None, opening: bool) -> None:
        self._lanes.discard(lane)
        self._hungry.pop(lane, None)
        if fault is not None:
            self._strikes += 1
            if opening or self._strikes >= self._strikes_allowed:
                self._strikes = 0
                self._health.down(fault)
        self._feed()

    def _limit(self, limits: Limits) -> None:
        if limits != self._limits:
            self._limits = limits
            for lane in list(self._lanes):
                lane.carry_at_most(limits.per_connection)

    def _check(self) -> None:
        now = self._loop.time()
        self._mind_pace(now)
        for lane in list(self._lanes):
            silence = lane.overdue(now)
            if silence is not None:
                if lane.waits_for_recipient:
                    self._health.down(silence)
                lane.abort(silence)
            elif lane.idle and now - lane.heard_at > _IDLE:
                lane.quit()
        self.flush()
        self._feed()

    def _feed(self) -> None:
        """Bring letters and lanes together."""
        if self._health.is_down:
            self.flush()
            return
        while self._may_begin() and self._hungry:
            lane, _ = self._hungry.popitem()
            lane.pump()
        self._open_lanes()

    def _may_begin(self) -> int:
        """How many of the letters that wait may begin now."""
        waiting = len(self._waiting)
        return waiting if self._tokens is None or not waiting else self._tokens.left(waiting)

    def _open_lanes(self) -> None:
        if self._route is None or self._is_cut:
            return
        wanted = min(self._may_begin(), self._allowed() - len(self._lanes))
        if self._waiting and self.share == 0 and not self._lanes:
            self.when_short()
        for _ in range(wanted):
            lane: Lane[Letter] = Lane(self._route, self._settings, self)
            lane.carry_at_most(self._limits.per_connection)
            self._lanes.add(lane)
            task = self._loop.create_task(lane.open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _allowed(self) -> int:
        """How many lanes there may be."""
        most = self.most if self.share is None else min(self.share, self.most)
        return most if self._pace is None else self._pace.lanes(most)

    def _shrink(self) -> None:
        """Let lanes beyond what is allowed leave, those that idle first."""
        staying = [lane for lane in self._lanes if not lane.leaving]
        surplus = max(0, len(staying) - self._allowed())
        opened = sorted((lane for lane in staying if lane.opened), key=lambda lane: not lane.idle)
        for lane in opened[:surplus]:
            lane.quit()

    def _mind_pace(self, now: float) -> None:
        if self._pace is not None:
            most = self.most if self.share is None else min(self.share, self.most)
            slow = self._pace.look(now, len(self._lanes), most)
            if slow is not None:
                self._health.slow(f"{self._route.shown if self._route else ''}: {slow}")
            self._shrink()
