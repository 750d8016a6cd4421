"""Real queries to a real server."""

import pytest

from letterbook.dns.findings import LookupFailedError
from letterbook.dns.lookup import Lookup

from .zone import serving, silent_port

LONG = "v=DKIM1; k=rsa; p=" + "A" * 392
ZONE = {
    "TXT example.com": ["v=spf1 mx -all", 'say "hello"'],
    "TXT s._domainkey.example.com": LONG,
    "MX example.com": ["20 Mail.Example.com", "10 other.example"],
    "MX nomail.example": "0 .",
    "A example.com": "192.0.2.1",
    "AAAA example.com": "2001:db8::1",
    "CNAME alias.example.com": "example.com.",
    "TXT broken.example": "!",
}


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("example.com", "TXT", {"v=spf1 mx -all", 'say "hello"'}),
        ("EXAMPLE.com.", "A", {"192.0.2.1"}),
        ("example.com", "AAAA", {"2001:db8::1"}),
        ("example.com", "MX", {"20 mail.example.com", "10 other.example"}),
        ("nomail.example", "MX", {"0 ."}),
        ("s._domainkey.example.com", "TXT", {LONG}),
        ("nomail.example", "A", set()),
        ("nobody.example", "TXT", set()),
    ],
)
def test_what_comes_back(name, kind, records):
    with serving(ZONE) as server:
        found = Lookup(("127.0.0.1", server.port))(name, kind)
    assert set(found) == records
    assert len(found) == len(records)


def test_a_long_answer_comes_by_tcp():
    with serving(ZONE, largest=200) as server:
        assert Lookup(("127.0.0.1", server.port))("s._domainkey.example.com", "TXT") == (LONG,)
    assert [way for way, _ in server.asked] == ["udp", "tcp"]


def test_a_question_is_asked_once():
    with serving(ZONE) as server:
        ask = Lookup(("127.0.0.1", server.port))
        assert ask("example.com", "A") == ask("Example.com", "A") == ("192.0.2.1",)
    assert len(server.asked) == 1


def test_a_failure_of_the_server_is_not_an_absence():
    with (
        serving(ZONE) as server,
        pytest.raises(LookupFailedError, match=r"broken\.example TXT: .*SERVFAIL"),
    ):
        Lookup(("127.0.0.1", server.port))("broken.example", "TXT")


def test_silence_is_not_an_absence():
    with silent_port() as port, pytest.raises(LookupFailedError, match="lifetime expired"):
        Lookup(("127.0.0.1", port), patience=0.3)("example.com", "TXT")


def test_a_name_that_cannot_be_is_no_absence_either():
    with pytest.raises(LookupFailedError, match="label"):
        Lookup(("127.0.0.1", 1))("x" * 64 + ".example", "TXT")
