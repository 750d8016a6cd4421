import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.compose import Addressee, Composer
from letterbook.mail.content import Content
from letterbook.mail.dkim import (
    Signer,
    make_private_key,
    make_signer,
    make_specimen,
    public_record,
    record_strings,
    signatures,
)

from .letters import DATE, IDENTITY, compose, make_content, make_file, with_files
from .signed import (
    PUBLISHED,
    all_verify,
    ed25519_private_key,
    make_signers,
    private_key,
    signature_headers,
    signing_key,
    tags,
    verify,
)

BOTH = ("rsa", "ed25519")
ANA = Addressee(1, 1001, "ana@example.org", {"name": "Ana"})


def signed(content: Content, signers: list[Signer], addressee: Addressee = ANA, **more) -> bytes:
    composer = Composer(7, content, more.pop("files", {}), IDENTITY, signers)
    return composer.compose(addressee, more.pop("date", DATE))


# dkimpy agrees.

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)
BODIES = st.one_of(
    TEXTS,
    st.just(""),
    st.lists(
        st.sampled_from(("x ", "\t", "\n", "\r\n", ".", "From y", " ", "\n\n")), max_size=30
    ).map("".join),
    TEXTS.map(lambda text: f"{text}\n\n\n"),
)


@given(
    name=TEXTS,
    subject=TEXTS,
    body=BODIES,
    brand=TEXTS,
    kind=st.sampled_from(("text", "html", "both")),
    algorithms=st.sampled_from((("rsa",), ("ed25519",), BOTH, BOTH[::-1])),
    more=st.tuples(st.sampled_from(("ana@example.org", "jörg@xn--exmple-cua.org")), st.booleans()),
)
@examples(max_examples=60)
def test_every_signature_is_good(*, name, subject, body, brand, kind, algorithms, more):
    address, attached = more
    files = [make_file("términos.pdf", b"%PDF" * 30)] if attached else []
    content, data = with_files(
        *files,
        sender_name=name,
        subject="{{ recipient.subject }}",
        html="{{ recipient.body }}" if kind != "text" else None,
        text="{{ recipient.body }}" if kind != "html" else None,
        headers={"X-Brand": "{{ recipient.brand }}", "List-Id": "{{ recipient.brand }}"},
        reply_to="care@example.com",
        list_unsubscribe="https://example.com/u/{{ recipient.id }}",
    )
    fields = {"subject": subject, "body": body, "brand": brand}
    addressee = Addressee(1, 1001, address, fields)
    message = signed(content, make_signers(*algorithms), addressee, files=data)
    assert all_verify(message, [f"s-{each}" for each in algorithms])
    unsigned = compose(content, data, address=address, fields=fields)
    for header in signature_headers(message):
        message = message.replace(header, b"", 1)
    assert message == unsigned, "a signature is added, and nothing else is changed"


def test_an_empty_message_is_signed():
    content = make_content(html=None, text="{{ recipient.nothing }}")
    message = signed(content, make_signers(*BOTH))
    assert message.endswith(b"\r\n\r\n")
    assert all_verify(message, ["s-rsa", "s-ed25519"])


@pytest.mark.parametrize("names", [("List-Id", "list-id"), ("Feedback-ID", "X-A")])
def test_a_header_that_occurs_twice_is_signed_as_verifiers_look_for_it(names):
    content = make_content(headers={name: f"value {n}" for n, name in enumerate(names)})
    assert all_verify(signed(content, make_signers(*BOTH)), ["s-rsa", "s-ed25519"])


def test_the_published_example_of_ed25519():
    """RFC 8463, appendix A.2: the same key over the same header gives the same signature."""
    key = ed25519_private_key("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    signer = make_signer(signing_key("ed25519", "football.example.com", "brisbane"), key)
    assert public_record(key).endswith("p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    block = (
        b"from:Joe SixPack <joe@football.example.com>\r\n"
        b"to:Suzie Q <suzie@shopping.example.net>\r\n"
        b"subject:Is dinner ready?\r\n"
        b"date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"message-id:<20030712040037.46341.5F8J@football.example.com>\r\n"
        b"dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; "
        b"i=@football.example.com; q=dns/txt; s=brisbane; t=1528637909; h=from : to : subject : "
        b"date : message-id : from : subject : date; "
        b"bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b="
    )
    assert base64.b64encode(signer.sign(block)) == (
        b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    )


# What is signed, and how it stands.


def full_letter() -> Content:
    return make_content(
        reply_to="care@example.com",
        list_unsubscribe="https://example.com/u/{{ recipient.id }}",
        headers={"X-Brand": "Example", "Feedback-ID": "7:example"},
    )


def test_the_message_id_comes_first_and_then_the_signatures():
    message = signed(full_letter(), make_signers(*BOTH))
    header = message.partition(b"\r\n\r\n")[0]
    names = re.findall(rb"^([\w-]+):", header, re.MULTILINE)
    assert names[:4] == [b"Message-ID", b"DKIM-Signature", b"DKIM-Signature", b"Date"]
    assert max(map(len, header.split(b"\r\n"))) <= 78


def test_what_the_signature_says():
    found = [tags(each) for each in signature_headers(signed(full_letter(), make_signers(*BOTH)))]
    for each, algorithm in zip(found, BOTH, strict=True):
        assert each | {"b": "", "bh": "", "h": ""} == {
            "v": "1",
            "a": f"{algorithm}-sha256",
            "c": "relaxed/simple",
            "d": "example.com",
            "s": f"s-{algorithm}",
            "t": str(int(DATE.timestamp())),
            "h": "",
            "bh": "",
            "b": "",
        }
    assert found[0]["h"] == found[1]["h"]


def test_one_click_and_all_that_shows_are_signed_and_nobody_can_add_another():
    (signature,) = signature_headers(signed(full_letter(), make_signers("rsa")))
    names = tags(signature)["h"].split(":")
    covered = {
        "from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
        "list-unsubscribe", "list-unsubscribe-post", "feedback-id",
    }  # fmt: skip
    assert set(names) == covered
    assert {name: names.count(name) for name in covered} == dict.fromkeys(covered, 2)


@pytest.mark.parametrize(
    "change",
    [
        (b"Subject: Hello Ana", b"Subject: Hello Eve"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"https://example.com/u/1001", b"https://example.com/u/1002"),
        (b"\r\nTo: ", b"\r\nFrom: Eve <eve@example.net>\r\nTo: "),
        (b"\r\nTo: ", b"\r\nSubject: another\r\nTo: "),
        (b"\r\nMIME-Version", b"\r\nContent-Type: text/html\r\nMIME-Version"),
        (b"<p>Good", b"<p>Bad"),
        (b"<p>Good day", b"<p>Good  day"),
    ],
)
def test_whoever_changes_it_breaks_both(change):
    content = make_content(
        html="<p>Good day</p>", list_unsubscribe="https://example.com/u/{{ recipient.id }}"
    )
    message = signed(content, make_signers(*BOTH))
    assert verify(message) == [True, True]
    assert message.count(change[0]) == 1
    assert verify(message.replace(*change)) == [False, False]


def test_a_relay_may_fold_and_space_headers_anew_and_add_its_own():
    message = signed(full_letter(), make_signers(*BOTH))
    relayed = b"Received: from a\r\n\tby b\r\n" + message.replace(
        b"Subject: Hello Ana", b"SUBJECT:  Hello\r\n\tAna  "
    ).replace(b"X-Brand: Example\r\n", b"")
    assert relayed != message
    assert verify(relayed) == [True, True]


def test_it_is_dated_as_the_message_is():
    early, late = (
        signed(make_content(), make_signers("ed25519"), date=DATE.replace(second=second))
        for second in (1, 2)
    )
    stamps = [int(tags(*signature_headers(each))["t"]) for each in (early, late)]
    assert stamps[1] - stamps[0] == 1


@pytest.mark.parametrize("algorithm", BOTH)
def test_composing_again_gives_the_same_bytes(algorithm):
    first, second = (
        signed(full_letter(), [make_signer(signing_key(algorithm), private_key(algorithm))])
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("algorithm", BOTH)
def test_another_key_gives_other_bytes_of_the_same_length(algorithm):
    other = make_signer(signing_key(algorithm), make_private_key(algorithm))
    own, others = (signed(full_letter(), [each]) for each in (*make_signers(algorithm), other))
    assert len(own) == len(others)
    assert hashlib.sha256(own).digest() != hashlib.sha256(others).digest()
    assert verify(others) == [False]


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_specimen_is_as_long_and_void(algorithm):
    specimen = signed(full_letter(), [make_specimen(signing_key(algorithm))])
    assert len(specimen) == len(signed(full_letter(), make_signers(algorithm)))
    assert verify(specimen) == [False]


def test_a_message_of_a_subdomain_is_signed_by_its_parent():
    content = make_content(sender="news@mail.example.com")
    assert verify(signed(content, make_signers(*BOTH))) == [True, True]


# Canonical forms by the letter.


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_no_body_is_one_empty_line(body):
    """RFC 6376, 3.4.3 gives the hash of an empty body."""
    found = tags(signatures(b"From: a@example.com\r\n", body, make_signers("ed25519"), 1))
    assert found["bh"] == "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="


def test_the_public_record_is_made_of_strings_that_fit():
    strings = record_strings(PUBLISHED["s-rsa._domainkey.example.com"])
    assert [len(each) for each in strings] == [255, len(strings[1])]
    assert "".join(strings).startswith("v=DKIM1; k=rsa; p=")
    assert len(record_strings(PUBLISHED["s-ed25519._domainkey.example.com"])) == 1


def test_a_signer_does_not_show_its_key():
    assert "object" not in repr(make_signers("rsa")[0])
