import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.smtp.errors import ProtocolViolation, UnsafeCommand
from letterbook.smtp.reply import MAX_LINE, MAX_LINES, Reply, ReplyReader


def read(*chunks: bytes) -> list[Reply]:
    reader = ReplyReader()
    return [reply for chunk in chunks for reply in reader.feed(chunk)]


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(stream[:size])
        stream = stream[size:]
    return [*chunks, stream]


def test_a_reply_in_one_line():
    (reply,) = read(b"250 2.0.0 Ok: queued as 1A\r\n")
    assert reply == Reply(250, ("2.0.0 Ok: queued as 1A",))
    assert reply.text == "250 2.0.0 Ok: queued as 1A"
    assert reply.enhanced == (2, 0, 0)
    assert (reply.positive, reply.intermediate, reply.transient, reply.permanent) == (1, 0, 0, 0)


def test_a_reply_in_several_lines_is_one_line_in_the_ledger():
    (reply,) = read(b"550-5.7.1 We do not\r\n550-\r\n550 like you\r\n")
    assert reply.lines == ("5.7.1 We do not", "", "like you")
    assert reply.text == "550 5.7.1 We do not like you"
    assert reply.permanent
    assert reply.enhanced == (5, 7, 1)


@pytest.mark.parametrize("line", [b"250", b"250 ", b"250\n", b"250 \n"])
def test_a_bare_code_is_a_reply(line):
    (reply,) = read(line.rstrip(b"\n") + b"\r\n")
    assert (reply.code, reply.text) == (250, "250")
    assert reply.enhanced is None


def test_bare_lf_ends_a_line():
    assert [r.code for r in read(b"250-a\n250 b\n354 c\n")] == [250, 354]


@pytest.mark.parametrize("text", ["5.1.1 no", "2.1 no", "2.1.1.1 no", "2.1.1234 x", "2.1.1no", ""])
def test_an_enhanced_code_is_one_of_the_replys_class_and_form(text):
    assert Reply(250, (text,)).enhanced is None


def test_bytes_that_are_not_text_never_fail_and_never_reach_the_ledger_as_controls():
    (reply,) = read(b"550 \xff\x00\x1b[31m \xc2\x85 caf\xc3\xa9\tx\r\n")
    assert reply.lines == (
        "\N{REPLACEMENT CHARACTER}" * 3 + "[31m \N{REPLACEMENT CHARACTER} café x",
    )
    assert len(reply.text.splitlines()) == 1


@pytest.mark.parametrize(
    "stream",
    [b"\r\n", b"hello\r\n", b"25\r\n", b"150 x\r\n", b"600 x\r\n", b"2500 x\r\n", b"250x\r\n",
     b"250-a\r\n251 b\r\n", b"250-a\r\nb\r\n", b"\xb2\xb5\xb0 x\r\n", b"SSH-2.0-OpenSSH\r\n"],
)  # fmt: skip
def test_what_is_not_a_reply_is_refused(stream):
    with pytest.raises(ProtocolViolation):
        read(stream)


def test_replies_before_a_violation_are_not_lost():
    with pytest.raises(ProtocolViolation) as caught:
        read(b"250 a\r\n354 b\r\nrubbish\r\n250 c\r\n")
    assert [reply.code for reply in caught.value.replies] == [250, 354]


def test_a_line_has_a_longest_length_finished_or_not():
    longest = b"250 " + b"x" * (MAX_LINE - 4)
    (reply,) = read(longest + b"\r", b"\n")
    assert len(reply.text) == MAX_LINE
    for stream in (longest + b"y\r\n", longest + b"yz"):
        with pytest.raises(ProtocolViolation, match="over 4096 octets"):
            read(stream)


def test_a_reply_has_a_largest_number_of_lines():
    (reply,) = read(b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n")
    assert len(reply.lines) == MAX_LINES
    with pytest.raises(ProtocolViolation, match="over 256 lines"):
        read(b"250-x\r\n" * MAX_LINES + b"250 x\r\n")


def test_a_line_known_from_before_still_ends_a_longer_reply():
    assert [r.text for r in read(b"250 ok\r\n250-so\r\n250 ok\r\n250 ok\r\n")] == [
        "250 ok", "250 so ok", "250 ok",
    ]  # fmt: skip


def test_not_every_line_is_remembered():
    reader = ReplyReader()
    for number in range(100):
        assert reader.feed(b"250 queued as %d\r\n" % number)[0].text == f"250 queued as {number}"
    assert len(reader._known) == 32


@pytest.mark.parametrize("text", ["a\r\n250 b", "a\nb", "a\rb", "a\0b"])
def test_a_reply_with_a_line_end_in_its_text_is_not_written(text):
    with pytest.raises(UnsafeCommand):
        Reply(250, (text,)).encode()


replies = st.builds(
    Reply,
    st.integers(200, 599),
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=80),
        min_size=1,
        max_size=5,
    ).map(tuple),
)
sizes = st.lists(st.integers(0, 40), max_size=40)


@given(st.lists(replies, max_size=6), sizes)
def test_replies_are_read_as_written_however_the_stream_is_cut(sent, sizes):
    assert read(*cut(b"".join(reply.encode() for reply in sent), sizes)) == sent


def outcome(chunks: list[bytes]) -> tuple[list[Reply], str]:
    """The replies and the words of the violation, and a check that memory is bounded."""
    reader = ReplyReader()
    found: list[Reply] = []
    try:
        for chunk in chunks:
            found += reader.feed(chunk)
            assert len(reader._rest) <= MAX_LINE + 1
            assert len(reader._lines) <= MAX_LINES
            assert len(reader._known) <= 32
    except ProtocolViolation as violation:
        return found + list(violation.replies), str(violation)
    return found, ""


pieces = st.sampled_from(
    [
        b"250 ok\r\n",
        b"250-a\r\n",
        b"421 x\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"250",
        b" ",
        b"-",
        b"x" * 4_090,
    ]
)
garbage = st.lists(pieces | st.binary(max_size=30), max_size=20).map(b"".join)


@given(garbage, sizes)
def test_garbage_raises_the_typed_error_only_and_the_cuts_change_nothing(stream, sizes):
    assert outcome(cut(stream, sizes)) == outcome([stream])
    assert outcome([bytes((octet,)) for octet in stream[:500]]) == outcome([stream[:500]])
