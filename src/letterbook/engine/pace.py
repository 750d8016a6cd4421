"""The pace: fewer lanes to a server that struggles, and more again when it has recovered."""

from typing import Final

_PERIOD: Final = 1.0
"""Seconds between two looks."""

_TIMES: Final = 3.0
_AT_LEAST: Final = 0.1
"""A reply is slow when it takes so many times its best, and so many seconds more."""

_FORGET: Final = 1.05
"""Growth of the best reply time at each look: what stays slow is how this server is."""


class Pace:
    """Additive increase, multiplicative decrease, once a second.

    Lanes are halved when the server puts messages off or when its replies take far longer than
    they did at their best; otherwise there is one more each time, up to what is allowed.
    """

    def __init__(self, now: float) -> None:
        """``now`` is in monotonic seconds, here and below."""
        self._lanes: int | None = None
        self._looked_at = now
        self._best: float | None = None
        self._sum = 0.0
        self._replies = 0
        self._put_off = False

    @property
    def is_full(self) -> bool:
        """Whether all lanes that are allowed are in use."""
        return self._lanes is None

    def lanes(self, allowed: int) -> int:
        """Return how many of ``allowed`` lanes to use."""
        return allowed if self._lanes is None else min(allowed, self._lanes)

    def replied(self, seconds: float) -> None:
        """Note how long the server took to accept a message."""
        self._sum += seconds
        self._replies += 1

    def put_off(self) -> None:
        """Note that the server put a message off (4xx)."""
        self._put_off = True

    def look(self, now: float, lanes: int, allowed: int) -> str | None:
        """Set the pace anew, if it is time; return what is slow, if anything is.

        ``lanes`` are open, ``allowed`` may be.
        """
        if now - self._looked_at < _PERIOD:
            return None
        slow = self._slow()
        if slow or self._put_off:
            self._lanes = max(1, min(lanes, self.lanes(allowed)) // 2)
        elif self._lanes is not None:
            self._lanes = self._lanes + 1 if self._lanes + 1 < allowed else None
        self._looked_at = now
        self._sum, self._replies, self._put_off = 0.0, 0, False
        return slow

    def _slow(self) -> str | None:
        if not self._replies:
            return None
        mean = self._sum / self._replies
        best = mean if self._best is None else min(mean, self._best)
        self._best = best * _FORGET
        if mean > best * _TIMES and mean > best + _AT_LEAST:
            return f"a reply takes {mean:.2f} s, at its best {best:.2f} s"
        return None
