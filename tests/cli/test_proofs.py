"""Proofs and Test SMTP by command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from letterbook.control.recipients.actions import opt_out
from letterbook.smtp.reply import Reply
from letterbook.smtp.server_events import Command, ServerEvent
from letterbook.testing.sink import Sink
from tests.cli.terminal import Done, Terminal
from tests.control.desk import do
from tests.house import ACTOR, House

EVE, MAX = "eve@trial.example", "max@trial.example"


def moody(event: ServerEvent) -> Reply | None:
    """A server that does not know Max."""
    if isinstance(event, Command) and event.verb == "RCPT" and MAX in event.argument:
        return Reply(550, ("5.1.1 No Max here",))
    return None


class Desk:
    """Runs commands while both servers answer beside it."""

    def __init__(self, house: House, terminal: Terminal, recipients: Sink, vault: Sink) -> None:
        self.house, self.terminal = house, terminal
        self.recipients, self.vault = recipients, vault

    async def run(self, *arguments: object, status: int = 0) -> Done:
        return await self.house.do(self.terminal, *arguments, status=status)

    async def json(self, *arguments: object, status: int = 0) -> Any:
        """What a command prints last; a worker of this process may have said something before."""
        done = await self.run(*arguments, "--json", status=status)
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
async def desk(house: House, terminal: Terminal) -> AsyncIterator[Desk]:
    recipients, vault = Sink(script=moody), Sink()
    await recipients.start()
    await vault.start()
    house.set_up(recipients, vault)
    house.people(2)
    house.template()
    yield Desk(house, terminal, recipients, vault)
    await recipients.stop()
    await vault.stop()


async def test_a_proof_by_command_shows_what_each_server_said(desk: Desk):
    delivery = desk.house.delivery()
    async with desk.house.working():
        found = await desk.json("deliveries", "proof", delivery, "--to", EVE, "--to", MAX, status=1)
        told = await desk.run(
            "deliveries", "proof", delivery, "--to", EVE, "--as", "user1@example.org"
        )
    assert (found["proof_of"], found["state"]) == (delivery, "finished")
    outcomes = [(line["address"], line["status"], line["reply"]) for line in found["messages"]]
    assert outcomes[1] == (MAX, "failed", "550 5.1.1 No Max here")
    assert outcomes[0][:2] == (EVE, "sent")
    assert outcomes[0][2].startswith("250")
    assert "[Proof 2] offer" in told.stdout
    assert "sent" in told.stdout
    assert [each.recipient for each in desk.recipients.received] == [EVE, EVE]
    assert len(desk.vault.received) == 3, "Max's copy came before his server's refusal"
    shown = await desk.json("deliveries", "show", delivery)
    assert (shown["state"], shown["kind"], shown["proof_of"]) == ("editing", "delivery", None)
    assert shown["proofs"] == [found["id"], found["id"] + 1]
    assert sum(shown["messages"].values()) == 0
    assert f"proof of {delivery}" in (await desk.run("deliveries", "list")).stdout
    assert f"proof of {delivery}" in (await desk.run("deliveries", "show", found["id"])).stdout
    log = await desk.run("deliveries", "log", found["id"], "--format", "jsonl")
    lines = [json.loads(line) for line in log.stdout.splitlines()]
    assert [(line["kind"], line["reason"]) for line in lines] == [
        ("proof", None),
        ("proof", "refused"),
    ]


async def test_without_waiting_a_proof_goes_when_a_worker_comes(desk: Desk):
    delivery = desk.house.delivery()
    found = await desk.json("deliveries", "proof", delivery, "--to", EVE, "--no-wait")
    assert (found["state"], [line["status"] for line in found["messages"]]) == (
        "sending",
        ["pending"],
    )
    assert desk.recipients.received == []
    done = await asyncio.to_thread(desk.house.run, "worker", "--until-idle")
    assert "part released" in done.stderr
    assert done.stdout == "", "a command that sends by itself prints JSON and nothing else"
    assert [each.recipient for each in desk.recipients.received] == [EVE]


async def test_what_a_proof_must_not_do_is_said(desk: Desk):
    delivery = desk.house.delivery()
    await desk.run("deliveries", "proof", delivery, status=2)
    do(opt_out, ACTOR, MAX)
    done = await desk.run("deliveries", "proof", delivery, "--to", MAX, status=1)
    assert done.stderr == f"letterbook: {MAX} is denylisted; it gets no proof either\n"
    broken = desk.house.delivery(desk.house.template("broken", html="<p>{{ recipient.x }}</p>"))
    done = await desk.run("deliveries", "proof", broken, "--to", EVE, status=1)
    assert "error template: " in done.stderr
    assert "cannot start: 1 errors" in done.stderr
    assert "failed" in (await desk.run("deliveries", "list")).stdout
    assert desk.recipients.received == []


async def test_a_test_by_command_is_called_a_test_everywhere(desk: Desk):
    done = await desk.run(
        "deliveries", "create", "--template", "offer", "--list", "all", "--test-smtp"
    )
    test = int(done.stdout)
    done = await desk.run("deliveries", "analyze", test)
    assert "Test SMTP: everything but DATA" in done.stdout
    assert "nothing is sent and nothing is copied" in done.stdout
    async with desk.house.working():
        done = await desk.run("deliveries", "start", test, "--wait")
    assert done.stdout.splitlines()[-1] == f"Delivery {test} is finished: 2 tested; copies: 2 none."
    shown = await desk.json("deliveries", "show", test)
    assert (shown["kind"], shown["tested"], shown["messages"]["sent"]) == ("test", 2, 0)
    told = (await desk.run("deliveries", "show", test)).stdout
    assert "messages tested" in told
    assert "messages cancelled" not in told
    assert "Test SMTP" in told
    log = await desk.run("deliveries", "log", test, "--format", "jsonl")
    line = json.loads(log.stdout.splitlines()[0])
    assert (line["kind"], line["reason"], line["sent_at"]) == ("test", "tested", None)
    (listed, *_) = await desk.json("deliveries", "list")
    assert (listed["id"], listed["kind"]) == (test, "test")
    assert desk.recipients.received == desk.vault.received == []
    await desk.run("deliveries", "create", "--template", "offer", "--list", "all", "--no-test-smtp")
