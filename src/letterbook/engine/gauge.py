"""The gauge: how many messages a second a route accepts, measured while there is enough to do."""

from collections import deque
from typing import Final, NamedTuple

_SPAN: Final = 2.0
_AT_LEAST: Final = 1.0
"""Seconds to look back, and that a measurement takes."""


class Demand(NamedTuple):
    """``busy``: there are letters for the route. ``bound``: most that need it wait for it."""

    busy: bool
    bound: bool


class Reading(NamedTuple):
    """``per_second`` is None when it was not measured. ``bound``: the route was, all the while."""

    per_second: float | None
    bound: bool


class _Sample(NamedTuple):
    at: float
    accepted: int
    bound: bool


class Gauge:
    """A moving average over the last seconds, of a count that only grows."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def read(self, now: float, accepted: int, demand: Demand) -> Reading:
        """Take a sample at ``now`` (monotonic seconds); return what the last ones say together."""
        samples = self._samples
        if not demand.busy:
            samples.clear()
            return Reading(None, False)
        samples.append(_Sample(now, accepted, demand.bound))
        while samples[0].at < now - _SPAN and samples[1].at <= now - _AT_LEAST:
            samples.popleft()
        span = now - samples[0].at
        if span < _AT_LEAST:
            return Reading(None, False)
        per_second = (accepted - samples[0].accepted) / span
        return Reading(per_second, all(sample.bound for sample in samples))
