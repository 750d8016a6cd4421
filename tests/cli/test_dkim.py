"""Keys and the check of a domain, as an administrator meets them."""

import re

import msgspec
import pytest

from letterbook.control.platform.dkim import add_dkim_key, normalise_domain
from letterbook.control.platform.errors import DkimKeyError
from letterbook.control.platform.queries import signing_keys
from tests.cli.terminal import Terminal
from tests.control.desk import audit, do
from tests.dns.zone import serving
from tests.house import ACTOR, House


def test_a_key_is_made_shown_and_retired(house: House, terminal: Terminal):
    added = terminal("dkim", "add", "Example.COM", "--selector", "S1")
    assert "letterbook check --domain example.com" in added.stdout
    terminal("dkim", "add", "example.com", "--selector", "s2", "--algorithm", "ed25519")
    terminal("dkim", "add", "example.net", "--selector", "s1", "--algorithm", "ed25519")

    rsa, ed25519 = terminal.json("dkim", "show", "example.com")
    assert list(rsa) == [
        "domain", "selector", "algorithm", "state", "name", "record", "strings", "created_at",
        "retired_at", "deliveries",
    ]  # fmt: skip
    assert (rsa["name"], rsa["state"]) == ("s1._domainkey.example.com", "active")
    assert re.fullmatch(r"v=DKIM1; k=rsa; p=[A-Za-z0-9+/]{390}[A-Za-z0-9+/=]{2}", rsa["record"])
    assert "".join(rsa["strings"]) == rsa["record"]
    assert [len(each) for each in rsa["strings"]] == [255, len(rsa["record"]) - 255]
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=", ed25519["record"])
    assert len(terminal.json("dkim", "show")) == 3

    first, second = rsa["strings"]
    assert f's1._domainkey.example.com. IN TXT ( "{first}" "{second}" )' in added.stdout
    assert "one record of 2 strings" in added.stdout
    assert f'"{first}" "{second}"' in terminal("dkim", "show").stdout

    assert "signs no further delivery" in terminal("dkim", "retire", "example.com", "s1").stdout
    rsa, _ = terminal.json("dkim", "show", "example.com")
    assert (rsa["state"], rsa["deliveries"]) == ("retired", [])
    assert rsa["retired_at"]
    assert first not in terminal("dkim", "show").stdout, "there is nothing to publish any more"
    actions = [(action, what) for _, action, what, _, _ in audit(house)]
    assert actions[-1] == ("retire DKIM key", "DKIM key s1 of example.com")
    assert actions.count(("add DKIM key", "DKIM key s1 of example.com")) == 1


def test_a_key_gets_a_name_that_tells_kind_and_day(terminal: Terminal):
    terminal("dkim", "add", "example.com", "--algorithm", "ed25519")
    (key,) = terminal.json("dkim", "show", "example.com")
    assert re.fullmatch(r"ed25519-20\d{6}", key["selector"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("add", "example.com", "--selector", "s1"), "has a key with the selector s1 already"),
        (("add", "example.com", "--selector", "s_1"), "'s_1' cannot be a selector"),
        (("add", "example.com", "--selector", "a..b"), "'a..b' cannot be a selector"),
        (("add", "not a domain"), "'not a domain' is not a domain of mail"),
        (("add", "localhost"), "'localhost' is not a domain of mail"),
        (("retire", "example.com", "s2"), "example.com has no key with the selector s2"),
        (("retire", "example.com", "gone"), "the key gone of example.com is retired already"),
        (("show", "a@b@c"), "is not a domain of mail"),
    ],
)
def test_what_cannot_be(house: House, terminal: Terminal, arguments, complaint):
    house.dkim_key()
    house.dkim_key(selector="gone")
    terminal("dkim", "retire", "example.com", "gone")
    done = terminal("dkim", *arguments, status=1)
    assert complaint in done.stderr


def test_a_domain_beyond_ascii_is_kept_as_receivers_see_it(house: House):
    assert normalise_domain("Exämple.com.") == "xn--exmple-cua.com"
    key = do(add_dkim_key, ACTOR, house.sealer, "exämple.com", selector="s1", algorithm="ed25519")
    assert key.name == "s1._domainkey.xn--exmple-cua.com"
    with pytest.raises(DkimKeyError):
        normalise_domain("")


def test_all_keys_of_the_closest_domain_sign(house: House):
    for domain, selector in (
        ("example.com", "a"), ("example.com", "b"), ("mail.example.com", "c"), ("com.example", "d"),
    ):  # fmt: skip
        house.dkim_key(domain, selector)

    def selectors(domain: str) -> list[str]:
        return [key.selector for key in do(signing_keys, domain)]

    assert selectors("example.com") == ["a", "b"]
    assert selectors("shop.example.com") == ["a", "b"]
    assert selectors("mail.example.com") == ["c"]
    assert selectors("a.b.mail.example.com") == ["c"]
    assert selectors("badexample.com") == []


def test_who_retires_a_key_is_told_what_still_needs_it(house: House, terminal: Terminal):
    house.dkim_key()
    house.set_route("recipients", 25)
    delivery = house.ready(2, email_bcc=False)
    assert f"deliveries {delivery}." in terminal("dkim", "retire", "example.com", "s1").stdout
    (key,) = terminal.json("dkim", "show")
    assert key["deliveries"] == [delivery]
    assert key["record"] in terminal("dkim", "show").stdout, "it must stay published"
    house.analyze(delivery)
    (key,) = terminal.json("dkim", "show")
    assert key["deliveries"] == [], "another analysis freezes what signs today: nothing"


# The check of a domain.


def zone_of(house: House) -> dict[str, str | list[str]]:
    """All that example.com needs, with its key published."""
    key = house.dkim_key()
    return {
        "TXT example.com": "v=spf1 ip4:192.0.2.0/24 -all",
        f"TXT {key.name}": key.record,
        "TXT _dmarc.example.com": "v=DMARC1; p=quarantine",
        "MX example.com": "10 mx.example.com",
        "A mx.example.com": "192.0.2.25",
        "A relay.example.com": "192.0.2.1",
    }


def test_a_domain_where_all_is_well(house: House, terminal: Terminal):
    house.set_route("recipients", 0, url="smtps://relay.example.com")
    with serving(zone_of(house)) as server:
        dns = f"127.0.0.1:{server.port}"
        done = terminal("check", "--domain", "Example.com", LETTERBOOK_DNS=dns)
        asked = {question for _, question in server.asked}
    assert "✗" not in done.stdout
    for each in (
        "✓ SPF: the record of example.com takes 0 of 10 lookups and ends in -all",
        "! SPF: the relay relay.example.com (192.0.2.1) is named by ip4:192.0.2.0/24",
        "✓ DKIM s1._domainkey.example.com: it is our key (ed25519)",
        "✓ DMARC: the record at _dmarc.example.com asks receivers to quarantine",
        "✓ alignment: example.com, which DKIM is for, is aligned with example.com (relaxed)",
        "✓ bounces: bounces to example.com come to mx.example.com",
    ):
        assert each in done.stdout
    assert {"TXT example.com", "MX example.com", "TXT s1._domainkey.example.com"} <= asked


def test_a_domain_where_much_is_wrong(house: House, terminal: Terminal):
    zone = zone_of(house) | {
        "TXT example.com": ["v=spf1 mx", "v=spf1 -all"],
        "TXT s1._domainkey.example.com": "v=DKIM1; k=ed25519; p=" + "A" * 43 + "=",
        "TXT _dmarc.example.com": "!",
        "MX example.com": "0 .",
    }
    with serving(zone) as server:
        environment = {
            "LETTERBOOK_DNS": f"127.0.0.1:{server.port}",
            "LETTERBOOK_ERROR_ADDRESS": "bounces@example.com",
        }
        done = terminal("check", "--domain", "example.com", status=1, **environment)
        (key,) = terminal.json("dkim", "show")
    assert "what is marked ✗ must be mended before letters from example.com go well" in done.stderr
    lines = done.stdout.splitlines()
    assert [each.split(":")[0] for each in lines if each[0] == "✗"] == [
        "✗ SPF",
        "✗ DKIM s1._domainkey.example.com",
        "✗ DMARC",
        "✗ alignment",
        "✗ bounces",
    ]
    assert f"  → publish at {key['name']} one TXT record: {key['record']}" in lines
    assert "SERVFAIL" in done.stdout


def test_the_check_for_programs(house: House, terminal: Terminal):
    """A subdomain under its organisation's key and policy, and another domain for bounces."""
    zone = zone_of(house) | {
        "TXT bounces.example.net": "v=spf1 -all",
        "A bounces.example.net": "192.0.2.2",
    }
    with serving(zone) as server:
        environment = {
            "LETTERBOOK_DNS": f"127.0.0.1:{server.port}",
            "LETTERBOOK_ERROR_ADDRESS": "x@bounces.example.net",
        }
        (line,) = terminal(
            "check", "--domain", "news.example.com", "--json", **environment
        ).stdout.splitlines()
    found = msgspec.json.decode(line)
    assert (found["domain"], found["ok"]) == ("news.example.com", True)
    assert [(each["level"], each["about"]) for each in found["findings"]] == [
        ("good", "SPF"),
        ("note", "SPF"),
        ("good", "DKIM s1._domainkey.example.com"),
        ("good", "DMARC"),
        ("good", "alignment"),
        ("note", "alignment"),
        ("good", "bounces"),
    ]
    assert all(set(each) == {"level", "about", "says", "mend"} for each in found["findings"])


def test_json_alone_is_wrong_usage(terminal: Terminal):
    assert "--json goes with --domain" in terminal("check", "--json", status=2).stderr
