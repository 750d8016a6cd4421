"""An installation for one test: database, platform, recipients, deliveries, worker, sinks."""

import asyncio
import base64
import csv
import functools
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import psycopg
from django.conf import settings as django_settings
from django.db import connection

from letterbook.control.deliveries.actions import create_delivery
from letterbook.control.kernel.actor import ALL_RIGHTS, Actor
from letterbook.control.mailtemplates.actions import add_template, ensure_native_templates
from letterbook.control.mailtemplates.folder import TemplateFile, TemplateFolder
from letterbook.control.mailtemplates.options import Options
from letterbook.control.outbox import actions, queries
from letterbook.control.outbox.analysis import AnalysisReport, analyze
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.platform.actions import (
    ensure_secrets,
    set_archive_address,
    set_archive_policy,
    set_route,
)
from letterbook.control.platform.dkim import add_dkim_key
from letterbook.control.platform.queries import DkimKeyView, identity
from letterbook.control.platform.routes import RouteUrl
from letterbook.control.project.configure import use_database
from letterbook.control.project.migrate import migrate
from letterbook.control.recipients.importing import import_recipients
from letterbook.control.recipients.queries import is_recipient
from letterbook.embedded import Database
from letterbook.engine.run import run_worker
from letterbook.mail.content import Algorithm
from letterbook.mail.status import ArchivePolicy
from letterbook.sealing import Sealer
from letterbook.settings import Settings
from letterbook.testing.sink import Sink

TEMPLATE_DATABASE = "letterbook_template"
ARCHIVE_ADDRESS = "archive@vault.example"
ONLOOKER = "onlooker"
"""What a test's own looks at the database call themselves."""

SEAL_KEY = bytes(range(32))
ACTOR = Actor("tester", ALL_RIGHTS)

HTML = """<html><body>
<h1>Hello {{ recipient.first_name|default("friend") }}</h1>
{% if recipient.points %}<p>You have {{ recipient.points }} points in {{ recipient.city }}.</p>
{% endif %}<p><a href="https://example.com/unsubscribe/{{ recipient.id }}">Unsubscribe</a></p>
</body></html>
"""


_django = ThreadPoolExecutor(1, thread_name_prefix="django")
"""Django keeps a connection a thread, and refuses to work where an event loop runs."""

P = ParamSpec("P")
R = TypeVar("R")


def in_django(work: Callable[P, R]) -> Callable[P, R]:
    """Let ``work`` run in Django's own thread, and wait for it."""

    @functools.wraps(work)
    def run(*args: P.args, **named: P.kwargs) -> R:
        if threading.current_thread().name.startswith("django"):
            return work(*args, **named)
        return _django.submit(work, *args, **named).result()

    return run


@in_django
def make_template_database(cluster: Database) -> None:
    """Migrate a database that each house is a copy of."""
    with psycopg.connect(cluster.conninfo(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {TEMPLATE_DATABASE}")
    _use(cluster.conninfo(TEMPLATE_DATABASE))
    migrate()
    ensure_native_templates()
    ensure_secrets(Sealer(SEAL_KEY))
    connection.close()


def _disconnect() -> None:
    connection.close()


def _use(conninfo: str) -> None:
    """Point Django at another database."""
    connection.close()
    use_database(conninfo)
    connection.settings_dict.update(django_settings.DATABASES["default"])


class House:
    """Everything is real; times are short."""

    def __init__(self, cluster: Database, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.name = f"house_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(cluster.conninfo(), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {self.name} TEMPLATE {TEMPLATE_DATABASE}")
        self.conninfo = cluster.conninfo(self.name)
        self.sql("UPDATE outbox_lineage SET lineage = outbox_current_lineage()")
        in_django(_use)(self.conninfo)
        self.sealer = Sealer(SEAL_KEY)
        self.identity = in_django(identity)(self.sealer)
        self.settings = Settings(
            data=folder / "data",
            hello="sender.example",
            lease=timedelta(seconds=2),
            connect_timeout=timedelta(seconds=3),
            reply_timeout=timedelta(seconds=3),
            final_reply_timeout=timedelta(seconds=3),
        )

    def close(self) -> None:
        in_django(_disconnect)()
        with psycopg.connect(self.cluster.conninfo(), autocommit=True) as db:
            db.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    # The platform.

    def with_settings(self, **changes: Any) -> None:
        """Change settings; durations in seconds."""
        values = {
            name: timedelta(seconds=value)
            if name.endswith(("timeout", "lease", "drain"))
            else value
            for name, value in changes.items()
        }
        self.settings = Settings(
            **{name: getattr(self.settings, name) for name in Settings.__slots__} | values
        )

    @in_django
    def set_route(self, name: str, port: int, **more: Any) -> None:
        url = more.pop("url", f"smtp://127.0.0.1:{port}")
        set_route(
            ACTOR,
            self.sealer,
            name,
            RouteUrl.parse(url),
            ca=more.get("ca"),
            insecure=more.get("insecure", False),
        )

    @in_django
    def set_archive(self, address: str = ARCHIVE_ADDRESS, policy: str | None = None) -> None:
        if policy:
            set_archive_policy(ACTOR, ArchivePolicy(policy))
        set_archive_address(ACTOR, address, is_recipient=is_recipient, trust=True)

    @in_django
    def dkim_key(
        self, domain: str = "example.com", selector: str = "s1", algorithm: Algorithm = "ed25519"
    ) -> DkimKeyView:
        return add_dkim_key(ACTOR, self.sealer, domain, selector=selector, algorithm=algorithm)

    def set_up(self, recipients: Sink, archive: Sink, policy: str | None = None) -> None:
        """Both routes and the archive address."""
        self.set_route("recipients", recipients.port)
        self.set_route("archive", archive.port)
        self.set_archive(policy=policy)

    # What is sent.

    @in_django
    def import_rows(
        self,
        rows: Iterable[Mapping[str, object]],
        list_name: str = "all",
        mapping: Mapping[str, str] | None = None,
    ) -> Any:
        rows = list(rows)
        path = self.folder / f"{uuid.uuid4().hex}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        try:
            return import_recipients(
                ACTOR,
                path,
                list_name,
                mapping=mapping or {},
                rejects_file=self.folder / "rejects.csv",
            )
        finally:
            path.unlink()

    def people(self, count: int, list_name: str = "all") -> None:
        """Import ``count`` recipients."""
        self.import_rows(
            (
                {
                    "email": f"user{number}@example.org",
                    "first_name": f"Ana {number}",
                    "city": "Málaga",
                    "points": number % 7 or "",
                }
                for number in range(count)
            ),
            list_name,
            {"points": "int"},
        )

    @in_django
    def template(
        self,
        name: str = "offer",
        *,
        html: str = HTML,
        text: str | None = None,
        files: Sequence[TemplateFile] = (),
        **options: Any,
    ) -> str:
        values = {
            "label": name,
            "subject": "{{ recipient.first_name }}, your offer",
            "email_bcc": True,
            "from": {"name": "Example", "address": "news@example.com"},
        }
        folder = TemplateFolder(
            name=name,
            options=msgspec.convert(values | options, Options),
            markup="html",
            html_source=html,
            text_source=text,
            files=tuple(files),
        )
        add_template(ACTOR, folder)
        return name

    @in_django
    def delivery(
        self, template: str = "offer", lists: Sequence[str] = ("all",), **more: Any
    ) -> int:
        return create_delivery(ACTOR, template=template, lists=lists, **more)

    @in_django
    def analyze(self, delivery: int) -> AnalysisReport:
        defaults = Defaults.of(self.settings)
        return analyze(ACTOR, delivery, identity=self.identity, defaults=defaults)

    @in_django
    def ready(self, count: int = 0, **options: Any) -> int:
        """A delivery to ``count`` new people, analysed."""
        if count:
            self.people(count)
        delivery = self.delivery(self.template(**options))
        report = self.analyze(delivery)
        assert not report.errors, report.errors
        return delivery

    @in_django
    def started(self, count: int = 0, **options: Any) -> int:
        """A delivery to ``count`` new people, started."""
        delivery = self.ready(count, **options)
        actions.start(ACTOR, delivery)
        return delivery

    # The worker.

    async def work(self, *, until: Callable[[], bool] | None = None) -> None:
        """Run a worker until it is idle, or until ``until`` says so."""
        stop = asyncio.Event()
        work = asyncio.create_task(
            run_worker(
                self.conninfo, self.settings, self.sealer, stop=stop, until_idle=until is None
            )
        )
        try:
            if until is not None:
                await self.wait(until, work)
                stop.set()
            async with asyncio.timeout(60):
                await work
        finally:
            work.cancel()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker inside the block; it drains at the end."""
        stop = asyncio.Event()
        work = asyncio.create_task(run_worker(self.conninfo, self.settings, self.sealer, stop=stop))
        try:
            yield
            stop.set()
            async with asyncio.timeout(60):
                await work
        finally:
            work.cancel()

    async def wait(
        self,
        until: Callable[[], bool],
        work: "asyncio.Task[None] | None" = None,
        seconds: float = 60,
    ) -> None:
        """Wait until ``until()`` is true."""
        async with asyncio.timeout(seconds):
            while not until():
                if work is not None and work.done():
                    work.result()
                    raise AssertionError("the worker ended before its time")
                await asyncio.sleep(0.05)

    async def do(self, action: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Do something of the control plane while a worker runs, which it may have to wait for."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_django, lambda: action(*args, **named))

    # What came of it.

    @in_django
    def show(self, delivery: int) -> queries.DeliveryView:
        return queries.delivery_view(delivery)

    def counts(self, delivery: int) -> dict[str, int]:
        """The messages by status, without zeros."""
        return {str(name): n for name, n in self.show(delivery).messages.items() if n}

    def copies(self, delivery: int) -> dict[str, int]:
        return {str(name): n for name, n in self.show(delivery).copies.items() if n}

    def state(self, delivery: int) -> str:
        return str(self.show(delivery).state)

    @in_django
    def log(self, delivery: int) -> list[queries.LogLine]:
        return list(queries.log(delivery, self.identity))

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True, application_name=ONLOOKER) as db:
            cursor = db.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    # The same as a user would do it.

    @property
    def environment(self) -> dict[str, str]:
        """What a process of its own needs to be in this house."""
        parts = psycopg.conninfo.conninfo_to_dict(self.conninfo)
        url = (
            f"postgresql://{parts['user']}:{parts['password']}@/{self.name}"
            f"?host={self.cluster.socket_folder}"
        )
        return os.environ | {
            "LETTERBOOK_DATABASE_URL": url,
            "LETTERBOOK_DATA": str(self.folder / "data"),
            "LETTERBOOK_SEAL_KEY": base64.b64encode(SEAL_KEY).decode(),
            "LETTERBOOK_HELLO": "sender.example",
        }

    def run(
        self, *arguments: str, status: int = 0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "letterbook", *arguments],
            env=self.environment | more.pop("environment", {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **more,
        )
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def run_json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments).stdout)
