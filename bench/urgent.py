"""How long a small delivery takes from start to finish: alone, and while a large one runs.

Run as ``python -m bench.urgent [LARGE [SMALL]]``.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.platform import Platform, open_platform
from bench.scale import write_people
from bench.sink import running_sink
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.outbox.actions import start, stop
from letterbook.control.outbox.queries import delivery_view
from letterbook.control.recipients.importing import import_recipients
from letterbook.mail.status import MessageStatus

RESULT: Final = Path(__file__).parent.parent / "docs" / "results" / "urgent.json"
_HTML: Final = (
    "<html><body><p>Hello {{ recipient.first_name }} from {{ recipient.city }}.</p>"
    "<p>unsubscribe</p></body></html>"
)


def people(platform: Platform, list_name: str, count: int) -> None:
    """Import ``count`` recipients."""
    path = platform.settings.data / "people.csv"
    write_people(path, count)
    import_recipients(
        SYSTEM, path, list_name, mapping={"points": "int"}, rejects_file=path.with_suffix(".no")
    )
    path.unlink()


def start_to_finish(platform: Platform, delivery: int) -> float:
    """Send the delivery; return its own account of how long it took, in seconds."""
    duration = platform.send(delivery, lambda _: None).duration
    assert duration is not None
    return round(duration.total_seconds(), 2)


def sent(delivery: int) -> int:
    """Messages of the delivery that were sent so far."""
    return delivery_view(delivery).messages[MessageStatus.SENT]


def measure(platform: Platform, large_count: int, small_count: int) -> dict[str, Any]:
    """Return the start-to-finish times of small deliveries, with and without a large one."""
    platform.template("letter", _HTML, email_bcc=True)
    people(platform, "large", large_count)
    people(platform, "small", small_count)
    large, _ = platform.analyzed("letter", "large")
    first, alone, urgent, equal = (
        platform.analyzed("letter", "small", priority=priority)[0]
        for priority in ("high", "high", "high", "normal")
    )
    with platform.worker():
        start_to_finish(platform, first)  # the worker is up by then
        result: dict[str, Any] = {"large": large_count, "small": small_count}
        result["alone_s"] = start_to_finish(platform, alone)
        start(SYSTEM, large)
        while sent(large) < large_count // 50:
            time.sleep(0.05)
        result["large_sent_before"] = sent(large)
        result["high_priority_s"] = start_to_finish(platform, urgent)
        result["same_priority_s"] = start_to_finish(platform, equal)
        result["large_sent_after"] = sent(large)
        stop(SYSTEM, large)
    assert result["large_sent_after"] < large_count, "the large one ended too soon to tell"
    return result


def main() -> None:
    """Measure, print, and keep the result of the full size."""
    sizes = [int(each) for each in sys.argv[1:]]
    large, small = (*sizes, *(200_000, 100)[len(sizes) :])
    with (
        running_sink() as recipients,
        running_sink() as archive,
        open_platform() as platform,
    ):
        platform.set_routes(recipients.port, archive.port)
        result = measure(platform, large, small)
    print(json.dumps(result, indent=2))
    if not sizes:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
