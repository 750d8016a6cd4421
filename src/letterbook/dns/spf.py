"""SPF: who may send with a domain's return path (RFC 7208)."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from letterbook.dns.findings import Ask, Finding, good, note, wrong

_ABOUT: Final = "SPF"
_MOST_LOOKUPS: Final = 10
_MOST_VOID: Final = 2
"""RFC 7208, 4.6.4; void is a lookup that finds nothing."""

_TERM: Final = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>[a-z0-9]+)(?::(?P<value>[^/]+))?(?P<prefix>/.*)?",
    re.IGNORECASE,
)
_MODIFIER: Final = re.compile(r"(?P<name>[a-z][a-z0-9._-]*)=(?P<value>.*)", re.IGNORECASE)
_PREFIX: Final = re.compile(r"(?:/(\d{1,2}))?(?://(\d{1,3}))?")
_NEEDS_VALUE: Final = ("include", "exists", "ip4", "ip6")
_ASKS: Final = ("include", "exists", "a", "mx", "ptr", "redirect")
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class SpfError(ValueError):
    """Receivers take the record for an error."""


@dataclass(frozen=True, slots=True)
class Term:
    """A mechanism or a modifier."""

    text: str
    name: str
    qualifier: str = "+"
    value: str = ""
    prefix: str = ""


@dataclass(slots=True)
class Reading:
    """A record and those that it leads to: what they cost, and whom they name."""

    ask: Ask
    lookups: int = 0
    void: list[str] = field(default_factory=list)
    ending: str = ""
    """The mechanism *all* that applies, if there is one."""
    names: list[tuple[_Network, str]] = field(default_factory=list)

    def read(self, domain: str, record: str, *, included: bool = False) -> None:
        """Read ``record``. Raises SpfError and LookupFailedError."""
        terms = read_terms(record)
        every = next((term for term in terms if term.name == "all"), None)
        for term in terms:
            if term.name == "redirect" and every:
                continue  # it is heeded only where *all* is missing (6.1)
            self._follow(domain, term, included)
        if every and not included:
            self.ending = f"{every.qualifier}all"

    def naming(self, address: str) -> str | None:
        """Return the term that names ``address``."""
        ip = ipaddress.ip_address(address)
        return next((text for network, text in self.names if ip in network), None)

    def _follow(self, domain: str, term: Term, included: bool) -> None:
        if term.name in ("ip4", "ip6"):
            self._name(ipaddress.ip_network(term.value + term.prefix, strict=False), domain, term)
            return
        if term.name not in _ASKS:
            return
        self.lookups += 1
        target = term.value or domain
        if self.lookups > _MOST_LOOKUPS:
            raise SpfError(
                f"it takes more than {_MOST_LOOKUPS} lookups, the last one for {term.text}"
            )
        if "%" in target or term.name in ("exists", "ptr"):
            return  # known only for a message that is on its way
        if term.name in ("include", "redirect"):
            found = spf_records(target, self.ask)
            if len(found) != 1:
                raise SpfError(
                    f"{term.text} leads to {len(found) or 'no'} record{'s' * (len(found) > 1)}"
                )
            self.read(target, found[0], included=included or term.name == "include")
            return
        hosts = _exchanges(target, self.ask) if term.name == "mx" else [target]
        networks = [network for host in hosts for network in self._networks(host, term)]
        for network in networks:
            self._name(network, domain, term)
        if not networks:
            self._note_void(term)

    def _note_void(self, term: Term) -> None:
        self.void.append(term.text)
        if len(self.void) > _MOST_VOID:
            raise SpfError(f"more than {_MOST_VOID} terms lead nowhere: {', '.join(self.void)}")

    def _name(self, network: _Network, domain: str, term: Term) -> None:
        if term.qualifier == "+":
            self.names.append((network, f"{term.text} of {domain}"))

    def _networks(self, host: str, term: Term) -> Iterator[_Network]:
        lengths = _PREFIX.fullmatch(term.prefix)
        four, six = lengths.groups() if lengths else (None, None)
        for kind, length in (("A", four or "32"), ("AAAA", six or "128")):
            for address in self.ask(host, kind):
                yield ipaddress.ip_network(f"{address}/{length}", strict=False)


def check_spf(domain: str, relay: str | None, ask: Ask) -> Iterator[Finding]:
    """Judge the record of ``domain``; say whether it names ``relay``. Raises LookupFailedError."""
    records = spf_records(domain, ask)
    if not records:
        yield wrong(
            _ABOUT,
            f"{domain} has no record: nobody can tell who may send for it",
            f"publish at {domain} a TXT record that names your relay: v=spf1 include:… ~all",
        )
        return
    if len(records) > 1:
        yield wrong(
            _ABOUT,
            f"{domain} has {len(records)} records, which receivers take for an error",
            "make one of them: one v=spf1 with the terms of all",
        )
        return
    reading = Reading(ask)
    try:
        reading.read(domain, records[0])
    except SpfError as error:
        yield wrong(_ABOUT, f"the record of {domain} is an error: {error}", f"mend {records[0]}")
        return
    yield _judge_ending(domain, reading)
    if relay:
        yield from _say_whether_named(domain, relay, reading)


def spf_records(domain: str, ask: Ask) -> list[str]:
    """Return the TXT records that are SPF's (4.5)."""
    return [each for each in ask(domain, "TXT") if re.match(r"v=spf1( |$)", each, re.IGNORECASE)]


def read_terms(record: str) -> list[Term]:
    """Return the terms of ``record``. Raises SpfError."""
    return [_read_term(text) for text in record.split()[1:]]


def _read_term(text: str) -> Term:
    if modifier := _MODIFIER.fullmatch(text):
        name = modifier["name"].lower()
        if name == "redirect" and not modifier["value"]:
            raise SpfError(f"{text} lacks its domain")
        return Term(text, name, value=modifier["value"])
    found = _TERM.fullmatch(text)
    name = found["name"].lower() if found else ""
    if found is None or name not in ("all", "a", "mx", "ptr", *_NEEDS_VALUE):
        raise SpfError(f"{text} is not a term of SPF")
    value, prefix = found["value"] or "", found["prefix"] or ""
    if name in _NEEDS_VALUE and not value:
        raise SpfError(f"{text} lacks what it is about")
    if name in ("ip4", "ip6"):
        _check_network(text, value + prefix, int(name[-1]))
    elif prefix and (name not in ("a", "mx") or not _PREFIX.fullmatch(prefix)):
        raise SpfError(f"{text} has a length that it cannot have")
    return Term(text, name, found["qualifier"] or "+", value, prefix)


def _check_network(text: str, network: str, version: int) -> None:
    try:
        found = ipaddress.ip_network(network, strict=False).version
    except ValueError as error:
        raise SpfError(f"{text} is not an address: {error}") from None
    if found != version:
        raise SpfError(f"{text} is an address of IPv{found}")


def _judge_ending(domain: str, reading: Reading) -> Finding:
    cost = f"{reading.lookups} of {_MOST_LOOKUPS} lookups"
    if reading.void:
        cost += f" (nothing is found for {', '.join(reading.void)})"
    if reading.ending in ("~all", "-all"):
        return good(_ABOUT, f"the record of {domain} takes {cost} and ends in {reading.ending}")
    says = {"+all": "allows everybody (+all)", "?all": "decides nothing in the end (?all)"}.get(
        reading.ending, "does not say what of the others (all is missing)"
    )
    return wrong(_ABOUT, f"the record of {domain} {says}", "let it end in ~all or -all")


def _say_whether_named(domain: str, relay: str, reading: Reading) -> Iterator[Finding]:
    for address in _addresses(relay, reading.ask):
        shown = relay if relay == address else f"{relay} ({address})"
        if term := reading.naming(address):
            yield note(_ABOUT, f"the relay {shown} is named by {term}")
        else:
            yield note(
                _ABOUT,
                f"the relay {shown} is not named by the record of {domain}; that is right only "
                "if it passes letters on through hosts that are",
            )


def _addresses(host: str, ask: Ask) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return [*ask(host, "A"), *ask(host, "AAAA")]


def _exchanges(domain: str, ask: Ask) -> list[str]:
    return [each.split()[1] for each in ask(domain, "MX")]
