"""Analysis: who gets a message and who does not, what is counted, and what is frozen."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from letterbook.control.deliveries.actions import create_delivery, edit_delivery
from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.kernel.errors import ActionError, NotFoundError
from letterbook.control.outbox import actions
from letterbook.control.outbox.analysis import AnalysisReport, analyze
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.outbox.queries import last_report
from letterbook.control.platform.actions import set_archive_address
from letterbook.control.recipients.actions import opt_out, quarantine
from letterbook.mail.status import Exclusion
from tests.control.desk import audit, check_tallies, do, everything, import_file
from tests.house import ACTOR, ARCHIVE_ADDRESS, House

PENDING_ADDRESS = "next@vault.example"
PLAIN = {"html": "<p>unsubscribe</p>", "subject": "Hello"}


@pytest.fixture
def ready_house(house: House) -> House:
    """Everything is set up, so that an analysis finds no fault with the platform."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    return house


def messages(house: House, delivery: int) -> list[str]:
    rows = house.sql(
        "SELECT address FROM outbox_message WHERE delivery_id = %s ORDER BY ordinal", delivery
    )
    return [address for (address,) in rows]


def excluded(house: House, delivery: int) -> list[tuple[str | None, str]]:
    return house.sql(
        "SELECT address, reason FROM outbox_exclusion WHERE delivery_id = %s "
        "ORDER BY address, reason",
        delivery,
    )


def frozen_fields(house: House, delivery: int) -> list[dict[str, Any]]:
    rows = house.sql(
        "SELECT fields FROM outbox_fields WHERE delivery_id = %s ORDER BY ordinal", delivery
    )
    return [fields for (fields,) in rows]


# Who is left out, and why.


def test_everybody_is_a_message_or_an_exclusion(ready_house: House):
    house = ready_house
    do(set_archive_address, ACTOR, PENDING_ADDRESS, is_recipient=lambda _: False, trust=False)
    names = ("ana", "bo", "out", "bad", "both", "vault", "next", "none", "eve")
    import_file(house, "email\n" + "".join(f"{name}@example.org\n" for name in names), "one")
    import_file(house, "email\nBo@example.org\nout@example.org\nfay@example.org\n", "two")
    for name in ("out", "both"):
        do(opt_out, ACTOR, f"{name}@example.org")
    for name in ("bad", "both"):
        do(quarantine, ACTOR, f"{name}@example.org", "no such user")
    # What no import lets in can still come to be: the address was set afterwards, by another way.
    for name, address in (("vault", ARCHIVE_ADDRESS.upper()), ("next", PENDING_ADDRESS)):
        house.sql(
            "UPDATE recipients_recipient SET email = %s, key = lower(%s) WHERE email = %s",
            address,
            address,
            f"{name}@example.org",
        )
    house.sql("UPDATE recipients_recipient SET email = NULL, key = NULL WHERE email ~ 'none'")

    delivery = house.delivery(house.template(), ("one", "two"))
    report = house.analyze(delivery)
    assert messages(house, delivery) == [
        "ana@example.org",
        "Bo@example.org",
        "eve@example.org",
        "fay@example.org",
    ]
    assert excluded(house, delivery) == [
        (ARCHIVE_ADDRESS.upper(), "archive_address"),
        ("Bo@example.org", "duplicate"),
        ("bad@example.org", "quarantined"),
        ("both@example.org", "denylisted"),
        (PENDING_ADDRESS, "archive_address"),
        ("out@example.org", "denylisted"),
        ("out@example.org", "duplicate"),
        (None, "no_address"),
    ]
    assert report.excluded == {
        "no_address": 1,
        "denylisted": 2,
        "quarantined": 1,
        "duplicate": 2,
        "archive_address": 2,
    }
    assert (report.target, report.messages, report.copies) == (12, 4, 4)
    assert report.target == report.messages + sum(report.excluded.values())
    view = house.show(delivery)
    assert (view.target, view.excluded) == (12, report.excluded)
    check_tallies(house)


@pytest.mark.parametrize("reason", Exclusion)
def test_each_reason_alone(ready_house: House, reason: Exclusion):
    house = ready_house
    lists = ["all"]
    import_file(house, "email\nana@example.org\nbo@example.org\n")
    match reason:
        case Exclusion.NO_ADDRESS:
            house.sql("UPDATE recipients_recipient SET email = NULL, key = NULL WHERE email ~ 'bo'")
        case Exclusion.DENYLISTED:
            do(opt_out, ACTOR, "BO@example.org")
        case Exclusion.QUARANTINED:
            do(quarantine, ACTOR, "BO@example.org", "full")
        case Exclusion.DUPLICATE:
            import_file(house, "email\nBO@example.org\n", "second")
            lists.append("second")
        case Exclusion.ARCHIVE_ADDRESS:
            house.sql(
                "UPDATE recipients_recipient SET email = %s, key = %s WHERE email ~ 'bo'",
                ARCHIVE_ADDRESS,
                ARCHIVE_ADDRESS,
            )
    delivery = house.delivery(house.template(), lists)
    report = house.analyze(delivery)
    assert report.excluded == {reason: 1}
    assert [each for _, each in excluded(house, delivery)] == [reason]
    assert len(messages(house, delivery)) == (2 if reason is Exclusion.DUPLICATE else 1)


def test_an_address_in_quarantine_is_nobodys_fault(ready_house: House):
    """Quarantine is of addresses: whoever takes another one gets letters again."""
    house = ready_house
    do(quarantine, ACTOR, "bo@example.org", "full")
    import_file(house, "email\nana@example.org\nbo2@example.org\n")
    delivery = house.delivery(house.template())
    assert house.analyze(delivery).excluded == {}


def test_a_list_named_twice_is_a_target_once(ready_house: House):
    house = ready_house
    import_file(house, "email\nana@example.org\n")
    delivery = house.delivery(house.template(), ("all", "all"))
    report = house.analyze(delivery)
    assert (report.target, report.messages, report.excluded) == (1, 1, {})


def test_a_delivery_needs_lists_and_a_template_that_exist(house: House):
    import_file(house, "email\nana@example.org\n")
    house.template()
    before = everything(house)
    for template, lists, complaint in (
        ("offer", [], "needs a list"),
        ("offer", ["nobody"], "there is no list 'nobody'; there are: all"),
        ("nothing", ["all"], "there is no template 'nothing'; there are: email-delivery, offer"),
    ):
        with pytest.raises(ActionError, match=complaint):
            do(create_delivery, ACTOR, template=template, lists=lists)
    assert everything(house) == before
    with pytest.raises(NotFoundError, match="there is no delivery 4711"):
        house.analyze(4711)


@pytest.mark.parametrize("delivery", [2**31, 2**63 - 1, 2**63, 10**30, 0, -1])
def test_any_number_of_a_delivery_that_is_not_there_is_a_plain_error(house: House, delivery: int):
    for action in (house.analyze, house.show, house.log):
        with pytest.raises(NotFoundError, match=f"there is no delivery {delivery}"):
            action(delivery)
    for action in (actions.start, actions.pause, actions.resume, actions.stop, edit_delivery):
        with pytest.raises(NotFoundError, match=f"there is no delivery {delivery}"):
            do(action, ACTOR, delivery)
    with pytest.raises(NotFoundError, match=f"there is no delivery {delivery}"):
        do(actions.release, ACTOR, delivery, 1)


# What is counted.


def test_parts_hold_everybody_once_and_in_order(ready_house: House):
    house = ready_house
    house.people(1201)
    delivery = house.delivery(house.template())
    report = house.analyze(delivery)
    assert report.messages == 1201
    assert house.sql(
        "SELECT number, first_ordinal, last_ordinal FROM outbox_part WHERE delivery_id = %s "
        "ORDER BY number",
        delivery,
    ) == [(1, 1, 500), (2, 501, 1000), (3, 1001, 1201)]
    assert house.sql(
        "SELECT part, min(ordinal), max(ordinal), count(*) FROM outbox_message "
        "GROUP BY 1 ORDER BY 1"
    ) == [(1, 1, 500, 500), (2, 501, 1000, 500), (3, 1001, 1201, 201)]
    assert house.sql("SELECT count(*) FROM outbox_fields") == [(1201,)]
    # Nothing is due before somebody starts it.
    assert house.sql("SELECT count(*) FROM outbox_part WHERE due_at IS NOT NULL") == [(0,)]
    check_tallies(house)


def test_deliveries_of_two_blocks_do_not_mix(ready_house: House):
    """The ledger is kept in blocks of a hundred deliveries."""
    house = ready_house
    import_file(house, "email\nana@example.org\nbo@example.org\n")
    house.sql("SELECT setval('deliveries_delivery_id_seq', 98)")
    template = house.template(**PLAIN)
    for delivery in (99, 100, 101):
        assert house.delivery(template) == delivery
        assert house.analyze(delivery).messages == 2
    do(actions.start, ACTOR, 100)
    do(actions.stop, ACTOR, 100)
    assert [house.counts(delivery) for delivery in (99, 100, 101)] == [
        {"pending": 2}, {"cancelled": 2}, {"pending": 2},
    ]  # fmt: skip
    check_tallies(house)


@pytest.mark.parametrize(("email_bcc", "word"), [(True, "waiting"), (False, "none")])
def test_copies_are_counted_by_the_box(ready_house: House, email_bcc: bool, word: str):
    house = ready_house
    import_file(house, "email\nana@example.org\nbo@example.org\n")
    delivery = house.delivery(house.template(email_bcc=email_bcc))
    report = house.analyze(delivery)
    assert report.copies == (2 if email_bcc else 0)
    assert house.counts(delivery) == {"pending": 2}
    assert house.copies(delivery) == {word: 2}
    check_tallies(house)


@pytest.mark.parametrize(("template", "override"), [(True, False), (False, True)])
def test_a_delivery_may_differ_from_its_template(
    ready_house: House, template: bool, override: bool
):
    house = ready_house
    import_file(house, "email\nana@example.org\n")
    delivery = house.delivery(house.template(email_bcc=template), email_bcc=override)
    assert house.show(delivery).email_bcc is override
    assert house.analyze(delivery).copies == int(override)
    do(edit_delivery, ACTOR, delivery, email_bcc=template)
    assert house.show(delivery).email_bcc is template
    assert house.analyze(delivery).copies == int(template)
    check_tallies(house)


def test_the_estimated_size_is_of_all_messages(ready_house: House):
    house = ready_house
    house.people(40)
    delivery = house.delivery(house.template(html="<p>unsubscribe</p>" + "x" * 5000))
    report = house.analyze(delivery)
    assert 40 * 5000 < report.estimated_bytes < 40 * 13_000


# What is frozen, and for how long.


def test_only_fields_that_are_used_are_frozen(ready_house: House):
    house = ready_house
    import_file(
        house,
        "email,first_name,last_name,language,city,points,since,secret\n"
        "ana@example.org,Ana,García,es,Málaga,7,2026-01-31,x\n"
        "bo@example.org,,,,,,,y\n",
        mapping={"points": "int", "since": "date"},
    )
    template = house.template(
        subject="{{ recipient.first_name }}",
        html="<p>{{ recipient['city'] }} unsubscribe</p>",
        text="{{ recipient.points }} {{ recipient.email }} {{ recipient.id }}",
        list_unsubscribe="https://example.com/{{ recipient.language }}",
        headers={"X-Since": "{{ recipient.since }}"},
    )
    delivery = house.delivery(template)
    assert house.analyze(delivery).errors == []
    assert frozen_fields(house, delivery) == [
        {
            "first_name": "Ana",
            "city": "Málaga",
            "points": 7,
            "language": "es",
            "since": "2026-01-31",
        },
        {},
    ]


def test_a_template_may_use_hundreds_of_fields(ready_house: House):
    house = ready_house
    names = [f"field_{n}" for n in range(230)]
    import_file(house, ",".join(["email", *names]) + "\nana@example.org" + ",v" * 230 + "\n")
    text = " ".join(f"{{{{ recipient.{name} }}}}" for name in names)
    template = house.template(html="<p>unsubscribe</p>", text=text, subject="Hello")
    delivery = house.delivery(template)
    assert house.analyze(delivery).errors == []
    assert frozen_fields(house, delivery) == [dict.fromkeys(names, "v")]


def test_an_analysis_may_be_repeated_and_the_last_one_counts(ready_house: House):
    house = ready_house
    house.people(700)
    delivery = house.delivery(house.template())
    house.analyze(delivery)
    first = everything(house)
    assert house.analyze(delivery).messages == 700
    changed = {row for row in everything(house) if row not in first}
    assert {table for table, _ in changed} <= {
        "deliveries_delivery",
        "outbox_content",
        "kernel_auditline",
    }
    do(opt_out, ACTOR, "user3@example.org")
    house.sql(
        "DELETE FROM recipients_membership AS m USING recipients_recipient AS r "
        "WHERE r.id = m.recipient_id AND r.email LIKE 'user2%%'"
    )
    report = house.analyze(delivery)
    assert (report.target, report.messages, report.excluded) == (589, 588, {"denylisted": 1})
    assert len(messages(house, delivery)) == report.messages
    assert len(frozen_fields(house, delivery)) == report.messages
    assert len(excluded(house, delivery)) == sum(report.excluded.values())
    assert do(last_report, delivery) == report
    assert house.analyze(delivery) == report
    assert excluded(house, delivery) == [("user3@example.org", "denylisted")]
    check_tallies(house)
    # Another delivery's analysis is another's.
    other = house.delivery("offer")
    house.analyze(other)
    assert len(messages(house, delivery)) == report.messages


def test_editing_asks_for_a_new_analysis(ready_house: House):
    house = ready_house
    delivery = house.ready(3)
    assert house.state(delivery) == "ready"
    do(edit_delivery, ACTOR, delivery, label="Other")
    assert (house.state(delivery), house.show(delivery).label) == ("editing", "Other")
    with pytest.raises(DeliveryStateError, match="only one that is ready can start"):
        do(actions.start, ACTOR, delivery)
    house.analyze(delivery)
    do(actions.start, ACTOR, delivery)
    assert house.state(delivery) == "sending"
    assert [line[3:] for line in audit(house, "edit delivery")] == [
        (
            {"label": "offer", "overrides": {}},
            {"label": "Other", "overrides": {}},
        )
    ]


def test_errors_keep_a_delivery_in_editing(house: House):
    import_file(house, "email\nana@example.org\n")
    delivery = house.delivery(house.template())
    report = house.analyze(delivery)
    assert report.errors
    assert house.state(delivery) == "editing"
    assert house.sql("SELECT analyzed_at FROM deliveries_delivery") == [(None,)]
    with pytest.raises(DeliveryStateError):
        do(actions.start, ACTOR, delivery)


def test_a_ready_delivery_whose_analysis_finds_errors_is_no_longer_ready(ready_house: House):
    house = ready_house
    delivery = house.ready(3)
    house.sql("DELETE FROM recipients_membership")
    assert [each.rule for each in house.analyze(delivery).errors] == ["target"]
    assert house.state(delivery) == "editing"
    assert house.sql("SELECT analyzed_at FROM deliveries_delivery") == [(None,)]


def analysis(house: House, delivery: int, progress: Any) -> AnalysisReport:
    return analyze(
        ACTOR,
        delivery,
        identity=house.identity,
        defaults=Defaults.of(house.settings),
        progress=progress,
    )


def test_an_analysis_that_breaks_leaves_a_delivery_to_edit(ready_house: House):
    house = ready_house
    delivery = house.ready(3)
    before = house.sql("SELECT * FROM outbox_content"), house.sql("SELECT * FROM outbox_message")

    def interrupt(step: str) -> None:
        if "sample" in step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do(analysis, house, delivery, interrupt)
    assert house.state(delivery) == "editing"
    assert before == (
        house.sql("SELECT * FROM outbox_content"),
        house.sql("SELECT * FROM outbox_message"),
    )
    with pytest.raises(DeliveryStateError):
        do(actions.start, ACTOR, delivery)
    assert house.analyze(delivery).errors == []


def test_an_analysis_whose_process_was_killed_can_be_done_again(ready_house: House):
    house = ready_house
    delivery = house.ready(3)
    house.sql("UPDATE deliveries_delivery SET state = 'analyzing'")
    assert house.analyze(delivery).errors == []
    assert house.state(delivery) == "ready"


def test_a_delivery_is_analysed_by_one_at_a_time(ready_house: House):
    house = ready_house
    delivery, other = house.ready(3), house.delivery("offer")
    under_way, finish = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        under_way.set()
        assert finish.wait(30)

    def colleague() -> AnalysisReport:
        try:
            return analysis(house, delivery, wait)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(colleague)
        try:
            assert under_way.wait(30)
            with pytest.raises(DeliveryStateError, match="is being analysed already"):
                house.analyze(delivery)
            assert house.state(delivery) == "analyzing"
            for action in (actions.start, actions.stop, edit_delivery):
                with pytest.raises(DeliveryStateError, match="analyzing"):
                    do(action, ACTOR, delivery)
            # Another delivery is free.
            assert house.analyze(other).errors == []
        finally:
            finish.set()
        assert first.result(timeout=30).errors == []
    assert house.state(delivery) == "ready"
    assert house.analyze(delivery).errors == []
    check_tallies(house)


def test_an_analysis_is_audited(ready_house: House):
    house = ready_house
    delivery = house.ready(3)
    assert audit(house, "analyze delivery") == [
        (
            ACTOR.name,
            "analyze delivery",
            f"delivery {delivery}",
            None,
            {"messages": 3, "errors": 0},
        )
    ]
    assert audit(house, "create delivery")[0][2:] == (
        f"delivery {delivery}",
        None,
        {"template": "offer", "version": 1, "lists": ["all"]},
    )
