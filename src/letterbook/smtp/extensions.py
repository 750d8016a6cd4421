"""What a server offers in its reply to EHLO (RFC 5321, 4.1.1.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from letterbook.smtp.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """The extensions that concern us, and every keyword with its parameters as it was sent."""

    pipelining: bool = False  # RFC 2920
    size: int | None = None  # RFC 1870; None: no stated limit
    size_offered: bool = False
    eight_bit_mime: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    dsn: bool = False  # RFC 3461
    starttls: bool = False  # RFC 3207
    chunking: bool = False  # RFC 3030
    enhanced_status_codes: bool = False  # RFC 2034
    auth: frozenset[str] = frozenset()  # RFC 4954
    keywords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def parse_extensions(reply: Reply) -> Extensions:
    """Read the lines after the greeting of an EHLO reply."""
    keywords: dict[str, str] = {}
    auth: set[str] = set()
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        keyword = keyword.upper()
        if keyword == "AUTH" or keyword.startswith("AUTH="):  # the latter from before RFC 2554
            auth.update(f"{keyword[5:]} {parameters}".upper().split())
        if keyword:
            keywords.setdefault(keyword, parameters.strip())
    return Extensions(
        pipelining="PIPELINING" in keywords,
        size=_size(keywords.get("SIZE", "")),
        size_offered="SIZE" in keywords,
        eight_bit_mime="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        starttls="STARTTLS" in keywords,
        chunking="CHUNKING" in keywords,
        enhanced_status_codes="ENHANCEDSTATUSCODES" in keywords,
        auth=frozenset(auth),
        keywords=MappingProxyType(keywords),
    )


def _size(parameter: str) -> int | None:
    """RFC 1870, 3: zero, or no number, states no limit."""
    if parameter.isascii() and parameter.isdigit() and len(parameter) <= 20:
        return int(parameter) or None
    return None
