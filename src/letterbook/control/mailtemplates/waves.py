"""Waves: a delivery's messages sent in several goes (reference/adobe-campaign.md, 4.6).

Waves of one size, a period apart: ``30% every 2h``, ``5000 every 1d``. Or a calendar, each delay
counted from the start of the wave before: ``1000, 5000 after 1h, rest after 1d``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import ceil
from typing import Final

from letterbook.duration import parse_duration

MOST_WAVES: Final = 1_000
_SIZE: Final = r"(?P<size>\d{1,9}|\d+(?:\.\d+)?\s*%|rest)"
_EQUAL: Final = re.compile(rf"{_SIZE}\s+every\s+(?P<time>\S.*)")
_FIRST: Final = re.compile(_SIZE)
_LATER: Final = re.compile(rf"{_SIZE}\s+after\s+(?P<time>\S.*)")
_HELP: Final = (
    'write waves as "30% every 2h", "5000 every 1d", or as a calendar such as '
    '"1000, 5000 after 1h, rest after 1d"'
)
_ALL: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Wave:
    """A number of messages or a share of all, in percent, and when: after the wave before."""

    size: int | None
    share: Decimal | None
    after: timedelta = timedelta()

    def messages(self, total: int) -> int:
        """Return how many of ``total`` messages it has."""
        return self.size if self.size is not None else ceil(total * (self.share or _ALL) / _ALL)


@dataclass(frozen=True, slots=True)
class Waves:
    """A plan. ``every``: its one wave is repeated until nothing is left."""

    waves: tuple[Wave, ...]
    every: timedelta | None = None

    def expanded(self, most: int) -> tuple[Wave, ...]:
        """Return the waves one by one, for ``most`` messages or fewer; the last takes the rest."""
        if self.every is None:
            return self.waves
        (first,) = self.waves
        count = ceil(_ALL / first.share) if first.share else ceil(most / first.messages(most))
        later = Wave(first.size, first.share, self.every)
        return (first, *[later] * (min(count, MOST_WAVES) - 1))

    def schedule(self, total: int) -> Iterator[tuple[timedelta, int]]:
        """Return how long after the start each wave begins, and how many of ``total`` it has."""
        start, left = timedelta(), total
        for wave in self.expanded(total):
            if left <= 0:
                return
            start += wave.after
            size = min(left, wave.messages(total))
            left -= size
            yield start, size

    def last_start(self, total: int) -> timedelta:
        """Return how long after the first wave the last one begins that has messages."""
        return max((start for start, _ in self.schedule(total)), default=timedelta())

    def shortfall(self, total: int) -> int:
        """Return how many of ``total`` messages are in no wave."""
        if self.every is not None:
            (wave,) = self.waves
            return max(0, total - wave.messages(total) * MOST_WAVES)
        return max(0, total - sum(wave.messages(total) for wave in self.waves))


ONE_WAVE: Final = Waves((Wave(None, _ALL),))


def parse_waves(text: str) -> Waves:
    """Read ``text``. Raises ValueError, and says how waves are written."""
    text = text.strip()
    if match := _EQUAL.fullmatch(text):
        if match["size"] == "rest":
            raise ValueError(f"{text!r}: {_HELP}")
        return Waves((_wave(match["size"]),), _period(match["time"]))
    first, *later = (each.strip() for each in text.split(","))
    matches = [_LATER.fullmatch(each) for each in later]
    opening = _FIRST.fullmatch(first)
    if opening is None or not later or len(later) >= MOST_WAVES:
        raise ValueError(f"{text!r}: {_HELP}")
    waves = [_wave(opening["size"])]
    for match in matches:
        if match is None or waves[-1].share == _ALL:
            raise ValueError(f"{text!r}: {_HELP}")
        waves.append(_wave(match["size"], _period(match["time"])))
    return Waves(tuple(waves))


def _wave(size: str, after: timedelta = timedelta()) -> Wave:
    if size == "rest":
        return Wave(None, _ALL, after)
    if size.endswith("%"):
        share = Decimal(size[:-1].strip())
        if not 0 < share <= _ALL:
            raise ValueError(f"{size} is not a share; write one over 0% and up to 100%")
        return Wave(None, share, after)
    if not int(size):
        raise ValueError("a wave must have messages; 0 is not a size")
    return Wave(int(size), None, after)


def _period(text: str) -> timedelta:
    period = parse_duration(text)
    if not timedelta() < period <= timedelta(days=365):
        raise ValueError(f"{text!r} is not a time between waves; write one over 0s, up to 1y")
    return period
