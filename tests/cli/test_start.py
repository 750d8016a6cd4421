"""What a process does before its command: settings, database, schema, key."""

import base64
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from letterbook.schema import SCHEMA_VERSION
from tests.cli.terminal import Terminal
from tests.house import House

# Settings.


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("LETTERBOOK_LEESE", "4s", "unknown setting LETTERBOOK_LEESE .*did you mean lease"),
        ("LETTERBOOK_NOTHING_LIKE_IT", "1", "unknown setting .*docs/reference/settings.md"),
        ("LETTERBOOK_LEASE", "soon", "LETTERBOOK_LEASE in the environment cannot be used"),
        ("LETTERBOOK_IN_FLIGHT", "0", "LETTERBOOK_IN_FLIGHT .*whole number from 1 to 10000"),
        ("LETTERBOOK_TIME_ZONE", "Mars/Olympus", "LETTERBOOK_TIME_ZONE .*such as Europe/Madrid"),
        ("LETTERBOOK_ERROR_ADDRESS", "nobody", "LETTERBOOK_ERROR_ADDRESS .* cannot be used"),
        ("LETTERBOOK_DATABASE_URL", "mysql://localhost/x", "such as postgresql://"),
        ("LETTERBOOK_SEAL_KEY", "c2hvcnQ=", "LETTERBOOK_SEAL_KEY must hold 32 bytes in base64"),
        ("LETTERBOOK_CONFIG", "/nowhere.toml", "names /nowhere.toml, which does not exist"),
    ],
)
def test_a_wrong_setting_stops_every_command(
    terminal: Terminal, name: str, value: str, complaint: str
):
    for command in (("check",), ("deliveries", "list"), ("migrate",), ("worker", "--until-idle")):
        done = terminal(*command, status=1, **{name: value})
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1].startswith("letterbook: ")
        assert re.search(complaint, done.stderr), done.stderr


def test_a_wrong_line_in_the_file_of_settings_is_pointed_at(house: House, terminal: Terminal):
    house.settings.data.mkdir()
    path = house.settings.data / "letterbook.toml"
    path.write_text('hello = "a.example"\nlease = "soon"\n', encoding="utf-8")
    done = terminal("deliveries", "list", status=1)
    assert f"lease in {path}, line 2 cannot be used" in done.stderr


def test_another_key_than_the_databases_is_refused(house: House, terminal: Terminal):
    other = base64.b64encode(bytes(32)).decode()
    for command in (("check",), ("routes", "set", "archive", "smtps://ana:x@localhost:1")):
        done = terminal(*command, status=1, LETTERBOOK_SEAL_KEY=other)
        assert "was sealed with another key" in done.stderr
    assert house.sql("SELECT * FROM platform_route") == []


# The database.


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://ana:s3cret@[::1/letters", "the address of the database has the form"),
        ("postgresql://ana:s3cret@127.0.0.1:1/letters", "cannot reach the database: "),
    ],
)
def test_a_database_that_cannot_be_used_is_a_plain_error(house: House, url: str, complaint: str):
    done = house.run("check", status=1, environment={"LETTERBOOK_DATABASE_URL": url})
    assert done.stdout == ""
    assert done.stderr.startswith(f"letterbook: {complaint}")
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        (SCHEMA_VERSION - 1, "run `letterbook migrate`"),
        (SCHEMA_VERSION + 1, "made by a newer release"),
    ],
)
def test_a_database_of_another_release_is_refused(
    house: House, terminal: Terminal, version: int, complaint: str
):
    house.sql("UPDATE kernel_schemaversion SET version = %s", version)
    for command in (("check",), ("deliveries", "list"), ("recipients", "optout", "a@b.example")):
        done = terminal(*command, status=1)
        assert done.stdout == ""
        assert f"letterbook: the database has schema {version}" in done.stderr
        assert complaint in done.stderr
    assert house.sql("SELECT * FROM recipients_recipient") == []
    if version > SCHEMA_VERSION:
        assert complaint in terminal("migrate", status=1).stderr
        assert house.sql("SELECT version FROM kernel_schemaversion") == [(version,)]


def test_an_external_database_is_migrated_when_told_and_by_many_at_once(house: House):
    name = f"{house.name}_new"
    url = house.environment["LETTERBOOK_DATABASE_URL"].replace(house.name, name)
    environment = {"LETTERBOOK_DATABASE_URL": url}
    with psycopg.connect(house.cluster.conninfo(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
        try:
            done = house.run("deliveries", "list", status=1, environment=environment)
            assert "the database has no schema yet: run `letterbook migrate`" in done.stderr
            with ThreadPoolExecutor(3) as threads:
                racing = [
                    threads.submit(house.run, "migrate", environment=environment) for _ in range(3)
                ]
                for each in racing:
                    assert each.result().stdout == "The schema is up to date.\n"
            done = house.run("templates", "list", "--json", environment=environment)
            assert '"name":"email-delivery","label":"Email delivery","native":true' in done.stdout
            with psycopg.connect(house.cluster.conninfo(name)) as new:
                assert new.execute("SELECT version FROM kernel_schemaversion").fetchall() == [
                    (SCHEMA_VERSION,)
                ]
                assert new.execute("SELECT count(*) FROM platform_secret").fetchone() == (1,)
                assert new.execute("SELECT count(*) FROM mailtemplates_template").fetchone() == (1,)
        finally:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_embedded_database_comes_and_goes_with_the_command(house: House):
    """A first command on a bare machine: database, schema and key make themselves."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("LETTERBOOK_")
    } | {"LETTERBOOK_DATA": str(house.folder / "bare")}
    done = subprocess.run(
        [sys.executable, "-m", "letterbook", "check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done
    assert "✓ database: embedded, schema up to date" in done.stdout
    assert f"✓ data folder: {house.folder / 'bare'}" in done.stdout
    assert "`letterbook routes set recipients URL`" in done.stdout
    assert done.stderr.startswith("letterbook: ")


def test_a_package_that_is_missing_is_named(tmp_path: Path):
    """With one extra alone, most commands cannot run; they must say so."""
    (tmp_path / "django.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'django'\", name='django')", "utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "letterbook", "templates", "list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("letterbook: this command needs the package django")
