"""What a run has found: kept as JSON, and everything that is said of it is computed from there."""

from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import Measurement

FOLDER: Final = Path(__file__).parent.parent / "docs" / "results"
BENCH: Final = FOLDER / "bench.json"
SCALE: Final = FOLDER / "scale.json"


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """All senders in one case."""

    name: str
    size: int
    connections: int
    workers: int
    round_trip_ms: float
    dkim: str | None = None
    rows: list[Measurement]

    def rate(self, sender: str) -> float | None:
        """Messages a second, None where it was not measured."""
        return next((row.rate for row in self.rows if row.sender == sender), None)


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    taken_at: str
    minutes: float
    machine: dict[str, str]
    cases: list[CaseResult]

    def case(self, name: str) -> CaseResult:
        return next(each for each in self.cases if each.name == name)

    @property
    def others(self) -> float:
        """Cores that were busy with something else, on average."""
        rows = [row for case in self.cases for row in case.rows]
        return sum(row.others for row in rows) / len(rows)

    def ratio(self, case: CaseResult, sender: str, to: str) -> float | None:
        """How many times as fast as sender ``to``.

        Django has one connection and one process whatever the case says, so where it was not
        measured again its rate is that of the case with the same size and round trip.
        """
        mine, theirs = case.rate(sender), case.rate(to)
        if theirs is None:
            theirs = next(
                (
                    each.rate(to)
                    for each in self.cases
                    if (each.size, each.round_trip_ms) == (case.size, case.round_trip_ms)
                    and each.rate(to)
                ),
                None,
            )
        return mine / theirs if mine and theirs else None


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One size of delivery, as bench.scale measured it."""

    messages: int
    import_s: float
    analysis_s: float
    send_s: float
    msg_per_s: int
    worker_peak_mib: float


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What a million costs."""

    rows: list[Size]
    importer_peak_mib: float


def keep(path: Path, results: Results | Scale) -> None:
    """Write results down, readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def load_scale() -> Scale | None:
    """What ``bench.scale`` found last."""
    return msgspec.json.decode(SCALE.read_bytes(), type=Scale) if SCALE.exists() else None


def load_results() -> Results:
    """What ``bench`` found last."""
    return msgspec.json.decode(BENCH.read_bytes(), type=Results)
