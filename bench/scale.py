"""What a million costs: importing, analysing, and a worker's memory.

Run by ``python -m bench``, or alone as ``python -m bench.scale``.
"""

import csv
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import Progress

from bench.platform import Platform, open_platform
from bench.results import SCALE, Scale, Size, keep
from bench.sink import running_sink
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.recipients.importing import import_recipients
from letterbook.mail.status import CopyStatus, MessageStatus

SIZES: Final = (10_000, 100_000, 1_000_000)
_HTML: Final = (
    "<html><body><p>Hello {{ recipient.first_name }} from {{ recipient.city }}, you have "
    '{{ recipient.points }} points.</p><p><a href="https://example.com/{{ recipient.code }}">'
    "Look</a></p><p>unsubscribe</p></body></html>"
)
_console = Console(stderr=True)


def write_people(path: Path, count: int) -> None:
    """Write a CSV file of ``count`` recipients with 8 columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("email", "first_name", "last_name", "language", "city", "points", "tier", "code")
        )
        writer.writerows(
            (f"user{n}@example{n % 997}.org", f"Ana {n}", "Ruiz", "es", "Málaga", n % 500,
             ("green", "silver", "gold")[n % 3], f"{n:010x}")
            for n in range(count)
        )  # fmt: skip


def measure(platform: Platform, count: int, progress: Progress) -> Size:
    """Import, analyse and send ``count`` messages with Email BCC on."""
    path = platform.settings.data / "people.csv"
    write_people(path, count)
    list_name = f"list-{count}"
    task = progress.add_task(f"{count:>9,} import", total=path.stat().st_size)
    began = time.monotonic()
    report = import_recipients(
        SYSTEM, path, list_name, mapping={"points": "int"},
        rejects_file=path.with_suffix(".rejects"),
        progress=lambda done: progress.update(task, completed=done),
    )  # fmt: skip
    imported = time.monotonic() - began
    assert report.new + report.updated == count
    path.unlink()
    progress.update(task, description=f"{count:>9,} analyse", total=None)
    began = time.monotonic()
    delivery, _ = platform.analyzed("small", list_name)
    analysed = time.monotonic() - began
    progress.update(task, description=f"{count:>9,} send", total=count, completed=0)
    with platform.worker() as worker:
        began = time.monotonic()
        view = platform.send(
            delivery,
            lambda now: progress.update(task, completed=now.messages[MessageStatus.SENT]),
        )
        sent = time.monotonic() - began
        peak = worker.peak_mib
    assert view.messages[MessageStatus.SENT] == count, view
    assert view.copies[CopyStatus.ACCEPTED] == count, view
    return Size(
        messages=count,
        import_s=round(imported, 2),
        analysis_s=round(analysed, 2),
        send_s=round(sent, 2),
        msg_per_s=round(count / sent),
        worker_peak_mib=round(peak, 1),
    )


def run(sizes: Sequence[int]) -> Scale:
    """Measure each size and keep the result."""
    with (
        Progress(console=_console) as progress,
        running_sink() as recipients,
        running_sink() as archive,
        open_platform() as platform,
    ):
        platform.set_routes(recipients.port, archive.port)
        platform.template("small", _HTML, email_bcc=True)
        rows = [measure(platform, size, progress) for size in sizes]
    importer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    scale = Scale(rows=rows, importer_peak_mib=round(importer, 1))
    if tuple(sizes) == SIZES:
        keep(SCALE, scale)
    return scale


def main() -> None:
    """Measure the sizes given, or all, and print what was found."""
    scale = run([int(each) for each in sys.argv[1:]] or SIZES)
    print(msgspec.json.format(msgspec.json.encode(scale), indent=1).decode())


if __name__ == "__main__":
    main()
