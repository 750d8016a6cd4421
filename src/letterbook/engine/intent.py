"""Intent: committed before a message may begin; what the ledger does not grant is not sent."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from letterbook.engine.batch import LINGER
from letterbook.engine.database import LOST
from letterbook.engine.ledger import Ledger
from letterbook.engine.work import Letter
from letterbook.mail.status import CopyStatus

_log = structlog.get_logger(__name__)


class Intent:
    """The stage that asks the gate, in batches, for as many messages as the window has room for.

    ``granted`` letters go on; ``dropped`` ones leave the pipeline, their rows as the ledger has
    them; ``unknown`` ones may or may not have been granted when the database was lost.
    """

    def __init__(
        self,
        ledger: Ledger,
        window: int,
        *,
        granted: Callable[[list[Letter]], None],
        dropped: Callable[[Letter], None],
        unknown: Callable[[Letter], None],
    ) -> None:
        self._ledger = ledger
        self._window = window
        self._granted = granted
        self._dropped = dropped
        self._unknown = unknown
        self._ready: deque[Letter] = deque()
        self._changed = asyncio.Event()
        self._flying = 0

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
            room = self._window - self._flying
            batch = [self._ready.popleft() for _ in range(min(room, len(self._ready)))]
            await self._ask(batch)

    async def _worth_asking(self) -> None:
        """Wait for a batch that is worth a commit, but not for long."""
        quarter = max(1, self._window // 4)
        while not (self._ready and self._flying < self._window):
            self._changed.clear()
            await self._changed.wait()
        if len(self._ready) < quarter or self._window - self._flying < quarter:
            await asyncio.sleep(LINGER)

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
                    letter.part.open = False  # the gate is shut for its part
                self._dropped(letter)
