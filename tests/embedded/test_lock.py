"""One supervisor at a time."""

import fcntl
import os

import pytest

from letterbook.embedded import EmbeddedDatabaseError
from letterbook.embedded.folder import DataFolder
from letterbook.embedded.lock import take_lock


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    folder = DataFolder.open(tmp_path)
    yield folder
    folder.close()


def test_the_lock_excludes_others_until_it_is_let_go(folder):
    lock = take_lock(folder, unless=lambda: False)
    with pytest.raises(EmbeddedDatabaseError, match="is still in use by"):
        take_lock(folder, unless=lambda: False, wait=0.1)
    os.close(lock)
    os.close(take_lock(folder, unless=lambda: False, wait=0))


def test_who_waits_learns_that_it_need_not(folder):
    lock = take_lock(folder, unless=lambda: False)
    assert take_lock(folder, unless=lambda: True) is None
    os.close(lock)


def test_an_inherited_lock_is_held_until_the_last_process_ends(folder, client):
    reading, writing = os.pipe()
    lock = take_lock(folder, unless=lambda: False)
    child = os.posix_spawn(
        "/bin/cat", ["cat"], {}, file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, lock, 9),
            (os.POSIX_SPAWN_CLOSE, writing),
        ],
    )  # fmt: skip
    os.close(reading)
    os.close(lock)
    with pytest.raises(EmbeddedDatabaseError, match=rf"in use by cat \({child}\)"):
        take_lock(folder, unless=lambda: False, wait=0.1)
    os.close(writing)
    os.waitpid(child, 0)
    lock = take_lock(folder, unless=lambda: False, wait=0)
    assert fcntl.fcntl(lock, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
    os.close(lock)
