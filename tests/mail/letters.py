"""Messages to look at: a content with defaults, composed for one recipient, and read again."""

import email
import email.policy
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from letterbook.mail.compose import COMPOSER_VERSION, Addressee, Composer
from letterbook.mail.content import Attachment, Content
from letterbook.mail.identity import Identity

IDENTITY = Identity(bytes(range(32)))
DATE = datetime(2026, 11, 23, 9, 30, 15, tzinfo=UTC)
HTML = "<p>Hello {{ recipient.name }}</p>\n"
TEXT = "Hello {{ recipient.name }}\n"


def make_content(**changes: Any) -> Content:
    """A multipart letter from news@example.com, with ``changes``."""
    values: dict[str, Any] = {
        "composer": COMPOSER_VERSION,
        "sender": "news@example.com",
        "sender_name": "Example",
        "error_address": "bounces@example.com",
        "reply_to": None,
        "subject": "Hello {{ recipient.name }}",
        "html": HTML,
        "text": TEXT,
        "headers": {},
        "list_unsubscribe": None,
        "attachments": (),
        "field_types": {},
        "base_url": "https://letters.example.com",
        "language": "en",
        "time_zone": "UTC",
    }
    return Content(**values | changes)


def make_file(
    name: str, data: bytes, content_type: str = "application/pdf", *, inline: bool = False
) -> tuple[Attachment, bytes]:
    sha256 = hashlib.sha256(data).hexdigest()
    return Attachment(name=name, content_type=content_type, sha256=sha256, inline=inline), data


def make_composer(
    content: Content,
    files: Mapping[str, bytes] | None = None,
    *,
    delivery: int = 7,
    identity: Identity = IDENTITY,
) -> Composer:
    return Composer(delivery, content, files or {}, identity)


def compose(
    content: Content,
    files: Mapping[str, bytes] | None = None,
    *,
    address: str = "ana@example.org",
    ordinal: int = 1,
    date: datetime = DATE,
    fields: Mapping[str, object] | None = None,
    **more: Any,
) -> bytes:
    """The message of ``content`` for one recipient. ``more``: fields, by their names."""
    addressee = Addressee(ordinal, 1000 + ordinal, address, {**(fields or {}), **more})
    return make_composer(content, files).compose(addressee, date)


def with_files(
    *files: tuple[Attachment, bytes], **changes: Any
) -> tuple[Content, dict[str, bytes]]:
    """A content with attachments, and their bytes."""
    content = make_content(attachments=tuple(each for each, _ in files), **changes)
    return content, {each.sha256: data for each, data in files}


def read(message: bytes) -> EmailMessage:
    """What Python's parser makes of ``message``; it must find nothing wrong with it."""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    for part in parsed.walk():
        assert part.defects == []
    return parsed


def shape(message: EmailMessage) -> str:
    """The content types of ``message``, as ``multipart/mixed(text/plain, image/png)``."""
    kind = message.get_content_type()
    if not message.is_multipart():
        return kind
    return f"{kind}({', '.join(shape(part) for part in message.iter_parts())})"


def part(message: EmailMessage, content_type: str) -> bytes:
    """The decoded bytes of the only part of this type."""
    (found,) = (each for each in message.walk() if each.get_content_type() == content_type)
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def header_lines(message: bytes) -> list[bytes]:
    """The lines of the message's header as they stand, folded ones too."""
    return message.partition(b"\r\n\r\n")[0].split(b"\r\n")
