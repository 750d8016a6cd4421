"""Commands about alerts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.engine.hook import Hook, Script
from tests.house import House


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def test_channels_are_set_tried_shown_and_turned_off(
    house: House, terminal: Terminal, hook: Hook, tmp_path: Path
):
    script = Script(tmp_path)
    said = terminal("alerts", "set", "webhook", hook.url)
    terminal("alerts", "set", "command", script.path)
    shown = f"http://127.0.0.1:{hook.port}/…"
    assert shown in said.stdout
    assert "secret" not in said.stdout + said.stderr
    assert terminal.json("alerts", "show") == {
        "channels": {"command": str(script.path), "webhook": shown},
        "alerts": [],
    }
    tried = terminal("alerts", "test")
    assert tried.stdout.splitlines() == [f"✓ command: {script.path}", f"✓ webhook: {shown}"]
    assert [each["event"] for each in (*hook.alerts, *script.alerts)] == ["test", "test"]
    terminal("alerts", "off", "command")
    assert terminal.json("alerts", "show")["channels"] == {"webhook": shown}


def test_a_test_that_does_not_arrive_is_status_1_and_the_others_arrive(
    terminal: Terminal, hook: Hook, tmp_path: Path
):
    hook.status = 503
    script = Script(tmp_path)
    terminal("alerts", "set", "webhook", hook.url)
    terminal("alerts", "set", "command", script.path)
    terminal("alerts", "set", "mail", "ops@example.net")
    tried = terminal("alerts", "test", status=1)
    command, mail, webhook = tried.stdout.splitlines()
    assert command.startswith("✓ command")
    assert mail.startswith("✗ mail: ops@example.net: there is no recipients route")
    assert webhook.endswith("it answered with status 503")
    assert "did not arrive" in tried.stderr
    assert len(script.alerts) == 1


def test_without_a_channel_a_test_says_what_to_do(terminal: Terminal):
    assert "`letterbook alerts set mail ADDRESS`" in terminal("alerts", "test", status=1).stderr
    assert "no alerts go by mail" in terminal("alerts", "off", "mail", status=1).stderr


def test_a_url_is_asked_for_and_not_shown(house: House, hook: Hook):
    said = house.run("alerts", "set", "webhook", input=f"{hook.url}\n")
    assert "secret" not in said.stdout + said.stderr
    assert list(house.run_json("alerts", "show", "--json")["channels"]) == ["webhook"]


def test_open_alerts_and_troubles_are_shown(house: House, terminal: Terminal, hook: Hook):
    terminal("alerts", "set", "webhook", hook.url)
    facts = {"deliveries": [3], "count": 1, "sign": "452 4.2.2"}
    house.sql(
        "WITH a AS (INSERT INTO outbox_alert (cause, object, facts) "
        "VALUES ('archive_full', 'archive route', %s::jsonb) RETURNING id) "
        "INSERT INTO outbox_alert_news (alert_id, channel, recovered, trouble) "
        "SELECT id, 'webhook', false, 'it answered with status 500' FROM a",
        json.dumps(facts),
    )
    (found,) = terminal.json("alerts", "show")["alerts"]
    assert (found["cause"], found["object"], found["facts"]) == (
        "archive_full",
        "archive route",
        facts,
    )
    assert (found["told"], found["troubles"]) == ([], {"webhook": "it answered with status 500"})
    table = terminal("alerts", "show").stdout
    assert "archive_full" in table
    assert "452 4.2.2" in table
    assert "webhook: it answered with status 500" in table
