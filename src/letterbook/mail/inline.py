"""Files that the HTML of a message shows: ``cid:<name>`` becomes a proper Content-ID (RFC 2392)."""

import re
import urllib.parse

from letterbook.mail.content import Attachment


def shows(html: str, name: str) -> bool:
    """Whether ``html`` shows the file ``name``."""
    return _reference(name).search(html) is not None


def content_id(attachment: Attachment, domain: str) -> str:
    """Return the Content-ID of a file, without brackets (RFC 2045, 7)."""
    return f"{attachment.sha256[:32]}@{domain}"


def link(html: str, attachment: Attachment, domain: str) -> str:
    """Return ``html`` with references to the file by its Content-ID."""
    return _reference(attachment.name).sub(f"cid:{content_id(attachment, domain)}", html)


def _reference(name: str) -> re.Pattern[str]:
    spellings = {re.escape(name), re.escape(urllib.parse.quote(name))}
    return re.compile(rf"cid:(?:{'|'.join(sorted(spellings))})(?![\w.%-])")
