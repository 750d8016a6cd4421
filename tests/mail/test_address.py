import unicodedata

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.address import address_key, domain_of, normalise_address
from letterbook.mail.errors import AddressError


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("ana@example.com", "ana@example.com"),
        ("  ana@example.com\n", "ana@example.com"),
        ("Ana.Pérez+news@Example.COM", "Ana.Pérez+news@example.com"),
        ("Ana@EXAMPLE.com", "Ana@example.com"),
        ("o'neil_{x}|#!%&*/=?^`~-@example.com", "o'neil_{x}|#!%&*/=?^`~-@example.com"),
        ("a@sub.sub-domain.example", "a@sub.sub-domain.example"),
    ],
)
def test_an_address_keeps_its_local_part_and_its_domain_becomes_lower_case(text, normalised):
    assert normalise_address(text) == normalised


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("ana@ñandú.example", "ana@xn--and-6ma2c.example"),
        ("ana@ÑANDÚ.example", "ana@xn--and-6ma2c.example"),
        ("ana@xn--and-6ma2c.example", "ana@xn--and-6ma2c.example"),
        ("ana@XN--AND-6MA2C.example", "ana@xn--and-6ma2c.example"),
        ("ana@例え.テスト", "ana@xn--r8jz45g.xn--zckzah"),
        ("ana@n\u0303andu\u0301.example", "ana@xn--and-6ma2c.example"),
        ("ana@example。com", "ana@example.com"),
    ],
)
def test_a_domain_beyond_ascii_becomes_a_labels(text, normalised):
    assert normalise_address(text) == normalised


def test_a_local_part_beyond_ascii_is_kept_in_nfc():
    assert normalise_address("Jose\u0301@example.com") == "José@example.com"
    assert normalise_address("用户@例え.example").startswith("用户@xn--")


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ('"ana"@example.com', "ana@example.com"),
        ('"a\\na"@example.com', "ana@example.com"),
        ('"ana.perez"@example.com', "ana.perez@example.com"),
        ('"ana perez"@example.com', '"ana perez"@example.com'),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ('"a..b"@example.com', '"a..b"@example.com'),
        ('"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com'),
        ('"josé"@example.com', "josé@example.com"),
        ('"é é"@example.com', '"é é"@example.com'),
    ],
)
def test_only_quotes_that_are_needed_stay(text, normalised):
    assert normalise_address(text) == normalised


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "ana",
        "@example.com",
        "ana@",
        "ana@@example.com",
        "ana@b@example.com",
        "ana@localhost",
        "ana@example",
        "ana perez@example.com",
        "ana@exam ple.com",
        "ana@example.com, bob@example.com",
        "ana@example.com\nbob@example.com",
        "ana\r\nBcc: eve@example.com",
        "ana\x00@example.com",
        "ana\x7f@example.com",
        "ana\u0085@example.com",
        "ana\u2028@example.com",
        '"ana\t"@example.com',
        '"ana\n"@example.com',
        '""@example.com',
        '"ana@example.com',
        'ana"@example.com',
        '"ana"x@example.com',
        "ana@[192.0.2.1]",
        "ana@[IPv6:2001:db8::1]",
        "ana@192.0.2.1",
        "<ana@example.com>",
        "Ana <ana@example.com>",
        "ana(comment)@example.com",
        ".ana@example.com",
        "ana.@example.com",
        "a..na@example.com",
        "ana@example..com",
        "ana@.example.com",
        "ana@example.com.",
        "ana@-example.com",
        "ana@example-.com",
        "ana@exam_ple.com",
        "ana@xn--ls8h.example",
        "ana@XN--LS8H.example",
        "ana@xn--.example",
        "\ud800@example.com",
        "ana@\ud800.example",
        "\u0301ana@example.com",
        "ana@example.com>",
    ],
)
def test_what_mail_cannot_be_sent_to_is_refused(text):
    with pytest.raises(AddressError) as refused:
        normalise_address(text)
    assert str(refused.value)


def test_lengths_end_where_smtp_ends_them():
    domain = ".".join(["d" * 60] * 3) + ".example"
    longest = "a" * (254 - 1 - len(domain))
    assert len(normalise_address(f"{longest}@{domain}")) == 254
    assert normalise_address("a" * 64 + "@example.com")
    assert normalise_address("é" * 64 + "@example.com")
    assert normalise_address(f"a@{'d' * 63}.example")
    for text in (
        f"{longest}a@{domain}",
        "a" * 65 + "@example.com",
        "é" * 65 + "@example.com",
        '"' + "a" * 65 + '"@example.com',
        f"a@{'d' * 64}.example",
        f"a@{'é' * 60}.example",
        "a" * 100_000 + "@example.com",
        "a@" + "d." * 50_000 + "example",
    ):
        with pytest.raises(AddressError):
            normalise_address(text)


@pytest.mark.parametrize("spelling", ["INFO", "Info", '"INFO"', "info"])
def test_a_role_has_one_spelling_whichever_way_it_was_checked(spelling):
    assert normalise_address(f"{spelling}@example.com") == "info@example.com"
    assert normalise_address(f"{spelling}@ñ.example") == "info@xn--ida.example"


def test_two_spellings_of_one_mailbox_have_one_key():
    spellings = ["José@Ñandú.example", "jose\u0301@xn--and-6ma2c.EXAMPLE", '"JOSÉ"@ñandú.example']
    assert len({address_key(normalise_address(each)) for each in spellings}) == 1
    assert address_key("ana@example.com") != address_key("anna@example.com")


def test_the_domain_is_what_follows_the_last_at_sign():
    assert domain_of("ana@example.com") == "example.com"
    assert domain_of('"a@b"@example.com') == "example.com"


letters = st.sampled_from('aZ0.-_+@"\\ <>()[],:;%!é用ñßİ\u0301\u200d\u2028\ud800\r\n\t\0')
parts = st.sampled_from(
    ["xn--", "XN--", "..", "example", ".com", "@example.com", "@ñ.example", "INFO"]
)
pieces = letters | parts
texts = st.text(max_size=20) | st.lists(pieces, max_size=12).map("".join)
locals_ = st.lists(pieces, min_size=1, max_size=6).map("".join)
domains = st.lists(pieces, max_size=4).map("".join).map(lambda each: f"{each}.example")
addresses = st.builds("{}@{}".format, locals_ | locals_.map('"{}"'.format), domains)


@given(texts | addresses)
@examples(max_examples=400)
@example("a@XN--ls8h.com")
@example('"\u037e"@example.com')
@example('"e\u0301"@example.com')
def test_any_text_is_refused_or_has_one_form_that_stays(text):
    try:
        normalised = normalise_address(text)
    except AddressError:
        return
    assert normalise_address(normalised) == normalised
    assert unicodedata.is_normalized("NFC", normalised)
    local, _, domain = normalised.rpartition("@")
    assert domain.isascii()
    assert domain == domain.lower()
    assert local
    assert len(normalised.encode()) <= 254
    assert not any(unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs") for each in normalised)


plain_texts = st.from_regex(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,8}@[A-Za-z0-9.-]{0,9}\.[A-Za-z]{1,4}", fullmatch=True
)


@given(plain_texts | addresses)
@examples(max_examples=400)
@example("Postmaster@example.com")
@example("a@ab--cd.example")
def test_the_quick_way_agrees_with_the_library(text):
    try:
        ours = normalise_address(text)
        theirs = email_validator.validate_email(
            text.strip(),
            allow_quoted_local=True,
            check_deliverability=False,
            test_environment=True,
            strict=True,
        )
    except (AddressError, email_validator.EmailNotValidError):
        return
    assert ours == f"{theirs.local_part}@{theirs.ascii_domain.lower()}"
