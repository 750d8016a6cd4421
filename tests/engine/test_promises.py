"""The promises at the wire: archive first, identical, invisible, one address, no spool."""

import asyncio
import email
import email.policy
import os
import random
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from letterbook.control.outbox import actions
from letterbook.control.outbox.errors import NotReadyError
from letterbook.control.platform.actions import set_alert_channel
from letterbook.smtp.server_events import ServerEvent
from letterbook.testing.sink import Action
from tests.engine.faults import DROP, reply
from tests.engine.hook import Script
from tests.engine.post import Post
from tests.house import ACTOR, ARCHIVE_ADDRESS, House, in_django

ARCHIVE = ARCHIVE_ADDRESS.encode()


# P1 and P2: under delays and faults of all kinds at once.


def mishaps(seed: int, share: float, replies: list[str]):
    """Return what a moody server does: mostly what it should."""
    mood = random.Random(seed)

    def act(event: ServerEvent) -> Action:
        if mood.random() > share:
            return None
        choice = mood.choice([*replies, "drop"])
        return DROP if choice == "drop" else reply(choice)

    return act


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nobody_is_ahead_of_their_copy_whatever_happens(post: Post, seed: int):
    post.house.with_settings(in_flight=32, connections=5)
    post.archive.delay, post.recipients.delay = random.Random(seed).sample([0.0, 0.003, 0.01], 2)
    for point in ("RCPT", "DATA", "dot"):
        post.archive.at(point, mishaps(seed, 0.01, ["451 4.7.1 No", "421 4.3.2 Bye"]))
        post.recipients.at(
            point, mishaps(seed + 10, 0.01, ["451 4.7.1 No", "550 5.1.1 No", "421 4.3.2 Bye"])
        )
    delivery = post.house.started(300)
    async with post.working():
        async with asyncio.timeout(40):
            while post.state(delivery) not in ("finished", "retrying"):
                await post.probe_now()
                await asyncio.sleep(0.1)
    counts = post.counts(delivery)
    assert set(counts) <= {"sent", "failed", "deferred", "in_doubt"}
    assert counts["sent"] > 200
    assert post.copies(delivery) == {"accepted": 300}


# P3: the archive address is nowhere on the recipients' side.


def decoded(content: bytes) -> str:
    """Return everything that a reader of the message can see, decoded."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    texts = [f"{name}: {value}" for name, value in message.items()]
    for part in message.walk():
        texts += [f"{name}: {value}" for name, value in part.items()]
        if not part.is_multipart():
            texts.append((part.get_payload(decode=True) or b"").decode("utf-8", "replace"))
    return "\n".join(texts).casefold()


async def test_the_archive_address_is_nowhere_on_the_recipients_side(post: Post):
    delivery = await post.deliver(50)
    post.expect(delivery, sent=50, accepted=50)
    assert len(post.recipients.received) == 50
    for message in post.recipients.received:
        assert ARCHIVE not in message.content
        assert ARCHIVE_ADDRESS not in decoded(message.content)
        assert ARCHIVE_ADDRESS not in (message.sender, message.recipient)
        assert "copies+" not in message.sender
        assert "archive" not in decoded(message.content)
    assert all(copy.sender.startswith("copies+") for copy in post.archive.received)


LONG = "x" * 60
REVEALING = {
    "as it is": ARCHIVE_ADDRESS,
    "in capitals": ARCHIVE_ADDRESS.upper(),
    "within a text": f"write to {ARCHIVE_ADDRESS}, please",
    "beside what is not ASCII": f"señor {ARCHIVE_ADDRESS}",
    "across a line's end": f"{LONG} {ARCHIVE_ADDRESS} {LONG}",
    "without a place to break": f"{LONG}{ARCHIVE_ADDRESS}{LONG}",
}


@pytest.mark.parametrize("where", ["subject", "body", "header"])
@pytest.mark.parametrize("how", REVEALING)
async def test_a_field_that_holds_the_archive_address_fails_its_message(
    post: Post, where: str, how: str
):
    house = post.house
    house.import_rows(
        [
            {"email": "user0@example.org", "first_name": "Ana", "note": REVEALING[how]},
            {"email": "user1@example.org", "first_name": "Bo", "note": "nothing"},
            {"email": "user2@example.org", "first_name": "Chi", "note": "nothing"},
        ]
    )
    note = "{{ recipient.note }}"
    delivery = house.delivery(
        house.template(
            subject=f"A note: {note}" if where == "subject" else "A note",
            html=f"<p>{note if where == 'body' else 'Hello'}</p><p>unsubscribe</p>",
            headers={"X-Note": note} if where == "header" else {},
        )
    )
    house.analyze(delivery)
    await house.do(actions.start, ACTOR, delivery)
    await house.work()
    post.expect(delivery, failed=1, sent=2, waiting=1, accepted=2)
    line = post.line(delivery, 0)
    assert (line.failure, line.attempts, line.copy_attempts) == ("reveals_archive", 0, 0)
    assert not post.archive.got(0), "it was not deposited either"


async def test_an_address_put_together_by_the_template_is_seen_too(post: Post):
    house = post.house
    name, _, domain = ARCHIVE_ADDRESS.partition("@")
    house.import_rows(
        [{"email": "user0@example.org", "first_name": "Ana", "desk": domain}]
        + [
            {"email": f"user{n}@example.org", "first_name": "B", "desk": "b.example"}
            for n in (1, 2)
        ]
    )
    html = f"<p>Write to {name}@{{{{ recipient.desk }}}}, or unsubscribe</p>"
    delivery = house.delivery(house.template(html=html))
    house.analyze(delivery)
    await house.do(actions.start, ACTOR, delivery)
    await house.work()
    post.expect(delivery, failed=1, sent=2, waiting=1, accepted=2)
    assert post.line(delivery, 0).failure == "reveals_archive"


# P7: one address.


async def test_without_a_confirmed_address_a_delivery_does_not_start(post: Post):
    delivery = post.house.ready(3)
    await post.sql("UPDATE platform_archiveaddress SET state = 'replaced'")
    with pytest.raises(NotReadyError):
        await post.act(actions.start, delivery)
    await post.house.work()
    assert not post.archive.received
    assert not post.recipients.received
    post.expect(delivery, "ready", pending=3, waiting=3)


async def test_a_change_of_the_address_while_a_delivery_runs(post: Post):
    post.house.with_settings(in_flight=16)
    post.archive.delay = 0.01
    new = "newer@vault.example"
    delivery = post.house.started(400)
    async with post.working():
        await post.until(lambda: len(post.archive.received) > 50)
        await post.house.do(post.house.set_archive, new)
        changed = len(post.archive.received)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=400, accepted=400)
    went_to = [copy.recipient for copy in post.archive.received]
    assert set(went_to) == {ARCHIVE_ADDRESS, new}
    assert set(went_to[changed + 100 :]) == {new}, "it counts within half a second"
    versions = {
        address: version
        for version, address in post.house.sql(
            "SELECT version, address FROM platform_archiveaddress"
        )
    }
    lines = post.lines(delivery)
    for copy in post.archive.received:
        assert lines[copy.original_recipient].copy_version == versions[copy.recipient]


# P8: no spool.

MARKER = "Zzyzxmarkér"


def files_of(folder: Path) -> set[Path]:
    """Return the files below ``folder``; what others remove meanwhile does not matter."""
    found = (Path(where, name) for where, _, names in os.walk(folder) for name in names)
    return {path for path in found if path.is_file()}


def holds_marker(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # it has gone, or is a socket
        return False
    needles = (MARKER.encode(), MARKER.encode("utf-16-le"), b"Zzyzxmark")
    return any(needle in content for needle in needles)


def settled(post: Post, delivery: int) -> int:
    """How many messages have an outcome."""
    counts = post.counts(delivery)
    return sum(n for name, n in counts.items() if name not in ("pending", "deposited", "sending"))


def metrics_said(log: Path) -> list[str]:
    """Where the workers that wrote this log have said that their metrics are."""
    return re.findall(r"metrics +at=(\S+)", log.read_text())


def keep_metrics(log: Path, file: Path) -> None:
    """Keep the metrics of the worker that said last where they are."""
    at = metrics_said(log)[-1]
    with urllib.request.urlopen(f"http://{at}/metrics") as page, file.open("ab") as kept:
        kept.write(page.read())


async def test_no_file_outside_the_database_holds_what_is_personal(post: Post, tmp_path: Path):
    """Neither when all goes well nor after kills, and not in what the worker says: its log, its
    metrics, its alerts."""
    house: House = post.house
    script = Script(tmp_path)
    in_django(set_alert_channel)(ACTOR, house.sealer, "command", str(script.path))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    others = files_of(Path("/tmp")) if os.access("/tmp", os.R_OK) else set()
    house.import_rows(
        [{"email": f"{MARKER}{n}@example.org", "first_name": f"{MARKER} {n}"} for n in range(300)]
    )
    post.recipients.at("RCPT", "550 5.1.1 Nobody", whom=f"{MARKER}1@")
    post.recipients.at(
        "dot", lambda event: reply(f"421 4.7.0 {event.envelope.recipients[0].address}"), times=1
    )
    post.recipients.at("dot", "451 4.7.1 Greylisted", whom=f"{MARKER}2@")
    post.archive.at("RCPT", f"452 4.2.2 {MARKER}'s mailbox is full")
    post.recipients.delay = 0.01
    delivery = house.delivery(
        house.template(html="<p>Dear {{ recipient.first_name }}, unsubscribe")
    )
    house.analyze(delivery)
    await house.do(actions.start, ACTOR, delivery)
    log = tmp_path / "worker.log"
    environment = house.environment | {
        "LETTERBOOK_IN_FLIGHT": "16",
        "LETTERBOOK_LEASE": "1s",
        "LETTERBOOK_METRICS": "127.0.0.1:0",
        "TMPDIR": str(temporary),
    }
    for workers, target in enumerate((40, 120, 300), 1):
        with log.open("ab") as said:
            worker = subprocess.Popen(
                [sys.executable, "-m", "letterbook", "worker"],
                env=environment,
                cwd=temporary,
                stdout=said,
                stderr=said,
            )
        try:
            await post.until(lambda: "archive_full" in [each["cause"] for each in script.alerts])
            post.archive.mend()
            await post.until(lambda: settled(post, delivery) >= target, seconds=30)  # noqa: B023
            # Those before it may have settled that many already.
            await post.until(lambda: len(metrics_said(log)) == workers)  # noqa: B023
            await asyncio.to_thread(keep_metrics, log, tmp_path / "metrics")
            open_files = {each.resolve() for each in Path(f"/proc/{worker.pid}/fd").iterdir()}
        finally:
            worker.send_signal(signal.SIGKILL)
            await asyncio.to_thread(worker.wait)
        written = [path for path in open_files if path.is_file() and path != log]
        assert not any(holds_marker(path) for path in written)
    new = (files_of(Path("/tmp")) - others) if others else set()
    ours = {path for path in new if house.cluster.socket_folder.parent not in path.parents}
    found = [path for path in ours | files_of(tmp_path) if holds_marker(path)]
    assert not found
    assert "part claimed" in log.read_text(), "it was this worker's log"
    assert "452 4.2.2" in log.read_text(), "its sign is told, not its words"
    assert "letterbook_messages_total" in (tmp_path / "metrics").read_text()
    assert post.counts(delivery)["sent"] > 200
