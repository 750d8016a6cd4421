"""What a delivery's messages are made of, frozen when the delivery is analysed."""

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal, TypeAlias

import msgspec

from letterbook.mail.errors import PersonalisationError

FieldType: TypeAlias = Literal["text", "int", "float", "bool", "date"]
Algorithm: TypeAlias = Literal["rsa", "ed25519"]

PERSON_FIELDS: Final = ("first_name", "last_name", "language")
"""Fields that every recipient has, beside the address; any may be empty."""

LEDGER_FIELDS: Final = ("id", "email")
"""Fields that every message has in the ledger itself."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with every message. ``inline``: the HTML shows it as ``cid:<name>``."""

    name: str
    content_type: str
    sha256: str
    inline: bool


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A DKIM key (RFC 6376) without its private half, which is found by ``id``."""

    id: int
    domain: str
    selector: str
    algorithm: Algorithm


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Templates and constants of one delivery.

    ``subject``, ``html``, ``text``, ``list_unsubscribe`` and the values of ``headers`` are
    Jinja2 templates; at least one of ``html`` and ``text`` is given.
    """

    composer: int
    sender: str
    sender_name: str
    error_address: str
    reply_to: str | None
    subject: str
    html: str | None
    text: str | None
    headers: dict[str, str]
    list_unsubscribe: str | None
    attachments: tuple[Attachment, ...]
    field_types: dict[str, FieldType]
    base_url: str
    language: str
    time_zone: str
    dkim: tuple[SigningKey, ...] = ()
    """Each makes a signature of its own; without any, messages are not signed."""


def typed_values(fields: Mapping[str, object], types: Mapping[str, FieldType]) -> dict[str, object]:
    """Return a recipient's frozen fields as the values that a template sees.

    Raises PersonalisationError when a value is not of its type.
    """
    return {
        name: _date(name, value) if types.get(name) == "date" else value
        for name, value in fields.items()
        if value is not None
    }


def _date(name: str, value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise PersonalisationError(f"{name} is not a date: {error}") from error
