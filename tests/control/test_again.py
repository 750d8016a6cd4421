"""Again: failed messages retried, messages in doubt resolved, on somebody's explicit word."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox import actions
from letterbook.control.recipients.actions import opt_out, quarantine
from letterbook.mail.status import DeliveryState as State
from letterbook.mail.status import Failure
from tests.control.desk import audit, check_tallies, do, everything
from tests.house import ACTOR, House

ENDED = ("sent", "failed", "failed", "failed", "in_doubt", "in_doubt", "cancelled")


@pytest.fixture
def ended(house: House) -> int:
    """A delivery that is over: 2 was refused, 3 has no name, 4 expired; 5 and 6 are in doubt."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    delivery = house.started(len(ENDED), validity={"delivery": "2d"})
    failures = {2: "refused", 3: "personalisation", 4: "expired"}
    for ordinal, status in enumerate(ENDED, 1):
        house.sql(
            "UPDATE outbox_message SET status = %s, failure = %s, attempts = 1, "
            "settled_at = now(), copy = %s WHERE ordinal = %s",
            status,
            failures.get(ordinal),
            "waiting" if ordinal in (3, 4) else "accepted",
            ordinal,
        )
    house.sql("UPDATE outbox_part SET due_at = NULL")
    end(house, "finished")
    return delivery


def end(house: House, state: str) -> None:
    house.sql(
        "UPDATE deliveries_delivery SET state = %s, finished_at = now(), "
        "valid_until = now() - interval '1h'",
        state,
    )


def statuses(house: House) -> list[tuple[Any, ...]]:
    return house.sql("SELECT status::text, failure::text FROM outbox_message ORDER BY ordinal")


def remaining(house: House) -> timedelta:
    ((left, finished, due),) = house.sql(
        "SELECT valid_until - now(), finished_at, (SELECT count(*) FROM outbox_part "
        "WHERE due_at <= now()) FROM deliveries_delivery"
    )
    assert (finished, due) == (None, 1)
    return left


def test_a_retry_takes_what_another_attempt_may_mend(house: House, ended: int):
    resent = do(actions.retry, ACTOR, ended)
    assert resent == (2, 0)
    assert statuses(house)[:5] == [
        ("sent", None), ("deposited", None), ("failed", "personalisation"), ("pending", None),
        ("in_doubt", None),
    ]  # fmt: skip
    assert house.state(ended) == "sending"
    assert abs(remaining(house) - timedelta(days=2)) < timedelta(minutes=1)
    assert audit(house, "retry failed messages") == [
        (
            ACTOR.name, "retry failed messages", f"delivery {ended}", {"state": "finished"},
            {"state": "sending", "messages": 2, "left out": 0},
        )
    ]  # fmt: skip
    check_tallies(house)


def test_a_retry_of_named_messages_for_a_time(house: House, ended: int):
    assert do(actions.retry, ACTOR, ended, [4], lasting=timedelta(hours=3)).messages == 1
    assert house.counts(ended)["failed"] == 2
    assert abs(remaining(house) - timedelta(hours=3)) < timedelta(minutes=1)


@pytest.mark.parametrize("act", [actions.retry, actions.resend])
def test_nobody_is_written_to_who_must_not_be_by_now(
    house: House, ended: int, act: Callable[..., Any]
):
    first, second = (2, 4) if act is actions.retry else (5, 6)
    do(opt_out, ACTOR, f"user{first - 1}@example.org")
    assert do(act, ACTOR, ended, None) == (1, 1)
    house.sql("UPDATE outbox_message SET status = %s WHERE ordinal = %s",
              "failed" if act is actions.retry else "in_doubt", second)  # fmt: skip
    end(house, "finished")
    do(quarantine, ACTOR, f"user{second - 1}@example.org", "user unknown")
    with pytest.raises(ActionError, match="nothing is sent again: 2 of delivery"):
        do(act, ACTOR, ended, None)
    assert house.state(ended) == "finished"


@pytest.mark.parametrize("named", [[1], [2, 3], [2, 5], [99], [2, 99]])
def test_only_what_has_failed_and_can_be_mended_is_retried(
    house: House, ended: int, named: list[int]
):
    before = everything(house)
    with pytest.raises(ActionError, match="nothing is changed"):
        do(actions.retry, ACTOR, ended, named)
    assert everything(house) == before


def test_there_must_be_something_to_retry_or_to_resolve(house: House, ended: int):
    house.sql("UPDATE outbox_message SET status = 'sent', failure = NULL")
    for act in (
        lambda: do(actions.retry, ACTOR, ended),
        lambda: do(actions.resend, ACTOR, ended, None),
        lambda: do(actions.settle_doubts, ACTOR, ended, None, arrived=True),
    ):
        with pytest.raises(ActionError, match=f"no message of delivery {ended} is"):
            act()


def test_a_retry_is_for_what_is_over_and_a_resend_for_what_is_not_stopped(house: House, ended: int):
    for state in State:
        end(house, state)
        if state != State.FINISHED:
            with pytest.raises(DeliveryStateError, match=f"is {state} and cannot be retried"):
                do(actions.retry, ACTOR, ended)
        if state in (State.STOPPED, State.FAILED, State.EDITING, State.READY, State.SCHEDULED):
            with pytest.raises(DeliveryStateError, match=f"is {state} and cannot be resent"):
                do(actions.resend, ACTOR, ended, None)


def test_what_is_in_doubt_is_sent_again_as_somebody_says(house: House, ended: int):
    assert do(actions.resend, ACTOR, ended, [6]) == (1, 0)
    assert [status for status, _ in statuses(house)[4:6]] == ["in_doubt", "deposited"]
    assert house.state(ended) == "sending"
    assert abs(remaining(house) - timedelta(days=2)) < timedelta(minutes=1)
    ((*_, after),) = audit(house, "resend messages in doubt")
    assert after == {"state": "sending", "messages": 1, "left out": 0, "named": [6]}
    check_tallies(house)


def test_a_resend_while_the_delivery_runs_leaves_its_state_and_its_validity(
    house: House, ended: int
):
    house.sql(
        "UPDATE deliveries_delivery SET state = 'paused', valid_until = now() + interval '9d'"
    )
    do(actions.resend, ACTOR, ended, None)
    assert house.state(ended) == "paused"
    do(actions.resume, ACTOR, ended)
    house.sql("UPDATE deliveries_delivery SET finished_at = NULL")
    assert remaining(house) > timedelta(days=8)


@pytest.mark.parametrize(("arrived", "status"), [(True, "sent"), (False, "failed")])
@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_what_is_in_doubt_is_settled_as_somebody_knows(
    house: House, ended: int, arrived: bool, status: str, state: str
):
    end(house, state)
    assert do(actions.settle_doubts, ACTOR, ended, [5], arrived=arrived) == 1
    assert statuses(house)[4:6] == [
        (status, None if arrived else Failure.LOST), ("in_doubt", None),
    ]  # fmt: skip
    assert house.state(ended) == state
    line = house.log(ended)[4]
    assert line.reply == f"{'arrived' if arrived else 'never arrived'}, says {ACTOR.name}"
    assert line.archived_not_sent is not arrived
    ((*_, after),) = audit(house, "settle messages in doubt")
    assert after == {"state": state, "messages": 1, "status": status, "named": [5]}
    check_tallies(house)


def test_what_was_lost_can_be_retried(house: House, ended: int):
    do(actions.settle_doubts, ACTOR, ended, None, arrived=False)
    assert do(actions.retry, ACTOR, ended, [5, 6]).messages == 2


def test_archived_not_sent_is_shown(house: House, ended: int):
    assert house.show(ended).archived_not_sent == 2, "one refused, one cancelled"
    shown = [(line.message, line.archived_not_sent) for line in house.log(ended)]
    assert [number for number, archived in shown if archived] == [2, 7]
