"""How far deposits may run ahead of sending: one window, and no further."""

import asyncio


class Admission:
    """Counts the letters that are in the pipeline and have no intent yet."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._ahead = 0
        self._waiting: list[int] = []
        """The priorities of those who wait."""
        self._changed = asyncio.Event()

    @property
    def ahead(self) -> int:
        """Letters that are in the pipeline and have no intent yet."""
        return self._ahead

    async def wait(self, letters: int, priority: int) -> None:
        """Wait until ``letters`` more fit (or the pipeline is empty), the highest first."""
        self._waiting.append(priority)
        try:
            while self._ahead and (
                self._ahead + letters > self._window or priority < max(self._waiting)
            ):
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waiting.remove(priority)

    def enter(self, letters: int) -> None:
        self._ahead += letters

    def passed(self, letters: int) -> None:
        """Say that ``letters`` have their intent, or have left."""
        self._ahead -= letters
        self._changed.set()
