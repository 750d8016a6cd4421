"""The messages of every row: 8 fields, 20 links with each recipient's token, and their size."""

import csv
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Final

from letterbook.mail.compose import COMPOSER_VERSION, Addressee, Composer
from letterbook.mail.content import Content
from letterbook.mail.identity import Identity

FIELDS: Final = ("first_name", "last_name", "company", "city", "points", "tier", "shop", "code")
SENDER: Final = "news@example.com"
ARCHIVE_ADDRESS: Final = "archive@vault.example"
SUBJECT: Final = (
    "{{ recipient.first_name }}, your {{ recipient.tier }} offers in {{ recipient.city }}"
)
TEXT: Final = (
    "Dear {{ recipient.first_name }} {{ recipient.last_name }},\n\n"
    "this month's offers are at https://example.com/offers/{{ recipient.code }}\n\n"
    "To unsubscribe: https://example.com/unsubscribe/{{ recipient.code }}\n"
)
_LINKS: Final = 20
_PROSE: Final = (
    "Every month we look for things that last, from makers whom we know by name, and we tell "
    "you where they are made, of what, and how to keep them well. "
)
_OPENING: Final = (
    '<html><body style="margin:0;font-family:sans-serif">\n<h1>Good morning '
    "{{ recipient.first_name }} {{ recipient.last_name }}</h1>\n<p>{{ recipient.company }} has "
    "{{ recipient.points }} points, which makes you a {{ recipient.tier }} member of our shop "
    "{{ recipient.shop }} in {{ recipient.city }}.</p>\n"
)
_ARTICLE: Final = (
    '<table role="presentation" width="600"><tr><td style="padding:12px;color:#333333">\n'
    "<h2>Offer {number}</h2>\n<p>{prose}</p>\n"
    '<p><a href="https://example.com/c/{{{{ recipient.code }}}}/{number}">See offer {number}</a>'
    "</p>\n</td></tr></table>\n"
)
_CLOSING: Final = (
    '<p><a href="https://example.com/unsubscribe/{{ recipient.code }}">Unsubscribe</a></p>\n'
    "</body></html>\n"
)


@cache
def html(size: int) -> str:
    """The template, of about ``size`` octets: the unsubscribe link is one of its 20."""
    articles = _LINKS - 1
    bare = len(_OPENING) + len(_CLOSING) + articles * (len(_ARTICLE) + len("offer"))
    prose = max(1, (size - bare) // articles)
    text = fill((_PROSE * (prose // len(_PROSE) + 1))[:prose], 100)
    body = "".join(_ARTICLE.format(number=number, prose=text) for number in range(1, articles + 1))
    return _OPENING + body + _CLOSING


def person(number: int) -> dict[str, object]:
    """Everything that is known of recipient ``number``."""
    return {
        "email": f"user{number}@example{number % 97}.org",
        "first_name": f"Ana {number}",
        "last_name": "Ruiz",
        "company": f"Ruiz & Daughters {number % 1000}",
        "city": "Sevilla",
        "points": number % 500,
        "tier": ("green", "silver", "gold")[number % 3],
        "shop": f"S{number % 40:02}",
        "code": f"{number * 2654435761 % 2**64:016x}",
    }


def write_people(path: Path, count: int) -> None:
    """Write a CSV file of ``count`` recipients."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("email", *FIELDS))
        writer.writeheader()
        writer.writerows(person(number) for number in range(count))


def composed(count: int, size: int) -> list[tuple[str, bytes]]:
    """Addresses and messages, as Letterbook's composer makes them; needs no database."""
    content = Content(
        composer=COMPOSER_VERSION, sender=SENDER, sender_name="", error_address=SENDER,
        reply_to=None, subject=SUBJECT, html=html(size), text=TEXT, headers={},
        list_unsubscribe=None, attachments=(), field_types={"points": "int"},
        base_url="https://example.com", language="en", time_zone="UTC",
    )  # fmt: skip
    composer = Composer(1, content, {}, Identity(bytes(32)))
    date = datetime.now(UTC)
    letters = []
    for number in range(count):
        fields = person(number)
        address = str(fields.pop("email"))
        letter = composer.compose(Addressee(number + 1, number + 1, address, fields), date)
        letters.append((address, letter))
    return letters
