"""Whether mail can come back to a domain (RFC 5321, 5.1; RFC 7505)."""

from typing import Final

from letterbook.dns.findings import Ask, Finding, good, note, wrong

_ABOUT: Final = "bounces"


def check_bounces(domain: str, ask: Ask) -> Finding:
    """Say where bounces to ``domain`` go. Raises LookupFailedError."""
    exchanges = [each.split()[1] for each in sorted(ask(domain, "MX"), key=_preference)]
    mend = f"publish an MX record for {domain} that names the server of the error address"
    if exchanges == ["."]:
        return wrong(_ABOUT, f"{domain} takes no mail (a null MX): every bounce is lost", mend)
    if not exchanges:
        if _has_address(domain, ask):
            return good(_ABOUT, f"{domain} has no MX, but an address: bounces come to it itself")
        return wrong(
            _ABOUT, f"{domain} has neither MX nor address: every bounce is lost, and many "
            "receivers refuse such a sender", mend,
        )  # fmt: skip
    dead = [each for each in exchanges if not _has_address(each, ask)]
    if dead == exchanges:
        return wrong(_ABOUT, f"no MX of {domain} has an address: {', '.join(dead)}", mend)
    if dead:
        return note(_ABOUT, f"an MX of {domain} has no address: {', '.join(dead)}", mend)
    return good(_ABOUT, f"bounces to {domain} come to {', '.join(exchanges)}")


def _has_address(host: str, ask: Ask) -> bool:
    return bool(ask(host, "A") or ask(host, "AAAA"))


def _preference(record: str) -> int:
    return int(record.split(maxsplit=1)[0])
