"""The commands that control the flow, as an operator has them."""

import io
import json
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.house import House


@pytest.fixture
def run(house: House) -> Terminal:
    house.set_route("recipients", 25)
    house.people(10)
    house.template(email_bcc=False)
    return Terminal(house)


def created(run: Terminal, *options: str) -> str:
    done = run("deliveries", "create", "--template", "offer", "--list", "all", *options)
    return done.stdout.split()[-1]


def shown(run: Terminal, delivery: str) -> dict[str, Any]:
    found: dict[str, Any] = run.json("deliveries", "show", delivery)
    return found


def test_waves_and_priority_are_set_and_shown(run: Terminal):
    delivery = created(run, "--waves", "40% every 2h", "--priority", "very high")
    run("deliveries", "analyze", delivery)
    view = shown(run, delivery)
    assert view["priority"] == "very high"
    assert [(wave["number"], wave["messages"]) for wave in view["waves"]] == [
        (1, 4),
        (2, 4),
        (3, 2),
    ]
    assert "4 messages, not started" in run("deliveries", "show", delivery).stdout
    run("deliveries", "edit", delivery, "--waves", "none", "--priority", "low")
    run("deliveries", "analyze", delivery)
    view = shown(run, delivery)
    assert (view["priority"], len(view["waves"])) == ("low", 1)
    assert "wave" not in run("deliveries", "show", delivery).stdout


def test_what_cannot_be_meant_is_told(run: Terminal):
    bad = ("deliveries", "create", "--template", "offer", "--list", "all")
    assert "write waves as" in run(*bad, "--waves", "sometimes", status=1).stderr
    run(*bad, "--priority", "urgent", status=2)


@pytest.fixture
def ended(run: Terminal) -> str:
    """A finished delivery: 1 failed, 2 and 3 in doubt, the rest sent."""
    delivery = created(run)
    run("deliveries", "analyze", delivery)
    run("deliveries", "start", delivery)
    run.house.sql(
        "UPDATE outbox_message SET attempts = 1, failure = CASE ordinal WHEN 1 "
        "THEN 'refused'::message_failure END, status = CASE ordinal WHEN 1 THEN 'failed' "
        "WHEN 2 THEN 'in_doubt' WHEN 3 THEN 'in_doubt' ELSE 'sent' END::message_status"
    )
    run.house.sql(
        "UPDATE deliveries_delivery SET state = 'finished', "
        "finished_at = started_at + interval '75 seconds'"
    )
    return delivery


def test_start_to_finish_is_shown(run: Terminal, ended: str):
    assert shown(run, ended)["duration_seconds"] == 75
    assert "0:01:15 (75.0 s)" in run("deliveries", "show", ended).stdout


def test_retry(run: Terminal, ended: str):
    assert "1 messages of" in run("deliveries", "retry", ended, "--for", "2h").stdout
    view = shown(run, ended)
    assert (view["state"], view["messages"]["pending"]) == ("sending", 1)
    assert "is sending and cannot be retried" in run("deliveries", "retry", ended, status=1).stderr
    run("deliveries", "retry", ended, "--for", "soon", status=2)
    run("deliveries", "retry", ended, "0", status=2)


@pytest.mark.parametrize(
    "options",
    [
        (), ("--all",), ("2",), ("--resend",), ("2", "--all", "--resend"),
        ("2", "--lost", "--for", "2h"),
    ],
)  # fmt: skip
def test_nothing_is_resolved_without_an_explicit_word(
    run: Terminal, ended: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    run("deliveries", "resolve", ended, *options, "--yes", status=2)
    run("deliveries", "resolve", ended, "--all", "--resend", status=1)  # nobody says yes
    assert shown(run, ended)["messages"]["in_doubt"] == 2


def test_resolve(run: Terminal, ended: str):
    run("deliveries", "resolve", ended, "2", "--arrived", "--yes")
    assert (
        shown(run, ended)["messages"] | {"in_doubt": 1, "sent": 8} == shown(run, ended)["messages"]
    )
    run("deliveries", "resolve", ended, "--all", "--resend", "--yes")
    assert shown(run, ended)["messages"]["pending"] == 1
    lines = run("deliveries", "log", ended, "--format", "jsonl").stdout.splitlines()
    replies = {line["message"]: line["reply"] for line in map(json.loads, lines)}
    assert replies[2].startswith("arrived, says ")
