"""What can keep the embedded PostgreSQL from running.

LetterbookError
└── EmbeddedDatabaseError
"""

from letterbook.errors import LetterbookError


class EmbeddedDatabaseError(LetterbookError):
    """The embedded PostgreSQL cannot run; the message says why and how to mend it."""
