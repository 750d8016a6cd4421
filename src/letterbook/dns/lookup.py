"""Questions to the DNS, and nothing else."""

import dns.exception
import dns.name
import dns.rdata
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from letterbook.dns.findings import LookupFailedError


class Lookup:
    """Asks a DNS server, each question once.

    ``server``: address and port, instead of the system's. ``patience``: seconds for a question.
    """

    def __init__(self, server: tuple[str, int] | None = None, *, patience: float = 5.0) -> None:
        self._server = server
        self._patience = patience
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}
        self._resolver: dns.resolver.Resolver | None = None

    def __call__(self, name: str, kind: str) -> tuple[str, ...]:
        """Return the records (see ``findings.Ask``). Raises LookupFailedError."""
        question = (name.lower().rstrip("."), kind)
        if question not in self._known:
            self._known[question] = self._ask(*question)
        return self._known[question]

    def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            if self._resolver is None:
                self._resolver = self._open()
            answer = self._resolver.resolve(dns.name.from_text(name), kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.DNSException as error:
            raise LookupFailedError(f"{name} {kind}: {error}") from error
        return tuple(_text(each) for each in answer)

    def _open(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=self._server is None)
        resolver.lifetime = self._patience
        if self._server is not None:
            address, resolver.port = self._server
            resolver.nameservers = [address]
        return resolver


def _text(data: dns.rdata.Rdata) -> str:
    if isinstance(data, TXT):
        return b"".join(data.strings).decode("utf-8", "replace")
    if isinstance(data, MX):
        return f"{data.preference} {data.exchange.to_text(omit_final_dot=True) or '.'}".lower()
    return data.to_text()
