"""MAIL and RCPT arguments as a server reads them (RFC 5321, 4.1.2; RFC 1870, 3461, 6531)."""

import re
from dataclasses import dataclass, field
from typing import Final

from letterbook.smtp.errors import BadCommand
from letterbook.smtp.grammar import PATH, decode_xtext, read_original_recipient

_ARGUMENT: Final = re.compile(rf"(FROM|TO): ?<(?:@[^:<>]*:)?({PATH})>(?: +(.*))?", re.IGNORECASE)
_NOTIFY: Final = {"NEVER", "SUCCESS", "FAILURE", "DELAY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What MAIL said."""

    address: str  # empty: the null reverse-path
    size: int | None = None
    body: str | None = None
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """What RCPT said; ``orcpt`` is the address type, in lower case, and the address."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom and for whom a message came; the sender is None if no MAIL was accepted."""

    sender: Sender | None = None
    recipients: tuple[Recipient, ...] = field(default=())


def parse_mail(argument: str, keywords: frozenset[str]) -> Sender:
    """Read what follows MAIL; ``keywords`` are the parameters that the server offered.

    Raises BadCommand, as ``parse_rcpt`` does.
    """
    address, parameters = _parse("FROM", argument, keywords)
    size = parameters.get("SIZE")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise BadCommand(501, "5.5.4 SIZE is a number of octets")
    sender = Sender(
        address=address,
        size=None if size is None else int(size),
        body=_one_of("BODY", parameters, {"7BIT", "8BITMIME"}),
        smtputf8="SMTPUTF8" in parameters,
        ret=_one_of("RET", parameters, {"FULL", "HDRS"}),
        envid=_envid(parameters.get("ENVID")),
    )
    require_ascii(address, sender)
    return sender


def parse_rcpt(argument: str, keywords: frozenset[str]) -> Recipient:
    """Read what follows RCPT."""
    address, parameters = _parse("TO", argument, keywords)
    if not address:
        raise BadCommand(501, "5.1.3 A recipient cannot be empty")
    orcpt = parameters.get("ORCPT")
    return Recipient(
        address=address,
        notify=_notify(parameters.get("NOTIFY")),
        orcpt=None if orcpt is None else read_original_recipient(orcpt),
    )


def require_ascii(address: str, sender: Sender | None) -> None:
    """RFC 6531, 3.4: an address is ASCII unless the MAIL command said SMTPUTF8."""
    if not address.isascii() and not (sender is not None and sender.smtputf8):
        raise BadCommand(553, "5.6.7 This address needs SMTPUTF8")


def _parse(word: str, argument: str, keywords: frozenset[str]) -> tuple[str, dict[str, str]]:
    found = _ARGUMENT.fullmatch(argument)
    if found is None or found[1].upper() != word:
        raise BadCommand(501, f"5.5.4 Write {word}:<address>")
    parameters: dict[str, str] = {}
    for parameter in (found[3] or "").split():
        keyword, separator, value = parameter.partition("=")
        keyword = keyword.upper()
        if keyword not in keywords:
            raise BadCommand(555, "5.5.4 A parameter is unknown here")
        if keyword in parameters or bool(separator) == (keyword == "SMTPUTF8"):
            raise BadCommand(501, f"5.5.4 {keyword} is not written like this")
        parameters[keyword] = value
    return found[2], parameters


def _one_of(keyword: str, parameters: dict[str, str], words: set[str]) -> str | None:
    value = parameters.get(keyword)
    if value is None:
        return None
    if value.upper() not in words:
        raise BadCommand(501, f"5.5.4 {keyword} is one of {', '.join(sorted(words))}")
    return value.upper()


def _envid(value: str | None) -> str | None:
    if value is None:
        return None
    return decode_xtext(value.encode("utf-8")).decode("utf-8", "replace")


def _notify(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    wanted = tuple(value.upper().split(","))
    if not _NOTIFY.issuperset(wanted) or ("NEVER" in wanted and len(wanted) > 1):
        raise BadCommand(501, "5.5.4 NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    return wanted
