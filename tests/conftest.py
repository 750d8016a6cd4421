"""A cluster for the session, and a house of its own for each test that asks for one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from letterbook.control.project.configure import prepare
from letterbook.embedded import Database, attach

prepare()

from .house import House, make_template_database  # noqa: E402 - Django first

# Machines are busy and examples are many; what a test promises is not a time.
settings.register_profile("letterbook", deadline=None)
settings.load_profile("letterbook")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Database]:
    """An embedded PostgreSQL with a migrated database to copy from."""
    data = Path(tempfile.mkdtemp(prefix="letterbook-tests-"))
    with attach(data) as database:
        make_template_database(database)
        yield database
    shutil.rmtree(data)


@pytest.fixture
def house(cluster: Database, tmp_path: Path) -> Iterator[House]:
    """An installation with an empty database, and nothing running."""
    found = House(cluster, tmp_path)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> None:
    """What somebody has set on this machine must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("LETTERBOOK_"):
            del os.environ[name]
