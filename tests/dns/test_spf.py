import pytest

from letterbook.dns.spf import check_spf, read_terms

from .zone import Records, shown


def checked(
    record: str | list[str], relay: str | None = None, **more: str | list[str]
) -> list[str]:
    """What is found of example.com with ``record``; ``more`` records by ``TYPE_name``."""
    zone = {"TXT example.com": record} | {
        key.replace("_", " ", 1).replace("_", "."): value for key, value in more.items()
    }
    return shown(list(check_spf("example.com", relay, Records(zone))))


@pytest.mark.parametrize(
    ("record", "ending"),
    [
        ("v=spf1 -all", "0 of 10 lookups and ends in -all"),
        ("V=SPF1 ip4:192.0.2.0/24 ~ALL", "0 of 10 lookups and ends in ~all"),
        ("v=spf1  a mx:b.example ip6:2001:db8::/32 exists:%{i}.b.example -all exp=x.example",
         "3 of 10 lookups (nothing is found for a, mx:b.example) and ends in -all"),
        ("v=spf1 a/24//64 mx//120 exists:%{i}.b.example unknown=%{d} ?ptr -all", "4 of 10 lookups"),
    ],
)  # fmt: skip
def test_a_good_record(record, ending):
    (found,) = checked(record)
    assert found.startswith("good SPF: the record of example.com takes ")
    assert ending in found


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([], "example.com has no record"),
        (["google-verify=1", "v=spf10 -all", "spf1 -all"], "example.com has no record"),
        (["v=spf1 -all", "v=spf1 mx -all"], "has 2 records"),
        (["v=spf1 mx"], "does not say what of the others"),
        (["v=spf1 mx ?all"], "decides nothing"),
        (["v=spf1 mx all"], "allows everybody"),
        (["v=spf1 +all"], "allows everybody"),
        (["v=spf1 ip4:192.0.2.300 -all"], "ip4:192.0.2.300 is not an address"),
        (["v=spf1 ip4:2001:db8::1 -all"], "ip4:2001:db8::1 is an address of IPv6"),
        (["v=spf1 ip6:192.0.2.1 -all"], "ip6:192.0.2.1 is an address of IPv4"),
        (["v=spf1 ip4 -all"], "ip4 lacks what it is about"),
        (["v=spf1 include: -all"], "include: is not a term"),
        (["v=spf1 redirect="], "redirect= lacks its domain"),
        (["v=spf1 ipv4:192.0.2.1 -all"], "ipv4:192.0.2.1 is not a term of SPF"),
        (["v=spf1 a/x -all"], "a/x has a length that it cannot have"),
        (["v=spf1 mx; -all"], "mx; is not a term of SPF"),
        (["v=spf1 include:nobody.example -all"], "include:nobody.example leads to no record"),
    ],
)
def test_what_receivers_take_for_an_error(records, complaint):
    (found,) = checked(records)
    assert found.startswith("wrong SPF: ")
    assert complaint in found


def test_what_is_included_counts_too():
    (found,) = checked(
        "v=spf1 include:relay.example mx -all",
        TXT_relay_example="v=spf1 a:x.example include:deep.example ?all",
        TXT_deep_example="v=spf1 ip4:192.0.2.1 ptr +all",
        A_x_example="192.0.2.1",
        MX_example_com="10 x.example",
    )
    assert found.endswith("takes 5 of 10 lookups and ends in -all")


def test_more_than_ten_lookups_are_an_error():
    ten = " ".join(10 * ["a:x.example"])
    (found,) = checked(f"v=spf1 {ten} -all", A_x_example="192.0.2.1")
    assert found.endswith("takes 10 of 10 lookups and ends in -all")
    (found,) = checked(f"v=spf1 {ten} mx -all", A_x_example="192.0.2.1")
    assert "it takes more than 10 lookups, the last one for mx" in found


def test_more_than_two_terms_that_lead_nowhere_are_an_error():
    (found,) = checked("v=spf1 a mx -all")
    assert found.startswith("good SPF: the record of example.com takes 2 of 10 lookups (nothing is")
    assert found.endswith("found for a, mx) and ends in -all")
    (found,) = checked("v=spf1 a mx include:x.example -all", TXT_x_example="v=spf1 a -all")
    assert found.startswith("wrong SPF")
    assert "more than 2 terms lead nowhere: a, mx, a" in found


def test_a_record_that_includes_itself_comes_to_an_end():
    (found,) = checked("v=spf1 include:example.com -all")
    assert "more than 10 lookups" in found


def test_a_redirect_ends_as_its_target_does():
    (found,) = checked("v=spf1 redirect=spf.example.net", TXT_spf_example_net="v=spf1 mx ~all")
    assert found.endswith("takes 2 of 10 lookups (nothing is found for mx) and ends in ~all")
    (found,) = checked("v=spf1 -all redirect=nowhere.example")
    assert found.endswith("takes 0 of 10 lookups and ends in -all")
    (found,) = checked("v=spf1 redirect=nowhere.example")
    assert "redirect=nowhere.example leads to no record" in found


@pytest.mark.parametrize(
    ("record", "term"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "ip4:192.0.2.0/24 of example.com"),
        ("v=spf1 ip4:192.0.2.7 -all", "ip4:192.0.2.7 of example.com"),
        ("v=spf1 a:relay.example -all", "a:relay.example of example.com"),
        ("v=spf1 mx -all", "mx of example.com"),
        ("v=spf1 include:all.example -all", "a:x.example/24 of all.example"),
        ("v=spf1 -ip4:192.0.2.7 ip4:198.51.100.1 -all", None),
        ("v=spf1 include:%{d}.example a:y.example -all", None),
    ],
)
@pytest.mark.parametrize("relay", ["relay.example", "192.0.2.7"])
def test_whether_it_names_the_relay_is_said_and_not_judged(record, term, relay):
    found = checked(
        record,
        relay,
        A_relay_example="192.0.2.7",
        MX_example_com=["10 gone.example", "20 relay.example"],
        TXT_all_example="v=spf1 a:x.example/24 -all",
        A_x_example="192.0.2.200",
        A_y_example="192.0.2.8",
    )
    who = "192.0.2.7" if relay == "192.0.2.7" else "relay.example (192.0.2.7)"
    assert len(found) == 2
    if term:
        assert found[1] == f"note SPF: the relay {who} is named by {term}"
    else:
        assert found[1].startswith(f"note SPF: the relay {who} is not named by the record of")


def test_addresses_of_ipv6_are_found_too():
    found = checked(
        "v=spf1 a:relay.example//64 -all", "2001:db8::7", AAAA_relay_example="2001:db8::1"
    )
    assert found[1].endswith("is named by a:relay.example//64 of example.com")


def test_terms_are_read_without_regard_to_case():
    (term,) = read_terms("v=spf1 -Include:Relay.Example")
    assert (term.name, term.qualifier, term.value) == ("include", "-", "Relay.Example")
