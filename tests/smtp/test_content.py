import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.smtp.content import is_canonical, stuff, unstuff
from letterbook.smtp.errors import UnsafeContent

lines = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"x.", b"x"])
    | st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
    min_size=1,
)
contents = lines.map(lambda each: b"".join(line + b"\r\n" for line in each))


@given(contents)
def test_dot_stuffing_round_trip(content):
    stuffed = stuff(content)
    assert unstuff(stuffed) == content
    assert not stuffed.startswith(b".\r\n")
    assert b"\r\n.\r\n" not in stuffed
    assert stuffed.split(b"\r\n") == [
        b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n")
    ]


@given(contents)
def test_what_has_no_dot_at_a_line_start_is_the_same_object(content):
    assert (stuff(content) is content) == (b"\n." not in content and content[0:1] != b".")


@pytest.mark.parametrize("content", [b"", b"x", b"x\r", b"x\n", b"x\r\n\n", b"\n"])
def test_content_must_end_in_crlf(content):
    with pytest.raises(UnsafeContent):
        stuff(content)


@pytest.mark.parametrize("content", [b"a\n.\r\n", b"a\n.\nb\r\n", b"\n.\r\n", b"\r\n.\n.x\r\n"])
def test_a_dot_after_a_bare_lf_never_leaves(content):
    with pytest.raises(UnsafeContent):
        stuff(content)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"."])).map(b"".join))
def test_canonical_is_every_cr_and_lf_in_a_crlf(content):
    rest = content.replace(b"\r\n", b"")
    assert is_canonical(content) == (b"\r" not in rest and b"\n" not in rest)
