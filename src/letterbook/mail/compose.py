"""A delivery's content and one recipient's fields become the exact bytes of a message.

RFC 5322 and 2045 to 2047, RFC 6532 for addresses beyond ASCII; CRLF only, no line over 998
octets. The same input gives the same bytes on every host and at every time (promise P8), so a
message never has to be kept: it is composed again.
"""

import binascii
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import Enum
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from letterbook.mail.address import domain_of
from letterbook.mail.content import Attachment, Content, FieldType, typed_values
from letterbook.mail.dkim import Signer, signatures
from letterbook.mail.errors import PersonalisationError
from letterbook.mail.headers import address_header, clean, text_header
from letterbook.mail.identity import Identity, MessageRef
from letterbook.mail.inline import content_id, link
from letterbook.mail.quoted_printable import PieceEncoder
from letterbook.mail.template import Program, RenderClock, Source

COMPOSER_VERSION: Final = 1
"""Goes up whenever the same content would give other bytes."""

_CRLF: Final = b"\r\n"
_URL_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
_URL: Final = re.compile(r"https?://[^/?#]+|mailto:[^?@]+@", re.IGNORECASE)
"""How an address to unsubscribe at begins: it must say where."""

_LONGEST_URL: Final = 900
_BASE64_LINE: Final = 57
"""Octets that make a line of 76 characters (RFC 2045, 6.8)."""


class _Slot(Enum):
    """A place in the skeleton that differs from recipient to recipient."""

    TEXT = "text"
    HTML = "html"


_Segment: TypeAlias = bytes | _Slot


@dataclass(frozen=True, slots=True)
class _Part:
    """A MIME part: its header lines, and its body as constant bytes and slots."""

    header: bytes
    body: tuple[_Segment, ...]


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient of a delivery, as frozen in the ledger."""

    ordinal: int
    recipient_id: int
    address: str
    fields: Mapping[str, object]


class Composer:
    """Composes the messages of one delivery. Everything constant is encoded once, here."""

    def __init__(
        self,
        delivery: int,
        content: Content,
        files: Mapping[str, bytes],
        identity: Identity,
        signers: Sequence[Signer] = (),
    ) -> None:
        """``files`` maps the SHA-256 of each attachment to its bytes.

        ``signers`` are those of the keys that ``content`` names.

        Raises TemplateError when a template of ``content`` cannot be compiled.
        """
        self._delivery = delivery
        self._identity = identity
        self._signers = signers
        self._domain = domain_of(content.sender)
        self._language = content.language
        self._zone = ZoneInfo(content.time_zone)
        self._dates: dict[datetime, bytes] = {}
        self._types: Mapping[str, FieldType] = content.field_types
        self._clock = RenderClock()
        self._subject = self._compile("subject", content.subject)
        self._unsubscribe = (
            self._compile("list_unsubscribe", content.list_unsubscribe)
            if content.list_unsubscribe
            else None
        )
        self._extra = [
            (name, self._compile(f"headers.{name}", value))
            for name, value in content.headers.items()
        ]
        self._sender = address_header("From", content.sender, content.sender_name) + (
            address_header("Reply-To", content.reply_to) if content.reply_to else b""
        )
        self._ascii = all(
            each.isascii()
            for each in (content.sender, content.reply_to or "", content.error_address)
        )
        self._bodies: dict[_Slot, tuple[Program, PieceEncoder]] = {}
        # HTML first: a text may be derived from it, and a mistake is told where it was made.
        if content.html is not None:
            html = content.html
            for each in content.attachments:
                html = link(html, each, self._domain) if each.inline else html
            self._add_body(_Slot.HTML, Source("body.html", html, markup=True))
        if content.text is not None:
            self._add_body(_Slot.TEXT, Source("body.txt", content.text))
        root = self._skeleton(content.attachments, files)
        self._mime = b"MIME-Version: 1.0\r\n" + root.header
        self._body = root.body

    def compose(self, addressee: Addressee, date: datetime) -> bytes:
        """Return the message for ``addressee``, dated ``date`` (time-zone aware).

        Raises PersonalisationError when a template cannot be rendered for this recipient, or
        not within the time allowed.
        """
        values = typed_values(addressee.fields, self._types)
        values["id"] = addressee.recipient_id
        values.setdefault("email", addressee.address)  # a proof shows the person's own
        values.setdefault("language", self._language)
        with self._clock.running():
            bodies = {
                slot: encoder.encode(program.pieces(values))
                for slot, (program, encoder) in self._bodies.items()
            }
            header = self._header(addressee, values, date)
        body = [each if isinstance(each, bytes) else bodies[each] for each in self._body]
        if body[-1] and not body[-1].endswith(_CRLF):
            body.append(_CRLF)
        message_id = self._message_id(addressee)
        signature = (
            signatures(message_id + header, b"".join(body), self._signers, int(date.timestamp()))
            if self._signers
            else b""
        )
        return b"".join((message_id, signature, header, _CRLF, *body))

    def needs_smtputf8(self, address: str) -> bool:
        """Whether a message to ``address`` has bytes beyond ASCII in its header or envelope."""
        return not (self._ascii and address.isascii())

    def _message_id(self, addressee: Addressee) -> bytes:
        """It comes first, then the signatures: an archive can hash from there (design, 5)."""
        message = MessageRef(self._delivery, addressee.ordinal)
        return f"Message-ID: {self._identity.message_id(message, self._domain)}\r\n".encode()

    def _header(self, addressee: Addressee, values: Mapping[str, object], date: datetime) -> bytes:
        lines = [
            self._date_header(date),
            self._sender,
            address_header("To", addressee.address),
            text_header("Subject", self._subject.text(values)),
        ]
        if self._unsubscribe is not None:
            lines.append(_unsubscribe_header(self._unsubscribe.text(values)))
        lines += [text_header(name, program.text(values)) for name, program in self._extra]
        return b"".join((*lines, self._mime))

    def _date_header(self, date: datetime) -> bytes:
        if date not in self._dates:  # a part has one date
            line = f"Date: {format_datetime(date.astimezone(self._zone))}\r\n"
            self._dates = {date: line.encode()}
        return self._dates[date]

    def _compile(self, name: str, text: str) -> Program:
        return Program(Source(name, text), self._clock)

    def _add_body(self, slot: _Slot, source: Source) -> None:
        program = Program(source, self._clock)
        self._bodies[slot] = program, PieceEncoder(program.constants)

    def _skeleton(self, attachments: Sequence[Attachment], files: Mapping[str, bytes]) -> _Part:
        stem = self._identity.boundary(self._delivery)
        parts = {each: _file_part(each, files[each.sha256], self._domain) for each in attachments}
        inline = [part for each, part in parts.items() if each.inline]
        others = [part for each, part in parts.items() if not each.inline]
        alternatives = []
        if _Slot.TEXT in self._bodies:
            alternatives.append(_text_part("plain", _Slot.TEXT))
        if _Slot.HTML in self._bodies:
            html = _text_part("html", _Slot.HTML)
            alternatives.append(_multipart("related", [html, *inline], stem + ".r"))
        body = _multipart("alternative", alternatives, stem + ".a")
        return _multipart("mixed", [body, *others], stem + ".m")


def _text_part(subtype: str, slot: _Slot) -> _Part:
    header = (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n"
    )
    return _Part(header.encode(), (slot,))


def _file_part(attachment: Attachment, data: bytes, domain: str) -> _Part:
    disposition = "inline" if attachment.inline else "attachment"
    content_type = attachment.content_type
    if content_type.startswith(("message/", "multipart/")):  # may not be in base64 (RFC 2045, 6.4)
        content_type = "application/octet-stream"
    header = (
        f"Content-Type: {content_type}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: {disposition}; {_filename(attachment.name)}\r\n"
    )
    if attachment.inline:
        header += f"Content-ID: <{content_id(attachment, domain)}>\r\n"
    lines = [
        binascii.b2a_base64(data[at : at + _BASE64_LINE], newline=False)
        for at in range(0, len(data), _BASE64_LINE)
    ]
    return _Part(header.encode(), (_CRLF.join(lines),))


def _filename(name: str) -> str:
    """Return the parameter for a file's name (RFC 2183, 2.3; RFC 2231 beyond ASCII)."""
    if re.fullmatch(r"[\w .()+-]+", name, re.ASCII):
        return f'filename="{name}"'
    return f"filename*=utf-8''{urllib.parse.quote(name, safe='')}"


def _multipart(subtype: str, parts: Sequence[_Part], boundary: str) -> _Part:
    """Wrap ``parts``; a single one needs no wrapping (RFC 2046, 5.1)."""
    if len(parts) == 1:
        return parts[0]
    kind = '; type="text/html"' if subtype == "related" else ""
    header = f'Content-Type: multipart/{subtype}{kind};\r\n boundary="{boundary}"\r\n'
    segments: list[_Segment] = []
    for part in parts:
        opening = f"--{boundary}\r\n".encode() + part.header + _CRLF
        segments += [opening, *part.body, _CRLF]
    segments.append(f"--{boundary}--\r\n".encode())
    return _Part(header.encode(), _joined(segments))


def _joined(segments: Sequence[_Segment]) -> tuple[_Segment, ...]:
    """Join neighbouring constants."""
    joined: list[_Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        if isinstance(segment, bytes) and isinstance(last, bytes):
            joined[-1] = last + segment
        else:
            joined.append(segment)
    return tuple(joined)


def _unsubscribe_header(target: str) -> bytes:
    """RFC 2369, 3.2; with a secure web address one-click too (RFC 8058, 3.1)."""
    url = urllib.parse.quote(clean(target), safe=_URL_SAFE, errors="replace")
    if not _URL.match(url) or len(url) > _LONGEST_URL:
        raise PersonalisationError(
            "list_unsubscribe must give an https: or mailto: address of at most "
            f"{_LONGEST_URL} characters"
        )
    header = f"List-Unsubscribe: <{url}>\r\n"
    if url.lower().startswith("https:"):
        header += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    return header.encode()
