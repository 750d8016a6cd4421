"""DMARC: the policy of a domain, and which domains are aligned with it.

RFC 9989, whose walk up the DNS tree finds the organisational domain without a list of public
suffixes; RFC 7489 finds the same one wherever the organisation publishes a record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from letterbook.dns.findings import Ask, Finding, good, note, wrong
from letterbook.dns.tags import read_tags

_ABOUT: Final = "DMARC"
_POLICIES: Final = ("none", "quarantine", "reject")
_LONGEST_WALK: Final = 7


@dataclass(frozen=True, slots=True)
class Policy:
    """What applies to a domain. ``found_at`` is the domain whose record it is, if there is one."""

    organisation: str
    found_at: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def strict(self, tag: str) -> bool:
        """Whether ``adkim`` or ``aspf`` asks for the very domain."""
        return self.tags.get(tag, "r").lower() == "s"


@dataclass(frozen=True, slots=True)
class Identifier:
    """A domain that SPF or DKIM vouches for. ``tag``: what sets how strictly it is compared."""

    about: str
    tag: str
    domain: str
    mend: str


def find_policy(domain: str, ask: Ask) -> Policy:
    """Walk up from ``domain`` (RFC 9989, 4.10). Raises LookupFailedError."""
    found: dict[str, dict[str, str]] = {}
    for name in _way_up(domain):
        tags = _record(name, ask)
        if tags is not None:
            found[name] = tags
            if tags.get("psd") in ("y", "n"):
                break
    organisation = _organisation(domain, found)
    for name in (domain, organisation, *found):
        if name in found:
            return Policy(organisation, name, found[name])
    return Policy(organisation)


def check_policy(domain: str, policy: Policy, ask: Ask) -> Iterator[Finding]:
    """Judge the record that applies to ``domain``. Raises LookupFailedError."""
    for name in dict.fromkeys((domain, policy.organisation)):
        records = _records(name, ask)
        if len(records) > 1:
            yield wrong(
                _ABOUT,
                f"_dmarc.{name} has {len(records)} records, so receivers heed none of them",
                "leave one of them",
            )
            return
        if records and _read(records[0]) is None:
            yield wrong(
                _ABOUT,
                f"the record at _dmarc.{name} cannot be read: {records[0]}",
                "write it as v=DMARC1; p=none",
            )
            return
    if policy.found_at is None:
        yield wrong(
            _ABOUT,
            f"there is no record at _dmarc.{domain}, nor above it; large receivers ask for one",
            f"publish at _dmarc.{policy.organisation} a TXT record such as v=DMARC1; p=none",
        )
        return
    yield _judge(domain, policy)


def check_alignment(
    domain: str, policy: Policy, identifiers: Sequence[Identifier], ask: Ask
) -> Iterator[Finding]:
    """Say which ``identifiers`` count for letters from ``domain``; one must.

    Raises LookupFailedError.
    """
    aligned = {each: _is_aligned(each, domain, policy, ask) for each in identifiers}
    for each, counts in aligned.items():
        rule = f"strictly, {each.tag}=s" if policy.strict(each.tag) else "relaxed"
        verb = "is aligned" if counts else "is not aligned"
        says = f"{each.domain}, which {each.about} is for, {verb} with {domain} ({rule})"
        if counts:
            yield good("alignment", says)
        elif any(aligned.values()):
            yield note("alignment", f"{says}: DMARC rests on the other one alone", each.mend)
        else:
            yield wrong("alignment", f"{says}: DMARC fails", each.mend)


def _is_aligned(identifier: Identifier, domain: str, policy: Policy, ask: Ask) -> bool:
    if identifier.domain == domain:
        return True
    if policy.strict(identifier.tag):
        return False
    return find_policy(identifier.domain, ask).organisation == policy.organisation


def _judge(domain: str, policy: Policy) -> Finding:
    where = f"the record at _dmarc.{policy.found_at}"
    inherited = policy.found_at != domain
    tag = "sp" if inherited and "sp" in policy.tags else "p"
    value = policy.tags.get(tag, "").lower()
    if value not in _POLICIES:
        return wrong(
            _ABOUT,
            f"{where} has no policy that is known ({tag}={value})",
            f"let it say {tag}=none, {tag}=quarantine or {tag}=reject",
        )
    if value == "none":
        return note(_ABOUT, f"{where} asks receivers to watch only ({tag}=none)")
    return good(_ABOUT, f"{where} asks receivers to {value} what fails ({tag}={value})")


def _way_up(domain: str) -> Iterator[str]:
    yield domain
    labels = domain.split(".")
    for count in range(min(len(labels) - 1, _LONGEST_WALK), 0, -1):
        yield ".".join(labels[-count:])


def _organisation(domain: str, found: dict[str, dict[str, str]]) -> str:
    for name, tags in found.items():
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != domain:  # a public suffix: one label below it
            return ".".join(domain.split(".")[-name.count(".") - 2 :])
    return min(found, key=lambda name: name.count("."), default=domain)


def _record(name: str, ask: Ask) -> dict[str, str] | None:
    """Return the tags of the one record at ``name``; more than one count as none."""
    records = _records(name, ask)
    return _read(records[0]) if len(records) == 1 else None


def _records(name: str, ask: Ask) -> list[str]:
    found = ask(f"_dmarc.{name}", "TXT")
    return [each for each in found if each.replace(" ", "").startswith("v=DMARC1")]


def _read(record: str) -> dict[str, str] | None:
    try:
        return read_tags(record)
    except ValueError:
        return None
