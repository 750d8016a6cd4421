"""What an analysis froze is what is sent, whatever changes afterwards."""

import hashlib
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import msgspec
import pytest

from letterbook.control.mailtemplates.folder import TemplateFile
from letterbook.control.outbox import actions
from letterbook.control.outbox.queries import log
from letterbook.mail.compose import Addressee, Composer
from letterbook.mail.content import Content
from letterbook.mail.identity import MessageRef
from tests.control.desk import check_tallies, do, import_file
from tests.house import ACTOR, House

DATE = datetime(2026, 12, 24, 8, tzinfo=UTC)
LOGO = TemplateFile("logo.png", "image/png", b"\x89PNG\r\n\0")
HTML = """<p>Dear {{ recipient.first_name|default("friend") }} of {{ recipient.city }},
{% if recipient.points > 5 %}many{% else %}few{% endif %} points since {{ recipient.since }}.</p>
<img src="cid:logo.png"> <a href="https://example.com/unsubscribe">Unsubscribe</a>
"""
ROWS = (
    "email,first_name,city,points,since\nana@example.org,Ana,Málaga,7,2026-01-31\n"
    "bo@example.org,,León,3,2025-06-01\n"
)


def composed(house: House, delivery: int) -> list[bytes]:
    """Compose every message of the delivery from what is frozen, as a worker does."""
    ((stored,),) = house.sql("SELECT content FROM outbox_content WHERE delivery_id = %s", delivery)
    content = msgspec.convert(stored, Content)
    digests = [each.sha256 for each in content.attachments]
    rows = house.sql("SELECT sha256, data FROM mailtemplates_blob WHERE sha256 = ANY(%s)", digests)
    files = {sha256: bytes(data) for sha256, data in rows}
    composer = Composer(delivery, content, files, house.identity)
    return [
        composer.compose(Addressee(ordinal, recipient, address, fields), DATE)
        for ordinal, recipient, address, fields in house.sql(
            "SELECT ordinal, recipient_id, address, fields FROM outbox_message "
            "JOIN outbox_fields USING (delivery_id, ordinal) WHERE delivery_id = %s ORDER BY 1",
            delivery,
        )
    ]


def digests(house: House, delivery: int) -> list[str]:
    return [hashlib.sha256(each).hexdigest() for each in composed(house, delivery)]


@pytest.fixture
def delivery(house: House) -> int:
    """A delivery to two people, analysed."""
    house.set_route("recipients", 25)
    import_file(house, ROWS, mapping={"points": "int", "since": "date"})
    template = house.template(
        html=HTML,
        files=[LOGO],
        email_bcc=False,
        headers={"X-City": "{{ recipient.city }}"},
        list_unsubscribe="https://example.com/u/{{ recipient.id }}",
    )
    made = house.delivery(template)
    report = house.analyze(made)
    assert (report.errors, report.warnings) == ([], [])
    return made


def test_the_frozen_fields_make_the_letter(house: House, delivery: int):
    ana, bo = (message_from_bytes(each, policy=default) for each in composed(house, delivery))
    text, html = (ana.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for body in (text, html):
        assert "Dear Ana of Málaga" in body
        assert "many points since 2026-01-31" in body
    assert ana["X-City"] == "Málaga"
    text = bo.get_body(("plain",)).get_content()
    assert "Dear friend of León" in text
    assert "few points since 2025-06-01" in text
    logo = next(part for part in bo.walk() if part["Content-ID"])
    assert logo.get_content() == LOGO.data
    assert f'src="cid:{logo["Content-ID"][1:-1]}"' in bo.get_body(("html",)).get_content()


def test_nothing_that_changes_later_changes_a_letter(house: House, delivery: int):
    before = digests(house, delivery)
    assert len(set(before)) == 2
    do(actions.start, ACTOR, delivery)
    # The template, its file of the same name, and the delivery's own source.
    house.template(
        html="<p>unsubscribe {{ recipient.nope }}</p>",
        files=[TemplateFile("logo.png", "image/png", b"another")],
        subject="Other",
        **{"from": {"address": "other@example.com"}},
    )
    # The people and their attributes.
    import_file(house, ROWS.replace("Ana", "Anna").replace("León", "Lugo").replace("7", "1"))
    house.sql("UPDATE recipients_recipient SET email = 'x' || email, key = 'x' || key")
    house.sql("UPDATE recipients_attribute SET type = 'text'")
    house.sql("DELETE FROM recipients_membership")
    # The platform's own defaults.
    house.with_settings(error_address="other@example.com", time_zone="Asia/Tokyo")
    assert digests(house, delivery) == before
    house.sql("DELETE FROM recipients_recipient")
    house.sql("DELETE FROM recipients_attribute")
    house.sql("DELETE FROM mailtemplates_template WHERE NOT native")
    assert digests(house, delivery) == before
    check_tallies(house)


def test_another_analysis_freezes_anew(house: House, delivery: int):
    before = digests(house, delivery)
    assert house.analyze(delivery).errors == []
    assert digests(house, delivery) == before
    import_file(house, ROWS.replace("Ana", "Anna"))
    assert digests(house, delivery) == before
    house.analyze(delivery)
    ana, bo = digests(house, delivery)
    assert ana != before[0]
    assert bo == before[1]


def test_the_delivery_keeps_the_template_it_was_made_from(house: House, delivery: int):
    house.template(html="<p>unsubscribe, all new</p>", email_bcc=False)
    house.analyze(delivery)
    assert b"all new" not in b"".join(composed(house, delivery))
    other = house.delivery("offer")
    house.analyze(other)
    assert b"all new" in b"".join(composed(house, other))


def test_two_deliveries_of_one_template_differ_only_in_their_names(house: House, delivery: int):
    other = house.delivery("offer")
    house.analyze(other)
    one, two = composed(house, delivery)[0], composed(house, other)[0]
    assert one != two

    def without_names(message: bytes, of: int) -> bytes:
        _, _, rest = message.partition(b"\r\n")
        return rest.replace(house.identity.boundary(of).encode(), b"boundary")

    assert without_names(one, delivery) == without_names(two, other)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("news@example.com", "example.com"),
        ("News@EXAMPLE.Com", "example.com"),
        ("news@müller.example", "xn--mller-kva.example"),
    ],
)
def test_the_log_names_messages_as_their_headers_do(house: House, address: str, domain: str):
    house.set_route("recipients", 25)
    import_file(house, "email\nana@example.org\n")
    sender: dict[str, Any] = {"from": {"address": address}}
    made = house.delivery(house.template(email_bcc=False, subject="x", html="x", **sender))
    house.analyze(made)
    (message,) = composed(house, made)
    (line,) = do(lambda: list(log(made, house.identity)))
    assert message.startswith(f"Message-ID: {line.message_id}\r\n".encode())
    assert line.message_id == house.identity.message_id(MessageRef(made, 1), domain)
