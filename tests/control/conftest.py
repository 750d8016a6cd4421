"""Houses that are quick to have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from letterbook.embedded import Database
from tests.control.rooms import Rooms
from tests.house import House


@pytest.fixture(scope="session")
def rooms(cluster: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    rooms = Rooms(cluster, tmp_path_factory.mktemp("rooms"))
    yield rooms
    rooms.close()


@pytest.fixture
def house(rooms: Rooms, tmp_path: Path) -> Iterator[House]:
    """An installation with an empty database, and nothing running."""
    yield rooms.open(tmp_path)
    rooms.renew()


@pytest.fixture
def own_house(cluster: Database, tmp_path: Path) -> Iterator[House]:
    """One with a database that nobody uses afterwards."""
    found = House(cluster, tmp_path)
    yield found
    found.close()
