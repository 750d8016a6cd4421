"""docs/performance.md, made from the results, so that it never says anything else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.cases import SENDERS
from bench.contenders import Measurement
from bench.results import CaseResult, Results, Scale
from bench.targets import targets

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"
COLUMNS: Final = ("msg/s", "to (a)", "to (d)", "sender CPU", "PostgreSQL CPU", "peak memory")

_INTRODUCTION: Final = """# Performance

*Made by `make bench` from [results/bench.json](results/bench.json); do not edit it.*

Taken on {taken_at}, in {minutes:.0f} minutes, all rows in one run. Meanwhile something else kept
{others} cores busy: the more, the less the figures say.

| | |
|---|---|
{machine}

![Messages a second]({plot})
"""

_READING: Final = """## How to read it

All rows send the same messages: {size} KB of HTML (or 10 KB) and a short text, 20 links that carry
each recipient's token, 8 personal fields. The two sinks are processes of their own on the same
machine; they take everything and keep nothing. (They are `bench/sink.py`: about 20 µs of processor
time a message, where Postfix's `smtp-sink` needed over 170.) A sink writes each chunk of replies
one *round trip* after the bytes that it answers came in, so pipelined commands wait once together.
The bytes themselves take no time, and bandwidth has no limit. A warm-up is not counted.

{senders}

- (a) is what the machine could do if nothing but the wire mattered: no database, no composing, no
  hashing; the same SMTP client and connections. *to (a)* says how much of it is left.
- (b) and (c) run from the first message at a sink to the last outcome in the ledger. Their
  recipients and frozen content are in PostgreSQL before; every receipt, intent and outcome is
  committed durably.
- (d) holds its people in memory and records nothing. With `bcc=` the copy is one more recipient of
  the same transaction: one content goes out, not two, and nobody knows whether the copy arrived.
  It has one connection, one process.
- With DKIM, only (b) and (c) sign; (a) sends the same unsigned bytes as in the base case.
- (e) sends prebuilt bytes, the copy first, as (a) does: it compares SMTP clients.
- (f) is fed by `smtp-source` on 10 connections and ends when everything is at both sinks. It syncs
  its queue files; it composes nothing.
- (g) sends one prebuilt message again and again, without a copy.

*Sender CPU*, *PostgreSQL CPU*: microseconds of processor time a message, of the worker (the
senders' process, all of Postfix's) and of the database's processes. *Peak memory*: the most that
one sender process held, in MiB.
"""


def write_page(results: Results, scale: Scale | None, plot: str) -> None:
    """Write the page anew. ``plot``: the picture's path as the page names it."""
    parts = [
        _INTRODUCTION.format(
            taken_at=results.taken_at,
            minutes=results.minutes,
            others="fewer than 0.1" if results.others < 0.1 else f"{results.others:.1f}",
            machine="\n".join(f"| {name} | {what} |" for name, what in results.machine.items()),
            plot=plot,
        ),
        "## Targets\n",
        *_targets(results, scale),
        "\n## Figures\n",
        *_figures(results),
        _READING.format(
            size=40, senders="\n".join(f"- ({letter}) {name}" for letter, name in SENDERS.items())
        ),
        *_scale(scale),
    ]
    PAGE.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def cells(results: Results, case: CaseResult, row: Measurement) -> tuple[str, ...]:
    """One row under COLUMNS."""
    return (
        f"{row.rate:,.0f}",
        _number(results.ratio(case, row.sender, "a"), ".2f"),
        _number(results.ratio(case, row.sender, "d"), ".1f"),
        _number(row.sender_cpu, ",.0f"),
        _number(row.postgresql_cpu, ",.0f"),
        _number(row.peak_mib, ",.0f"),
    )


def _number(number: float | None, form: str) -> str:
    return "–" if number is None else format(number, form)


def _targets(results: Results, scale: Scale | None) -> Iterator[str]:
    yield "| Target | bound | measured | |\n|---|---|---|---|"
    for each in targets(results, scale):
        yield f"| {each.sentence} | {each.bound} | {each.shown} | {each.verdict} |"


def _figures(results: Results) -> Iterator[str]:
    for case in results.cases:
        yield (
            f"### {case.name[0].upper()}{case.name[1:]}\n\n{case.size / 1000:.0f} KB, "
            f"{_count(case.connections, 'connection')} to each sink, "
            f"{_count(case.workers, 'worker')}, {case.round_trip_ms:g} ms\n"
        )
        yield "| | " + " | ".join(COLUMNS) + " |\n|---|" + "---:|" * len(COLUMNS)
        for row in case.rows:
            name = SENDERS[row.sender]  # type: ignore[index]
            yield f"| ({row.sender}) {name} | " + " | ".join(cells(results, case, row)) + " |"
        yield ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _scale(scale: Scale | None) -> Iterator[str]:
    if scale is None:
        return
    yield (
        "## What a million costs\n\nFrom `python -m bench.scale` "
        "([results/scale.json](results/scale.json)): small messages, Email BCC on, one worker.\n"
    )
    yield "| messages | import, s | analysis, s | sending, s | msg/s | worker's peak, MiB |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for row in scale.rows:
        yield (
            f"| {row.messages:,} | {row.import_s:,.1f} | {row.analysis_s:,.1f} | "
            f"{row.send_s:,.1f} | {row.msg_per_s:,} | {row.worker_peak_mib:,.0f} |"
        )
