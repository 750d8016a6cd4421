"""Intent: committed before a message may begin; what the ledger does not grant is not sent."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from letterbook.engine.batch import LINGER
from letterbook.engine.database import LOST
from letterbook.engine.ledger import Ledger
from letterbook.engine.tokens import Tokens
from letterbook.engine.work import Letter
from letterbook.mail.status import CopyStatus

_LOOK: Final = 0.1
_log = structlog.get_logger(__name__)


class Intent:
    """The stage that asks the gate, in batches, for as many messages as the window has room for.

    ``granted`` letters go on; ``dropped`` ones leave the pipeline, their rows as the ledger has
    them; ``unknown`` ones may or may not have been granted when the database was lost.
    ``begun_soon`` counts granted letters that have not begun; ``shut`` is told the delivery whose
    gate did not open.
    """

    def __init__(
        self,
        ledger: Ledger,
        window: int,
        tokens: Tokens,
        *,
        begun_soon: Callable[[], int],
        granted: Callable[[list[Letter]], None],
        dropped: Callable[[Letter], None],
        unknown: Callable[[Letter], None],
        shut: Callable[[int], None],
    ) -> None:
        self._ledger = ledger
        self._window = window
        self._tokens = tokens
        self._begun_soon = begun_soon
        self._granted = granted
        self._dropped = dropped
        self._unknown = unknown
        self._shut = shut
        self._ready: deque[Letter] = deque()
        self._changed = asyncio.Event()
        self._flying = 0
        self._loop = asyncio.get_running_loop()
        tokens.when_more = self._changed.set

    @property
    def waiting(self) -> int:
        """Letters that have no intent yet."""
        return len(self._ready)

    @property
    def flying(self) -> int:
        """Messages between intent and outcome."""
        return self._flying

    def put(self, letter: Letter) -> None:
        """Take a letter whose copy is where it must be; urgent ones go first."""
        (self._ready.appendleft if letter.part.urgent else self._ready.append)(letter)
        self._changed.set()

    def landed(self, letters: int) -> None:
        """Say that ``letters`` of those granted have been settled."""
        self._flying -= letters
        self._changed.set()

    async def run(self) -> None:
        """Ask and ask again, until cancelled."""
        while True:
            await self._worth_asking()
            room = min(self._window - self._flying, len(self._ready))
            may_go = room if self._tokens.rate is None else self._with_leave(room)
            if may_go:
                await self._ask([self._ready.popleft() for _ in range(may_go)])
            else:
                await self._more_leave()

    async def _worth_asking(self) -> None:
        """Wait for a batch that is worth a commit, but not for long."""
        quarter = max(1, self._window // 4)
        while not (self._ready and self._flying < self._window):
            self._changed.clear()
            await self._changed.wait()
        if len(self._ready) < quarter or self._window - self._flying < quarter:
            await asyncio.sleep(LINGER)

    def _with_leave(self, room: int) -> int:
        """Say how many letters may ask, where the rate is limited.

        No intent is committed before its message has leave to begin, and only few that wait for
        a lane have it. Letters that may not begin need none: the gate only notes their copies.
        """
        now = self._loop.time()
        self._ready = deque(sorted(self._ready, key=lambda letter: letter.part.may_begin(now)))
        resting = sum(not letter.part.may_begin(now) for letter in self._ready)
        if resting >= room:
            return room
        soon = max(0, self._tokens.burst - self._begun_soon())
        return resting + self._tokens.take(min(room - resting, soon))

    async def _more_leave(self) -> None:
        """Wait until there may be leave for more; parts that are shut are seen soon."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await self._changed.wait()

    async def _ask(self, batch: list[Letter]) -> None:
        self._flying += len(batch)
        try:
            granted = await self._ledger.grant(batch)
        except LOST as error:
            _log.warning("database lost at the gate", error=type(error).__name__)
            for letter in batch:
                letter.attempt = letter.row.attempts + 1
                self._unknown(letter)
            return
        passed = set(granted)
        self._flying -= len(batch) - len(passed)
        self._granted(granted)
        for letter in batch:
            if letter not in passed:
                if letter.copy is not CopyStatus.OWED:
                    self._shut(letter.part.delivery)
                self._dropped(letter)
