"""DKIM records, the way bounces come back, and everything together."""

import pytest

from letterbook.dns.bounces import check_bounces
from letterbook.dns.dkim import PublicKey, check_key
from letterbook.dns.domain import Sending, check_domain
from letterbook.dns.tags import read_tags

from .zone import Records, shown

RSA = PublicKey("example.com", "r._domainkey.example.com", "v=DKIM1; k=rsa; p=QUJD")
ED = PublicKey("example.com", "e._domainkey.example.com", "v=DKIM1; k=ed25519; p=REVG")


@pytest.mark.parametrize(
    ("key", "published", "finding"),
    [
        (RSA, "v=DKIM1; k=rsa; p=QUJD", "good"),
        (RSA, "p=QU JD", "good"),
        (RSA, "v=DKIM1; h=sha1:sha256; s=email; n=a note; t=s; p=QUJD;", "good"),
        (ED, "v=DKIM1; k=ed25519; p=REVG", "good"),
        (RSA, "v=DKIM1; t=y:s; p=QUJD", "note DKIM r._domainkey.example.com: it is our key, but"),
        (RSA, [], "no record is published"),
        (RSA, ["v=DKIM1; p=QUJD", "v=DKIM1; p=REVG"], "2 records are published"),
        (RSA, "v=DKIM1; p=", "the key is revoked"),
        (RSA, "v=DKIM1; p=REVG", "it is another key than ours"),
        (ED, "v=DKIM1; p=REVG", "it is of the type rsa, and our key is of the type ed25519"),
        (
            RSA,
            "v=DKIM1; k=ed25519; p=QUJD",
            "it is of the type ed25519, and our key is of the type",
        ),
        (RSA, "v=DKIM2; p=QUJD", "it is a record of version DKIM2"),
        (RSA, "v=DKIM1; k=rsa", "it has no key"),
        (RSA, "v=DKIM1; h=sha1; p=QUJD", "it allows the hashes sha1"),
        (RSA, "v=DKIM1; s=tlsrpt; p=QUJD", "it is for the services tlsrpt"),
        (RSA, "v=DKIM1 k=rsa; p=QUJD p=QUJD; p=QUJD", "the record cannot be read: the tag p"),
        (RSA, '"v=DKIM1; k=rsa; p=QUJD"', "the record cannot be read"),
    ],
)
def test_a_published_key(key, published, finding):
    found = check_key(key, Records({f"TXT {key.name}": published}))
    assert finding in shown([found])[0]
    assert found.level == (finding.split()[0] if finding.startswith(("good", "note")) else "wrong")
    if found.level == "wrong":
        assert key.name in found.mend
        assert key.record in found.mend


@pytest.mark.parametrize("text", [";", "a", "a=b;;c=d", "=b", "a=b; a=c", "1=b"])
def test_what_is_no_list_of_tags(text):
    with pytest.raises(ValueError):
        read_tags(text)


@pytest.mark.parametrize(
    ("records", "finding"),
    [
        ({"MX": ["20 b.example", "10 a.example"]},
         "good bounces: bounces to example.com come to a.example, b.example"),
        ({"MX": "0 a.example"}, "good"),
        ({"MX": ["10 a.example", "20 x.example"]},
         "note bounces: an MX of example.com has no address: x.example"),
        ({"MX": ["10 gone.example"]}, "wrong bounces: no MX of example.com has an address"),
        ({"MX": "0 ."}, "wrong bounces: example.com takes no mail"),
        ({"A": "192.0.2.1"}, "good bounces: example.com has no MX, but an address"),
        ({"AAAA": "2001:db8::1"}, "good bounces: example.com has no MX, but an address"),
        ({}, "wrong bounces: example.com has neither MX nor address"),
    ],
)  # fmt: skip
def test_where_bounces_come_to(records, finding):
    zone = {f"{kind} example.com": value for kind, value in records.items()}
    hosts = {"A a.example": "192.0.2.2", "AAAA b.example": "2001:db8::2"}
    assert shown([check_bounces("example.com", Records(zone | hosts))])[0].startswith(finding)


GOOD = {
    "TXT example.com": "v=spf1 mx -all",
    "TXT r._domainkey.example.com": RSA.record,
    "TXT e._domainkey.example.com": ED.record,
    "TXT _dmarc.example.com": "v=DMARC1; p=reject",
    "MX example.com": "10 mx.example.com",
    "A mx.example.com": "192.0.2.1",
}
SENDING = Sending(domain="example.com", bounce_domain="example.com", keys=(RSA, ED))


def test_a_domain_where_all_is_well():
    found = shown(check_domain(SENDING, Records(GOOD)))
    assert [each.split(":")[0] for each in found] == [
        "good SPF",
        "good DKIM r._domainkey.example.com",
        "good DKIM e._domainkey.example.com",
        "good DMARC",
        "good alignment",
        "good alignment",
        "good bounces",
    ]


def test_a_domain_without_anything():
    sending = Sending(domain="example.com", bounce_domain="bounces.example.net", keys=())
    found = shown(check_domain(sending, Records({})))
    assert [each.split(":")[0] for each in found] == [
        "wrong SPF",
        "note SPF",
        "note DKIM",
        "wrong DMARC",
        "wrong alignment",
        "wrong bounces",
    ]
    assert "bounces.example.net has no record" in found[0]
    assert "example.com has no record, and needs none" in found[1]


def test_a_retired_key_is_looked_for_as_long_as_it_signs():
    old = PublicKey("example.com", "old._domainkey.example.com", RSA.record)
    sending = Sending(
        domain="example.com", bounce_domain="example.com", keys=(ED,), retiring=(old,)
    )
    found = shown(check_domain(sending, Records(GOOD)))
    assert "wrong DKIM old._domainkey.example.com: no record is published: the" in "".join(found)


@pytest.mark.parametrize(
    ("silent", "unknown"),
    [
        ("TXT example.com", {"SPF"}),
        ("TXT r._domainkey.example.com", {"DKIM r._domainkey.example.com"}),
        ("TXT _dmarc.example.com", {"DMARC", "alignment"}),
        ("A mx.example.com", {"SPF", "bounces"}),
    ],
)
def test_no_answer_is_no_answer_and_the_rest_is_checked(silent, unknown):
    found = check_domain(SENDING, Records(GOOD | {silent: "!"}))
    for each in found:
        assert each.level == ("wrong" if each.about in unknown else "good")
        asked = f"the DNS did not answer: {silent.split()[1]} {silent.split()[0]}: silence"
        assert (each.says == asked) == (each.about in unknown)
    assert {each.about for each in found} >= {"SPF", "DMARC", "alignment", "bounces"}
