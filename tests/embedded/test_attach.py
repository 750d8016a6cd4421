"""Who attaches starts PostgreSQL; who leaves last stops it."""

import os
import signal
import stat
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from letterbook.embedded import EmbeddedDatabaseError, attach

from .harness import ask, is_quiet, moved, postmaster_of, processes, supervisor_of


def test_first_attach_makes_the_folder_and_the_database(empty):
    with attach(empty) as database:
        assert stat.S_IMODE(empty.stat().st_mode) == 0o700
        assert ask(database, "SELECT current_database()") == "letterbook"
        assert ask(database, "SELECT current_user") == "letterbook"
        assert ask(database, "SHOW server_encoding") == "UTF8"
        assert ask(database, "SELECT lower('ÑANDÚ')") == "ñandú"
        assert ask(database, "SELECT 'Z' < 'a'")
        assert database.socket_folder == empty / "postgresql.socket"
        assert database.log_file == empty / "postgresql.log"
        assert "ready to accept connections" in database.log_file.read_text()
    assert is_quiet(empty)


def test_what_was_written_is_there_after_a_restart(data):
    with attach(data) as database:
        ask(database, "CREATE TABLE written AS SELECT 7 AS number")
    with attach(data) as database:
        assert ask(database, "SELECT number FROM written") == 7


def test_conninfo_names_folder_user_password_and_database_only(data):
    with attach(data) as database:
        parameters = conninfo_to_dict(database.conninfo())
        assert set(parameters) == {"host", "port", "user", "password", "dbname"}
        assert parameters["host"].startswith("/proc/self/fd/")
        assert parameters["user"] == parameters["dbname"] == "letterbook"
        ask(database, """CREATE DATABASE "it's a \\ test" """)
        other = database.conninfo("it's a \\ test")
        assert ask(other, "SELECT current_database()") == "it's a \\ test"


def test_a_closed_database_gives_no_conninfo_and_may_be_closed_again(data):
    database = attach(data)
    database.close()
    database.close()
    with pytest.raises(EmbeddedDatabaseError, match="attach again"):
        database.conninfo()


def test_close_of_the_last_lease_leaves_nothing_running(data):
    database = attach(data)
    running = processes(data)
    assert list(running.values()).count("postgres") > 3
    database.close()
    assert is_quiet(data)
    assert not any(is_alive(pid) for pid in running)
    assert sorted(path.name for path in data.iterdir()) == [
        "postgresql-18",
        "postgresql.log",
        "postgresql.password",
        "postgresql.socket",
        "supervisor.lock",
    ]


def is_alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_first_to_leave_does_not_stop_it(data, client):
    first = client(data).attached()
    with attach(data) as database:
        server = postmaster_of(data)
        # Its output is a pipe, read to its end: the supervisor that it started must not hold it.
        assert first.finish() == ("closed\n", "")
        assert ask(database, "SELECT 1") == 1
        assert postmaster_of(data) == server
    assert is_quiet(data)


def test_one_process_may_attach_twice(data):
    with attach(data) as first:
        with attach(data) as second:
            assert ask(second, "SELECT 1") == 1
        assert ask(first, "SELECT 1") == 1
    assert is_quiet(data)


def test_many_processes_may_be_the_first(empty, client):
    clients = [client(empty) for _ in range(4)]
    for each in clients:
        each.attached()
    assert len([name for name in processes(empty).values() if name != "postgres"]) == 1
    for each in clients:
        assert each.finish() == ("closed\n", "")
    assert is_quiet(empty)


def test_attach_while_the_last_one_leaves(data):
    failures = []

    def come_and_go():
        try:
            for _ in range(5):
                with attach(data) as database:
                    ask(database, "SELECT 1")
        except Exception as error:  # noqa: BLE001  the test reports it
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert is_quiet(data)


def test_a_path_longer_than_a_socket_address_may_be(data, tmp_path):
    long = tmp_path / ("long" * 30) / ("path" * 30)
    long.parent.mkdir(parents=True)
    with moved(data, long), attach(long) as database:
        assert ask(database, "SELECT 1") == 1
        assert len(str(database.socket_folder)) > 107


def test_the_supervisor_keeps_nothing_of_the_caller(data):
    with attach(data):
        supervisor = Path(f"/proc/{supervisor_of(data)}")
        assert os.getsid(int(supervisor.name)) != os.getsid(0)
        assert (supervisor / "fd/0").readlink() == Path("/dev/null")
        assert (supervisor / "fd/1").readlink() == data / "postgresql.log"
        assert (supervisor / "fd/2").readlink() == data / "postgresql.log"
        assert (supervisor / "cwd").readlink() == Path("/")


def test_an_interrupt_from_the_terminal_does_not_reach_it(data, client):
    interrupted = client(data, start_new_session=True).attached()
    with attach(data) as database:
        server = postmaster_of(data)
        os.killpg(interrupted.process.pid, signal.SIGINT)
        interrupted.process.wait(10)
        assert ask(database, "SELECT 1") == 1
        assert postmaster_of(data) == server


def test_the_supervisor_outlives_a_signal_to_end_while_it_has_leases(data):
    with attach(data) as database:
        server = postmaster_of(data)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(supervisor_of(data), number)
        with psycopg.connect(database.conninfo()) as connection:
            connection.execute("SELECT 1")
        assert postmaster_of(data) == server
    assert is_quiet(data)


def test_elsewhere_than_on_linux_it_says_so(empty, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmbeddedDatabaseError, match=r"Linux only.*LETTERBOOK_DATABASE_URL"):
        attach(empty)
    assert not empty.exists()
