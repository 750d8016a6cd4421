"""Every setting is in force, and has a reason."""

import psycopg
import pytest

from letterbook.embedded import attach
from letterbook.embedded.cluster import CLUSTER
from letterbook.embedded.configuration import SETTINGS

from .harness import ask


def test_postgresql_runs_with_these_settings(data):
    with attach(data) as database, psycopg.connect(database.conninfo()) as connection:
        for setting in SETTINGS:
            [(in_force, file)] = connection.execute(
                "SELECT current_setting(name), sourcefile FROM pg_settings WHERE lower(name) = %s",
                [setting.name],
            )
            assert in_force == setting.value, setting
            assert file.endswith("/postgresql.conf"), setting
        assert ask(database, "SELECT count(*) FROM pg_file_settings WHERE NOT applied") == 0


def test_every_setting_is_given_once_with_a_reason():
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names))
    assert all(setting.reason for setting in SETTINGS)


@pytest.mark.parametrize("name", ["postgresql.conf", "pg_hba.conf"])
def test_both_files_are_written_anew_at_each_start(data, name):
    file = data / CLUSTER / name
    written = file.read_text()
    file.write_text("max_connections = 7\nlocal all all trust\n")
    with attach(data) as database:
        assert ask(database, "SHOW max_connections") == "100"
    assert file.read_text() == written
