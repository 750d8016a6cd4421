import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.smtp.envelope import parse_mail, parse_rcpt
from letterbook.smtp.errors import BadCommand, UnsafeCommand
from letterbook.smtp.grammar import (
    Dsn,
    decode_xtext,
    ehlo_command,
    encode_xtext,
    mail_command,
    original_recipient,
    rcpt_command,
    read_original_recipient,
)

PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT"})


def test_plain_commands():
    assert ehlo_command("[192.0.2.1]") == b"EHLO [192.0.2.1]\r\n"
    assert mail_command("a@b.example") == b"MAIL FROM:<a@b.example>\r\n"
    assert mail_command("") == b"MAIL FROM:<>\r\n"
    assert rcpt_command('"a b"@c.example') == b'RCPT TO:<"a b"@c.example>\r\n'


def test_every_parameter():
    dsn = Dsn(ret="HDRS", envid="12.34=a", notify=("SUCCESS", "FAILURE"), orcpt="a+b@c.example")
    line = mail_command("á@b.example", size=7, eight_bit=True, smtputf8=True, dsn=dsn)
    assert line.decode() == (
        "MAIL FROM:<á@b.example> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=12.34+3Da\r\n"
    )
    assert rcpt_command("r@c.example", dsn=dsn) == (
        b"RCPT TO:<r@c.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c.example\r\n"
    )


def test_an_original_recipient_that_is_not_ascii_is_written_in_ascii():
    assert original_recipient("ñ+=@é.example") == ("utf-8;\\x{F1}\\x{2B}\\x{3D}@\\x{E9}.example")


@pytest.mark.parametrize("octet", ["\r", "\n", "\0", "\r\n", "\x7f", "\x85", "\t"])
def test_no_line_end_nul_or_control_gets_into_a_command(octet):
    address = f"a{octet}b@c.example"
    for write in (
        lambda: ehlo_command(address),
        lambda: mail_command(address, smtputf8=True),
        lambda: mail_command(f'"{address}"@d.example', smtputf8=True),
        lambda: rcpt_command(address, smtputf8=True),
        lambda: mail_command("a@b", dsn=Dsn(envid=address)),
        lambda: mail_command("a@b", dsn=Dsn(ret=address)),  # type: ignore[arg-type]
        lambda: rcpt_command("a@b", dsn=Dsn(orcpt=address)),
        lambda: rcpt_command("a@b", dsn=Dsn(notify=(address,))),  # type: ignore[arg-type]
    ):
        with pytest.raises(UnsafeCommand):
            write()


@pytest.mark.parametrize(
    "address",
    [
        "a@b> NOTIFY=NEVER",
        "a@b>",
        "<a@b>",
        "a b@c",
        'a"@b',
        '"a"b"@c',
        '"a\\"@c',
        '"a"',
        "\ud800@c",
    ],
)
def test_no_address_leaves_its_brackets(address):
    with pytest.raises(UnsafeCommand):
        mail_command(address, smtputf8=True)
    with pytest.raises(UnsafeCommand):
        rcpt_command(address, smtputf8=True)


def test_without_smtputf8_an_address_is_ascii_and_a_recipient_is_somebody():
    with pytest.raises(UnsafeCommand):
        mail_command("á@b.example")
    with pytest.raises(UnsafeCommand):
        rcpt_command("")


@pytest.mark.parametrize("notify", [("NEVER", "FAILURE"), ("SOMETIMES",), ("failure",)])
def test_notify_is_never_alone_or_some_of_three(notify):
    with pytest.raises(UnsafeCommand):
        rcpt_command("a@b", dsn=Dsn(notify=notify))


def test_an_envid_is_printable_and_at_most_a_hundred_characters():
    assert b"ENVID=" + b"x" * 100 in mail_command("a@b", dsn=Dsn(envid="x" * 100))
    for envid in ("", "é", "x" * 101, "+" * 34):
        with pytest.raises(UnsafeCommand):
            mail_command("a@b", dsn=Dsn(envid=envid))


@given(st.binary())
def test_xtext_round_trip(octets):
    written = encode_xtext(octets)
    assert re.fullmatch(rb"([!-*,-<>-~]|\+[0-9A-F]{2})*", written)
    assert decode_xtext(written) == octets


@given(st.text(st.sampled_from("+=09AFaz \x7f")).map(str.encode))
def test_what_is_not_xtext_is_refused_with_a_reply(text):
    if re.fullmatch(rb"([!-*,-<>-~]|\+[0-9A-F]{2})*", text):
        assert encode_xtext(decode_xtext(text)).count(b"+") <= text.count(b"+")
    else:
        with pytest.raises(BadCommand):
            decode_xtext(text)


locals_ = st.from_regex(r"[a-z0-9.+=/{}é漢😀-]{1,20}", fullmatch=True)
quoted = st.from_regex(r'"([a-z @<>+=é]|\\[ -~]){0,10}"', fullmatch=True)
addresses = st.builds("{}@{}".format, locals_ | quoted, st.sampled_from(["b.example", "é.example"]))


@given(
    addresses, addresses, st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)
)
def test_a_server_reads_what_a_client_writes(sender, recipient, envid):
    dsn = Dsn(ret="FULL", envid=envid[:30], notify=("DELAY",), orcpt=recipient)
    mail = mail_command(sender, size=9, eight_bit=True, smtputf8=True, dsn=dsn)
    read = parse_mail(mail.decode()[5:-2], PARAMETERS)
    assert (read.address, read.size, read.body, read.smtputf8) == (sender, 9, "8BITMIME", True)
    assert (read.ret, read.envid) == ("FULL", envid[:30])
    rcpt = parse_rcpt(rcpt_command(recipient, smtputf8=True, dsn=dsn).decode()[5:-2], PARAMETERS)
    kind = "rfc822" if recipient.isascii() else "utf-8"
    assert (rcpt.address, rcpt.notify, rcpt.orcpt) == (recipient, ("DELAY",), (kind, recipient))


@given(st.text())
def test_any_text_is_an_address_that_stays_in_its_line_or_is_refused(text):
    try:
        line = rcpt_command(text, smtputf8=True, dsn=Dsn(orcpt=text))
    except UnsafeCommand:
        return
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert b"\0" not in line


@pytest.mark.parametrize(
    "value", ["rfc822", "rfc822;", ";a@b", "rfc822;a+zz", "utf-8;\\x{110000}", "utf-8;\\x{D800}"]
)
def test_an_orcpt_that_cannot_be_read_is_refused(value):
    with pytest.raises(BadCommand):
        read_original_recipient(value)
