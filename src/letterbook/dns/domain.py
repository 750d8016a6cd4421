"""All that receivers look up to decide whether they trust letters from a domain."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from letterbook.dns.bounces import check_bounces
from letterbook.dns.dkim import PublicKey, check_key
from letterbook.dns.dmarc import Identifier, check_alignment, check_policy, find_policy
from letterbook.dns.findings import Ask, Finding, LookupFailedError, note, wrong
from letterbook.dns.spf import check_spf, spf_records

_Step: TypeAlias = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How letters from ``domain`` are sent.

    ``keys`` sign them; ``retiring`` ones sign only what was frozen before. ``relay`` is the host
    of the recipients' route.
    """

    domain: str
    bounce_domain: str
    keys: tuple[PublicKey, ...]
    retiring: tuple[PublicKey, ...] = ()
    relay: str | None = None


def check_domain(sending: Sending, ask: Ask) -> list[Finding]:
    """Return what is found, in the order in which a receiver looks at it."""
    domain, bounce_domain = sending.domain, sending.bounce_domain
    steps: list[tuple[str, _Step]] = [
        ("SPF", lambda: check_spf(bounce_domain, sending.relay, ask)),
    ]
    if domain != bounce_domain:
        steps.append(("SPF", lambda: _sender_spf(domain, ask)))
    if not sending.keys:
        steps.append(("DKIM", lambda: [_no_key(domain)]))
    keys = (*sending.keys, *sending.retiring)
    steps += [(f"DKIM {key.name}", partial(_key, key, ask)) for key in keys]
    steps += [
        ("DMARC", lambda: check_policy(domain, find_policy(domain, ask), ask)),
        ("alignment", lambda: _alignment(sending, ask)),
        ("bounces", lambda: [check_bounces(bounce_domain, ask)]),
    ]
    return [finding for about, step in steps for finding in _findings(about, step)]


def _findings(about: str, step: _Step) -> Iterator[Finding]:
    try:
        yield from step()
    except LookupFailedError as error:
        yield wrong(about, f"the DNS did not answer: {error}", "ask again later")


def _sender_spf(domain: str, ask: Ask) -> Iterable[Finding]:
    """SPF is about the return path: the sender's own domain can do without."""
    if spf_records(domain, ask):
        return check_spf(domain, None, ask)
    return [note("SPF", f"{domain} has no record, and needs none: it is not the return path's")]


def _key(key: PublicKey, ask: Ask) -> list[Finding]:
    return [check_key(key, ask)]


def _no_key(domain: str) -> Finding:
    return note(
        "DKIM",
        f"no key signs for {domain}: letters leave unsigned, unless the relay signs",
        f"letterbook dkim add {domain}",
    )


def _alignment(sending: Sending, ask: Ask) -> Iterator[Finding]:
    domain = sending.domain
    # All keys that sign are of one domain.
    identifiers = [
        Identifier("DKIM", "adkim", each.domain, f"letterbook dkim add {domain}")
        for each in sending.keys[:1]
    ]
    mend = f"use an error address under {domain}"
    identifiers.append(Identifier("SPF", "aspf", sending.bounce_domain, mend))
    yield from check_alignment(domain, find_policy(domain, ask), identifiers, ask)
