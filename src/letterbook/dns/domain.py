"""All that receivers look up to decide whether they trust letters from a domain."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from letterbook.dns.bounces import check_bounces
from letterbook.dns.dkim import PublicKey, check_key
from letterbook.dns.dmarc import Identifier, check_alignment, check_policy, find_policy
from letterbook.dns.findings import Ask, Finding, LookupFailedError, note, wrong
from letterbook.dns.spf import check_spf


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
    steps: dict[str, Callable[[Sending, Ask], Iterable[Finding]]] = {
        "SPF": _spf,
        "DKIM": _dkim,
        "DMARC": _dmarc,
        "bounces": lambda sending, ask: [check_bounces(sending.bounce_domain, ask)],
    }
    findings: list[Finding] = []
    for about, step in steps.items():
        try:
            findings += step(sending, ask)
        except LookupFailedError as error:
            findings.append(wrong(about, f"the DNS did not answer: {error}", "ask again later"))
    return findings


def _spf(sending: Sending, ask: Ask) -> Iterator[Finding]:
    """SPF is about the return path's domain; the sender's own should have a record too."""
    yield from check_spf(sending.bounce_domain, sending.relay, ask)
    if sending.domain != sending.bounce_domain:
        yield from check_spf(sending.domain, None, ask)


def _dkim(sending: Sending, ask: Ask) -> Iterator[Finding]:
    if not sending.keys:
        yield note(
            "DKIM",
            f"no key signs for {sending.domain}: letters leave unsigned, unless the relay signs",
            f"letterbook dkim add {sending.domain}",
        )
    for key in (*sending.keys, *sending.retiring):
        yield check_key(key, ask)


def _dmarc(sending: Sending, ask: Ask) -> Iterator[Finding]:
    domain, policy = sending.domain, find_policy(sending.domain, ask)
    yield from check_policy(domain, policy, ask)
    # All keys that sign are of one domain.
    identifiers = [
        Identifier("DKIM", "adkim", each.domain, f"letterbook dkim add {domain}")
        for each in sending.keys[:1]
    ]
    mend = f"use an error address under {domain}"
    identifiers.append(Identifier("SPF", "aspf", sending.bounce_domain, mend))
    yield from check_alignment(domain, policy, identifiers, ask)
