"""Array literals: what PostgreSQL reads is what was written."""

from datetime import UTC, datetime, timedelta

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from letterbook.embedded import Database
from letterbook.engine import arrays

anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
intervals = st.timedeltas(timedelta(days=-3650), timedelta(days=3650))


@given(
    st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    st.lists(st.booleans()),
    st.lists(st.none() | anything | st.sampled_from(["NULL", "", "{}", '"', "\\", "a,b"])),
    st.lists(st.binary()),
    st.lists(st.none() | times),
    st.lists(st.none() | intervals),
)
def test_every_value_comes_back(  # noqa: PLR0917
    cluster: Database, numbers, truths, texts, octets, moments, waits
):
    with psycopg.connect(cluster.conninfo(), autocommit=True) as db:
        found = db.execute(
            "SELECT %s::int[], %s::boolean[], %s::text[], %s::bytea[], %s::timestamptz[], "
            "%s::interval[]",
            (
                arrays.numbers(numbers),
                arrays.truths(truths),
                arrays.texts(texts),
                arrays.octets(octets),
                arrays.times(moments),
                arrays.intervals(waits),
            ),
        ).fetchone()
    assert found == (numbers, truths, texts, octets, moments, waits)
