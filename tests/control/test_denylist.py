"""Opt-out and quarantine: whom no delivery may reach."""

from collections.abc import Callable

import pytest

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.errors import ActionError, NotAllowedError
from letterbook.control.recipients.actions import opt_out, quarantine
from letterbook.mail.errors import AddressError
from tests.control.desk import audit, do, import_file, people, without
from tests.house import ACTOR, House


def set_aside(house: House) -> list[tuple[object, ...]]:
    return house.sql(
        "SELECT key, denylisted_at IS NOT NULL, NULL FROM recipients_recipient "
        "UNION ALL SELECT key, NULL, reason FROM recipients_quarantinedaddress ORDER BY 1"
    )


def test_an_opt_out_finds_the_person_however_the_address_is_written(house: House):
    import_file(house, "email\nAna@Example.org\nbo@example.org\n")
    assert do(opt_out, ACTOR, " ANA@EXAMPLE.ORG ") == "ANA@example.org"
    assert set_aside(house) == [
        ("ana@example.org", True, None),
        ("bo@example.org", False, None),
    ]
    assert set(people(house)) == {"Ana@example.org", "bo@example.org"}


def test_an_opt_out_keeps_its_first_time(house: House):
    do(opt_out, ACTOR, "ana@example.org")
    first = house.sql("SELECT denylisted_at FROM recipients_recipient")
    do(opt_out, ACTOR, "Ana@example.org")
    assert house.sql("SELECT denylisted_at FROM recipients_recipient") == first


def test_the_archive_cannot_opt_out_and_so_become_a_recipient(house: House):
    house.set_archive("letters@vault.example")
    with pytest.raises(ActionError, match="is the archive address"):
        do(opt_out, ACTOR, "Letters@Vault.example")
    assert set_aside(house) == []


def test_a_stranger_can_opt_out(house: House):
    do(opt_out, ACTOR, "stranger@example.org")
    assert set_aside(house) == [("stranger@example.org", True, None)]


def test_quarantine_is_of_an_address_and_keeps_the_newest_reason(house: House):
    assert do(quarantine, ACTOR, "ANA@Example.org", "mailbox full") == "ANA@example.org"
    do(quarantine, ACTOR, "ana@example.org", "no such user")
    assert set_aside(house) == [("ana@example.org", None, "no such user")]
    assert people(house) == {}


@pytest.mark.parametrize("action", [opt_out, lambda *args: quarantine(*args, "x")])
def test_what_is_no_address_is_refused(house: House, action: Callable[[Actor, str], str]):
    for text in ("", "ana", "ana@", "Ana <ana@example.org>"):
        with pytest.raises(AddressError):
            do(action, ACTOR, text)
    assert set_aside(house) == []
    assert audit(house, "opt out") + audit(house, "quarantine") == []


def test_both_are_audited_without_the_address(house: House):
    do(opt_out, ACTOR, "ana@example.org")
    do(quarantine, ACTOR, "bo@example.org", "mailbox full")
    (person,) = house.sql("SELECT id FROM recipients_recipient")
    lines = audit(house)[-2:]
    assert lines == [
        (ACTOR.name, "opt out", f"recipient {person[0]}", None, None),
        (ACTOR.name, "quarantine", "an address", None, {"reason": "mailbox full"}),
    ]
    assert "example.org" not in str(lines)


def test_both_need_the_right(house: House):
    actor = without(Right.RECIPIENT_IMPORT)
    for action, more in ((opt_out, ()), (quarantine, ("x",))):
        with pytest.raises(NotAllowedError, match="newcomer may not do this"):
            do(action, actor, "ana@example.org", *more)
    assert set_aside(house) == []
