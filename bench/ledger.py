"""What the ledger costs on disk: octets a message of tables, indexes and WAL.

Run as ``python -m bench.ledger [MESSAGES]``. The figures are those of docs/operate/scale-out.md.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.platform import Platform, open_platform
from bench.scale import write_people
from bench.sink import running_sink
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.recipients.importing import import_recipients

RESULT: Final = Path(__file__).parent.parent / "docs" / "results" / "ledger.json"
_MESSAGES: Final = 100_000
_HTML: Final = (
    "<p>Hello {{ recipient.first_name }} {{ recipient.last_name }} of {{ recipient.city }}: "
    "{{ recipient.points }} points, {{ recipient.tier }}, {{ recipient.language }}. "
    '<a href="https://example.com/{{ recipient.code }}">Look</a> unsubscribe</p>'
)
_TABLES: Final = """
SELECT split_part(relname, '_', 2) AS name,
       sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint
  FROM pg_class
 WHERE relkind = 'r' AND relname ~ '^outbox_(message|fields|reply)_[0-9]+$'
 GROUP BY 1 ORDER BY 1
"""


class _Meter:
    """Reads the database's WAL position and sizes."""

    def __init__(self, conninfo: str) -> None:
        self._db = psycopg.connect(conninfo, autocommit=True)
        self._last = self._wal()

    def wal_since_last(self) -> int:
        """Octets of WAL written since the last call."""
        before, self._last = self._last, self._wal()
        return self._last - before

    def tables(self) -> dict[str, tuple[int, int]]:
        """Octets of each of the ledger's tables, and of its indexes."""
        return {name: (table, index) for name, table, index in self._db.execute(_TABLES)}

    def _wal(self) -> int:
        row = self._db.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
        assert row is not None
        return int(row[0])


def measure(platform: Platform, count: int) -> dict[str, Any]:
    """Import, analyse and send ``count`` messages with Email BCC on."""
    path = platform.settings.data / "people.csv"
    write_people(path, count)
    meter = _Meter(platform.database.conninfo())
    import_recipients(
        SYSTEM, path, "all", mapping={"points": "int"}, rejects_file=path.with_suffix(".rejects")
    )
    wal = {"import": meter.wal_since_last()}
    delivery, _ = platform.analyzed("small", "all")
    wal["analysis"] = meter.wal_since_last()
    with platform.worker():
        view = platform.send(delivery, lambda _: None)
    assert view.messages["sent"] == view.copies["accepted"] == count, view
    wal["sending"] = meter.wal_since_last()
    return {
        "messages": count,
        "wal_octets_a_message": {name: round(n / count) for name, n in wal.items()},
        "disk_octets_a_message": {
            name: {"table": round(table / count), "indexes": round(indexes / count)}
            for name, (table, indexes) in meter.tables().items()
        },
        "disk_octets_a_message_in_all": round(sum(map(sum, meter.tables().values())) / count),
    }


def main() -> None:
    """Measure, print, and keep the result of a full run."""
    count = int(sys.argv[1]) if sys.argv[1:] else _MESSAGES
    with running_sink() as recipients, running_sink() as archive, open_platform() as platform:
        platform.set_routes(recipients.port, archive.port)
        platform.template("small", _HTML, email_bcc=True)
        result = measure(platform, count)
    text = json.dumps(result, indent=2)
    print(text)
    if not sys.argv[1:]:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
