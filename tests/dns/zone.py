"""Records for tests: as data, or from a DNS server on loopback that speaks the real protocol."""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from letterbook.dns.findings import Finding, LookupFailedError

Zone = Mapping[str, str | list[str]]
"""Records by ``TYPE name``; a TXT record stands as its plain text. ``!`` instead: no answer."""


def records(zone: Zone, name: str, kind: str) -> list[str]:
    found = zone.get(f"{kind} {name.lower().rstrip('.')}", [])
    return [found] if isinstance(found, str) else list(found)


class Records:
    """Answers from a zone; remembers what it was asked."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[str] = []

    def __call__(self, name: str, kind: str) -> tuple[str, ...]:
        self.asked.append(f"{kind} {name}")
        found = records(self.zone, name, kind)
        if found == ["!"]:
            raise LookupFailedError(f"{name} {kind}: silence")
        return tuple(found)


def shown(findings: list[Finding]) -> list[str]:
    """Findings in short: ``wrong SPF: …``."""
    return [f"{each.level} {each.about}: {each.says}" for each in findings]


class DnsServer:
    """A name server for a zone, over UDP and TCP. ``largest``: octets of an answer by UDP."""

    def __init__(self, zone: Zone, largest: int = 512) -> None:
        self.zone = zone
        self.largest = largest
        self.asked: list[tuple[str, str]] = []
        """The way (udp, tcp) and the question of each query."""
        self.port = 0

    def answer(self, wire: bytes, way: str) -> bytes:
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((way, f"{kind} {name.rstrip('.')}"))
        response = dns.message.make_response(query)
        found = records(self.zone, name, kind)
        if found == ["!"]:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif found:
            texts = [_presentation(kind, each) for each in found]
            response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *texts))
        elif not any(key.endswith(f" {name.rstrip('.').lower()}") for key in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        data = response.to_wire()
        if way == "udp" and len(data) > self.largest:
            response.answer.clear()
            response.flags |= dns.flags.TC
            data = response.to_wire()
        return data


def _presentation(kind: str, record: str) -> str:
    if kind == "TXT":
        strings = (record[at : at + 255] for at in range(0, len(record) or 1, 255))
        return " ".join(
            '"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"' for each in strings
        )
    return f"{record.rstrip('.')}." if kind == "MX" else record


@contextmanager
def serving(zone: Zone, **more: Any) -> Iterator[DnsServer]:
    """A server at a free port of loopback, the same for UDP and TCP."""
    server = DnsServer(zone, **more)

    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(server.answer(data, "udp"), self.client_address)

    class OverTcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            data = server.answer(self.rfile.read(length), "tcp")
            self.wfile.write(struct.pack("!H", len(data)) + data)

    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), OverTcp) as tcp,
        socketserver.ThreadingUDPServer(tcp.server_address, OverUdp) as udp,
    ):
        server.port = tcp.server_address[1]
        threads = [threading.Thread(target=each.serve_forever, args=(0.02,)) for each in (tcp, udp)]
        for thread in threads:
            thread.start()
        try:
            yield server
        finally:
            tcp.shutdown()
            udp.shutdown()
            for thread in threads:
                thread.join()


@contextmanager
def silent_port() -> Iterator[int]:
    """A UDP port at which nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
