from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterbook.duration import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("1h", 3_600),
        ("5d", 432_000),
        ("1y", 31_536_000),
        ("1.5h", 5_400),
        ("0.25s", 0.25),
        (" 2 h\n", 7_200),
    ],
)
def test_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "h",
        "1 hour",
        "1H",
        "-1h",
        "+1h",
        "1h30m",
        "1,5h",
        ".5h",
        "1.h",
        "1e3s",
        "1h!",
        "1w",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(DurationError, match="is not a length of time; write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2740000y", "999999999999d", "9" * 400 + "s"])
def test_more_time_than_there_is_is_refused(text):
    with pytest.raises(DurationError, match="is too long a time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=4), "4s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=5), "5d"),
        (timedelta(milliseconds=1500), "1.5s"),
        (timedelta(seconds=1_000_001), "1000001s"),
    ],
)
def test_the_largest_unit_that_divides_it(duration, text):
    assert format_duration(duration) == text


@given(st.timedeltas(timedelta(0), timedelta(days=3_650)))
@example(timedelta(days=1, microseconds=1))
@example(timedelta(seconds=123_456_789))
def test_what_is_written_is_read_again(duration):
    assert parse_duration(format_duration(duration)) == duration
