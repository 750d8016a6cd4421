"""What Letterbook set itself, and whether a run met it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.results import Results, Scale

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """One target. ``measured`` is None where the run has no figure for it."""

    sentence: str
    measured: float | None
    limit: float
    at_most: bool = False
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "not measured"}[self.met]

    @property
    def shown(self) -> str:
        """The figure, with its unit."""
        return "–" if self.measured is None else f"{_figure(self.measured)} {self.unit}"

    @property
    def bound(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {_figure(self.limit)} {self.unit}"


def targets(results: Results, scale: Scale | None) -> Iterator[Target]:
    """Every target with what this run has to say of it."""
    base, far = results.case("base"), results.case("10 ms")
    one = results.case("10 ms, 5 connections, 1 worker").rate("b")
    two = results.case("10 ms, 5 connections, 2 workers").rate("b")
    both, without = base.rate("b"), base.rate("c")
    worker = next(row.sender_cpu for row in base.rows if row.sender == "b")
    yield Target("(b) to (a), 0 ms", results.ratio(base, "b", "a"), 0.6)
    yield Target("(b) to (a), 10 ms", results.ratio(far, "b", "a"), 0.8)
    yield Target("(b) to (d), base case", results.ratio(base, "b", "d"), 8)
    yield Target("(b) to (f), base case", results.ratio(base, "b", "f"), 4)
    yield Target(
        "(c) to (b), base case", without / both if without and both else None, 2.2, at_most=True
    )
    yield Target("worker's processor time, (b), base case", worker, 250, True, "µs a message")
    yield Target(
        "two workers to one, 10 ms, 5 connections each", two / one if one and two else None, 1.6
    )
    yield from _of_scale(scale)


def _of_scale(scale: Scale | None) -> Iterator[Target]:
    rows = scale.rows if scale else []
    million = next((each for each in rows if each.messages >= _MILLION), None)
    analysis = million.analysis_s if million else None
    peak = max(each.worker_peak_mib for each in rows) if million else None
    yield Target("analysis of 1,000,000 messages", analysis, 60, True, "s")
    yield Target("worker's memory, whatever the delivery's size", peak, 200, True, "MiB")


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
