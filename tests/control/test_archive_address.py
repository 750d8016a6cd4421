"""The one archive address: proposed, confirmed, replaced, and never two of them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.errors import NotAllowedError
from letterbook.control.platform.actions import (
    Proposal,
    confirm_archive_address,
    set_archive_address,
    set_archive_policy,
)
from letterbook.control.platform.errors import ArchiveAddressError
from letterbook.control.platform.queries import ArchiveView, archive
from letterbook.control.recipients.queries import is_recipient
from letterbook.mail.status import ArchivePolicy
from tests.control.desk import audit, do, import_file, without
from tests.house import ACTOR, House

FIRST, SECOND, THIRD = (f"{name}@vault.example" for name in ("first", "second", "third"))


def propose(address: str, actor: Actor = ACTOR, *, trust: bool = False) -> Proposal:
    return set_archive_address(actor, address, is_recipient=is_recipient, trust=trust)


def states(house: House) -> list[tuple[str, str]]:
    return house.sql("SELECT address, state FROM platform_archiveaddress ORDER BY version")


def audited(house: House) -> list[tuple[Any, ...]]:
    return [line[1:] for line in audit(house) if line[2] == "archive address"]


def test_at_first_there_is_none(house: House):
    assert do(archive) == ArchiveView(None, None, None, None, None, ArchivePolicy.HOLD)


def test_an_address_counts_once_its_code_came_back(house: House):
    proposal = do(propose, FIRST)
    view = do(archive)
    assert (view.address, view.pending) == (None, FIRST)
    assert proposal.code is not None
    assert proposal.code.isdecimal()
    assert len(proposal.code) >= 8
    assert do(confirm_archive_address, ACTOR, f" {proposal.code}\n") == FIRST
    view = do(archive)
    assert (view.address, view.version, view.pending) == (FIRST, proposal.version, None)
    assert view.confirmed_by == ACTOR.name
    assert view.confirmed_at is not None


def test_the_code_is_not_in_the_database(house: House):
    proposal = do(propose, FIRST)
    for table in ("platform_archiveaddress", "kernel_auditline"):
        ((text,),) = house.sql(f"SELECT string_agg(t::text, '') FROM {table} t")
        assert proposal.code not in text
    assert do(propose, FIRST).code != proposal.code


def test_a_wrong_code_changes_nothing(house: House):
    code = do(propose, FIRST).code
    wrong = str((int(code) + 1) % 10**8).zfill(8)
    before = (states(house), audit(house))
    for text in (wrong, "", code[:-1], code + "0", FIRST, "é"):
        with pytest.raises(ArchiveAddressError, match=f"not the code that was sent to {FIRST}"):
            do(confirm_archive_address, ACTOR, text)
    assert (states(house), audit(house)) == before
    assert do(archive).address is None
    # A mistake is no end: the right code still counts.
    assert do(confirm_archive_address, ACTOR, code) == FIRST


def test_a_code_counts_once(house: House):
    code = do(propose, FIRST).code
    do(confirm_archive_address, ACTOR, code)
    with pytest.raises(ArchiveAddressError, match="no archive address waits for a code"):
        do(confirm_archive_address, ACTOR, code)
    assert do(archive).address == FIRST


def test_without_a_proposal_there_is_nothing_to_confirm(house: House):
    with pytest.raises(ArchiveAddressError, match="no archive address waits for a code"):
        do(confirm_archive_address, ACTOR, "12345678")


def test_a_newer_proposal_takes_the_place_of_the_one_before(house: House):
    old, new = do(propose, FIRST), do(propose, SECOND)
    with pytest.raises(ArchiveAddressError, match=f"not the code that was sent to {SECOND}"):
        do(confirm_archive_address, ACTOR, old.code)
    assert do(archive).pending == SECOND
    do(confirm_archive_address, ACTOR, new.code)
    assert states(house) == [(FIRST, "replaced"), (SECOND, "active")]


def test_what_waits_does_not_replace_what_counts(house: House):
    do(confirm_archive_address, ACTOR, do(propose, FIRST).code)
    code = do(propose, SECOND).code
    view = do(archive)
    assert (view.address, view.pending) == (FIRST, SECOND)
    do(confirm_archive_address, ACTOR, code)
    view = do(archive)
    assert (view.address, view.pending) == (SECOND, None)
    assert states(house) == [(FIRST, "replaced"), (SECOND, "active")]


def test_a_trusted_address_counts_at_once(house: House):
    proposal = do(propose, FIRST, trust=True)
    assert proposal.code is None
    view = do(archive)
    assert (view.address, view.version, view.confirmed_by) == (FIRST, proposal.version, ACTOR.name)
    with pytest.raises(ArchiveAddressError, match="no archive address waits"):
        do(confirm_archive_address, ACTOR, "")
    do(propose, SECOND, trust=True)
    assert states(house) == [(FIRST, "replaced"), (SECOND, "active")]


def test_each_setting_is_a_version_of_its_own(house: House):
    versions = [do(propose, address, trust=True).version for address in (FIRST, SECOND, FIRST)]
    assert versions == sorted(set(versions))
    assert do(archive).version == versions[-1]


def test_the_address_is_kept_in_one_form(house: House):
    assert do(propose, " Archive@VAULT.Example ").address == "Archive@vault.example"
    assert do(archive).pending == "Archive@vault.example"


@pytest.mark.parametrize(
    "text", ["", "archive", "archive@", "a@b@c.example", "A <a@b.example>", "a@b.example, c@d.test"]
)
def test_what_is_no_single_address_is_refused(house: House, text: str):
    with pytest.raises(ArchiveAddressError, match="is not an address"):
        do(propose, text)
    assert states(house) == []


def test_a_recipient_cannot_be_the_archive(house: House):
    import_file(house, "email\nAna@Example.org\n")
    for trust in (False, True):
        with pytest.raises(ArchiveAddressError, match=r"ANA@example\.org is a recipient"):
            do(propose, "ANA@example.org", trust=trust)
    assert states(house) == []
    assert audited(house) == []


def test_every_step_is_audited_with_before_and_after(house: House):
    first = do(propose, FIRST)
    do(confirm_archive_address, ACTOR, first.code)
    second = do(propose, SECOND)
    do(confirm_archive_address, ACTOR, second.code)
    third = do(propose, THIRD, trust=True)
    one, two, three = (
        {"address": address, "version": proposal.version}
        for address, proposal in ((FIRST, first), (SECOND, second), (THIRD, third))
    )
    assert audited(house) == [
        ("propose archive address", "archive address", None, one),
        ("confirm archive address", "archive address", None, one),
        ("propose archive address", "archive address", one, two),
        ("confirm archive address", "archive address", one, two),
        ("trust archive address", "archive address", two, three),
    ]
    assert {line[0] for line in audit(house) if line[2] == "archive address"} == {ACTOR.name}


def test_change_and_audit_line_are_of_one_transaction(house: House):
    """A row's xmin is the transaction that wrote it."""
    do(propose, FIRST, trust=True)
    do(set_archive_policy, ACTOR, ArchivePolicy.OWE)
    (line,) = house.sql("SELECT xmin FROM kernel_auditline WHERE object = 'archive address'")
    assert house.sql("SELECT xmin FROM platform_archiveaddress") == [line]
    (line,) = house.sql("SELECT xmin FROM kernel_auditline WHERE object = 'archive policy'")
    assert house.sql("SELECT xmin FROM platform_archivepolicy") == [line]


def test_the_policy_is_hold_until_somebody_says_owe(house: House):
    assert do(archive).policy is ArchivePolicy.HOLD
    do(set_archive_policy, ACTOR, ArchivePolicy.OWE)
    assert do(archive).policy is ArchivePolicy.OWE
    do(set_archive_policy, ACTOR, ArchivePolicy.OWE)
    do(set_archive_policy, ACTOR, ArchivePolicy.HOLD)
    assert [line[3:] for line in audit(house, "set archive policy")] == [
        ({"policy": "hold"}, {"policy": "owe"}),
        ({"policy": "owe"}, {"policy": "hold"}),
    ]


def test_every_change_needs_the_right(house: House):
    code = do(propose, FIRST).code
    before = (states(house), audit(house))
    actor = without(Right.ARCHIVE_ADMINISTRATION)
    for action in (
        lambda: propose(SECOND, actor),
        lambda: propose(SECOND, actor, trust=True),
        lambda: confirm_archive_address(actor, code),
        lambda: set_archive_policy(actor, ArchivePolicy.OWE),
    ):
        with pytest.raises(NotAllowedError, match="'archive administration'"):
            do(action)
    assert (states(house), audit(house)) == before
    assert do(archive).policy is ArchivePolicy.HOLD


@pytest.mark.parametrize("state", ["active", "pending"])
def test_the_database_itself_refuses_two(house: House, state: str):
    do(propose, FIRST, trust=state == "active")
    with pytest.raises(psycopg.errors.UniqueViolation):
        house.sql(
            "INSERT INTO platform_archiveaddress (address, state, set_by) VALUES (%s, %s, 'x')",
            SECOND,
            state,
        )


# Two administrators at once.


class Colleague:
    """Acts in a transaction of its own, which stays open until told."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._end = threading.Event()

    def begin(self, action: Callable[[], Any]) -> None:
        """Do it, and do not commit yet."""
        done: Future[None] = Future()
        self._ended = self._thread.submit(self._act, action, done)
        done.result(timeout=30)

    def commit(self) -> None:
        self._end.set()
        self._ended.result(timeout=30)

    def _act(self, action: Callable[[], Any], done: Future[None]) -> None:
        try:
            with transaction.atomic():
                action()
                done.set_result(None)
                assert self._end.wait(30)
        finally:
            connection.close()

    def close(self) -> None:
        self._end.set()
        self._thread.shutdown()


@contextmanager
def meanwhile(house: House, first: Callable[[], Any]) -> Iterator[Callable[..., Future[Any]]]:
    """While ``first`` is not committed, let something else begin and wait for it; then commit."""
    colleague = Colleague()
    others: list[Future[Any]] = []

    def also(action: Callable[[], Any]) -> Future[Any]:
        others.append(executor.submit(do, action))
        return others[-1]

    with ThreadPoolExecutor(1) as executor:
        try:
            colleague.begin(first)
            yield also
            while not others[0].done() and not _somebody_waits(house):
                pass
            colleague.commit()
        finally:
            colleague.close()


def _somebody_waits(house: House) -> bool:
    ((count,),) = house.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
        house.name,
    )
    return count > 0


def test_two_trusted_at_once_leave_the_later_one(house: House):
    for before in (None, FIRST):
        with meanwhile(house, lambda: propose(SECOND, trust=True)) as also:
            later = also(lambda: propose(THIRD, trust=True))
        assert later.result(timeout=30).address == THIRD
        assert [each for each in states(house) if each[1] != "replaced"] == [(THIRD, "active")]
        *_, one, two = audited(house)
        assert [one[3]["address"], two[2]["address"], two[3]["address"]] == [SECOND, SECOND, THIRD]
        if before is None:
            assert one[2] is None
            do(propose, FIRST, trust=True)
        else:
            assert one[2]["address"] == FIRST


def test_two_proposals_at_once_leave_the_later_one(house: House):
    with meanwhile(house, lambda: propose(FIRST)) as also:
        later = also(lambda: propose(SECOND))
    assert states(house) == [(FIRST, "replaced"), (SECOND, "pending")]
    assert do(confirm_archive_address, ACTOR, later.result(timeout=30).code) == SECOND


def test_confirming_while_another_is_proposed(house: House):
    code = do(propose, FIRST).code
    with meanwhile(house, lambda: propose(SECOND)) as also:
        late = also(lambda: confirm_archive_address(ACTOR, code))
    with pytest.raises(ArchiveAddressError, match=f"not the code that was sent to {SECOND}"):
        late.result(timeout=30)
    assert states(house) == [(FIRST, "replaced"), (SECOND, "pending")]


def test_proposing_while_another_is_confirmed(house: House):
    code = do(propose, FIRST).code
    with meanwhile(house, lambda: confirm_archive_address(ACTOR, code)) as also:
        later = also(lambda: propose(SECOND))
    assert later.result(timeout=30).address == SECOND
    assert states(house) == [(FIRST, "active"), (SECOND, "pending")]
    assert audited(house)[-1][2]["address"] == FIRST


def test_confirming_twice_at_once_confirms_once(house: House):
    code = do(propose, FIRST).code
    with meanwhile(house, lambda: confirm_archive_address(ACTOR, code)) as also:
        twice = also(lambda: confirm_archive_address(ACTOR, code))
    with pytest.raises(ArchiveAddressError, match="no archive address waits"):
        twice.result(timeout=30)
    assert states(house) == [(FIRST, "active")]
