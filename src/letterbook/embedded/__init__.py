"""The embedded PostgreSQL: what Letterbook runs on when no database is named.

    with attach(settings.data) as database:
        connection = psycopg.connect(database.conninfo())

A process that attaches holds a *lease*. The first lease starts a *supervisor*, which starts
PostgreSQL; when the last one ends, by ``close()`` or by any death, both stop.

    client ── lease (lease.py) ──> supervisor ── runs (server.py) ──> PostgreSQL
       └────────────── SQL over the socket folder ───────────────────────┘

client.py         attach, and keep attached over a death of the supervisor or the server
supervisor.py     the one process that owns the server of a data folder
control.py        the supervisor's end of the leases
lock.py           one supervisor at a time, and only after the last server is gone
folder.py         the data folder: what lies where, and who may use it
account.py        under which user PostgreSQL runs
binaries.py       where its programs are
launch.py         how they are run
cluster.py        making and opening the database cluster
configuration.py  postgresql.conf and pg_hba.conf, with a reason for each setting
"""

from letterbook.embedded.client import Database, attach
from letterbook.embedded.errors import EmbeddedDatabaseError

__all__ = ["Database", "EmbeddedDatabaseError", "attach"]
