"""The engine's way to PostgreSQL: a few connections, statements from files, patience."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final, ParamSpec, Self, TypeVar

import msgspec
import psycopg
import structlog
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from letterbook.engine.errors import RestoredError, SchemaMismatchError, UnreachableError
from letterbook.schema import SCHEMA_VERSION

LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What a lost database looks like."""

CHANNEL: Final = "letterbook_ledger"
_CONNECTIONS: Final = 6
_ABANDONED: Final = 10.0
"""Seconds after which the server gives up a transaction whose worker says nothing more. A worker
whose host has gone would otherwise hold its locks, and so its parts, for hours."""

_PATIENCE: Final = (0.1, 0.2, 0.5, 1.0)
_log = structlog.get_logger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@cache
def statement(name: str) -> str:
    """Return the text of ``engine/sql/<name>.sql``."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")


class Database:
    """A pool of connections to the ledger."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=_CONNECTIONS,
            open=False,
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            kwargs={"autocommit": True, "prepare_threshold": 1, "options": _options(conninfo)},
        )

    async def __aenter__(self) -> Self:
        """Open the pool. Raises UnreachableError when the database does not answer for 30 s."""
        try:
            await self._pool.open(wait=True)
        except PoolTimeout as error:
            raise UnreachableError(
                "cannot reach the database; see above why, and check LETTERBOOK_DATABASE_URL"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._pool.connection() as connection:
            yield connection

    async def fetch(self, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run the statement ``name`` and return its rows."""
        async with self.connection() as connection:
            cursor = await connection.execute(statement(name), values)
            return await cursor.fetchall() if cursor.description else []

    async def require_schema(self) -> None:
        """Raise SchemaMismatchError unless the schema is that of this release."""
        async with self.connection() as connection:
            cursor = await connection.execute("SELECT to_regclass('engine_schema') IS NOT NULL")
            row = await cursor.fetchone()
            found = None
            if row and row[0]:
                cursor = await connection.execute("SELECT version FROM engine_schema")
                row = await cursor.fetchone()
                found = row[0] if row else None
        if found != SCHEMA_VERSION:
            raise SchemaMismatchError(
                f"the database has schema {found or 'none'} and this release needs "
                f"{SCHEMA_VERSION}: run `letterbook migrate`, or upgrade Letterbook on this host"
            )

    async def is_known(self) -> bool:
        """Whether the database is the one it was: not restored, and no other after a failover."""
        return await self.fetch("lineage", {}) == [(True,)]

    async def require_known(self) -> None:
        """Raise RestoredError unless the database is the one it was."""
        if not await self.is_known():
            raise RestoredError(
                "this database was restored, or is another server after a failover, and what has "
                "been sent since may be missing in it: run `letterbook restored --since WHEN` "
                "(docs/operate/backup-and-restore.md)"
            )


async def persist(
    work: Callable[_Arguments, Awaitable[_Result]],
    *args: _Arguments.args,
    **named: _Arguments.kwargs,
) -> _Result:
    """Do ``work(*args)``, again and again as long as the database is lost."""
    tries = 0
    while True:
        try:
            return await work(*args, **named)
        except LOST as error:
            _log.warning("database lost", error=type(error).__name__, tries=tries)
            await asyncio.sleep(_PATIENCE[min(tries, len(_PATIENCE) - 1)])
            tries += 1


async def _configure(connection: Connection) -> None:
    set_json_loads(msgspec.json.decode, connection)


def _options(conninfo: str) -> str:
    """Return what the connections' options are, and that the server gives up what is abandoned."""
    given = psycopg.conninfo.conninfo_to_dict(conninfo).get("options") or ""
    limit = f"-c idle_in_transaction_session_timeout={_ABANDONED * 1000:.0f}"
    return f"{given} {limit}".strip()
