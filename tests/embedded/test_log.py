"""The log names no recipient."""

import threading

import psycopg
import pytest
from psycopg import errors

from letterbook.embedded import attach
from letterbook.embedded.cluster import CLUSTER
from letterbook.embedded.log import LARGEST

from .harness import ACTIVE, answers, ask, eventually, has_another, kill, postmaster_of

MARK = "maria@customer.example"
# What PostgreSQL keeps its rows, its write-ahead log and its bookkeeping in.
STORAGE = {"base", "global", "pg_wal", "pg_xact", "pg_multixact", "pg_subtrans", "pg_stat"}

TABLE = "CREATE TABLE person (address varchar(99) PRIMARY KEY CHECK (address ~ '[a-z]'))"
FAILING = [
    (errors.UniqueViolation, f"INSERT INTO person VALUES ('{MARK}'), ('{MARK}')", None),
    (errors.UniqueViolation, "INSERT INTO person VALUES (%s), (%s)", [MARK, MARK]),
    (errors.InvalidTextRepresentation, f"SELECT '{MARK}'::int", None),
    (errors.InvalidTextRepresentation, "SELECT %s::text::int", [MARK]),
    (errors.InvalidTextRepresentation, "SELECT %s::text::json", [MARK]),
    (errors.DivisionByZero, "SELECT 1 / length(%s) / 0", [MARK]),
    (errors.StringDataRightTruncation, "INSERT INTO person VALUES (%s)", [MARK * 20]),
    (errors.CheckViolation, "INSERT INTO person VALUES (%s)", [MARK.upper()]),
    (errors.SyntaxError, f"SELEKT '{MARK * 100_000}'", None),
    (errors.StatementTooComplex, f"SELECT '{MARK}' {'|| 1' * 100_000}", None),
    (errors.RaiseException, f"DO $$ BEGIN RAISE EXCEPTION '{MARK}'; END $$", None),
    (errors.QueryCanceled, f"SET statement_timeout = 1; SELECT pg_sleep(9), '{MARK}'", None),
]


def test_no_error_leaves_a_value_in_a_file(data):
    with attach(data) as database:
        ask(database, TABLE)
        for error, statement, values in FAILING:
            with psycopg.connect(database.conninfo()) as connection, pytest.raises(error):
                connection.execute(statement, values)
        for victim in ("backend", "postmaster"):
            kill_during_a_statement(data, database, victim)
        assert "was terminated by signal 9" in database.log_file.read_text()
    assert files_that_name(data, MARK) == []


def kill_during_a_statement(data, database, victim):
    server = postmaster_of(data)
    connection = psycopg.connect(database.conninfo())
    waiting = threading.Thread(target=wait_in_a_statement, args=[connection])
    waiting.start()
    eventually(lambda: ask(database, ACTIVE) == 1)
    kill(connection.info.backend_pid if victim == "backend" else server)
    waiting.join(10)
    assert not waiting.is_alive()
    connection.close()
    if victim == "postmaster":
        eventually(lambda: has_another(postmaster_of, data, server))
    eventually(lambda: answers(database))


def wait_in_a_statement(connection):
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(60), %s::text", [MARK])


def files_that_name(data, mark):
    return [
        path
        for path in data.rglob("*")
        if path.is_file()
        and not (CLUSTER in path.parts and STORAGE & set(path.parts))
        and mark.encode() in path.read_bytes().lower()
    ]


def test_the_files_that_are_looked_at_are_all_but_the_storage(data):
    leak = data / "somewhere.log"
    leak.write_text(f"Key (address)=({MARK}) already exists.")
    assert files_that_name(data, MARK) == [leak]
    leak.unlink()


def test_a_large_log_is_put_aside_at_the_next_start(data):
    log, previous = data / "postgresql.log", data / "postgresql.log.1"
    for filling in ("first", "second"):
        log.write_text(filling.ljust(LARGEST + 1))
        with attach(data):
            assert "ready to accept connections" in log.read_text()
            assert log.stat().st_size < LARGEST
        assert previous.read_text().startswith(filling)
    assert sorted(path.name for path in data.glob("*.log*")) == [log.name, previous.name]
    previous.unlink()


def test_a_small_log_goes_on(data):
    (data / "postgresql.log").write_text("earlier\n")
    with attach(data):
        pass
    assert (data / "postgresql.log").read_text().startswith("earlier\n")
