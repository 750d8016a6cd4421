"""What there is to know of the database itself."""

from dataclasses import dataclass
from typing import Final

from letterbook.control.kernel.sql import cursor

_LOCAL: Final = ("off", "local")
"""Values of synchronous_commit with which no commit waits for a standby."""


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether what is committed survives: a crash of the server, and a failover.

    ``standbys`` are connected ones; ``waited_for``: how many of them a commit may wait for, None
    when this role may not see it.
    """

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    standbys: int
    waited_for: int | None

    @property
    def troubles(self) -> list[str]:
        """What may lose commits, in words; each of them may let a letter be sent twice."""
        found = [
            f"{name} is {value}: a crash of the server may lose commits or the whole database"
            for name, value in (("fsync", self.fsync), ("full_page_writes", self.full_page_writes))
            if value == "off"
        ]
        if self.synchronous_commit == "off":
            found.append("synchronous_commit is off: a crash of the server loses the last commits")
        if self.standbys and self.waited_for is None:
            found.append(
                "there are standbys, and this role may not see whether a commit waits for one; "
                "GRANT pg_monitor to it"
            )
        elif self.standbys and (self.synchronous_commit in _LOCAL or not self.waited_for):
            found.append("no commit waits for a standby: a failover loses the last commits")
        return found


def durability() -> Durability:
    """Return how durable a commit of this session is, as the server says."""
    with cursor() as db:
        db.execute(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), "
            "current_setting('synchronous_commit'), count(pid), "
            "CASE WHEN count(pid) = count(sync_state) "
            "THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END "
            "FROM pg_stat_replication"
        )
        return Durability(*db.fetchone())
