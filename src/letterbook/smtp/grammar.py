"""MAIL and RCPT command lines (RFC 5321, 4.1.2, with RFC 1870, 3461, 6152, 6531 and 6533)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from letterbook.smtp.errors import BadCommand, UnsafeCommand

# A path must not leave its angle brackets: no control, space, bracket or quote outside quotes.
_ATOMS: Final = r"[^\x00-\x20\x7f-\x9f<>\"\\]"
_QUOTED: Final = r"\"(?:[^\x00-\x1f\x7f-\x9f\"\\]|\\[\x20-\x7e])*\""
PATH: Final = rf"{_ATOMS}*|{_QUOTED}@{_ATOMS}+"
_PATH: Final = re.compile(PATH)
_WORD: Final = re.compile(r"[!-~]+")
_PRINTABLE: Final = re.compile(r"[ -~]+")

_XCHARS: Final = re.compile(rb"[!-*,-<>-~]*")
_NOT_XCHAR: Final = re.compile(rb"[^!-*,-<>-~]")
_XTEXT: Final = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(rb"\+([0-9A-F]{2})")
_NOT_QCHAR: Final = re.compile(r"[^!-*,-<>-\[\]-~]")
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{1,6})\}")

Ret = Literal["FULL", "HDRS"]
Notify = Literal["NEVER", "SUCCESS", "FAILURE", "DELAY"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """What to ask about delivery status notifications (RFC 3461, 4)."""

    ret: Ret | None = None
    envid: str | None = None
    notify: tuple[Notify, ...] = ()
    orcpt: str | None = None


def ehlo_command(name: str) -> bytes:
    """``EHLO name``, where the name is a domain or an address literal."""
    if not _WORD.fullmatch(name):
        raise UnsafeCommand(f"{name!r} cannot be the name in EHLO")
    return f"EHLO {name}\r\n".encode("ascii")


def mail_command(
    sender: str,
    *,
    size: int | None = None,
    eight_bit: bool = False,
    smtputf8: bool = False,
    dsn: Dsn | None = None,
) -> bytes:
    """``MAIL FROM:<sender>`` with its parameters; an empty sender is the null reverse-path."""
    line = f"MAIL FROM:<{_path(sender)}>"
    if size is not None:
        line += f" SIZE={size}"
    if eight_bit:
        line += " BODY=8BITMIME"
    if smtputf8:
        line += " SMTPUTF8"
    if dsn is not None:
        line += _ret_and_envid(dsn)
    return _line(line, smtputf8)


def rcpt_command(recipient: str, *, smtputf8: bool = False, dsn: Dsn | None = None) -> bytes:
    """``RCPT TO:<recipient>`` with its parameters."""
    if not recipient:
        raise UnsafeCommand("a recipient cannot be empty")
    line = f"RCPT TO:<{_path(recipient)}>"
    if dsn is not None:
        if dsn.notify:
            line += _notify(dsn.notify)
        if dsn.orcpt is not None:
            line += f" ORCPT={original_recipient(dsn.orcpt)}"
    return _line(line, smtputf8)


def original_recipient(address: str) -> str:
    """``address`` as ORCPT has it: ``rfc822;`` and xtext, or ``utf-8;`` (RFC 6533, 3).

    The utf-8-addr-xtext form is all ASCII, so it also passes where SMTPUTF8 does not.
    """
    _path(address)
    if address.isascii():
        return "rfc822;" + encode_xtext(address.encode("ascii")).decode("ascii")
    return "utf-8;" + _NOT_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):X}}}", address)


def read_original_recipient(value: str) -> tuple[str, str]:
    """The type and the address of an ORCPT value; raises BadCommand when it is not one."""
    kind, separator, address = value.partition(";")
    if not separator or not kind or not address:
        raise BadCommand(501, "5.5.4 ORCPT is an address type, a semicolon and an address")
    if kind.lower() == "utf-8":
        return "utf-8", _EMBEDDED.sub(_embedded, address)
    decoded = decode_xtext(address.encode("utf-8"))
    return kind.lower(), decoded.decode("utf-8", "replace")


def encode_xtext(octets: bytes) -> bytes:
    """RFC 3461, 4: any octets as printable ASCII without space, ``+`` and ``=``."""
    if _XCHARS.fullmatch(octets):
        return octets
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % found[0][0], octets)


def decode_xtext(text: bytes) -> bytes:
    """Undo ``encode_xtext``; raises BadCommand when ``text`` is not xtext."""
    if not _XTEXT.fullmatch(text):
        raise BadCommand(501, "5.5.4 This is not xtext")
    return _HEXCHAR.sub(lambda found: bytes((int(found[1], 16),)), text)


def _path(address: str) -> str:
    if not _PATH.fullmatch(address):
        raise UnsafeCommand(f"{address!r} cannot stand in a command: quote it or mend it")
    return address


def _line(line: str, smtputf8: bool) -> bytes:
    try:
        return (line + "\r\n").encode("utf-8" if smtputf8 else "ascii")
    except UnicodeEncodeError as error:
        raise UnsafeCommand(f"{line!r} cannot be written: {error.reason}") from error


def _ret_and_envid(dsn: Dsn) -> str:
    written = ""
    if dsn.ret is not None:
        if dsn.ret not in ("FULL", "HDRS"):
            raise UnsafeCommand(f"RET is FULL or HDRS, not {dsn.ret!r}")
        written = f" RET={dsn.ret}"
    if dsn.envid is not None:
        # RFC 3461, 4.4: printable ASCII, at most 100 characters once it is xtext.
        if not _PRINTABLE.fullmatch(dsn.envid):
            raise UnsafeCommand(f"{dsn.envid!r} cannot be an ENVID: it must be printable ASCII")
        envid = encode_xtext(dsn.envid.encode("ascii")).decode("ascii")
        if len(envid) > 100:
            raise UnsafeCommand(f"{dsn.envid!r} cannot be an ENVID: it is over 100 characters")
        written += f" ENVID={envid}"
    return written


@lru_cache(maxsize=64)
def _notify(wanted: tuple[Notify, ...]) -> str:
    known = {"NEVER", "SUCCESS", "FAILURE", "DELAY"}
    if not known.issuperset(wanted) or ("NEVER" in wanted and len(wanted) > 1):
        raise UnsafeCommand(f"NOTIFY is NEVER alone, or SUCCESS, FAILURE, DELAY; not {wanted!r}")
    return f" NOTIFY={','.join(wanted)}"


def _embedded(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise BadCommand(501, f"5.5.4 {found[0]} is not a character")
    return chr(point)


def split_command(line: bytes) -> tuple[str, str]:
    """Return the verb, in capitals, and the argument of a command line. Raises BadCommand."""
    try:
        verb, _, argument = line.decode("utf-8").partition(" ")
    except UnicodeDecodeError as error:
        raise BadCommand(500, "5.5.2 This is not text in UTF-8") from error
    return verb.upper(), argument.strip(" ")
