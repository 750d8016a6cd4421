"""Whatever is killed, nothing is left behind, and who is attached stays attached."""

import os
import signal
import subprocess
import sys
from functools import partial

import psycopg
import pytest

from letterbook.embedded import EmbeddedDatabaseError, attach
from letterbook.embedded.cluster import CLUSTER

from .harness import (
    ACTIVE,
    answers,
    ask,
    eventually,
    has_another,
    is_quiet,
    kill,
    moved,
    postmaster_of,
    processes,
    supervisor_of,
)


def test_a_killed_client_leaves_nothing_running(data, client):
    only = client(data).attached()
    assert processes(data)
    only.kill()
    eventually(lambda: is_quiet(data), seconds=5)


def test_a_killed_client_leaves_the_others_alone(data, client):
    other = client(data).attached()
    with attach(data) as database:
        server = postmaster_of(data)
        other.kill()
        assert ask(database, "SELECT 1") == 1
        assert postmaster_of(data) == server


def test_a_killed_clients_statement_ends(data):
    with attach(data) as database:
        busy = subprocess.Popen([sys.executable, "-c", BUSY_CLIENT, data])
        eventually(lambda: ask(database, ACTIVE) == 1)
        busy.kill()
        busy.wait()
        eventually(lambda: ask(database, ACTIVE) == 0, seconds=3)


BUSY_CLIENT = """
import sys; from pathlib import Path; import psycopg; from letterbook.embedded import attach
psycopg.connect(attach(Path(sys.argv[1])).conninfo()).execute("SELECT pg_sleep(60)")
"""


def test_killed_with_its_client_the_supervisor_takes_postgresql_along(data, client):
    only = client(data).attached()
    supervisor = supervisor_of(data)
    log = data / "postgresql.log"
    earlier = len(log.read_text())
    os.kill(only.process.pid, signal.SIGSTOP)  # so that it cannot revive anything
    kill(supervisor)
    only.kill()
    eventually(lambda: is_quiet(data), seconds=5)
    assert "database system is shut down" in log.read_text()[earlier:]


def test_a_killed_supervisor_is_replaced(data):
    with attach(data) as database:
        conninfo, supervisor = database.conninfo(), supervisor_of(data)
        server = postmaster_of(data)
        ask(database, "DROP TABLE IF EXISTS kept")
        ask(database, "CREATE TABLE kept AS SELECT 7 AS number")
        kill(supervisor)
        eventually(lambda: has_another(postmaster_of, data, server))
        eventually(lambda: answers(database))
        assert database.conninfo() == conninfo
        assert ask(conninfo, "SELECT number FROM kept") == 7
    assert is_quiet(data)


def test_a_killed_supervisor_is_replaced_once_for_all_its_clients(data, client):
    others = [client(data).attached() for _ in range(2)]
    with attach(data) as database:
        supervisor, server = supervisor_of(data), postmaster_of(data)
        kill(supervisor)
        eventually(lambda: has_another(postmaster_of, data, server))
        eventually(lambda: answers(database))
        for each in others:
            out, err = each.finish()
            assert out == "closed\n"
            assert err.count("starting it again") == 1
        eventually(lambda: answers(database))
    assert is_quiet(data)


def test_a_killed_server_is_started_again_by_its_supervisor(data):
    with attach(data) as database:
        conninfo, supervisor, server = database.conninfo(), supervisor_of(data), postmaster_of(data)
        kill(server)
        eventually(lambda: has_another(postmaster_of, data, server))
        eventually(lambda: answers(database))
        assert supervisor_of(data) == supervisor
        assert database.conninfo() == conninfo
    assert is_quiet(data)


def test_a_statement_that_outlives_its_server_does_not_delay_the_next(data):
    with attach(data) as database:
        server = postmaster_of(data)
        with psycopg.connect(database.conninfo(), autocommit=True) as connection:
            connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e9)")
            eventually(lambda: ask(database, ACTIVE) == 1)
            kill(server)
            eventually(lambda: has_another(postmaster_of, data, server))
            eventually(lambda: answers(database))
            connection.pgconn.finish()


def test_a_server_that_dies_over_and_over_gets_a_new_supervisor(data, caplog):
    with attach(data) as database:
        supervisor = supervisor_of(data)
        while supervisor_of(data) == supervisor:
            server = eventually(lambda: postmaster_of(data))
            kill(server)
            eventually(partial(has_another, postmaster_of, data, server))
            eventually(lambda: answers(database))
        assert "starting it again" in caplog.text
        assert ask(database, "SELECT 1") == 1
    assert is_quiet(data)


def test_supervisor_and_server_killed_together(data):
    with attach(data) as database:
        supervisor, server = supervisor_of(data), postmaster_of(data)
        kill(supervisor)
        kill(server)
        eventually(lambda: has_another(postmaster_of, data, server))
        eventually(lambda: answers(database))
    assert is_quiet(data)


def test_a_server_that_cannot_start_is_an_error_that_quotes_the_log(data):
    with (
        moved(data / CLUSTER / "global" / "pg_control", data / "pg_control"),
        pytest.raises(EmbeddedDatabaseError, match=r"(?s)mend what.*postgresql.log.*pg_control"),
    ):
        attach(data)
    eventually(lambda: is_quiet(data))
    with attach(data) as database:
        assert ask(database, "SELECT 1") == 1


def test_close_does_not_wait_for_a_revival_that_fails(data, caplog):
    database = attach(data)
    with moved(data / CLUSTER / "global" / "pg_control", data / "pg_control"):
        kill(supervisor_of(data))
        eventually(lambda: "cannot start the embedded PostgreSQL again" in caplog.text)
        database.close()
    eventually(lambda: is_quiet(data))


def test_close_ends_a_revival(data):
    for _ in range(5):
        database = attach(data)
        kill(supervisor_of(data))
        database.close()
        eventually(lambda: is_quiet(data), seconds=5)


def test_a_data_folder_that_went_away_is_not_made_again(data, tmp_path, caplog):
    with attach(data), moved(data, tmp_path / "away"):
        kill(supervisor_of(tmp_path / "away"))
        eventually(lambda: "cannot start the embedded PostgreSQL again" in caplog.text)
        assert not data.exists()


def test_a_client_killed_while_the_database_is_made(empty, client):
    only = client(empty)
    eventually(lambda: is_being_made(empty))
    only.kill()
    eventually(lambda: is_quiet(empty), seconds=5)


def test_a_supervisor_killed_while_the_database_is_made(empty, client):
    only = client(empty)
    eventually(lambda: is_being_made(empty))
    kill(supervisor_of(empty))
    only.attached()  # it has started another
    assert only.finish()[0] == "closed\n"
    assert is_quiet(empty)
    assert not (empty / f"{CLUSTER}.new").exists()


def test_a_half_made_database_is_made_again(empty, client):
    only = client(empty)
    eventually(lambda: is_being_made(empty))
    supervisor = supervisor_of(empty)
    only.kill()
    kill(supervisor)
    eventually(lambda: is_quiet(empty), seconds=5)
    assert not (empty / CLUSTER).exists()
    assert (empty / f"{CLUSTER}.new").exists()
    with attach(empty) as database:
        assert ask(database, "SELECT 1") == 1
    assert not (empty / f"{CLUSTER}.new").exists()


def is_being_made(data):
    return (data / f"{CLUSTER}.new" / CLUSTER / "base").exists()


def test_a_client_killed_while_postgresql_starts(data, client):
    only = client(data)
    eventually(lambda: postmaster_of(data))
    only.kill()
    eventually(lambda: is_quiet(data), seconds=5)


def test_a_supervisor_killed_while_postgresql_starts(data, client):
    only = client(data)
    eventually(lambda: postmaster_of(data))
    kill(supervisor_of(data))
    only.attached()
    assert only.finish()[0] == "closed\n"
    assert is_quiet(data)


def test_a_server_killed_while_it_starts(data, client):
    only = client(data)
    kill(eventually(lambda: postmaster_of(data)))
    only.attached()
    assert only.finish()[0] == "closed\n"
    assert is_quiet(data)
