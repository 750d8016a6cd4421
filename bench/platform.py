"""A platform to measure: an embedded database, and workers in processes of their own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.letters import ARCHIVE_ADDRESS, SENDER
from bench.usage import peak_mib
from letterbook.control.project.configure import prepare

prepare()  # Django wants this before any module with models is imported

from django.db import connection  # noqa: E402

from letterbook.control.deliveries.actions import create_delivery  # noqa: E402
from letterbook.control.kernel.actor import SYSTEM  # noqa: E402
from letterbook.control.mailtemplates.actions import (  # noqa: E402
    add_template,
    ensure_native_templates,
)
from letterbook.control.mailtemplates.folder import TemplateFolder  # noqa: E402
from letterbook.control.mailtemplates.options import Options, Sender  # noqa: E402
from letterbook.control.outbox.actions import start  # noqa: E402
from letterbook.control.outbox.analysis import AnalysisReport, analyze  # noqa: E402
from letterbook.control.outbox.freeze import Defaults  # noqa: E402
from letterbook.control.outbox.queries import DeliveryView, delivery_view  # noqa: E402
from letterbook.control.platform.actions import (  # noqa: E402
    ensure_secrets,
    set_archive_address,
    set_route,
)
from letterbook.control.platform.dkim import add_dkim_key  # noqa: E402
from letterbook.control.platform.queries import identity  # noqa: E402
from letterbook.control.platform.routes import RouteUrl  # noqa: E402
from letterbook.control.project.configure import use_database  # noqa: E402
from letterbook.control.project.migrate import migrate  # noqa: E402
from letterbook.embedded import Database, attach  # noqa: E402
from letterbook.mail.content import Algorithm  # noqa: E402
from letterbook.mail.status import DeliveryState  # noqa: E402
from letterbook.sealing import load_sealer  # noqa: E402
from letterbook.settings import PREFIX, Settings  # noqa: E402

_ENDED: Final = (
    DeliveryState.FINISHED,
    DeliveryState.RETRYING,
    DeliveryState.PAUSED,
    DeliveryState.FAILED,
)


@dataclass
class Process:
    """A child process, and what it has used so far."""

    popen: "subprocess.Popen[bytes]"

    @property
    def peak_mib(self) -> float:
        """The most resident memory it ever had, in MiB."""
        return peak_mib(self.popen.pid)


class Platform:
    """An installation in a temporary folder."""

    def __init__(self, folder: Path, database: Database, module: str) -> None:
        """``module`` is what workers are run as."""
        self._module = module
        self.settings = Settings(data=folder)
        self.known: set[str] = set()
        """Templates and lists that exist already."""
        self.database = database
        self._sealer = load_sealer(self.settings, may_create=True)
        use_database(database.conninfo())
        migrate()
        ensure_native_templates()
        ensure_secrets(self._sealer)

    def set_routes(self, recipients: int, archive: int) -> None:
        for name, port in (("recipients", recipients), ("archive", archive)):
            url = RouteUrl.parse(f"smtp://127.0.0.1:{port}")
            set_route(SYSTEM, self._sealer, name, url, ca=None, insecure=False)
        set_archive_address(SYSTEM, ARCHIVE_ADDRESS, is_recipient=lambda _: False, trust=True)

    @property
    def postmaster(self) -> int:
        """The process that all others of the database descend from."""
        (file,) = self.settings.data.rglob("postmaster.pid")
        return int(file.read_text().splitlines()[0])

    def signed_sender(self, algorithm: Algorithm) -> str:
        """An address of a domain that signs with ``algorithm``."""
        domain = f"{algorithm}.example"
        if domain not in self.known:
            add_dkim_key(SYSTEM, self._sealer, domain, selector=None, algorithm=algorithm)
            self.known.add(domain)
        return f"news@{domain}"

    def template(
        self,
        name: str,
        html: str,
        *,
        email_bcc: bool,
        text: str | None = None,
        subject: str = "{{ recipient.first_name }}, your offer",
        sender: str = SENDER,
    ) -> None:
        options = Options(
            label=name,
            subject=subject,
            email_bcc=email_bcc,
            sender=Sender(address=sender),
            format="html" if text is None else "multipart",
        )
        folder = TemplateFolder(name, options, "html", html, text, ())
        add_template(SYSTEM, folder)

    def analyzed(
        self, template: str, list_name: str, **differing: Any
    ) -> tuple[int, AnalysisReport]:
        delivery = create_delivery(SYSTEM, template=template, lists=[list_name], **differing)
        report = analyze(
            SYSTEM,
            delivery,
            identity=identity(self._sealer),
            defaults=Defaults.of(self.settings),
        )
        assert not report.errors, report.errors
        return delivery, report

    @contextmanager
    def worker(self, **settings: object) -> Iterator[Process]:
        """A worker in a process of its own."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        environment[f"{PREFIX}DATA"] = str(self.settings.data)
        environment |= {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", self._module, "worker"]
        log = self.settings.data / "worker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield Process(process)
        finally:
            process.terminate()
            process.wait()

    def send(self, delivery: int, progress: Callable[[DeliveryView], None]) -> DeliveryView:
        """Start the delivery and wait for its end; workers must be running."""
        start(SYSTEM, delivery)
        while (view := delivery_view(delivery)).state not in _ENDED:
            progress(view)
            time.sleep(0.1)
        return view


@contextmanager
def open_platform(module: str = "letterbook") -> Iterator[Platform]:
    """An installation that leaves nothing behind; its workers run as ``module``."""
    with tempfile.TemporaryDirectory(prefix="letterbook-bench-") as folder:
        data = Path(folder)
        with attach(data) as database:
            try:
                yield Platform(data, database, module)
            finally:
                connection.close()  # Django's, for there may be another installation after this
