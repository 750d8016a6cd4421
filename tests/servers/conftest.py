"""Folders that the users of other programs can reach."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may walk through (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="letterbook-servers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
