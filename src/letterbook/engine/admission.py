"""How far deposits may run ahead of sending: one window, and no further."""

import asyncio


class Admission:
    """Counts the letters that are in the pipeline and have no intent yet."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._ahead = 0
        self._changed = asyncio.Event()

    @property
    def ahead(self) -> int:
        """Letters that are in the pipeline and have no intent yet."""
        return self._ahead

    async def wait(self, letters: int) -> None:
        """Wait until ``letters`` more fit (or the pipeline is empty)."""
        while self._ahead and self._ahead + letters > self._window:
            self._changed.clear()
            await self._changed.wait()

    def enter(self, letters: int) -> None:
        self._ahead += letters

    def passed(self, letters: int) -> None:
        """Say that ``letters`` have their intent, or have left."""
        self._ahead -= letters
        self._changed.set()
