"""Whether a DKIM key is published as it must be (RFC 6376, 3.6; RFC 8463)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from letterbook.dns.findings import Ask, Finding, good, note, wrong
from letterbook.dns.tags import read_tags


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of ours: its domain, the name at which the DNS must say ``record``."""

    domain: str
    name: str
    record: str


def check_key(key: PublicKey, ask: Ask) -> Finding:
    """Compare what is published with what must be. Raises LookupFailedError."""
    about = f"DKIM {key.name}"
    publish = f"publish at {key.name} one TXT record: {key.record}"
    found = ask(key.name, "TXT")
    if not found:
        return wrong(about, "no record is published: the signatures cannot be checked", publish)
    if len(found) > 1:
        return wrong(
            about, f"{len(found)} records are published, and receivers may take any", publish
        )
    try:
        published, ours = read_tags(found[0]), read_tags(key.record)
    except ValueError as error:
        return wrong(about, f"the record cannot be read: {error}", publish)
    for fault in _faults(published, ours):
        return wrong(about, fault, publish)
    if "y" in published.get("t", "").split(":"):
        return note(about, "it is our key, but marked as a test (t=y)", "take out t=y")
    return good(about, f"it is our key ({ours['k']})")


def _faults(published: dict[str, str], ours: dict[str, str]) -> Iterator[str]:
    """Yield why signatures would not be good, the plainest reason first."""
    data = re.sub(r"\s", "", published.get("p", ""))
    kind = published.get("k", "rsa")
    if published.get("v", "DKIM1") != "DKIM1":
        yield f"it is a record of version {published['v']}, not DKIM1"
    if "p" not in published:
        yield "it has no key (p=)"
    if not data:
        yield "the key is revoked (p= is empty)"
    if kind != ours["k"]:
        yield f"it is of the type {kind}, and our key is of the type {ours['k']}"
    if data != ours["p"]:
        yield "it is another key than ours: every signature fails"
    if "sha256" not in _list(published.get("h", "sha256")):
        yield f"it allows the hashes {published['h']}, and we use sha256"
    if not {"*", "email"} & _list(published.get("s", "*")):
        yield f"it is for the services {published['s']}, not for email"


def _list(value: str) -> set[str]:
    return {each.strip() for each in value.split(":")}
