"""Commands at work: what they change, what they print, and where."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from letterbook.control.kernel.actor import command_line_actor
from letterbook.control.platform.actions import set_archive_address
from letterbook.control.platform.queries import archive
from letterbook.mail.status import CopyStatus, MessageStatus
from letterbook.testing.sink import Sink
from tests.cli.terminal import Done, Terminal
from tests.control.desk import audit, check_tallies, do, members, people
from tests.house import ACTOR, ARCHIVE_ADDRESS, House

SHOWN = ["id", "state", "held_because", "target", "excluded", "messages", "copies", "window"]
LOGGED = [
    "message_id", "address", "status", "sha256", "copy_status", "copy_accepted_at", "copy_reply",
    "sent_at", "reply", "attempts",
]  # fmt: skip

TOML = """name = "offer"
label = "[draft] Offer [/x]"
subject = "[news] {{ recipient.first_name }}"
email_bcc = true
[from]
address = "news@example.com"
"""


def template_folder(house: House, name: str = "offer", body: str = "<p>unsubscribe</p>") -> Path:
    folder = house.folder / f"template-{name}"
    folder.mkdir()
    (folder / "template.toml").write_text(TOML.replace("offer", name), encoding="utf-8")
    (folder / "body.html").write_text(body, encoding="utf-8")
    return folder


def people_file(house: House, content: str) -> Path:
    path = house.folder / "people.csv"
    path.write_text(content, encoding="utf-8")
    return path


# The whole way.


class Desk:
    """Runs commands while servers answer beside it."""

    def __init__(self, house: House, terminal: Terminal) -> None:
        self.house, self.terminal = house, terminal

    async def run(self, *arguments: object, status: int = 0) -> Done:
        return await self.house.do(self.terminal, *arguments, status=status)

    async def json(self, *arguments: object) -> Any:
        return await self.house.do(self.terminal.json, *arguments)

    async def set_routes(self, recipients: Sink, vault: Sink) -> None:
        for name, sink in (("recipients", recipients), ("archive", vault)):
            done = await self.run("routes", "set", name, sink.url)
            assert "It answers" in done.stdout
            assert done.stderr == ""
        shown = await self.json("routes", "show")
        assert [each["url"] for each in shown] == [recipients.url, vault.url]

    async def set_archive(self, vault: Sink) -> None:
        done = await self.run("archive", "set", "Archive@VAULT.Example", "--policy", "hold")
        assert "A code is on its way to Archive@vault.example" in done.stdout
        assert (await self.json("archive", "show"))["pending"] == "Archive@vault.example"
        (mail,) = vault.received
        code = mail.content.partition(b"archive confirm ")[2].split()[0].decode()
        assert code not in done.stdout + done.stderr
        wrong = str((int(code) + 1) % 10**8)
        await self.run("archive", "confirm", wrong, status=1)
        done = await self.run("archive", "confirm", code)
        assert done.stdout == "Archive@vault.example is the archive address.\n"
        vault.received.clear()

    async def prepare(self, count: int) -> str:
        rows = "".join(f"user{n}@example.org;Ana {n}\n" for n in range(count))
        path = people_file(self.house, f"email;first_name\n{rows}x;y\n")
        report = await self.json("recipients", "import", path, "--list", "spring")
        assert (report["rows"], report["new"], report["rejected"]) == (count + 1, count, 1)
        await self.run("templates", "add", template_folder(self.house))
        done = await self.run("deliveries", "create", "--template", "offer", "--list", "spring")
        delivery = done.stdout.splitlines()[-1]
        report = await self.json("deliveries", "analyze", delivery)
        assert (report["id"], report["state"], report["messages"]) == (
            int(delivery), "ready", count,
        )  # fmt: skip
        return delivery


async def test_from_nothing_to_a_proof_by_commands_alone(house: House, terminal: Terminal):
    recipients = await Sink(forbidden=b"rchive@vault.example").start()
    vault = await Sink().start()
    desk = Desk(house, terminal)
    await desk.set_routes(recipients, vault)
    await desk.set_archive(vault)
    assert (await desk.run("check")).stdout.count("✓") == 5
    delivery = await desk.prepare(20)

    async with house.working():
        done = await desk.run("deliveries", "start", delivery, "--wait")
    assert done.stdout.splitlines()[-1] == (
        f"Delivery {delivery} is finished: 20 sent; copies: 20 accepted."
    )
    shown = await desk.json("deliveries", "show", delivery)
    assert list(shown)[:10] == [*SHOWN, "started_at", "finished_at"]
    assert (shown["state"], shown["held_because"], shown["window"]) == ("finished", None, 256)
    assert shown["started_at"] < shown["finished_at"]
    assert shown["messages"] == dict.fromkeys(MessageStatus, 0) | {"sent": 20}
    assert shown["copies"] == dict.fromkeys(CopyStatus, 0) | {"accepted": 20}

    done = await desk.run("deliveries", "log", delivery, "--format", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    check_log(lines, recipients, vault)
    done = await desk.run("deliveries", "log", delivery)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [list(row)[:10] for row in rows] == [LOGGED] * 20
    for row, line in zip(rows, lines, strict=True):
        assert (row["message_id"], row["sha256"]) == (line["message_id"], line["sha256"])
    assert recipients.leaks == 0
    check_tallies(house)
    await recipients.stop()
    await vault.stop()


def check_log(lines: list[dict[str, Any]], recipients: Sink, vault: Sink) -> None:
    """The log says what both sides saw."""
    received = {each.message_id: each for each in recipients.received}
    copies = {each.message_id: each for each in vault.received}
    assert len(lines) == len(received) == len(copies) == 20
    for line in lines:
        assert list(line)[:10] == LOGGED
        message = received[line["message_id"]]
        assert (line["address"], line["sha256"]) == (message.recipient, message.sha256)
        assert copies[line["message_id"]].sha256 == line["sha256"]
        assert (line["status"], line["copy_status"], line["attempts"]) == ("sent", "accepted", 1)
        assert line["copy_accepted_at"] <= line["sent_at"]
        assert line["reply"].startswith("250")
        assert line["copy_reply"].startswith("250")


# Set-up.


def test_check_with_nothing_set_up_says_what_to_do(terminal: Terminal):
    done = terminal("check", status=1)
    for advice in (
        "`letterbook routes set recipients URL`",
        "`letterbook routes set archive URL`",
        "`letterbook archive set ADDRESS`",
        "`letterbook worker`",
    ):
        assert advice in done.stdout
    assert done.stdout.count("✗") == 3
    assert done.stderr.startswith("letterbook: ")


def test_check_says_what_is_half_done(house: House, terminal: Terminal):
    house.set_route("recipients", 1)
    house.set_route("archive", 1)
    house.sql(
        "INSERT INTO platform_archiveaddress (address, state, set_by) VALUES (%s, 'pending', 'x')",
        ARCHIVE_ADDRESS,
    )
    house.sql("UPDATE outbox_health SET state = 'down', because = '[/x] 451 [later]'")
    done = terminal("check", status=1)
    assert f"none is confirmed; {ARCHIVE_ADDRESS} waits for its code" in done.stdout
    assert "the workers hold the archive route down: [/x] 451 [later]" in done.stdout
    assert done.stdout.count("✗") == 3


def test_routes_are_shown_without_passwords(house: House, terminal: Terminal):
    url = "smtps://ana:s3cret@localhost:1"
    done = terminal("routes", "set", "recipients", url)
    assert "The recipients route is smtps://ana@localhost:1." in done.stdout
    assert "It does not answer as it should" in done.stderr
    shown = terminal("routes", "show")
    (route,) = terminal.json("routes", "show")
    assert route == {
        "name": "recipients",
        "url": "smtps://ana@localhost:1",
        "has_password": True,
        "own_ca": False,
        "insecure": False,
        "connections": None,
        "per_connection": None,
        "rate": None,
        "size_limit": None,
        "extensions": [],
        "probed_at": None,
    }
    assert "smtps://ana@localhost:1" in shown.stdout
    for each in (done, shown):
        assert "s3cret" not in each.stdout + each.stderr
    ((everything,),) = house.sql("SELECT string_agg(t::text, '') FROM kernel_auditline t")
    assert "s3cret" not in everything
    assert audit(house, "set route")[0][0] == command_line_actor().name


def test_limits_of_a_route(house: House, terminal: Terminal):
    house.set_route("archive", 1)
    shown = terminal("routes", "limit", "archive", "--rate", "0.5", "--connections", "3").stdout
    assert shown == (
        "Limits of the archive route: connections 3, messages a connection none, "
        "messages a second 0.5.\n"
    )
    terminal("routes", "set", "archive", "smtp://localhost:2", "--rate", "none")
    (route,) = terminal.json("routes", "show")
    assert (route["connections"], route["per_connection"], route["rate"]) == (3, None, None)
    terminal("routes", "limit", "archive", "--per-connection", "100")
    lines = terminal("routes", "show").stdout.splitlines()
    assert lines[1].split()[:8] == [
        "archive", "smtp://localhost:2", "no", "no", "no", "3", "100", "none",
    ]  # fmt: skip
    for arguments, words in (
        (["limit", "archive"], "name a limit"),
        (["limit", "archive", "--rate", "fast"], "'fast' is neither a number nor the word none"),
        (["set", "archive", "smtp://localhost", "--rate", "fast"], "'fast' is neither a number"),
    ):
        assert words in terminal("routes", *arguments, status=2).stderr
    done = terminal("routes", "limit", "archive", "--connections", "1.5", status=1)
    assert "connections must be a whole number from 1" in done.stderr
    done = terminal("routes", "set", "archive", "smtp://localhost:3", "--rate", "0", status=1)
    assert "rate must be a number of messages a second" in done.stderr
    assert terminal.json("routes", "show")[0]["url"] == "smtp://localhost:2", "nothing was changed"


def test_an_analysis_says_what_the_archive_can_take(house: House, terminal: Terminal):
    house.set_route("recipients", 1)
    house.set_route("archive", 1)
    house.set_archive()
    house.people(10)
    delivery = house.delivery(house.template(validity={"delivery": "1h"}))
    assert "archive accepts     not yet measured" in analysed(terminal, delivery)
    terminal("routes", "limit", "archive", "--rate", "0.002")
    printed = analysed(terminal, delivery)
    assert "limit of the archive route  0.002 copies/s" in printed
    assert "UTC, if it starts now" in printed
    assert "warning archive-capacity: the archive would accept the last copy at" in printed
    report = terminal.json("deliveries", "analyze", delivery)
    assert (report["archive_rate"], report["archive_rate_limit"]) == (None, 0.002)
    assert datetime.fromisoformat(report["last_copy_at"]) > datetime.now(UTC)
    assert report["copy_bytes"] == report["estimated_bytes"]


def analysed(terminal: Terminal, delivery: int) -> str:
    return str(terminal("deliveries", "analyze", delivery).stdout)


def test_what_binds_a_delivery_is_shown(house: House, terminal: Terminal):
    house.set_route("recipients", 1)
    house.set_route("archive", 1)
    house.set_archive()
    delivery = house.started(10)
    house.sql(
        "INSERT INTO outbox_share (route, worker, connections, busy, bound, per_second, until) "
        "SELECT 'archive', gen_random_uuid(), 1, true, true, 206, now() + interval '1 minute' "
        "FROM generate_series(1, 2)"
    )
    assert "archive-bound: 412.0 copies/s" in terminal("deliveries", "show", delivery).stdout
    shown = terminal.json("deliveries", "show", delivery)
    assert (shown["bound_by"], shown["rate"]) == ("archive", 412)
    house.sql("UPDATE outbox_share SET until = now()")
    shown = terminal.json("deliveries", "show", delivery)
    assert (shown["bound_by"], shown["rate"]) == (None, None)


def test_a_password_is_asked_for_and_not_shown(house: House):
    done = house.run(
        "routes",
        "set",
        "recipients",
        "smtps://ana@localhost:1",
        input="s3cret\n",
        start_new_session=True,  # no terminal to ask on: it is read from standard input
    )
    assert "Password of ana" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    ((sealed,),) = house.sql("SELECT sealed_password FROM platform_route")
    assert house.sealer.open("route recipients", bytes(sealed)) == b"s3cret"


def test_the_archive_is_shown(house: House, terminal: Terminal):
    assert terminal.json("archive", "show") == {
        "address": None,
        "version": None,
        "confirmed_at": None,
        "confirmed_by": None,
        "pending": None,
        "policy": "hold",
        "state": "up",
        "because": None,
    }
    assert "none confirmed yet" in terminal("archive", "show").stdout
    house.set_archive(policy="owe")
    shown = terminal.json("archive", "show")
    assert (shown["address"], shown["policy"], shown["confirmed_by"]) == (
        ARCHIVE_ADDRESS, "owe", ACTOR.name,
    )  # fmt: skip
    assert ARCHIVE_ADDRESS in terminal("archive", "show").stdout


def test_an_archive_that_does_not_answer_is_refused_and_nothing_changes(
    house: House, terminal: Terminal
):
    house.set_route("archive", 1)
    before = do(archive)
    terminal("archive", "set", ARCHIVE_ADDRESS, "--policy", "owe", status=1)
    assert do(archive) == before
    # Trusted, it counts all the same, and one is told.
    done = terminal("archive", "set", ARCHIVE_ADDRESS, "--trust", "--policy", "owe")
    assert "The archive does not answer as it should" in done.stderr
    assert (do(archive).address, do(archive).policy) == (ARCHIVE_ADDRESS, "owe")
    assert len(audit(house, "trust archive address")) == 1
    # The same again changes the policy only.
    terminal("archive", "set", " archive@VAULT.example", "--trust", "--policy", "hold")
    assert (do(archive).version, do(archive).policy) == (1, "hold")


def test_a_recipient_cannot_become_the_archive(house: House, terminal: Terminal):
    terminal("recipients", "import", people_file(house, "email\nana@example.org\n"), "--list", "a")
    house.set_route("archive", 1)
    done = terminal("archive", "set", "ana@example.org", "--trust", status=1)
    assert "ana@example.org is a recipient" in done.stderr


def test_a_confirmation_while_deliveries_run_asks_for_yes(house: House, terminal: Terminal):
    """The address was set before they began; the change comes now."""
    for name in ("recipients", "archive"):
        house.set_route(name, 1)
    house.set_archive()
    proposal = do(
        set_archive_address, ACTOR, "new@vault.example", is_recipient=lambda _: False, trust=False
    )
    delivery = house.started(3)
    done = terminal("archive", "confirm", proposal.code, status=1)
    assert f"deliveries {delivery} are running" in done.stderr
    assert do(archive).address == ARCHIVE_ADDRESS
    terminal("archive", "confirm", proposal.code, "--yes")
    assert do(archive).address == "new@vault.example"


def test_a_change_while_deliveries_run_asks_for_yes(house: House, terminal: Terminal):
    for name in ("recipients", "archive"):
        house.set_route(name, 1)
    house.set_archive()
    delivery = house.started(3)
    done = terminal("archive", "set", "new@vault.example", "--trust", status=1)
    assert f"deliveries {delivery} are running" in done.stderr
    assert "--yes" in done.stderr
    assert do(archive).address == ARCHIVE_ADDRESS
    terminal("archive", "set", "new@vault.example", "--trust", "--yes")
    assert do(archive).address == "new@vault.example"
    done = terminal("archive", "set", "new@vault.example", "--policy", "owe", status=1)
    assert "would follow the policy owe" in done.stderr
    assert do(archive).policy == "hold"
    # Deliveries without copies do not matter, nor those that have not begun.
    house.sql("UPDATE deliveries_delivery SET overrides = '{\"email_bcc\": false}'")
    terminal("archive", "set", "other@vault.example", "--trust")
    house.sql("UPDATE deliveries_delivery SET overrides = '{}', state = 'ready'")
    terminal("archive", "set", "last@vault.example", "--trust")


# Recipients.


def test_an_import_prints_its_numbers(house: House, terminal: Terminal):
    path = people_file(
        house, "Correo;points\nana@example.org;7\nAna@example.org;8\nbo@;1\ncy@example.org;many\n"
    )
    arguments = ("recipients", "import", path, "--list", "spring", "--map", "points:int")
    report = terminal.json(*arguments)
    assert list(report) == [
        "list", "rows", "imported", "new", "updated", "merged", "rejected", "rejects",
        "rejects_file", "encoding", "delimiter", "seconds",
    ]  # fmt: skip
    assert report | {"seconds": 0, "rejects": []} == {
        "list": "spring",
        "rows": 4,
        "imported": 1,
        "new": 1,
        "updated": 0,
        "merged": 1,
        "rejected": 2,
        "rejects": [],
        "rejects_file": str(house.folder / "people.rejects.csv"),
        "encoding": "utf-8",
        "delimiter": ";",
        "seconds": 0,
    }
    assert report["rejects"][1] == {"line": 5, "reason": "points: 'many' is not a whole number"}
    assert people(house)["Ana@example.org"]["attributes"] == {"points": 8}

    rejects = house.folder / "elsewhere.csv"
    done = terminal(*arguments, "--rejects", rejects)
    assert done.stdout.startswith("4 rows in ")
    assert "0 new, 1 updated, 1 merged" in done.stdout
    assert "2 rejected" in done.stdout
    assert "line 5: points: 'many' is not a whole number\n" in done.stderr
    assert str(rejects) in done.stderr
    assert rejects.exists()
    assert audit(house, "import recipients")[0][0] == command_line_actor().name


def test_several_columns_are_mapped(house: House, terminal: Terminal):
    path = people_file(house, "Work:mail,Shoe size,since\nana@example.org,38,2026-01-31\n")
    maps = ("Work:mail:email", "Shoe size:float", "since:date")
    terminal(
        "recipients", "import", path, "--list", "a", *(x for each in maps for x in ("--map", each))
    )
    assert people(house)["ana@example.org"]["attributes"] == {
        "shoe_size": 38.0,
        "since": "2026-01-31",
    }


def test_people_are_set_aside(house: House, terminal: Terminal):
    path = people_file(house, "email\nana@example.org\nbo@example.org\ncy@example.org\n")
    terminal("recipients", "import", path, "--list", "all")
    assert terminal("recipients", "optout", "ANA@example.org").stdout == (
        "ANA@example.org gets no more letters.\n"
    )
    terminal("recipients", "quarantine", "bo@example.org", "--reason", "no such user")
    assert members(house) == {f"{name}@example.org" for name in ("ana", "bo", "cy")}
    assert house.sql("SELECT key, reason FROM recipients_quarantinedaddress") == [
        ("bo@example.org", "no such user")
    ]


# Templates and deliveries.


def test_templates_are_added_shown_duplicated_exported(house: House, terminal: Terminal):
    folder = template_folder(house, body="<p>{{ recipient.nope }}</p>")
    done = terminal("templates", "add", folder)
    assert done.stdout == "Template offer, version 1.\n"
    assert "body.html:1:7: recipient.nope is unknown" in done.stderr
    assert terminal("templates", "add", folder).stdout == "Template offer, version 2.\n"
    terminal("templates", "duplicate", "email-delivery", "mine")
    assert [each["name"] for each in terminal.json("templates", "list")] == [
        "email-delivery", "mine", "offer",
    ]  # fmt: skip
    listed = terminal("templates", "list").stdout
    assert "[draft] Offer [/x]" in listed
    assert "native" in listed
    shown = terminal.json("templates", "show", "offer")
    assert (shown["name"], shown["version"], shown["native"], shown["email_bcc"]) == (
        "offer", 2, False, True,
    )  # fmt: skip
    assert shown["from"] == {"address": "news@example.com", "name": ""}
    assert shown["html_source"] == "<p>{{ recipient.nope }}</p>"
    assert "[news] {{ recipient.first_name }}" in terminal("templates", "show", "offer").stdout
    out = house.folder / "exported"
    terminal("templates", "export", "offer", out)
    assert terminal("templates", "add", out).stdout == "Template offer, version 3.\n"
    done = terminal("templates", "export", "email-delivery", out, status=1)
    assert "exists already" in done.stderr
    terminal("templates", "export", "email-delivery", house.folder / "native")
    done = terminal("templates", "add", house.folder / "native", status=1)
    assert "read-only; duplicate it to change it" in done.stderr


def test_a_mistake_in_a_template_is_told_with_file_and_line(house: House, terminal: Terminal):
    folder = template_folder(house)
    (folder / "template.toml").write_text(TOML + 'nmae = "x"\n', encoding="utf-8")
    done = terminal("templates", "add", folder, status=1)
    assert done.stderr == (
        f"letterbook: {folder / 'template.toml'}, line 7: unknown key from.nmae\n"
    )


@pytest.fixture
def ready(house: House, terminal: Terminal) -> str:
    """A delivery that can start, made by commands."""
    for name in ("recipients", "archive"):
        house.set_route(name, 1)
    house.set_archive()
    path = people_file(house, "email\nana@example.org\nbo@example.org\n")
    terminal("recipients", "import", path, "--list", "all")
    terminal("recipients", "optout", "bo@example.org")
    terminal("templates", "add", template_folder(house))
    made = terminal("deliveries", "create", "--template", "offer", "--list", "all")
    delivery = made.stdout.splitlines()[-1]
    assert terminal.json("deliveries", "analyze", delivery)["state"] == "ready"
    return delivery


def test_a_delivery_is_created_with_what_differs(house: House, terminal: Terminal, ready: str):
    made = terminal(
        "deliveries", "create", "--template", "offer", "--list", "all", "--list", "all",
        "--label", "[b]Mine[/b]", "--no-email-bcc",
    )  # fmt: skip
    delivery = made.stdout.splitlines()[-1]
    assert int(delivery) == int(ready) + 1
    assert made.stderr == ""
    newest, first = terminal.json("deliveries", "list")
    assert (newest["id"], newest["label"], newest["email_bcc"]) == (
        int(delivery), "[b]Mine[/b]", False,
    )  # fmt: skip
    assert (first["state"], first["label"], first["email_bcc"]) == (
        "ready", "[draft] Offer [/x]", True,
    )  # fmt: skip
    for command in (("list",), ("show", delivery)):
        assert "[b]Mine[/b]" in terminal("deliveries", *command).stdout
    terminal("deliveries", "edit", delivery, "--email-bcc", "--label", "Ours")
    newest, _ = terminal.json("deliveries", "list")
    assert (newest["label"], newest["email_bcc"]) == ("Ours", True)


def test_a_delivery_is_shown_before_during_and_after(house: House, terminal: Terminal, ready: str):
    done = terminal("deliveries", "analyze", ready)
    assert "Ready: letterbook deliveries start" in done.stdout
    assert "excluded: denylisted" in done.stdout
    shown = terminal.json("deliveries", "show", ready)
    assert list(shown)[:10] == [*SHOWN, "started_at", "finished_at"]
    first = {name: shown[name] for name in list(shown)[:10]}
    assert first | {"messages": 0, "copies": 0} == {
        "id": int(ready),
        "state": "ready",
        "held_because": None,
        "target": 2,
        "excluded": {"denylisted": 1},
        "messages": 0,
        "copies": 0,
        "window": 256,
        "started_at": None,
        "finished_at": None,
    }
    assert list(shown["messages"]) == list(MessageStatus)
    assert list(shown["copies"]) == list(CopyStatus)
    for command, state in (
        ("start", "sending"), ("pause", "paused"), ("resume", "sending"), ("stop", "stopped"),
    ):  # fmt: skip
        terminal("deliveries", command, ready)
        assert terminal.json("deliveries", "show", ready)["state"] == state
        done = terminal("deliveries", "analyze", ready, status=1)
        assert f"is {state} and can no longer be analysed" in done.stderr
    shown = terminal.json("deliveries", "show", ready)
    assert shown["messages"]["cancelled"] == 1
    assert shown["finished_at"] is not None
    assert "stopped by" in terminal("deliveries", "show", ready).stdout
    (line,) = terminal("deliveries", "log", ready, "--format", "jsonl").stdout.splitlines()
    found = json.loads(line)
    assert list(found)[:10] == LOGGED
    assert (found["status"], found["attempts"], found["sent_at"]) == ("cancelled", 0, None)


def test_an_analysis_with_errors_is_status_1_and_says_which(
    house: House, terminal: Terminal, ready: str
):
    house.sql("DELETE FROM platform_route WHERE name = 'recipients'")
    house.sql("UPDATE deliveries_delivery SET html_source = '<p>{{ [1][/b] }} [red]</p>'")
    done = terminal("deliveries", "analyze", ready, status=1)
    assert "error route: there is no recipients' route" in done.stdout
    assert "error template: body.html:1:" in done.stdout
    assert "warning unsubscribe: " in done.stdout
    assert "cannot start: " in done.stderr
    report = terminal.json("deliveries", "analyze", ready, status=1)
    assert list(report)[:9] == [
        "id", "state", "target", "excluded", "messages", "copies", "estimated_bytes", "errors",
        "warnings",
    ]  # fmt: skip
    assert report["state"] == "editing"
    assert {each["rule"] for each in report["errors"]} == {"route", "template"}
    assert terminal("deliveries", "start", ready, status=1).stderr.startswith(
        f"letterbook: delivery {ready} is editing; only one that is ready can start"
    )


@pytest.mark.parametrize(
    ("when", "zone", "moment"),
    [
        ("2099-12-24T08:00", "UTC", datetime(2099, 12, 24, 8, tzinfo=UTC)),
        ("2099-12-24 08:00", "Europe/Madrid", datetime(2099, 12, 24, 7, tzinfo=UTC)),
        ("2099-12-24T08:00+05:00", "Europe/Madrid", datetime(2099, 12, 24, 3, tzinfo=UTC)),
        ("2099-12-24", "UTC", datetime(2099, 12, 24, tzinfo=UTC)),
    ],
)
def test_a_start_can_be_scheduled_in_the_platforms_time(
    house: House, terminal: Terminal, ready: str, when: str, zone: str, moment: datetime
):
    terminal("deliveries", "start", ready, "--at", when, LETTERBOOK_TIME_ZONE=zone)
    assert house.show(int(ready)).scheduled_at == moment
    assert terminal.json("deliveries", "show", ready)["state"] == "scheduled"
