"""One database for many tests, emptied after each: far quicker than another copy for each."""

from pathlib import Path

import psycopg
from django.conf import settings as django_settings

from letterbook.embedded import Database
from tests.house import House, _use, in_django

_TABLES = """
SELECT relname FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
   AND relname !~ '^(django|procrastinate)'
 UNION SELECT 'procrastinate_jobs'
"""
_SEQUENCES = """
SELECT format('SELECT setval(%L, %s, %L)', sequencename, coalesce(last_value, start_value),
              last_value IS NOT NULL)
  FROM pg_sequences WHERE schemaname = 'public'
"""


class Rooms:
    """A house whose database is used again and again."""

    def __init__(self, cluster: Database, folder: Path) -> None:
        self._house = House(cluster, folder)
        self._db = psycopg.connect(self._house.conninfo, autocommit=True)
        self._db.execute("SET lock_timeout = '30s'")  # a test that left a lock is to be seen
        tables = [name for (name,) in self._db.execute(_TABLES).fetchall()]
        self._db.execute("CREATE SCHEMA as_new")
        for name in tables:
            self._db.execute(f"CREATE TABLE as_new.{name} AS TABLE {name}")
        self._renewal = "; ".join(
            (
                *(f"DELETE FROM {name}" for name in tables),
                *(f"INSERT INTO {name} TABLE as_new.{name}" for name in tables),
                *(statement for (statement,) in self._db.execute(_SEQUENCES).fetchall()),
            )
        )

    def open(self, folder: Path) -> "Room":
        return Room(self._house, folder)

    def renew(self) -> None:
        """Let the database be as it was when new."""
        self._db.execute(self._renewal)

    def close(self) -> None:
        self._db.close()
        self._house.close()


class Room(House):
    """A house for one test, in a database that was there before."""

    def __init__(self, house: House, folder: Path) -> None:
        self.cluster, self.name, self.conninfo = house.cluster, house.name, house.conninfo
        self.sealer, self.identity, self.settings = house.sealer, house.identity, house.settings
        self.folder = folder
        self.with_settings(data=folder / "data")
        if django_settings.DATABASES["default"]["NAME"] != self.name:
            in_django(_use)(self.conninfo)
