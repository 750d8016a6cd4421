"""Making proofs and tests: who gets one, of what, written as whom; and what analysis says."""

import pytest
from msgspec import ValidationError

from letterbook.control.deliveries.actions import edit_delivery
from letterbook.control.deliveries.errors import DeliveryStateError, ProofAddressError
from letterbook.control.deliveries.proofs import MOST_ADDRESSES, create_proof
from letterbook.control.deliveries.queries import deliveries
from letterbook.control.kernel.errors import ActionError, NotFoundError
from letterbook.control.outbox import actions
from letterbook.control.platform.actions import set_archive_address
from letterbook.control.platform.queries import archive
from letterbook.control.recipients.actions import opt_out, quarantine
from letterbook.mail.status import DeliveryState
from tests.control.desk import audit, check_tallies, do, everything, import_file
from tests.house import ACTOR, ARCHIVE_ADDRESS, House

EVE = "eve@trial.example"
HTML = "<p>Dear {{ recipient.first_name }}, unsubscribe</p>"


@pytest.fixture
def delivery(house: House) -> int:
    """A delivery to Ana, Bo and Cy, with the box on, not analysed yet."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    import_file(house, "email,first_name\nana@a.example,Ana\nbo@a.example,Bo\ncy@a.example,Cy\n")
    return house.delivery(house.template(html=HTML))


def prove(delivery: int, *to: str, written_as: str | None = None) -> int:
    return int(do(create_proof, ACTOR, delivery, to=to or [EVE], written_as=written_as))


def written_as(house: House, proof: int) -> str:
    ((email,),) = house.sql(
        "SELECT r.email FROM deliveries_proof p JOIN recipients_recipient r "
        "ON r.id = p.recipient_id WHERE p.delivery_id = %s",
        proof,
    )
    return str(email)


# Where it goes.


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("no@longer.example", "no@longer.example is denylisted"),
        ("No@Longer.Example", "No@longer.example is denylisted"),
        ("bad@luck.example", "bad@luck.example is quarantined"),
        (ARCHIVE_ADDRESS, "is the archive address; nothing is sent to it"),
        (ARCHIVE_ADDRESS.upper(), "is the archive address; nothing is sent to it"),
        ("next@vault.example", "is the archive address; nothing is sent to it"),
        ("nobody", "'nobody' is not an address"),
    ],
)
def test_some_addresses_get_no_proof_and_nothing_is_made(
    house: House, delivery: int, address: str, complaint: str
):
    do(opt_out, ACTOR, "no@longer.example")
    do(quarantine, ACTOR, "bad@luck.example", "5.1.1")
    do(set_archive_address, ACTOR, "next@vault.example", is_recipient=lambda _: False, trust=False)
    assert do(archive).address == ARCHIVE_ADDRESS
    before = everything(house)
    with pytest.raises(ProofAddressError, match=complaint):
        prove(delivery, EVE, address)
    assert everything(house) == before


def test_a_proof_goes_to_a_hundred_addresses_at_most(house: House, delivery: int):
    many = [f"user{number}@trial.example" for number in range(MOST_ADDRESSES)]
    proof = prove(delivery, *many, "USER0@trial.example")
    assert house.analyze(proof).messages == MOST_ADDRESSES
    check_tallies(house)
    with pytest.raises(ProofAddressError, match="1 to 100 addresses, not to 101"):
        prove(delivery, *many, EVE)
    with pytest.raises(ProofAddressError, match="not to 0"):
        do(create_proof, ACTOR, delivery, to=[])


# As whom.


def test_it_is_written_as_the_first_who_would_get_the_delivery(house: House, delivery: int):
    assert written_as(house, prove(delivery)) == "ana@a.example"
    do(opt_out, ACTOR, "ana@a.example")
    do(quarantine, ACTOR, "bo@a.example", "5.1.1")
    assert written_as(house, prove(delivery)) == "cy@a.example"
    do(opt_out, ACTOR, "cy@a.example")
    with pytest.raises(ActionError, match=r"nobody in the target .*--as ADDRESS"):
        prove(delivery)
    assert written_as(house, prove(delivery, written_as="Ana@A.Example")) == "ana@a.example"


def test_it_is_written_as_somebody_whom_the_platform_knows(delivery: int):
    with pytest.raises(NotFoundError, match=r"there is no recipient dee@a.example"):
        prove(delivery, written_as="dee@a.example")


# Of what.


@pytest.mark.parametrize("state", DeliveryState)
def test_proofs_are_made_before_a_delivery_starts(house: House, delivery: int, state: str):
    house.sql("UPDATE deliveries_delivery SET state = %s WHERE id = %s", state, delivery)
    if state in ("editing", "ready", "scheduled"):
        assert house.analyze(prove(delivery)).errors == []
    else:
        with pytest.raises(DeliveryStateError, match=f"is {state}; proofs are made before"):
            prove(delivery)
    assert house.state(delivery) == state


def test_a_proof_is_neither_proved_nor_edited(delivery: int):
    proof = prove(delivery)
    with pytest.raises(DeliveryStateError, match=f"delivery {proof} is a proof itself"):
        prove(proof)
    with pytest.raises(DeliveryStateError, match="is a proof; edit what it tries out"):
        do(edit_delivery, ACTOR, proof, label="Mine")


def test_proofs_are_numbered_for_each_delivery_and_listed(house: House, delivery: int):
    other = house.delivery()
    first, second, third = prove(delivery), prove(other), prove(delivery)
    assert house.show(delivery).proofs == [first, third]
    found = {line.id: (line.label, line.kind, line.proof_of) for line in do(deliveries)}
    assert found == {
        delivery: ("offer", "delivery", None),
        other: ("offer", "delivery", None),
        first: ("[Proof 1] offer", "proof", delivery),
        second: ("[Proof 1] offer", "proof", other),
        third: ("[Proof 2] offer", "proof", delivery),
    }
    lines = audit(house, "make proof")
    assert [line[2] for line in lines] == [
        f"delivery {each}" for each in (delivery, other, delivery)
    ]
    assert "trial.example" not in str(lines), "addresses are no matter of the audit trail"


def test_a_proof_has_the_mistakes_of_its_delivery_and_fails_with_them(house: House, delivery: int):
    broken = house.delivery(house.template("broken", html="<p>{{ recipient.nothing }}</p>"))
    proof = prove(broken)
    report = house.analyze(proof)
    (mistake,) = report.errors
    assert "nothing" in mistake.message
    assert (report.kind, house.state(proof), house.state(broken)) == ("proof", "failed", "editing")


def test_email_bcc_binds_a_proof_too(house: House, delivery: int):
    house.sql("UPDATE platform_archiveaddress SET state = 'replaced'")
    report = house.analyze(prove(delivery))
    assert [each.rule for each in report.errors] == ["archive address"]


def test_no_template_can_pass_for_a_proof(house: House):
    with pytest.raises(ValidationError, match="X-Letterbook-Proof is Letterbook's own"):
        house.template(headers={"X-Letterbook-Proof": "1.1"})


# Test SMTP.


def test_analysis_says_that_nothing_is_sent_or_copied(house: House, delivery: int):
    house.sql("DELETE FROM platform_archiveaddress")
    test = house.delivery(house.template("trial", html=HTML, test_smtp=True))
    report = house.analyze(test)
    assert (report.errors, report.kind, report.messages, report.copies) == ([], "test", 3, 0)
    (warning,) = report.warnings
    assert warning.rule == "test smtp"
    assert "nothing is sent and nothing is copied" in warning.message
    assert house.copies(test) == {"none": 3}
    do(actions.start, ACTOR, test)
    check_tallies(house)


def test_a_delivery_differs_from_its_template(house: House, delivery: int):
    test = house.delivery(test_smtp=True)
    assert house.show(test).kind == "test"
    do(edit_delivery, ACTOR, test, test_smtp=False)
    assert house.show(test).kind == "delivery"
    assert house.analyze(test).copies == 3
