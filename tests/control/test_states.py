"""Every action in every state of a delivery: allowed, or a clear error and nothing changed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from letterbook.control.deliveries.actions import edit_delivery
from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox import actions
from letterbook.control.outbox.errors import NotReadyError
from letterbook.mail.status import DeliveryState as State
from tests.control.desk import audit, check_tallies, do, everything
from tests.house import ACTOR, House

SOON = datetime(2099, 12, 24, 8, tzinfo=UTC)
UNDER_WAY = (State.SENDING, State.HELD, State.RETRYING)

ALLOWED: dict[str, dict[State, State]] = {
    "analyze": dict.fromkeys((State.EDITING, State.ANALYZING, State.READY), State.READY),
    "edit": dict.fromkeys((State.EDITING, State.READY), State.EDITING),
    "start": {State.READY: State.SENDING},
    "schedule": {State.READY: State.SCHEDULED},
    "pause": dict.fromkeys((*UNDER_WAY, State.SCHEDULED), State.PAUSED),
    "resume": {State.PAUSED: State.SENDING},
    "stop": dict.fromkeys((*UNDER_WAY, State.SCHEDULED, State.PAUSED), State.STOPPED),
}
"""What may be done, in which states, and the state that follows."""


def act(house: House, action: str, delivery: int) -> None:
    match action:
        case "analyze":
            house.analyze(delivery)
        case "edit":
            do(edit_delivery, ACTOR, delivery, label="other")
        case "schedule":
            do(actions.start, ACTOR, delivery, at=SOON)
        case name:
            do(getattr(actions, name), ACTOR, delivery)


@pytest.fixture
def prepared(house: House) -> Callable[[State], int]:
    """A delivery of three messages that is in a state, however it came there."""
    house.set_route("recipients", 25)
    house.people(3)
    template = house.template(email_bcc=False)

    def prepare(state: State) -> int:
        delivery = house.delivery(template)
        assert house.analyze(delivery).errors == []
        began = state not in (State.EDITING, State.ANALYZING, State.READY, State.SCHEDULED)
        house.sql(
            "UPDATE deliveries_delivery SET state = %s, "
            "started_at = CASE WHEN %s THEN now() END WHERE id = %s",
            state,
            began,
            delivery,
        )
        return delivery

    return prepare


@pytest.mark.parametrize("action", ALLOWED)
def test_what_may_be_done_in_which_state(
    house: House, prepared: Callable[[State], int], action: str
):
    for state in State:
        delivery = prepared(state)
        if state in ALLOWED[action]:
            act(house, action, delivery)
            assert house.state(delivery) == ALLOWED[action][state]
            check_tallies(house)
        else:
            before = everything(house)
            with pytest.raises(DeliveryStateError, match=f"delivery {delivery} is {state}"):
                act(house, action, delivery)
            assert everything(house) == before


def test_every_change_of_state_is_audited_with_before_and_after(
    house: House, prepared: Callable[[State], int]
):
    delivery = prepared(State.READY)
    for action in ("start", "pause", "resume", "stop"):
        act(house, action, delivery)
    changes = [line[1:] for line in audit(house) if line[1].endswith("e delivery")]
    assert [(action, before, after) for action, _, before, after in changes][-2:] == [
        ("pause delivery", {"state": "sending"}, {"state": "paused"}),
        ("resume delivery", {"state": "paused"}, {"state": "sending"}),
    ]
    assert audit(house, "start delivery")[0][2:] == (
        f"delivery {delivery}", {"state": "ready"}, {"state": "sending"},
    )  # fmt: skip
    assert audit(house, "stop delivery")[0][2:] == (
        f"delivery {delivery}", {"state": "sending"}, {"state": "stopped"},
    )  # fmt: skip


def delivery_row(house: House, delivery: int, *columns: str) -> tuple[Any, ...]:
    (row,) = house.sql(
        f"SELECT {', '.join(columns)} FROM deliveries_delivery WHERE id = %s", delivery
    )
    return row


def due_parts(house: House, delivery: int) -> int:
    ((count,),) = house.sql(
        "SELECT count(*) FROM outbox_part WHERE delivery_id = %s AND due_at <= now()", delivery
    )
    return count


def test_a_time_that_is_past_is_no_schedule(prepared: Callable[[State], int], house: House):
    delivery = prepared(State.READY)
    with pytest.raises(ActionError, match=r"2020-12-24 .* is past"):
        do(actions.start, ACTOR, delivery, at=SOON.replace(year=2020))
    assert house.show(delivery).state == State.READY


def test_a_start_makes_everything_due_until_the_validity_ends(house: House):
    house.set_route("recipients", 25)
    delivery = house.ready(3, email_bcc=False, validity={"delivery": "2d"})
    assert due_parts(house, delivery) == 0
    do(actions.start, ACTOR, delivery)
    assert due_parts(house, delivery) == 1
    began, until, by, finished = delivery_row(
        house, delivery, "started_at", "valid_until", "started_by", "finished_at"
    )
    assert abs(until - began - timedelta(days=2)) < timedelta(seconds=5)
    assert (by, finished) == (ACTOR.name, None)
    check_tallies(house)


def test_the_longest_validity_can_be_started(house: House):
    house.set_route("recipients", 25)
    delivery = house.started(1, email_bcc=False, validity={"delivery": "100y"})
    assert house.state(delivery) == "sending"


def test_a_scheduled_delivery_waits_for_its_time(house: House, prepared: Callable[[State], int]):
    delivery = prepared(State.READY)
    act(house, "schedule", delivery)
    view = house.show(delivery)
    assert (view.state, view.scheduled_at, view.started_at) == ("scheduled", SOON, None)
    assert due_parts(house, delivery) == 0
    # Paused and resumed, it is scheduled again, for the same time.
    act(house, "pause", delivery)
    assert house.show(delivery).because == f"paused by {ACTOR.name}"
    act(house, "resume", delivery)
    view = house.show(delivery)
    assert (view.state, view.scheduled_at, view.because) == ("scheduled", SOON, None)
    assert due_parts(house, delivery) == 0
    act(house, "stop", delivery)
    assert house.counts(delivery) == {"cancelled": 3}
    check_tallies(house)


def test_a_held_delivery_that_is_paused_waits_for_somebody_and_not_for_the_route(
    house: House, prepared: Callable[[State], int]
):
    delivery = prepared(State.HELD)
    house.sql("UPDATE deliveries_delivery SET held_route = 'archive', because = 'archive down'")
    act(house, "pause", delivery)
    assert delivery_row(house, delivery, "held_route", "because") == (
        None, f"paused by {ACTOR.name}",
    )  # fmt: skip
    act(house, "resume", delivery)
    assert delivery_row(house, delivery, "state", "held_route", "because") == (
        "sending", None, None,
    )  # fmt: skip


STATUSES = (
    "pending", "deposited", "sending", "sent", "deferred", "failed", "in_doubt", "cancelled",
)  # fmt: skip


@pytest.mark.parametrize("state", [*UNDER_WAY, State.PAUSED])
def test_a_stop_cancels_what_has_not_begun_and_nothing_else(house: House, state: State):
    house.set_route("recipients", 25)
    delivery, other = house.ready(len(STATUSES), email_bcc=False), house.delivery("offer")
    house.analyze(other)
    for ordinal, status in enumerate(STATUSES, 1):
        house.sql(
            "UPDATE outbox_message SET status = %s, next_attempt_at = now() "
            "WHERE delivery_id = %s AND ordinal = %s",
            status,
            delivery,
            ordinal,
        )
    house.sql(
        "UPDATE deliveries_delivery SET state = %s, started_at = now() WHERE id = %s",
        state,
        delivery,
    )
    act(house, "stop", delivery)
    assert house.counts(delivery) == {
        "sending": 1, "sent": 1, "failed": 1, "in_doubt": 1, "cancelled": 4,
    }  # fmt: skip
    assert house.counts(other) == {"pending": len(STATUSES)}
    finished, because = delivery_row(house, delivery, "finished_at", "because")
    assert finished is not None
    assert because == f"stopped by {ACTOR.name}"
    check_tallies(house)


def test_a_start_without_an_archive_address_is_refused(house: House):
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    delivery = house.ready(3)
    house.sql("UPDATE platform_archiveaddress SET state = 'replaced'")
    before = everything(house)
    for action in ("start", "schedule"):
        with pytest.raises(NotReadyError, match="no confirmed archive address"):
            act(house, action, delivery)
    assert everything(house) == before
    house.set_archive("other@vault.example")
    act(house, "start", delivery)
    assert house.state(delivery) == "sending"


# Release: a message whose copy the archive refuses may go, if an administrator says so.


@pytest.fixture
def refused(house: House) -> int:
    """A delivery under way whose second message waits because the archive refuses its copy."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    delivery = house.started(3)
    house.sql(
        "UPDATE outbox_message SET copy = 'refused', next_attempt_at = now() + '1 hour' "
        "WHERE delivery_id = %s AND ordinal = 2",
        delivery,
    )
    house.sql("UPDATE outbox_part SET due_at = now() + '1 hour'")
    check_tallies(house)
    return delivery


def test_a_released_message_is_due_and_its_copy_owed(house: House, refused: int):
    do(actions.release, ACTOR, refused, 2)
    assert house.sql(
        "SELECT ordinal, status, copy, next_attempt_at FROM outbox_message ORDER BY ordinal"
    ) == [
        (1, "pending", "waiting", None),
        (2, "pending", "owed", None),
        (3, "pending", "waiting", None),
    ]
    assert due_parts(house, refused) == 1
    assert audit(house, "release message without its copy") == [
        (
            ACTOR.name,
            "release message without its copy",
            f"delivery {refused}, message 2",
            {"copy": "refused"},
            {"copy": "owed"},
        )
    ]
    check_tallies(house)


def test_only_what_waits_for_the_archive_can_be_released(house: House, refused: int):
    before = everything(house)
    for ordinal in (1, 3, 0, -1, 4, 2**31, 10**30):
        with pytest.raises(
            ActionError, match=f"message {ordinal} of delivery {refused} does not wait"
        ):
            do(actions.release, ACTOR, refused, ordinal)
    assert everything(house) == before
    do(actions.release, ACTOR, refused, 2)
    with pytest.raises(ActionError, match="does not wait"):
        do(actions.release, ACTOR, refused, 2)
    for status in ("failed", "sent", "cancelled"):
        house.sql("UPDATE outbox_message SET copy = 'refused', status = %s", status)
        with pytest.raises(ActionError, match="does not wait"):
            do(actions.release, ACTOR, refused, 2)
