"""Where alerts go: what an administrator may say, and secrets that nobody sees."""

from pathlib import Path

import pytest

from letterbook.control.platform.actions import remove_alert_channel, set_alert_channel
from letterbook.control.platform.channels import read_target
from letterbook.control.platform.errors import AlertChannelError
from letterbook.control.platform.queries import alert_channels
from tests.control.desk import audit, do, everything
from tests.house import ACTOR, House

URL = "https://hooks.example:8443/services/s3cret/token?key=s3cret"


@pytest.mark.parametrize(
    ("kind", "text", "target", "shown"),
    [
        ("mail", " Ops@Example.NET ", "Ops@example.net", "Ops@example.net"),
        ("webhook", URL, URL, "https://hooks.example:8443/…"),
        ("webhook", "https://h.example", "https://h.example", "https://h.example/…"),
        ("webhook", "http://127.0.0.1:9/x", "http://127.0.0.1:9/x", "http://127.0.0.1:9/…"),
        ("webhook", "http://[::1]:9/x", "http://[::1]:9/x", "http://[::1]:9/…"),
        ("webhook", "http://localhost/x", "http://localhost/x", "http://localhost/…"),
        ("command", "/bin/true", "/bin/true", "/bin/true"),
    ],
)
def test_a_target(kind: str, text: str, target: str, shown: str):
    found = read_target(kind, text)
    assert (found.target, found.shown) == (target, shown)
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        ("pigeon", "coo", "they are mail, webhook, command"),
        ("mail", "nobody", "is not an address"),
        ("webhook", "hooks.example/s3cret", "has the form https://"),
        ("webhook", "ftp://hooks.example/s3cret", "has the form https://"),
        ("webhook", "https:///s3cret", "has the form https://"),
        ("webhook", "https://hooks.example:x/s3cret", "has the form https://"),
        ("webhook", "https://hooks.example:0/s3cret", "has the form https://"),
        ("webhook", "https://u:s3cret@hooks.example/", "without user and password"),
        ("webhook", "https://hooks.example/s3cret\r\nX: y", "has the form https://"),
        ("webhook", "https://hooks.example/s3cret x", "has the form https://"),
        ("webhook", "https://hooks.example/#s3cret", "has the form https://"),
        ("webhook", "http://hooks.example/s3cret", "must begin with https://"),
        ("webhook", "http://127.0.0.1.example/s3cret", "must begin with https://"),
        ("command", "true", "must be a whole path"),
        ("command", "/nowhere/at/all", "cannot be run on this host"),
        ("command", "/etc/passwd", "cannot be run on this host"),
        ("command", "/bin", "cannot be run on this host"),
    ],
)
def test_a_target_that_cannot_be_used(kind: str, text: str, complaint: str):
    with pytest.raises(AlertChannelError, match=complaint) as refused:
        read_target(kind, text)
    assert "s3cret" not in str(refused.value)


def test_a_channel_is_set_changed_and_removed_with_audit_and_without_its_secret(house: House):
    do(set_alert_channel, ACTOR, house.sealer, "webhook", "https://old.example/s3cret")
    do(set_alert_channel, ACTOR, house.sealer, "webhook", URL)
    ((kind, (shown, sealed)),) = do(alert_channels).items()
    assert (kind, shown) == ("webhook", "https://hooks.example:8443/…")
    assert house.sealer.open("alert channel webhook", sealed).decode() == URL
    assert "s3cret" not in str(everything(house))
    do(remove_alert_channel, ACTOR, "webhook")
    assert do(alert_channels) == {}
    old, new = {"target": "https://old.example/…"}, {"target": "https://hooks.example:8443/…"}
    name = "alert channel webhook"
    assert [line for line in audit(house) if line[2] == name] == [
        (ACTOR.name, "set alert channel", name, None, old),
        (ACTOR.name, "set alert channel", name, old, new),
        (ACTOR.name, "remove alert channel", name, new, None),
    ]


def test_a_channel_that_is_not_set_cannot_be_removed(house: House):
    with pytest.raises(AlertChannelError, match="no alerts go by mail"):
        do(remove_alert_channel, ACTOR, "mail")


def test_what_a_channel_was_not_told_goes_with_it(house: House):
    do(set_alert_channel, ACTOR, house.sealer, "command", "/bin/true")
    house.sql(
        "WITH a AS (INSERT INTO outbox_alert (cause, object, facts) VALUES ('held', 'x', '{}') "
        "RETURNING id) INSERT INTO outbox_alert_news (alert_id, channel, recovered) "
        "SELECT id, 'command', false FROM a"
    )
    do(remove_alert_channel, ACTOR, "command")
    assert house.sql("SELECT count(*) FROM outbox_alert_news") == [(0,)]
    assert house.sql("SELECT count(*) FROM outbox_alert") == [(1,)]


def test_a_relative_command_is_refused_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = tmp_path / "tell"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlertChannelError, match="whole path"):
        read_target("command", "./tell")
    assert read_target("command", str(script)).target == str(script)
