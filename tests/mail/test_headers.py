import email
import email.policy
import re
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.errors import HeaderError
from letterbook.mail.headers import address_header, check_extra_header, clean, text_header

INJECTIONS = [
    "\r\nBcc: eve@example.net",
    "\nBcc: eve@example.net",
    "\rBcc: eve@example.net",
    "\r\n\r\nAnother body",
    "\n\n",
    "x\r\n Bcc: eve@example.net",
    "x\r\n\tBcc: eve@example.net",
    "\0Bcc: eve@example.net",
    "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029Bcc: eve@example.net",
    "é\r\nBcc: eve@example.net",
    "x" * 2000 + "\r\nBcc: eve@example.net",
    "é" * 200 + "\nBcc: eve@example.net",
    "=?utf-8?q?=0D=0ABcc:_eve@example.net?=",
    "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLm5ldA==?=",
    '"\r\nBcc: eve@example.net',
    "\\\r\nBcc: eve@example.net",
    "eve@example.net>\r\nBcc: <eve@example.net",
]
_CONTROLS = "\0\t\n\x0b\x0c\r\x1b\x1c\x7f\x85\u2028\u2029"
words = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*INJECTIONS, *_CONTROLS, " ", "  ", "=?", "?=", "=_", '"', "\\", ",", "<>"]),
    st.builds(lambda word, count: word * count, st.sampled_from(["x", "é", "😀", "x ", " "]),
              st.integers(1, 1100)),
)  # fmt: skip
texts = st.lists(words, max_size=5).map("".join)
names = st.just("Subject") | st.from_regex(r"X-[A-Za-z0-9-]{1,30}", fullmatch=True)


def one_line(text):
    return re.sub("[\0-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()


def parse(header):
    return email.message_from_bytes(header + b"\r\n", policy=email.policy.default)


def assert_one_header(header, name):
    first, *others, end = header.split(b"\r\n")
    assert end == b""
    assert first.startswith(name.encode() + b": ")
    assert all(line.startswith(b" ") and line.strip() for line in others)
    assert not re.search(rb"[\r\n\0]", header.replace(b"\r\n", b""))


def assert_short_lines(header):
    """Only what has no space to fold at may be longer than 78."""
    for line in header.split(b"\r\n"):
        assert len(line) <= 998
        if len(line) > 78:
            *_, value = line.rpartition(b": ") if b": " in line[:40] else (line.strip(),)
            assert b" " not in value.strip()


@given(names, texts)
@examples(max_examples=300)
@example("Subject", "")
@example("Subject", "a  b" + " " * 1000 + "c")
@example("Subject", "x " * 100)
@example("Subject", "a \ud800 b")
@example("X" * 30, "😀" * 60)
def test_a_text_survives_its_header(name, text):
    header = text_header(name, text)
    assert header.isascii()
    assert_one_header(header, name)
    assert_short_lines(header)
    expected = one_line(text).encode("utf-8", "replace").decode()
    assert parse(header)[name] == expected


@given(texts)
@examples(max_examples=300)
@example("x" * 80)
@example('"' * 70)
@example("\\" * 70)
@example("a  b")
@example("Ana, of Example; (the) <first>")
@example("=?utf-8?q?Ana?=")
def test_a_display_name_survives_its_header(name):
    header = address_header("From", "ana@example.com", name)
    assert header.isascii()
    assert_one_header(header, "From")
    assert_short_lines(header)
    assert [each.addr_spec for each in parse(header)["From"].addresses] == ["ana@example.com"]
    phrase, address = parseaddr(header.decode().removeprefix("From: ").replace("\r\n", ""))
    expected = one_line(name).encode("utf-8", "replace").decode()
    assert (str(make_header(decode_header(phrase))), address) == (expected, "ana@example.com")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("", b"From: ana@example.com\r\n"),
        ("\r\n", b"From: ana@example.com\r\n"),
        ("Ana Perez", b"From: Ana Perez <ana@example.com>\r\n"),
        ("Perez, Ana", b'From: "Perez, Ana" <ana@example.com>\r\n'),
        ('The "A" \\ team', b'From: "The \\"A\\" \\\\ team" <ana@example.com>\r\n'),
        ("A  B", b'From: "A  B" <ana@example.com>\r\n'),
    ],
)
def test_a_plain_display_name_stays_readable(name, header):
    assert address_header("From", "ana@example.com", name) == header


def test_an_address_beyond_ascii_is_written_in_utf8():
    assert address_header("To", "josé@example.com") == "To: josé@example.com\r\n".encode()


@pytest.mark.parametrize(
    "text",
    ["Plain", "x " * 60, "=?utf-8?q?x?=", "é", "é" * 100, "😀" * 100, "x" * 901, "ñ " * 500],
)
def test_lines_are_short_where_they_can_be(text):
    for header in (text_header("Subject", text), address_header("From", "a@b.example", text)):
        assert max(map(len, header.split(b"\r\n"))) <= 78


def test_an_encoded_word_never_splits_a_character():
    header = text_header("Subject", "漢" * 200)
    for word in re.findall(rb"=\?utf-8\?b\?([^?]*)\?=", header):
        assert len(word) <= 75
        assert str(make_header(decode_header(f"=?utf-8?b?{word.decode()}?="))).strip("漢") == ""


@pytest.mark.parametrize("injection", INJECTIONS)
def test_nothing_begins_a_line_of_its_own(injection):
    for text in (injection, "Hello" + injection, f"é{injection}é"):
        assert_one_header(text_header("Subject", text), "Subject")
        assert parse(text_header("Subject", text)).keys() == ["Subject"]
        for header in (
            address_header("From", "ana@example.com", text),
            address_header("To", "ana@example.com" + text),
        ):
            assert_one_header(header, header[: header.index(b":")].decode())


@given(texts)
def test_clean_leaves_one_line(text):
    assert clean(text) == one_line(text)
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "name",
    [
        "Bcc", "Cc", "Content-Type", "content-transfer-encoding", "DKIM-Signature", "Date", "FROM",
        "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Message-Id", "Received",
        "Reply-To", "Resent-To", "Return-Path", "Sender", "subject", "To", "ARC-Seal",
        "", " ", "X Brand", "X-Brand:", "X-Brand ", "X-Brand\r\nBcc", "X-Ñ", "X\0", "X\t", "x" * 61,
    ],
)  # fmt: skip
def test_a_header_of_our_own_or_without_a_proper_name_is_refused(name):
    with pytest.raises(HeaderError):
        check_extra_header(name)


@pytest.mark.parametrize("name", ["X-Brand", "Feedback-ID", "Precedence", "List-Id", "x" * 60])
def test_other_headers_may_be_set(name):
    check_extra_header(name)
