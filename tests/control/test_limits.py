"""Limits of routes: who may set them, what they may be; and what the archive can take in time."""

from datetime import UTC, datetime, timedelta

import pytest

from letterbook.control.kernel.actor import Right
from letterbook.control.kernel.errors import NotAllowedError
from letterbook.control.outbox import actions
from letterbook.control.outbox.analysis import AnalysisReport
from letterbook.control.outbox.queries import last_report
from letterbook.control.platform.actions import limit_route
from letterbook.control.platform.errors import RouteError
from letterbook.control.platform.queries import routes
from tests.control.desk import audit, do, without
from tests.house import ACTOR, House

NO_LIMITS = {"connections": None, "per_connection": None, "rate": None}


def limits(house: House) -> dict[str, object]:
    (route,) = do(routes)
    return {name: getattr(route, name) for name in NO_LIMITS}


def test_limits_are_set_one_by_one_and_taken_away(house: House):
    house.set_route("archive", 25)
    assert limits(house) == NO_LIMITS
    do(limit_route, ACTOR, "archive", {"connections": 3.0, "rate": 0.5})
    assert limits(house) == {"connections": 3, "per_connection": None, "rate": 0.5}
    do(limit_route, ACTOR, "archive", {"per_connection": 100, "rate": None})
    assert limits(house) == {"connections": 3, "per_connection": 100, "rate": None}
    house.set_route("archive", 26)
    assert limits(house) == {"connections": 3, "per_connection": 100, "rate": None}, "they stay"
    first, second = (line[2:] for line in audit(house, "limit route"))
    before, after = {"connections": None, "rate": None}, {"connections": 3, "rate": 0.5}
    assert first == ("route archive", before, after)
    before, after = {"per_connection": None, "rate": 0.5}, {"per_connection": 100, "rate": None}
    assert second == ("route archive", before, after)


def test_a_change_that_is_none_is_not_audited(house: House):
    house.set_route("archive", 25)
    do(limit_route, ACTOR, "archive", {"rate": 5})
    do(limit_route, ACTOR, "archive", {"rate": 5})
    assert len(audit(house, "limit route")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in NO_LIMITS for value in (0, -1, 10**7, float("nan"))),
        ("connections", 1.5),
        ("per_connection", 0.9),
        ("rate", float("inf")),
        ("speed", 5),
    ],
)
def test_what_is_no_limit_is_refused(house: House, name: str, value: float):
    house.set_route("archive", 25)
    with pytest.raises(RouteError, match=name):
        do(limit_route, ACTOR, "archive", {name: value})
    assert limits(house) == NO_LIMITS


def test_a_route_that_is_not_set_has_no_limits(house: House):
    with pytest.raises(RouteError, match="`letterbook routes set archive URL`"):
        do(limit_route, ACTOR, "archive", {"rate": 5})


def test_limits_need_the_right(house: House):
    house.set_route("archive", 25)
    with pytest.raises(NotAllowedError, match="'administration'"):
        do(limit_route, without(Right.ADMINISTRATION), "archive", {"rate": 5})
    assert limits(house) == NO_LIMITS


# The archive's capacity, at analysis.


@pytest.fixture
def delivery(house: House) -> int:
    """To a hundred people, with Email BCC."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    house.people(100)
    return house.delivery(house.template(validity={"delivery": "1h"}))


def measured(house: House, per_second: float) -> None:
    house.sql(
        "UPDATE outbox_flow SET per_second = %s, measured_at = now() WHERE route = 'archive'",
        per_second,
    )


def warnings(report: AnalysisReport) -> list[str]:
    return [each.message for each in report.warnings if each.rule == "archive-capacity"]


def lasts(report: AnalysisReport) -> timedelta:
    assert report.last_copy_at is not None
    return report.last_copy_at - datetime.now(UTC)


def test_nothing_is_known_of_an_archive_at_first(house: House, delivery: int):
    report = house.analyze(delivery)
    assert (report.copies, report.copy_bytes) == (100, report.estimated_bytes)
    assert report.copy_bytes > 100 * 500
    assert (report.archive_rate, report.archive_rate_limit, report.last_copy_at) == (
        None,
        None,
        None,
    )
    assert warnings(report) == []


def test_the_measured_rate_says_when_the_last_copy_is_accepted(house: House, delivery: int):
    measured(house, 0.5)
    report = house.analyze(delivery)
    assert (report.archive_rate, report.archive_rate_limit) == (0.5, None)
    assert timedelta(seconds=195) < lasts(report) <= timedelta(seconds=200)
    assert warnings(report) == []
    assert do(last_report, delivery) == report, "it is kept as it was"


def test_the_limit_of_the_route_counts_too(house: House, delivery: int):
    do(limit_route, ACTOR, "archive", {"rate": 0.1})
    report = house.analyze(delivery)
    assert (report.archive_rate, report.archive_rate_limit) == (None, 0.1)
    assert timedelta(seconds=995) < lasts(report) <= timedelta(seconds=1000)
    measured(house, 0.05)
    assert timedelta(seconds=1995) < lasts(house.analyze(delivery)) <= timedelta(seconds=2000)
    measured(house, 5)
    assert timedelta(seconds=995) < lasts(house.analyze(delivery)) <= timedelta(seconds=1000)


def test_what_was_measured_before_a_change_is_forgotten(house: House, delivery: int):
    measured(house, 0.5)
    do(limit_route, ACTOR, "archive", {"rate": 10})
    assert house.analyze(delivery).archive_rate is None
    measured(house, 0.5)
    assert house.analyze(delivery).archive_rate == 0.5
    house.set_route("archive", 27)
    assert house.analyze(delivery).archive_rate is None


def test_an_archive_too_slow_for_the_validity_is_warned_of(house: House, delivery: int):
    measured(house, 100 / 3500)
    assert warnings(house.analyze(delivery)) == []
    measured(house, 100 / 3700)
    report = house.analyze(delivery)
    (warning,) = warnings(report)
    assert f"{report.last_copy_at:%Y-%m-%d %H:%M} UTC" in warning
    assert "validity of 1h ends before" in warning
    assert report.errors == [], "it may start all the same"


def test_copies_of_other_deliveries_come_first(house: House, delivery: int):
    measured(house, 1)
    house.analyze(delivery)
    do(actions.start, ACTOR, delivery)
    report = house.analyze(house.delivery())
    assert report.copies_ahead == 100
    assert timedelta(seconds=195) < lasts(report) <= timedelta(seconds=200)
    assert house.analyze(house.delivery(email_bcc=False)).copies_ahead == 0


def test_copies_of_later_waves_come_no_sooner_than_these(house: House, delivery: int):
    measured(house, 1)
    template = house.template("waves", waves="10, 60 after 10s, rest after 30m")
    report = house.analyze(house.delivery(template))
    assert timedelta(seconds=1835) < lasts(report) <= timedelta(seconds=1840)
    do(limit_route, ACTOR, "archive", {"rate": 0.05})
    assert timedelta(seconds=1995) < lasts(house.analyze(delivery)) <= timedelta(seconds=2000)


def test_without_copies_the_archive_does_not_matter(house: House, delivery: int):
    measured(house, 0.001)
    report = house.analyze(house.delivery(email_bcc=False))
    assert (report.copies, report.copy_bytes, report.last_copy_at) == (0, 0, None)
    assert warnings(report) == []
