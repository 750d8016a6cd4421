"""postgresql.conf and pg_hba.conf, with a reason for each setting.

Both are written anew at each start, so that a new Letterbook brings its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ROLE: Final = "letterbook"
DATABASE: Final = "letterbook"
PORT: Final = 5432
"""No TCP port: the number in the socket's name."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of postgresql.conf."""

    name: str
    value: str
    reason: str


SETTINGS: Final = (
    # Who gets in
    Setting("listen_addresses", "", "no TCP, not even on the loopback"),
    Setting("port", str(PORT), "the clients' conninfo names it"),
    Setting("unix_socket_permissions", "0700", "a second lock behind the folder's mode"),
    Setting("password_encryption", "scram-sha-256", "what pg_hba.conf asks for"),
    Setting("allow_alter_system", "off", "settings have one place: this file"),
    Setting("cluster_name", "letterbook", "tells its processes apart in ps"),
    # Who is there
    Setting("max_connections", "100", "a console and several workers, with their pools"),
    Setting(
        "client_connection_check_interval",
        "1s",
        "a killed worker's statement ends and frees its locks: takeover must not wait for it",
    ),
    # Memory, for a small machine of 2 GB
    Setting("shared_buffers", "256MB", "holds the indexes and the hot end of a ledger"),
    Setting("work_mem", "16MB", "analysis joins and sorts audiences"),
    Setting("maintenance_work_mem", "128MB", "indexes on a new partition or a big import"),
    # Writing: every commit is durable, and bulk COPY does not drown in checkpoints
    Setting("fsync", "on", "the ledger is evidence"),
    Setting("synchronous_commit", "on", "an intent is committed before a letter leaves"),
    Setting("full_page_writes", "on", "ext4 may tear a page of 8 kB"),
    Setting("max_wal_size", "2GB", "an import makes one checkpoint, not thirty"),
    Setting("min_wal_size", "256MB", "keeps WAL files for reuse between campaigns"),
    Setting("wal_buffers", "16MB", "one whole WAL file, for COPY"),
    Setting("checkpoint_timeout", "10min", "a longer one would make recovery after a kill long"),
    # Planning
    Setting("jit", "off", "statements are short; compiling them would cost more"),
    Setting("random_page_cost", "1.1", "SSDs and cached pages: prefer an index"),
    # Values that do not depend on the machine
    Setting("timezone", "UTC", "time zones are the application's"),
    Setting("datestyle", "ISO, YMD", "unambiguous"),
    Setting("lc_messages", "C", "error texts in one language, for the log and for matching"),
    Setting("default_text_search_config", "pg_catalog.simple", "recipients write any language"),
    # The log: it must hold no recipient's data, so no statement, value or ERROR text
    Setting("log_destination", "stderr", "the supervisor gives it a file"),
    Setting("logging_collector", "off", "the supervisor gives it a file"),
    Setting("log_timezone", "UTC", "the same clock as the rest"),
    Setting("log_error_verbosity", "terse", "DETAIL, CONTEXT and a crash's query quote rows"),
    Setting("log_min_messages", "log", "the text of an ERROR may quote a value"),
    Setting("log_min_error_statement", "panic", "no failed statement"),
    Setting("log_statement", "none", "no statement"),
    Setting("log_duration", "off", "no statement"),
    Setting("log_min_duration_statement", "-1", "no slow statement"),
    Setting("log_min_duration_sample", "-1", "no slow statement"),
    Setting("log_transaction_sample_rate", "0", "no statement"),
    Setting("log_parameter_max_length", "0", "no parameter"),
    Setting("log_parameter_max_length_on_error", "0", "no parameter"),
    Setting("log_lock_waits", "off", "its text may quote a key"),
    Setting("log_temp_files", "-1", "no statement"),
    Setting("log_autovacuum_min_duration", "-1", "keeps the log small"),
    Setting("log_checkpoints", "off", "keeps the log small"),
    Setting("debug_print_parse", "off", "no statement"),
    Setting("debug_print_rewritten", "off", "no statement"),
    Setting("debug_print_plan", "off", "no statement"),
)


def postgresql_conf() -> str:
    """Return the text of postgresql.conf."""
    return "\n".join(_lines()) + "\n"


def pg_hba_conf() -> str:
    """Return the text of pg_hba.conf: one role, by password, on the socket; all else is refused."""
    return (
        "# Written by Letterbook at each start.\n"
        "# TYPE  DATABASE  USER  METHOD\n"
        f"local   all       {ROLE}  scram-sha-256\n"
    )


def _lines() -> Iterator[str]:
    yield "# Written by Letterbook at each start; a change would not last."
    yield "# For settings of your own, run a PostgreSQL of your own: LETTERBOOK_DATABASE_URL."
    for setting in SETTINGS:
        yield f"{setting.name} = '{setting.value}'  # {setting.reason}"
