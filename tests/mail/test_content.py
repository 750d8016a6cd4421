from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.mail.content import Content, typed_values
from letterbook.mail.errors import PersonalisationError

from .letters import make_content, make_file


def test_only_dates_need_reading():
    fields = {"born": "2000-02-29", "points": 7, "rate": 1.5, "vip": True, "city": "2000-02-29"}
    assert typed_values(fields, {"born": "date", "points": "int", "city": "text"}) == {
        **fields,
        "born": date(2000, 2, 29),
    }


def test_what_is_empty_is_left_out():
    assert typed_values({"born": None, "city": None, "name": ""}, {"born": "date"}) == {"name": ""}


@given(st.dates())
def test_every_date_comes_back(day):
    assert typed_values({"born": day.isoformat()}, {"born": "date"}) == {"born": day}


@pytest.mark.parametrize("value", ["", "31/12/1999", "2001-02-29", "soon", 7, True])
def test_what_is_no_date_fails_this_message_only(value):
    with pytest.raises(PersonalisationError, match=r"^born is not a date"):
        typed_values({"born": value}, {"born": "date"})


def test_a_content_comes_back_from_the_database():
    file, _ = make_file("a.pdf", b"x", inline=True)
    content = make_content(attachments=(file,), headers={"X-A": "b"}, field_types={"x": "date"})
    stored = msgspec.json.encode(msgspec.to_builtins(content))
    assert msgspec.convert(msgspec.json.decode(stored), Content) == content
