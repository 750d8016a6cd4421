"""A data folder for each test, and nothing left running after it."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from letterbook.embedded import attach

from .harness import Client, eventually, is_quiet, processes


def end_all(data: Path) -> None:
    """See what runs for ``data`` end by itself, as it does once no client is left, or end it."""
    with suppress(AssertionError):
        eventually(lambda: is_quiet(data), seconds=5)
    for pid in processes(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_quiet(data))


@pytest.fixture(scope="session")
def used() -> Iterator[Path]:
    # Everybody can walk there, so that the data folder's own locks are what is tested.
    parent = Path(tempfile.mkdtemp(prefix="letterbook-test-"))
    parent.chmod(0o755)
    attach(parent / "data").close()
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def data(used: Path) -> Iterator[Path]:
    """A data folder that has been used before; other tests will use it too."""
    yield used
    end_all(used)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """Where a data folder may be made."""
    data = tmp_path / "data"
    yield data
    end_all(data)
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Start clients, which end with the test."""
    started: list[Client] = []

    def start(data: Path, **options: Any) -> Client:
        started.append(Client(data, **options))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        for pipe in (each.process.stdin, each.process.stdout, each.process.stderr):
            assert pipe is not None
            pipe.close()
