"""What every command stands on: settings, database, schema, key, actor."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from letterbook.control.kernel.actor import Actor, command_line_actor
from letterbook.control.mailtemplates.actions import ensure_native_templates
from letterbook.control.platform.actions import ensure_secrets
from letterbook.control.platform.queries import has_secrets, identity
from letterbook.control.project.configure import connect, use_database
from letterbook.control.project.migrate import migrate, require_schema
from letterbook.embedded import attach
from letterbook.mail.identity import Identity
from letterbook.sealing import Sealer, load_sealer
from letterbook.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Session:
    """An open installation. ``conninfo`` is for libpq."""

    settings: Settings
    conninfo: str
    sealer: Sealer
    actor: Actor

    @property
    def identity(self) -> Identity:
        """The maker of this platform's message names."""
        return identity(self.sealer)


@contextmanager
def open_session(*, migrating: bool = False) -> Iterator[Session]:
    """Open the installation that the settings describe.

    The embedded database starts with it, and its schema is brought up to date by itself; with
    any other, ``migrating`` asks for that. Raises SettingsError, EmbeddedDatabaseError,
    DatabaseError, SchemaError and SealError.
    """
    settings = load_settings()
    with _conninfo(settings) as conninfo:
        use_database(conninfo)
        connect()
        if migrating or settings.database_url is None:
            migrate()
        else:
            require_schema()
        sealer = load_sealer(settings, may_create=not has_secrets())
        ensure_secrets(sealer)
        ensure_native_templates()
        yield Session(settings, conninfo, sealer, command_line_actor())


@contextmanager
def _conninfo(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
    else:
        with attach(settings.data) as database:
            yield database.conninfo()
