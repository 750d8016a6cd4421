import pytest

from letterbook.dns.dmarc import Identifier, check_alignment, check_policy, find_policy

from .zone import Records, shown


def zone(**records: str | list[str]) -> Records:
    """DMARC records by the domain, with ``_`` for each dot."""
    return Records(
        {f"TXT _dmarc.{name.replace('_', '.')}": value for name, value in records.items()}
    )


def policy_of(domain: str, ask: Records) -> list[str]:
    return shown(list(check_policy(domain, find_policy(domain, ask), ask)))


@pytest.mark.parametrize(
    ("record", "finding"),
    [
        ("v=DMARC1; p=reject", "good DMARC: {} asks receivers to reject what fails (p=reject)"),
        ("v=DMARC1;p=Quarantine;rua=mailto:a@example.com,mailto:b@example.net;", "to quarantine"),
        ("v = DMARC1 ; p = reject", "to reject"),
        ("v=DMARC1; p=none; sp=reject", "note DMARC: {} asks receivers to watch only (p=none)"),
        ("v=DMARC1; p=block", "wrong DMARC: {} has no policy that is known (p=block)"),
        ("v=DMARC1; rua=mailto:a@example.com", "has no policy that is known (p=)"),
        ("v=DMARC1; p=none; p=none", "wrong DMARC: {} cannot be read"),
        ("v=DMARC1; p none", "cannot be read"),
    ],
)
def test_a_record(record, finding):
    (found,) = policy_of("example.com", zone(example_com=[record, "something else"]))
    assert finding.format("the record at _dmarc.example.com") in found


@pytest.mark.parametrize("record", [[], "v=DMARC2; p=none", "p=none; v=DMARC1", "v=dmarc1; p=none"])
def test_no_record(record):
    ask = zone(example_com=record)
    (found,) = policy_of("example.com", ask)
    assert found.startswith("wrong DMARC: there is no record at _dmarc.example.com, nor above it")
    assert {"TXT _dmarc.example.com", "TXT _dmarc.com"} == set(ask.asked)


def test_two_records_are_none():
    ask = zone(example_com=["v=DMARC1; p=none", "v=DMARC1; p=reject"])
    (found,) = policy_of("example.com", ask)
    assert "has 2 records, so receivers heed none of them" in found


@pytest.mark.parametrize(
    ("record", "policy"),
    [("v=DMARC1; p=reject", "p=reject"), ("v=DMARC1; p=reject; sp=quarantine", "sp=quarantine")],
)
def test_a_subdomain_has_its_organisations_policy(record, policy):
    (found,) = policy_of("a.news.example.com", zone(example_com=record))
    assert "the record at _dmarc.example.com asks" in found
    assert f"({policy})" in found


def test_a_subdomains_own_record_comes_first():
    ask = zone(news_example_com="v=DMARC1; p=reject", example_com="v=DMARC1; p=none")
    assert find_policy("news.example.com", ask).found_at == "news.example.com"
    assert find_policy("news.example.com", ask).organisation == "example.com"


@pytest.mark.parametrize(
    ("records", "organisation"),
    [
        ({"bank": "v=DMARC1; p=reject; psd=y"}, "example.bank"),
        ({"bank": "v=DMARC1; p=reject; psd=y", "example_bank": "v=DMARC1; p=none"}, "example.bank"),
        ({"example_bank": "v=DMARC1; p=none", "b_example_bank": "v=DMARC1; p=none; psd=n"},
         "b.example.bank"),
        ({"example_bank": "v=DMARC1; p=none", "a_b_example_bank": "v=DMARC1; p=none"},
         "example.bank"),
        ({}, "a.b.example.bank"),
    ],
)  # fmt: skip
def test_the_organisation_is_found_on_the_way_up(records, organisation):
    assert find_policy("a.b.example.bank", zone(**records)).organisation == organisation


def test_the_way_up_of_a_long_name_is_short():
    ask = zone()
    find_policy("a.b.c.d.e.f.g.h.i.j.example.com", ask)
    assert len(ask.asked) == 8
    assert ask.asked[1] == "TXT _dmarc.f.g.h.i.j.example.com"


def alignment(dkim: str | None, spf: str, record: str = "v=DMARC1; p=none") -> list[str]:
    ask = zone(example_com=record, example_net=record)
    identifiers = [Identifier("SPF", "aspf", spf, "mend SPF")]
    if dkim:
        identifiers.insert(0, Identifier("DKIM", "adkim", dkim, "mend DKIM"))
    policy = find_policy("news.example.com", ask)
    found = list(check_alignment("news.example.com", policy, identifiers, ask))
    assert all(each.mend for each in found if each.level != "good")
    return [f"{each.level} {each.says}" for each in found]


@pytest.mark.parametrize(
    ("dkim", "spf", "levels"),
    [
        ("example.com", "bounces.example.com", ["good", "good"]),
        ("news.example.com", "example.net", ["good", "note"]),
        (None, "example.net", ["wrong"]),
        (None, "example.com", ["good"]),
        ("example.net", "example.com", ["note", "good"]),
        ("example.net", "example.net", ["wrong", "wrong"]),
    ],
)
def test_relaxed_alignment_is_within_the_organisation(dkim, spf, levels):
    found = alignment(dkim, spf)
    assert [each.split()[0] for each in found] == levels
    assert all("(relaxed)" in each for each in found)


@pytest.mark.parametrize(
    ("tags", "levels"),
    [
        ("adkim=s", ["note", "good"]),
        ("aspf=s", ["good", "note"]),
        ("adkim=s; aspf=S", ["wrong", "wrong"]),
        ("adkim=r; aspf=r", ["good", "good"]),
    ],
)
def test_strict_alignment_asks_for_the_very_domain(tags, levels):
    found = alignment("example.com", "bounces.example.com", f"v=DMARC1; p=none; {tags}")
    assert [each.split()[0] for each in found] == levels
    assert any("strictly" in each for each in found) == ("s" in tags.lower().replace("aspf", ""))
