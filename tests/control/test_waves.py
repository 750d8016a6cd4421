"""Waves: how they are written, how messages are divided, when they begin, what preflight says."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from letterbook.control.deliveries.actions import edit_delivery
from letterbook.control.kernel.errors import ActionError
from letterbook.control.mailtemplates.waves import MOST_WAVES, Wave, Waves, parse_waves
from letterbook.control.outbox import actions
from tests.control.desk import check_tallies, do
from tests.house import ACTOR, House

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REST = Decimal(100)


@pytest.mark.parametrize(
    ("text", "waves"),
    [
        ("30% every 2h", Waves((Wave(None, Decimal(30)),), 2 * HOUR)),
        (" 5000   every 1d ", Waves((Wave(5000, None),), DAY)),
        (
            "1000, 12.5 % after 1h,rest after 1d",
            Waves((Wave(1000, None), Wave(None, Decimal("12.5"), HOUR), Wave(None, REST, DAY))),
        ),
    ],
)
def test_how_waves_are_written(text: str, waves: Waves):
    assert parse_waves(text) == waves


@pytest.mark.parametrize(
    "text",
    [
        "", "rest", "1000", "1000, 2000", "rest every 2h", "rest, 10 after 1h", "10% every",
        "10 after 1h, rest after 1h", "0 every 1h", "0% every 1h", "101% every 1h", "-1 every 1h",
        "10% every 0s", "10% every 2y", "10% every soon", "10, rest every 1h",
    ],
)  # fmt: skip
def test_what_is_not_a_plan_of_waves(text: str):
    with pytest.raises(ValueError, match=r"wave|share|time"):
        parse_waves(text)


def plan(house: House, text: str, messages: int, part_size: int) -> list[tuple[int, int, int]]:
    """The parts: wave, first and last message."""
    waves = parse_waves(text).expanded(messages)
    return house.sql(
        "SELECT wave, first_ordinal, last_ordinal FROM outbox_plan_parts(%s, %s, %s::int[], "
        "%s::numeric[], %s::interval[]) ORDER BY number",
        messages,
        part_size,
        [wave.size for wave in waves],
        [wave.share for wave in waves],
        [wave.after for wave in waves],
    )


def test_parts_keep_within_waves(house: House):
    assert plan(house, "30% every 1h", 100, 20) == [
        (1, 1, 20), (1, 21, 30), (2, 31, 50), (2, 51, 60), (3, 61, 80), (3, 81, 90), (4, 91, 100),
    ]  # fmt: skip
    assert plan(house, "1, 50% after 1h, rest after 1h", 9, 100) == [
        (1, 1, 1), (2, 2, 6), (3, 7, 9),
    ]  # fmt: skip
    assert plan(house, "100, rest after 1h", 9, 5) == [(1, 1, 5), (1, 6, 9)]
    assert plan(house, "2 every 1h", 0, 5) == []


@pytest.mark.parametrize("text", ["7% every 1h", "3 every 1h", "10%, 1 after 1h, rest after 2h"])
def test_every_message_is_in_one_part_whatever_the_numbers(house: House, text: str):
    for messages in (1, 2, 10, 11, 99, 100, 101):
        found = plan(house, text, messages, 4)
        covered = [each for _, first, last in found for each in range(first, last + 1)]
        assert covered == list(range(1, messages + 1))
        waves = parse_waves(text)
        starts = max(wave for wave, _, _ in found)
        begun = sum((each.after for each in waves.expanded(messages)[:starts]), timedelta())
        assert waves.last_start(messages) == begun


def test_waves_of_a_share_are_as_large_as_said_when_many_are_excluded(house: House):
    """The number of messages is known only after the exclusions; no wave takes more for it."""
    waves = parse_waves("10% every 1h").expanded(11)
    assert len(waves) == 10


@pytest.fixture
def routed(house: House) -> House:
    house.set_route("recipients", 25)
    return house


def test_each_wave_becomes_due_in_its_time_and_no_message_is_left_out(routed: House):
    delivery = routed.ready(10, email_bcc=False, waves="30% every 2h")
    do(actions.start, ACTOR, delivery)
    rows = routed.sql(
        "SELECT round(extract(epoch FROM p.due_at - d.started_at) / 3600), p.pending, "
        "count(m.ordinal) FROM outbox_part p "
        "JOIN deliveries_delivery d ON d.id = p.delivery_id "
        "JOIN outbox_message m ON m.delivery_id = d.id AND m.part = p.number "
        "GROUP BY p.number, 1, 2 ORDER BY p.number"
    )
    assert rows == [
        (0, 3, 3), (2, 3, 3), (4, 3, 3), (6, 1, 1),
    ]  # fmt: skip
    check_tallies(routed)
    view = routed.show(delivery)
    assert [(wave.number, wave.messages) for wave in view.waves] == [(1, 3), (2, 3), (3, 3), (4, 1)]
    assert view.started_at is not None
    assert view.waves[3].starts_at == view.started_at + 6 * HOUR


def test_a_release_makes_its_own_part_due_and_no_later_wave(house: House):
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    delivery = house.started(10, waves="50% every 2h")
    house.sql("UPDATE outbox_message SET copy = 'refused' WHERE ordinal = 1")
    do(actions.release, ACTOR, delivery, 1)
    assert house.sql("SELECT due_at <= now() FROM outbox_part ORDER BY number") == [
        (True,), (False,),
    ]  # fmt: skip


def test_a_delivery_may_have_other_waves_than_its_template_or_none(routed: House):
    delivery = routed.ready(10, email_bcc=False, waves="5 every 1h")
    do(edit_delivery, ACTOR, delivery, waves="1, rest after 1h")
    routed.analyze(delivery)
    assert [wave.messages for wave in routed.show(delivery).waves] == [1, 9]
    do(edit_delivery, ACTOR, delivery, waves="none")
    routed.analyze(delivery)
    assert [wave.messages for wave in routed.show(delivery).waves] == [10]
    with pytest.raises(ActionError, match="write waves as"):
        do(edit_delivery, ACTOR, delivery, waves="some")


def findings(house: House, waves: str, **options: object) -> list[tuple[str, str]]:
    template = house.template(email_bcc=False, waves=waves, **options)
    report = house.analyze(house.delivery(template))
    return [(each.level, each.message) for each in (*report.errors, *report.warnings)]


def test_preflight_looks_at_when_the_last_wave_begins(routed: House):
    routed.people(10)
    soon = {"validity": {"delivery": "5h"}, "retries": {"period": "30m", "max": 2}}
    assert findings(routed, "50% every 4h", **soon) == []
    ((level, late),) = findings(routed, "20% every 2h", **soon)
    assert level == "warning"
    assert late.startswith(
        "the last wave begins 8h after the start, and the validity ends after 5h"
    )
    ((level, close),) = findings(routed, "30% every 90m", **soon)
    assert (level, "leave time for retries" in close) == ("warning", True)


def test_preflight_insists_that_every_message_has_a_wave(routed: House):
    routed.people(10)
    ((level, message),) = findings(routed, "1, 5 after 1h")
    assert level == "error"
    assert message.startswith("4 of 10 messages are in no wave")
    assert Waves((Wave(1, None),), HOUR).shortfall(MOST_WAVES + 7) == 7


def test_a_scheduled_start_begins_the_first_wave(routed: House):
    delivery = routed.ready(4, email_bcc=False, waves="50% every 2h")
    do(actions.start, ACTOR, delivery, at=datetime.fromisoformat("2099-01-01T08:00:00+00:00"))
    assert routed.sql("SELECT due_at FROM outbox_part") == [(None,), (None,)]
