"""A terminal in a house of its own."""

import pytest

from tests.cli.terminal import Terminal
from tests.control.conftest import house, own_house, rooms
from tests.house import House

__all__ = ["house", "own_house", "rooms"]


@pytest.fixture
def terminal(house: House) -> Terminal:
    return Terminal(house)
