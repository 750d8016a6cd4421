import gc
import re
import time
from html import escape

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.compose import Addressee
from letterbook.mail.errors import PersonalisationError, TemplateError

from .letters import (
    DATE,
    compose,
    header_lines,
    make_composer,
    make_content,
    make_file,
    part,
    read,
    shape,
    with_files,
)

LOGO = make_file("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "image/png", inline=True)
TERMS = make_file("terms.pdf", b"%PDF" + bytes(1000), "application/pdf")

ALTERNATIVE = "multipart/alternative(text/plain, text/html)"
RELATED = "multipart/related(text/html, image/png)"


@pytest.mark.parametrize(
    ("files", "changes", "expected"),
    [
        ([], {}, ALTERNATIVE),
        ([], {"text": None}, "text/html"),
        ([], {"html": None}, "text/plain"),
        ([LOGO], {}, f"multipart/alternative(text/plain, {RELATED})"),
        ([LOGO], {"text": None}, RELATED),
        ([TERMS], {}, f"multipart/mixed({ALTERNATIVE}, application/pdf)"),
        ([TERMS], {"html": None}, "multipart/mixed(text/plain, application/pdf)"),
        ([TERMS], {"text": None}, "multipart/mixed(text/html, application/pdf)"),
        (
            [LOGO, TERMS],
            {},
            f"multipart/mixed(multipart/alternative(text/plain, {RELATED}), application/pdf)",
        ),
        ([LOGO, TERMS], {"text": None}, f"multipart/mixed({RELATED}, application/pdf)"),
    ],
)
def test_parts_are_wrapped_only_where_needed(files, changes, expected):
    message = read(compose(*with_files(*files, **changes), name="Ana"))
    assert shape(message) == expected
    for each, data in files:
        assert part(message, each.content_type) == data


def test_an_inline_file_is_shown_by_its_content_id():
    html = '<img src="cid:logo.png"><img src="cid:logo.png2">'
    message = read(compose(*with_files(LOGO, TERMS, html=html), name="Ana"))
    logo, terms = (
        next(each for each in message.walk() if each.get_content_type() == kind)
        for kind in ("image/png", "application/pdf")
    )
    identifier = logo["Content-ID"].strip("<>")
    assert re.fullmatch(r"[0-9a-f]{32}@[a-z.]+", identifier)
    assert logo.get_content_disposition() == "inline"
    shown = message.get_body(("html",)).get_content()
    assert f'<img src="cid:{identifier}"><img src="cid:logo.png2">' in shown
    assert (terms["Content-ID"], terms.get_content_disposition()) == (None, "attachment")
    related = next(each for each in message.walk() if each.get_content_subtype() == "related")
    assert related["Content-Type"].params["type"] == "text/html"


@pytest.mark.parametrize(
    "name",
    [
        "a b.pdf",
        "condiciones-año.pdf",
        "条件.pdf",
        "😀" * 60,
        'a"b.pdf',
        "a\\b.pdf",
        "a;b=c.pdf",
        "a'b%41.pdf",
        "a\r\nBcc: eve@example.net\r\n\r\nb.pdf",
        "\0.pdf",
        "=?utf-8?q?x?=.pdf",
        "a(1).pdf",
        "-",
        ".pdf",
        "<a>.pdf",
    ],
)
@pytest.mark.parametrize("inline", [True, False])
def test_awkward_file_names_come_through(name, inline):
    file = make_file(name, b"\r\n.\r\n" * 50, inline=inline)
    composed = compose(*with_files(file), name="Ana")
    assert composed.isascii()
    assert max(map(len, composed.split(b"\r\n"))) <= 998
    message = read(composed)
    attached = next(
        each for each in message.walk() if each.get_content_type() == file[0].content_type
    )
    assert attached.get_filename() == name
    assert attached.get_payload(decode=True) == file[1]
    identifier = {"Content-ID"} if inline else set()
    assert set(attached.keys()) == identifier | {
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-Disposition",
    }
    if inline:
        assert re.fullmatch(r"<[^<>\s]+>", attached["Content-ID"])


@pytest.mark.parametrize(
    "content_type",
    ["message/rfc822", "message/partial", "multipart/mixed", "text/html", "text/csv"],
)
def test_a_file_of_any_type_arrives_byte_for_byte(content_type):
    data = b"Subject: x\r\nFrom: a@b.example\n\nbody\r\n--=_\r\n" + bytes(range(256))
    composed = compose(*with_files(make_file("x", data, content_type), html=None), name="Ana")
    _, attached = read(composed).iter_parts()
    assert attached.get_payload(decode=True) == data
    assert attached.get_content_type() in (content_type, "application/octet-stream")


@given(st.binary(max_size=200) | st.integers(0, 400).map(lambda size: b"\xff" * size))
@example(b"")
@example(b"x" * 57)
@example(b"x" * 58)
@examples(max_examples=50)
def test_every_byte_of_a_file_arrives(data):
    file = make_file("a.bin", data, "application/octet-stream")
    message = read(compose(*with_files(file), name="Ana"))
    assert part(message, "application/octet-stream") == data


AWKWARD = [
    "\r\nBcc: eve@example.net", "\r\n\r\n", "\n.\n", "\r\n.\r\n", "\r", "\n", "\0", "\x0b\x0c\x1c",
    "\x85\u2028\u2029", " \n", "\t\r\n", "=", "=\r\n", "=20", "--=_", "--", "=?utf-8?q?=0D=0A?=",
    "<b>&amp;</b>", "{{ 1 }}", "{%", "From ", "\nFrom ", "é", "漢字", "😀", "e\u0301", "\u202e",
    '"', "x" * 1200, " " * 1200, "é" * 500, "\nx" * 300, "=" * 300,
]  # fmt: skip
values = st.lists(st.text(max_size=15) | st.sampled_from(AWKWARD), max_size=5).map("".join)
addresses = st.sampled_from(
    [
        "ana@example.org",
        '"a b"@example.org',
        '"<@>"@example.org',
        "x" * 64 + "@" + "d" * 63 + ".org",
    ]
)
changes = st.fixed_dictionaries(
    {
        "bodies": st.sampled_from([{}, {"html": None}, {"text": None}]),
        "reply_to": st.sampled_from([None, "care@example.com"]),
        "list_unsubscribe": st.sampled_from(
            [None, "https://example.com/u/{{ recipient.id }}", "mailto:off@example.com"]
        ),
        "headers": st.sampled_from([{}, {"X-Brand": "{{ recipient.b }}", "X-Constant": "é"}]),
        "sender_name": values,
    }
)
files = st.lists(st.sampled_from([LOGO, TERMS, make_file("é.txt", b"x" * 300, "text/x-log")]),
                 unique_by=lambda each: each[0].name)  # fmt: skip

SUBJECT = "{{ recipient.a }}, hello"
TEMPLATE = "Dear {{ recipient.a }}!\n\n{% if recipient.b %}{{ recipient.b }}.{% endif %} Bye\n"


def with_crlf(text):
    return re.sub(r"\r\n?|\n", "\r\n", text)


def one_line(text):
    return re.sub("[\0-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()


def expected_body(a, b):
    """What the template says, without Jinja2; each value's line breaks become CRLF."""
    return f"Dear {with_crlf(a)}!\r\n\r\n{with_crlf(b)}{'.' if b else ''} Bye\r\n"


def expected_shape(content):
    html = "text/html"
    if inline := [each.content_type for each in content.attachments if each.inline]:
        html = f"multipart/related({', '.join([html, *inline])})"
    bodies = [kind for kind, text in (("text/plain", content.text), (html, content.html)) if text]
    body = bodies[0] if len(bodies) == 1 else f"multipart/alternative({', '.join(bodies)})"
    others = [each.content_type for each in content.attachments if not each.inline]
    return f"multipart/mixed({', '.join([body, *others])})" if others else body


def assert_well_formed(composed):
    """What every message is, whatever is in it (design, section 5; RFC 5322 and 2045)."""
    assert composed.startswith(b"Message-ID: <")
    assert composed.endswith(b"\r\n")
    assert not re.search(rb"[\r\n\0]", composed.replace(b"\r\n", b""))
    lines = composed.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    names = [
        line.partition(b":")[0].lower() for line in header_lines(composed) if line[0] not in b" \t"
    ]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(rb"[!-9;-~]+", name) for name in names)
    assert all(line.strip() for line in header_lines(composed))
    for boundary in re.findall(rb'boundary="([^"]+)"', composed):
        delimiters = [line for line in lines if line.startswith(b"--" + boundary)]
        assert delimiters[-1] == b"--" + boundary + b"--"
        assert all(line == b"--" + boundary for line in delimiters[:-1])
        body = composed.partition(b"\r\n\r\n")[2]
        assert body.count(boundary) == len(delimiters) + body.count(b'boundary="' + boundary)
    return [name.decode() for name in names]


@given(changes, files, values, values, addresses)
@examples(max_examples=250)
def test_pythons_parser_reads_what_was_written(drawn, attached, a, b, address):
    drawn |= {"subject": SUBJECT, "text": TEMPLATE, "html": TEMPLATE} | drawn.pop("bodies")
    if drawn["html"] is None:
        attached = [each for each in attached if not each[0].inline]
    content, data = with_files(*attached, **drawn)
    composed = compose(content, data, address=address, a=a, b=b)

    assert composed.isascii()
    assert b"\n." not in composed, "nothing is to be stuffed on the wire"
    names = assert_well_formed(composed)
    optional = {
        "reply-to": content.reply_to,
        "list-unsubscribe": content.list_unsubscribe,
        "list-unsubscribe-post": (content.list_unsubscribe or "").startswith("https"),
        "x-brand": content.headers,
        "x-constant": content.headers,
        "content-transfer-encoding": not expected_shape(content).startswith("multipart"),
    }
    assert set(names) == {name for name, wanted in optional.items() if wanted} | {
        "message-id", "date", "from", "to", "subject", "mime-version", "content-type",
    }  # fmt: skip

    message = read(composed)
    assert message["Subject"] == one_line(f"{a}, hello")
    assert message["To"].addresses[0].addr_spec == address
    assert message["From"].addresses[0].addr_spec == "news@example.com"
    if content.headers:
        assert (message["X-Brand"], message["X-Constant"]) == (one_line(b), "é")
    assert shape(message) == expected_shape(content)
    if content.text is not None:
        assert part(message, "text/plain").decode() == expected_body(a, b)
    if content.html is not None:
        escaped = (
            escape(each).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") for each in (a, b)
        )
        assert part(message, "text/html").decode() == expected_body(*escaped)
    for each, octets in attached:
        assert part(message, each.content_type) == octets


def test_a_field_that_holds_the_boundary_changes_nothing():
    content, data = with_files(LOGO, TERMS)
    composed = compose(content, data, name="Ana")
    boundaries = re.findall(r'boundary="([^"]+)"', composed.decode())
    assert len(set(boundaries)) == 3
    evil = "".join(f"\r\n--{each}\r\n\r\nevil\r\n--{each}--\r\n" for each in boundaries)
    composed = compose(content, data, name=evil)
    assert_well_formed(composed)
    message = read(composed)
    assert shape(message) == expected_shape(content)
    assert part(message, "text/plain").decode() == f"Hello {evil}\r\n"


@pytest.mark.parametrize(
    "template", ["", "\n", "no break at the end", " ", ".", "a\r\nb\r", "x" * 2000]
)
@pytest.mark.parametrize("text_only", [True, False])
def test_a_message_ends_in_a_line_break_and_nothing_else_is_added(template, text_only):
    changes = {"html": None} if text_only else {}
    composed = compose(make_content(text=template, **changes))
    assert_well_formed(composed)
    expected = with_crlf(template)
    if text_only and expected and not expected.endswith("\n"):
        expected += "\r\n"  # here the end of the part is the end of the message
    assert part(read(composed), "text/plain").decode() == expected


def test_an_empty_value_is_empty():
    message = read(compose(make_content()))
    assert message["Subject"] == "Hello"
    assert part(message, "text/plain") == b"Hello \r\n"


def test_id_and_address_come_from_the_ledger():
    content = make_content(text="{{ recipient.id }} {{ recipient.email }}", html=None)
    message = read(compose(content, ordinal=5, fields={"id": 1}))
    assert part(message, "text/plain") == b"1005 ana@example.org\r\n"


def test_a_date_is_a_date_in_a_template():
    content = make_content(
        text="{{ recipient.born.year }}", html=None, field_types={"born": "date", "name": "text"}
    )
    assert part(read(compose(content, born="1999-12-31")), "text/plain") == b"1999\r\n"
    with pytest.raises(PersonalisationError, match="born is not a date"):
        compose(content, born="31/12/1999")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"subject": "{{ 1 // 0 }}"}, "subject:1: "),
        ({"text": "\n{{ 1 // 0 }}"}, "body.txt:2: "),
        ({"html": "\n\n{{ 1 // 0 }}"}, "body.html:3: "),
        ({"html": "\n\n{{ 1 // 0 }}", "text": "{{ 1 // 0 }}"}, "body.html:3: "),
        ({"list_unsubscribe": "{{ 1 // 0 }}"}, "list_unsubscribe:1: "),
        ({"headers": {"X-A": "{{ 1 // 0 }}"}}, "headers.X-A:1: "),
    ],
)
def test_what_cannot_be_rendered_is_told_with_its_template(changes, where):
    with pytest.raises(PersonalisationError, match=f"^{re.escape(where)}integer division"):
        compose(make_content(**changes))


@pytest.mark.parametrize("name", ["subject", "text", "html", "list_unsubscribe", "header"])
def test_a_template_with_a_mistake_makes_no_composer(name):
    changes = {"headers": {"X-A": "{{ }}"}} if name == "header" else {name: "{{ }}"}
    with pytest.raises(TemplateError, match=r":1:4: Expected an expression"):
        make_composer(make_content(**changes))


def test_a_message_that_takes_too_long_is_given_up():
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(
        PersonalisationError, match=r"^body.html:2: rendering takes more than 50 ms"
    ):
        compose(make_content(html=f"\n{loop}"))
    with pytest.raises(PersonalisationError, match=r"^subject:1: rendering takes more than 50 ms"):
        compose(make_content(subject=loop))


def test_the_garbage_collectors_time_is_not_the_templates(monkeypatch):
    now = 0.0

    def collect(phase, info):
        nonlocal now
        now += 1

    monkeypatch.setattr(time, "thread_time", lambda: now)
    composer = make_composer(make_content(text="{% for a in range(99) %}{{ [a] }}{% endfor %}"))
    thresholds = gc.get_threshold()
    gc.callbacks.append(collect)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            composer.compose(Addressee(1, 1, "ana@example.org", {}), DATE)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collect)
    assert now > 0
    assert gc.isenabled()


def test_the_garbage_collector_goes_on_after_a_failure():
    with pytest.raises(PersonalisationError):
        compose(make_content(subject="{{ 1 // 0 }}"))
    assert gc.isenabled()
    gc.disable()
    try:
        compose(make_content())
        assert not gc.isenabled()
    finally:
        gc.enable()
