"""How each sender is run and measured. All of them go to the same two sinks."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from tests.servers.postfix import Postfix

from bench.cases import Case, messages_for, warm_up_for
from bench.child import Child, Order, running_child
from bench.letters import SENDER, SUBJECT, TEXT, html, write_people
from bench.platform import Platform
from bench.servers import feed_command, letter_file, running_relay, source_command
from bench.sink import Sink
from bench.usage import cpu_seconds, family_cpu_seconds, machine_cpu_seconds, peak_mib
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.outbox.actions import start
from letterbook.control.outbox.queries import delivery_view
from letterbook.control.recipients.importing import import_recipients
from letterbook.mail.status import MessageStatus

SECONDS: Final = 4.0
"""How long a measurement is to take, about."""

_CHILDREN: Final = {
    "a": "bench.wire", "d": "bench.django_sender", "e": "bench.aiosmtplib_sender",
}  # fmt: skip
_POLL: Final = 0.005
_PATIENCE: Final = 30.0
Report = Callable[[int, int], None]
"""Told how many messages have come through, of how many."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What one sender did in one case. Processor times are for one message, in microseconds."""

    sender: str
    messages: int
    seconds: float
    sender_cpu: float | None = None
    postgresql_cpu: float | None = None
    sinks_cpu: float = 0.0
    others: float = 0.0
    """Cores that were busy with something else meanwhile: the less, the better the figures."""
    peak_mib: float | None = None

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the senders compete."""

    platform: Platform
    archive: Sink
    recipients: Sink
    report: Report


class Meter:
    """Time and processor time, from its making to ``stop``."""

    def __init__(self, ground: Ground, pids: list[int], *, families: bool = False) -> None:
        self._sinks = [ground.archive.process, ground.recipients.process]
        self._postmaster = ground.platform.postmaster
        self._pids = pids
        self._measure = family_cpu_seconds if families else cpu_seconds
        self._began = self._now()

    def stop(self) -> "Reading":
        """What has passed since."""
        return Reading(*map(sub, self._now(), self._began))

    def _now(self) -> "Reading":
        return Reading(
            time.monotonic(),
            sum(self._measure(pid) for pid in self._pids),
            family_cpu_seconds(self._postmaster),
            sum(cpu_seconds(pid) for pid in self._sinks),
            time.process_time(),
            machine_cpu_seconds(),
        )


class Reading(NamedTuple):
    """Seconds, and processor seconds."""

    time: float
    senders: float
    database: float
    sinks: float
    bench: float
    machine: float

    @property
    def others(self) -> float:
        """Cores' worth of work that was none of ours."""
        ours = self.senders + self.database + self.sinks + self.bench
        return max(0.0, self.machine - ours) / self.time


def measure(sender: str, case: Case, ground: Ground) -> Measurement:
    """Let ``sender`` send for about SECONDS, after a warm-up that is not counted."""
    messages = messages_for(sender, case, SECONDS)
    ground.archive.reset()
    ground.recipients.reset()
    if sender in _CHILDREN:
        return _children(sender, case, messages, ground)
    special = {"b": _letterbook, "c": _letterbook, "f": _relay, "g": _source}
    return special[sender](sender, case, messages, ground)


def _children(sender: str, case: Case, messages: int, ground: Ground) -> Measurement:
    """Senders that are children of the bench, one for each worker."""
    share = messages // case.workers
    what = Order(
        recipients=ground.recipients.port,
        archive=ground.archive.port,
        connections=case.connections,
        messages=share,
        warm_up=warm_up_for(share),
        size=case.size,
    )
    with ExitStack() as stack:
        children = [
            stack.enter_context(running_child(_CHILDREN[sender], what)) for _ in range(case.workers)
        ]
        for child in children:
            child.expect("ready")
        ground.recipients.reset()
        meter = Meter(ground, [child.pid for child in children])
        for child in children:
            child.go_on()
        _watch(children, ground, share * case.workers)
        return _measurement(
            sender, share * case.workers, meter, peak=max(peak_mib(child.pid) for child in children)
        )


def _watch(children: list[Child], ground: Ground, messages: int) -> None:
    for child in children:
        while not child.is_talking(timeout=0.1):
            ground.report(ground.recipients.messages, messages)
        child.expect("done")
    assert ground.recipients.messages == messages


def _letterbook(sender: str, case: Case, messages: int, ground: Ground) -> Measurement:
    """From the first copy (or message) at its sink to the last outcome in the ledger."""
    platform, email_bcc = ground.platform, sender == "b"
    warm_up, delivery = (
        prepared_delivery(platform, case, count, email_bcc=email_bcc)
        for count in (warm_up_for(messages), messages)
    )
    first = ground.archive if email_bcc else ground.recipients
    with ExitStack() as stack:
        workers = [
            stack.enter_context(platform.worker(connections=case.connections))
            for _ in range(case.workers)
        ]
        start(SYSTEM, warm_up)
        _settled(warm_up, warm_up_for(messages), ground)
        first.reset()
        ground.recipients.reset()
        start(SYSTEM, delivery)
        while not first.messages:
            time.sleep(0.0005)
        meter = Meter(ground, [worker.popen.pid for worker in workers])
        _settled(delivery, messages, ground)
        return _measurement(
            sender, messages, meter, peak=max(worker.peak_mib for worker in workers), database=True
        )


def _settled(delivery: int, messages: int, ground: Ground) -> None:
    """Wait for the sink, which costs nothing to look at, and then for the ledger."""
    _arrived([ground.recipients], messages, ground)
    deadline = time.monotonic() + _PATIENCE
    while (view := delivery_view(delivery)).messages[MessageStatus.SENT] < messages:
        assert time.monotonic() < deadline, view
        time.sleep(_POLL)


def prepared_delivery(platform: Platform, case: Case, count: int, *, email_bcc: bool) -> int:
    """An analysed delivery to ``count`` people; its list is imported when it is first needed."""
    copies = "with" if email_bcc else "without"
    template = f"{case.size} octets, {copies} copies, signed {case.dkim or 'by nobody'}"
    list_name = f"people-{count}"
    if template not in platform.known:
        sender = SENDER if case.dkim is None else platform.signed_sender(case.dkim)
        platform.template(
            template, html(case.size), email_bcc=email_bcc, text=TEXT, subject=SUBJECT,
            sender=sender,
        )  # fmt: skip
    if list_name not in platform.known:
        path = platform.settings.data / "people.csv"
        write_people(path, count)
        import_recipients(
            SYSTEM, path, list_name, mapping={"points": "int"},
            rejects_file=path.with_suffix(".rejects"),
        )  # fmt: skip
    platform.known |= {template, list_name}
    delivery, _ = platform.analyzed(template, list_name)
    return delivery


def _relay(sender: str, case: Case, messages: int, ground: Ground) -> Measurement:
    """From the first connection to the relay until everything is at the sinks, copies too."""
    with (
        letter_file(case.size) as letter,
        running_relay(ground.recipients.port, ground.archive.port, case.connections) as (
            relay,
            master,
        ),
    ):
        _relayed(warm_up_for(messages), relay, letter, ground)
        meter = Meter(ground, [master], families=True)
        _relayed(messages, relay, letter, ground)
        return _measurement(sender, messages, meter)


def _relayed(messages: int, relay: Postfix, letter: Path, ground: Ground) -> None:
    """Feed the relay, and wait until everything is at the sinks."""
    sinks = [ground.archive.reset(), ground.recipients.reset()]
    with _quiet(feed_command(relay.port, messages, letter)):
        _arrived(sinks, messages, ground)


def _source(sender: str, case: Case, messages: int, ground: Ground) -> Measurement:
    """Without warm-up: it has nothing to warm."""
    with letter_file(case.size) as letter:
        command = source_command(ground.recipients.port, case.connections, messages, letter)
        meter = Meter(ground, [])
        with _quiet(command):
            _arrived([ground.recipients], messages, ground)
        return msgspec.structs.replace(_measurement(sender, messages, meter), sender_cpu=None)


@contextmanager
def _quiet(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
            assert process.wait() == 0, command
        finally:
            process.kill()


def _arrived(sinks: list[Sink], messages: int, ground: Ground) -> None:
    """Wait until each sink has taken ``messages``."""
    last, heard = -1, time.monotonic()
    while (now := min(sink.messages for sink in sinks)) < messages:
        if now != last:
            last, heard = now, time.monotonic()
            ground.report(now, messages)
        assert time.monotonic() - heard < _PATIENCE, f"no message for {_PATIENCE:g} s"
        time.sleep(_POLL)


def _measurement(
    sender: str, messages: int, meter: Meter, *, peak: float | None = None, database: bool = False
) -> Measurement:
    used = meter.stop()
    senders, postgresql, sinks = (
        round(each * 1e6 / messages, 1) for each in (used.senders, used.database, used.sinks)
    )
    return Measurement(
        sender=sender,
        messages=messages,
        seconds=round(used.time, 4),
        sender_cpu=senders,
        postgresql_cpu=postgresql if database else None,
        sinks_cpu=sinks,
        others=round(used.others, 2),
        peak_mib=None if peak is None else round(peak, 1),
    )
