"""Waiting for a delivery, with a bar; and sending it from here when nobody else does."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from letterbook.cli.output import complain, progress_bar
from letterbook.cli.session import Session
from letterbook.control.outbox.queries import DeliveryView, delivery_view, worker_is_running
from letterbook.mail.status import CopyStatus, DeliveryState, MessageStatus

_LOOK: Final = 0.2
_ENDS: Final = frozenset(
    (
        DeliveryState.FINISHED,
        DeliveryState.RETRYING,
        DeliveryState.PAUSED,
        DeliveryState.STOPPED,
        DeliveryState.FAILED,
    )
)
_SETTLED: Final = (
    MessageStatus.SENT,
    MessageStatus.FAILED,
    MessageStatus.IN_DOUBT,
    MessageStatus.CANCELLED,
)


def wait_for(session: Session, delivery: int) -> DeliveryView:
    """Return the delivery when it has come to an end, or needs somebody."""
    with _somebody_working(session):
        view = delivery_view(delivery)
        with progress_bar("Sending", sum(view.messages.values())) as update:
            while view.state not in _ENDS:
                update(sum(view.messages[each] for each in _SETTLED), say=_trouble(view))
                time.sleep(_LOOK)
                view = delivery_view(delivery)
    return view


def _trouble(view: DeliveryView) -> str | None:
    """Say why it does not go on, if it does not."""
    if view.state is DeliveryState.HELD:
        return f"Held: {view.because}"
    if refused := view.copies[CopyStatus.REFUSED]:
        return f"Sending; the archive refuses {refused:,} copies, whose messages wait"
    return None


@contextmanager
def _somebody_working(session: Session) -> Iterator[None]:
    """Start a worker for the time being, if this host is all there is and it has none."""
    if worker_is_running():
        yield
        return
    if session.settings.database_url is not None:
        complain("No worker is running yet: `letterbook worker` on one host at least.")
        yield
        return
    complain("No worker is running: this command sends by itself while it waits.")
    worker = subprocess.Popen([sys.executable, "-m", "letterbook", "worker"])
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()
