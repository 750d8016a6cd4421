"""Addresses: checked and brought into the one form in which Letterbook keeps them.

RFC 5321 (4.1.2) for ASCII, RFC 6531 for the rest. Domains are kept as A-labels, so only a
local part can make SMTPUTF8 necessary.
"""

import re
from typing import Final

import email_validator
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from letterbook.mail.errors import AddressError

# Nearly every address of a list is of this plain form; the library is too slow for millions.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN: Final = re.compile(
    rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>(?:{_LABEL}\.)+[A-Za-z]{{2,63}})"
)
_TOP_LEVEL: Final = re.compile(r"\.[a-z][a-z0-9-]+\Z", re.IGNORECASE)
_LONGEST_LOCAL: Final = 64
_LONGEST: Final = 254
_ROLES: Final = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)
"""Names whose case says nothing (RFC 2142), such as INFO."""


def normalise_address(text: str) -> str:
    """Return ``text`` as ``local@domain`` with the domain in lower-case ASCII.

    Unneeded quotes of a local part are taken off; a local part beyond ASCII is kept in NFC.
    Raises AddressError saying what is wrong with it.
    """
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain and _short_enough(plain["local"], plain["domain"]):
        local, domain = plain["local"], plain["domain"].lower()
        if "xn--" not in domain:
            return f"{local.lower() if local.lower() in _ROLES else local}@{domain}"
    try:
        checked = email_validator.validate_email(
            text,
            allow_quoted_local=True,
            strict=True,
            check_deliverability=False,
            globally_deliverable=False,  # .local and the like are deliverable in their own house
        )
    except email_validator.EmailNotValidError as error:
        raise AddressError(str(error)) from None
    if not _TOP_LEVEL.search(checked.ascii_domain or ""):
        raise AddressError("The domain must end in a dot and a top-level domain.")
    return f"{checked.local_part}@{checked.ascii_domain.lower()}"


def address_key(normalised: str) -> str:
    """Return what two spellings of one mailbox have in common.

    Local parts may be case-sensitive in theory; no mail provider people use treats them so, and
    nobody wants one letter twice.
    """
    return normalised.lower()


def domain_of(normalised: str) -> str:
    """Return the part after the last ``@``."""
    return normalised.rpartition("@")[2]


def _short_enough(local: str, domain: str) -> bool:
    return len(local) <= _LONGEST_LOCAL and len(local) + 1 + len(domain) <= _LONGEST
