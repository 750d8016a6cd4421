import os
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from letterbook.settings import (
    Settings,
    SettingsError,
    default_data_folder,
    describe_settings,
    load_settings,
)


@pytest.fixture
def file(tmp_path):
    """A letterbook.toml in the data folder ``tmp_path``."""

    def write(text, name="letterbook.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def load(data, **variables):
    return load_settings({"LETTERBOOK_DATA": str(data), "PATH": "/bin"} | variables)


def test_with_nothing_said_every_setting_has_its_default(tmp_path):
    loaded = load(tmp_path)
    assert (loaded.in_flight, loaded.lease, loaded.time_zone) == (256, timedelta(seconds=4), "UTC")
    assert (loaded.data, loaded.database_url, loaded.seal_key) == (tmp_path, None, None)
    assert loaded == Settings(data=tmp_path)


def test_the_environment_counts_before_the_file_and_the_file_before_the_default(tmp_path, file):
    file('in_flight = 16\nlanguage = "es"\nlease = "10s"\n')
    loaded = load(tmp_path, LETTERBOOK_IN_FLIGHT="32", LETTERBOOK_REPLY_TIMEOUT="1.5m")
    assert (loaded.in_flight, loaded.language, loaded.lease) == (32, "es", timedelta(seconds=10))
    assert (loaded.reply_timeout, loaded.connections) == (timedelta(seconds=90), 10)


def test_a_wrong_value_in_the_file_does_not_matter_where_the_environment_says_otherwise(
    tmp_path, file
):
    file("in_flight = 0\n")
    assert load(tmp_path, LETTERBOOK_IN_FLIGHT="1").in_flight == 1


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("LETTERBOOK_IN_FLIHGT", "did you mean in_flight?"),
        ("LETTERBOOK_ZZZ", "see docs/reference/settings.md"),
        ("LETTERBOOK_", "see docs"),
    ],
)
def test_an_unknown_variable_stops_the_start(tmp_path, variable, hint):
    with pytest.raises(SettingsError) as stopped:
        load(tmp_path, **{variable: "1"})
    assert str(stopped.value).startswith("unknown setting ")
    assert f"{variable} in the environment" in str(stopped.value)
    assert hint in str(stopped.value)


def test_an_unknown_key_is_told_with_file_line_and_suggestion(tmp_path, file):
    path = file('# Ours\nlanguage = "es"\n\nin_flihgt = 3\n')
    with pytest.raises(SettingsError) as stopped:
        load(tmp_path)
    assert str(stopped.value) == (
        f"unknown setting in_flihgt in {path}, line 4; did you mean in_flight?"
    )
    path = file('language = "es"\n[smtp]\nport = 25\n')
    with pytest.raises(SettingsError, match=r"unknown setting smtp in .*, line 2; see docs"):
        load(tmp_path)


def test_a_wrong_value_is_told_with_its_place(tmp_path, file):
    path = file('language = "es"\nin_flight = 0\n')
    with pytest.raises(SettingsError) as stopped:
        load(tmp_path)
    assert str(stopped.value) == (
        f"in_flight in {path}, line 2 cannot be used: it must be a whole number from 1 to 10000"
    )
    file("= 1\n")
    with pytest.raises(SettingsError, match=r"letterbook.toml: .*line 1"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_flight", "0"),
        ("in_flight", "10001"),
        ("in_flight", "-1"),
        ("in_flight", "1.5"),
        ("in_flight", ""),
        ("in_flight", "9" * 5000),
        ("connections", "many"),
        ("lease", "4"),
        ("lease", "0s"),
        ("lease", "0.0000001s"),
        ("lease", "99999999999y"),
        ("lease", "soon"),
        ("language", "fr"),
        ("language", "EN"),
        ("metrics", "9464"),
        ("metrics", ":9464"),
        ("metrics", "127.0.0.1"),
        ("metrics", "127.0.0.1:65536"),
        ("metrics", "127.0.0.1:" + "9" * 5000),
        ("metrics", "a host:1"),
        ("log_format", ""),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "America"),
        ("time_zone", "../UTC"),
        ("base_url", "letters.example.com"),
        ("base_url", "ftp://letters.example.com"),
        ("error_address", "nobody"),
        ("hello", "  "),
        ("dns", "ns.example.com"),
        ("dns", "192.0.2.53:domain"),
        ("dns", "192.0.2.53:70000"),
        ("seal_key_file", ""),
        ("data", "~nobody-of-that-name/letterbook"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start(tmp_path, name, value):
    variable = f"LETTERBOOK_{name.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable} in the environment cannot be used: "):
        load(tmp_path, **{variable: value})


@pytest.mark.parametrize(
    "line",
    [
        "in_flight = true",
        "in_flight = 1.0",
        "in_flight = [1]",
        "lease = 4",
        "lease = 00:00:04",
        "language = ['en']",
        "data = 1",
        "hello = {}",
        "seal_key = ''",
    ],
)
def test_a_value_of_the_wrong_type_stops_the_start(tmp_path, file, line):
    path = file(f"\n{line}\n")
    config = {"LETTERBOOK_CONFIG": str(path)}
    with pytest.raises(SettingsError, match=r"letterbook.toml, line 2 cannot be used: "):
        load_settings(config)


def test_values_are_read_into_their_types(tmp_path, file):
    file(
        'in_flight = 5\nconnections = " 7 "\nlease = "1h"\nbase_url = "https://l.example/x/"\n'
        'error_address = "Bounces@ÑANDÚ.example"\ntime_zone = "Europe/Madrid"\n'
    )
    loaded = load(tmp_path, LETTERBOOK_SEAL_KEY_FILE="~/seal.key", HOME="/home/x")
    assert (loaded.in_flight, loaded.connections) == (5, 7)
    assert loaded.lease == timedelta(hours=1)
    assert loaded.base_url == "https://l.example/x"
    assert loaded.error_address == "Bounces@xn--and-6ma2c.example"
    assert loaded.time_zone == "Europe/Madrid"
    assert loaded.seal_key_file == Path.home() / "seal.key"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_dns_server_has_an_address_and_a_port(tmp_path, text, server):
    assert load(tmp_path, LETTERBOOK_DNS=text).dns == server


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("[::1]:0", "::1", 0),
        ("host.example:1", "host.example", 1),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(tmp_path, value, host, port):
    endpoint = load(tmp_path, LETTERBOOK_METRICS=value).metrics
    assert (endpoint.host, endpoint.port, str(endpoint)) == (host, port, value)


def test_the_file_may_be_named(tmp_path, file, monkeypatch):
    file("in_flight = 1\n")
    path = file("in_flight = 2\n", "other.toml")
    assert load(tmp_path, LETTERBOOK_CONFIG=str(path)).in_flight == 2
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, LETTERBOOK_CONFIG="other.toml").in_flight == 2
    assert load(tmp_path, LETTERBOOK_CONFIG="").in_flight == 1


def test_a_file_that_is_named_must_be_there(tmp_path):
    with pytest.raises(
        SettingsError, match=r"^LETTERBOOK_CONFIG names .*none\.toml, which does not"
    ):
        load(tmp_path, LETTERBOOK_CONFIG=str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"^cannot read .*: Is a directory"):
        load(tmp_path, LETTERBOOK_CONFIG=str(tmp_path))
    with pytest.raises(SettingsError, match=r"^LETTERBOOK_CONFIG cannot be used: "):
        load(tmp_path, LETTERBOOK_CONFIG="~nobody-of-that-name/letterbook.toml")


def test_the_file_may_say_where_the_data_is(tmp_path, file):
    path = file(f'data = "{tmp_path}/data"\n', "other.toml")
    assert load_settings({"LETTERBOOK_CONFIG": str(path)}).data == tmp_path / "data"


def test_roots_data_is_the_systems(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert default_data_folder() == Path("/var/lib/letterbook")


@pytest.mark.parametrize(
    ("xdg", "folder"),
    [
        ("/home/ana/data", "/home/ana/data/letterbook"),
        (None, "/home/ana/.local/share/letterbook"),
        ("", "/home/ana/.local/share/letterbook"),
        ("data", "/home/ana/.local/share/letterbook"),
        (".", "/home/ana/.local/share/letterbook"),
    ],
)
def test_a_users_data_is_in_the_users_folder_and_never_in_the_current_one(monkeypatch, xdg, folder):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if xdg is not None:
        monkeypatch.setenv("XDG_DATA_HOME", xdg)
    assert default_data_folder() == Path(folder)


def test_every_setting_is_described_in_a_sentence():
    described = list(describe_settings())
    assert [variable for variable, _, _ in described] == [
        f"LETTERBOOK_{each.name.upper()}" for each in fields(Settings)
    ]
    for variable, shown, sentence in described:
        assert shown, variable
        assert sentence.endswith("."), variable
        assert sentence[0].isupper(), variable
    shown = {variable: shown for variable, shown, _ in described}
    assert (shown["LETTERBOOK_LEASE"], shown["LETTERBOOK_FINAL_REPLY_TIMEOUT"]) == ("4s", "10m")
    assert (shown["LETTERBOOK_IN_FLIGHT"], shown["LETTERBOOK_TIME_ZONE"]) == ("256", "UTC")


def test_no_description_holds_what_is_this_hosts(monkeypatch):
    described = list(describe_settings())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ana")
    assert list(describe_settings()) == described


def test_secrets_are_not_shown():
    settings = Settings(seal_key="sealing secret", database_url="postgresql://u:word@h/d")
    assert "sealing secret" not in repr(settings)
    assert "word" not in repr(settings)


def test_a_secret_that_cannot_be_used_is_not_shown(tmp_path):
    for name in ("LETTERBOOK_SEAL_KEY", "LETTERBOOK_DATABASE_URL"):
        with pytest.raises(SettingsError) as stopped:
            load(tmp_path, **{name: " "})
        assert "in the environment" in str(stopped.value)
