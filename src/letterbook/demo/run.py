"""The demonstration: everything that an installation does, from nothing to the proof."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from letterbook.control.deliveries.actions import create_delivery
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.mailtemplates.actions import add_template, ensure_native_templates
from letterbook.control.mailtemplates.folder import read_folder
from letterbook.control.outbox.actions import start
from letterbook.control.outbox.analysis import analyze
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.outbox.queries import DeliveryView, delivery_view
from letterbook.control.platform.actions import ensure_secrets, set_archive_address, set_route
from letterbook.control.platform.queries import identity
from letterbook.control.platform.routes import ARCHIVE, RECIPIENTS, RouteUrl
from letterbook.control.project.configure import use_database
from letterbook.control.project.migrate import migrate
from letterbook.control.recipients.importing import import_recipients
from letterbook.control.recipients.queries import is_recipient
from letterbook.demo.people import write_people
from letterbook.demo.sinks import Comparison
from letterbook.embedded import attach
from letterbook.errors import LetterbookError
from letterbook.mail.status import DeliveryState, MessageStatus
from letterbook.sealing import Sealer, load_sealer
from letterbook.settings import PREFIX, Settings

ARCHIVE_ADDRESS: Final = "letterbook@archive.example"
_LIST: Final = "customers"
_TYPES: Final = {"points": "int", "last_order": "date"}
_LOOK: Final = 0.1


class DemoError(LetterbookError):
    """The demonstration could not be carried through."""


class Step(Protocol):
    """Tells a person how far a step is: ``done`` of ``total``."""

    def __call__(self, name: str, done: float, total: float) -> None: ...


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the demonstration showed; all but the first three and the last two must be 0."""

    recipients: int
    sent: int
    copies: int
    missing: int
    different: int
    leaked: int
    ahead: int
    seconds: float
    msg_per_s: float

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        faults = self.missing + self.different + self.leaked + self.ahead
        return faults == 0 and self.sent == self.recipients == self.copies


class Demo:
    """A running demonstration."""

    def __init__(self, settings: Settings, conninfo: str, sinks: "_Sinks", step: Step) -> None:
        self.settings = settings
        self._sinks = sinks
        self._step = step
        self._sealer: Sealer = load_sealer(settings, may_create=True)
        self._step("Preparing the database", 0, 1)
        use_database(conninfo)
        migrate()
        ensure_native_templates()
        ensure_secrets(self._sealer)
        self._step("Preparing the database", 1, 1)

    def send(self, count: int) -> Result:
        """Import ``count`` people, send them the sample letter, and compare the two sinks."""
        self._set_up()
        self._import(count)
        delivery = self._prepare()
        with _worker(self.settings):
            start(SYSTEM, delivery)
            view = self._watch(delivery, count)
        return self._result(count, view)

    def _set_up(self) -> None:
        for name, port in ((RECIPIENTS, self._sinks.recipients), (ARCHIVE, self._sinks.archive)):
            url = RouteUrl.parse(f"smtp://127.0.0.1:{port}")
            set_route(SYSTEM, self._sealer, name, url, ca=None, insecure=False)
        set_archive_address(SYSTEM, ARCHIVE_ADDRESS, is_recipient=is_recipient, trust=True)
        with as_file(files(__package__).joinpath("sample", "spring-offer")) as folder:
            add_template(SYSTEM, read_folder(Path(folder)))

    def _import(self, count: int) -> None:
        path = self.settings.data / "people.csv"
        write_people(path, count)
        size = path.stat().st_size
        name = f"Importing {count:,} people"
        report = import_recipients(
            SYSTEM,
            path,
            _LIST,
            mapping=_TYPES,
            rejects_file=path.with_suffix(".rejects.csv"),
            progress=lambda done: self._step(name, done, size),
        )
        path.unlink()
        self._step(name, size, size)
        if report.rejected:
            raise DemoError(f"{report.rejected} sample people were rejected: {report.rejects[0]}")

    def _prepare(self) -> int:
        self._step("Analysing the delivery", 0, 1)
        delivery = create_delivery(SYSTEM, template="spring-offer", lists=[_LIST])
        report = analyze(
            SYSTEM,
            delivery,
            identity=identity(self._sealer),
            defaults=Defaults.of(self.settings),
        )
        self._step("Analysing the delivery", 1, 1)
        if report.errors:
            raise DemoError("; ".join(finding.message for finding in report.errors))
        return delivery

    def _watch(self, delivery: int, count: int) -> DeliveryView:
        while True:
            view = delivery_view(delivery)
            copied, sent = sum(view.copies.values()), view.messages[MessageStatus.SENT]
            waiting = view.messages[MessageStatus.PENDING]
            self._step("Archiving the copies", copied - waiting, count)
            self._step("Sending the letters", sent, count)
            if view.state in (DeliveryState.FINISHED, DeliveryState.RETRYING):
                return view
            if view.state in (DeliveryState.PAUSED, DeliveryState.FAILED):
                raise DemoError(f"the delivery is {view.state}: {view.because}")
            time.sleep(_LOOK)

    def _result(self, count: int, view: DeliveryView) -> Result:
        found = self._sinks.compare()
        assert view.started_at is not None
        ended = view.finished_at or datetime.now(UTC)
        seconds = (ended - view.started_at).total_seconds()
        return Result(
            recipients=count,
            sent=found.sent,
            copies=found.copies,
            missing=found.missing,
            different=found.different,
            leaked=found.leaked,
            ahead=found.ahead,
            seconds=round(seconds, 3),
            msg_per_s=round(found.sent / seconds, 1),
        )


@contextmanager
def open_demo(step: Step) -> Iterator[Demo]:
    """Set up a platform in a temporary folder; nothing of it is left afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="letterbook-demo-") as folder,
        attach(Path(folder)) as database,
        _sinks() as sinks,
    ):
        yield Demo(Settings(data=Path(folder)), database.conninfo(), sinks, step)


class _Sinks:
    """The process that captures."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        ports = msgspec.json.decode(self._line())
        self.recipients: int = ports["recipients"]
        self.archive: int = ports["archive"]

    def compare(self) -> Comparison:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Comparison)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DemoError("the sinks have ended before their time")
        return line


@contextmanager
def _sinks() -> Iterator[_Sinks]:
    process = subprocess.Popen(
        [sys.executable, "-m", "letterbook.demo.sinks", ARCHIVE_ADDRESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with _ending(process, lambda: process.stdin.close() if process.stdin else None):
        yield _Sinks(process)


@contextmanager
def _worker(settings: Settings) -> Iterator[None]:
    """A worker as any other, with no settings but the demonstration's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment[f"{PREFIX}DATA"] = str(settings.data)
    process = subprocess.Popen(
        [sys.executable, "-m", "letterbook", "worker"],
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    with _ending(process, process.terminate):
        yield


@contextmanager
def _ending(process: "subprocess.Popen[Any]", end: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        end()
        process.wait()
