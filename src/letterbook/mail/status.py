"""Where a message, its copy and its delivery stand: the words, declared once.

The database's types are made from these, in this order. The design (section 5) is the source.
"""

from enum import StrEnum


class MessageStatus(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    """Written into the ledger; nothing has left."""
    DEPOSITED = "deposited"
    """The archive has accepted its copy (or the copy is owed); the recipient has nothing yet."""
    SENDING = "sending"
    """Its intent is committed: from here on it may reach the recipient."""
    SENT = "sent"
    """The recipients' route accepted it."""
    DEFERRED = "deferred"
    """Refused for the time being; it is tried again."""
    FAILED = "failed"
    """Refused for good, or given up."""
    IN_DOUBT = "in_doubt"
    """It may have reached the recipient, and nobody can know; it is not sent again by itself."""
    CANCELLED = "cancelled"
    """The delivery was stopped before it was sent; or it was a test, and nothing was to be sent."""


class CopyStatus(StrEnum):
    """Where the archive's copy of a message stands."""

    NONE = "none"
    """Email BCC is off."""
    WAITING = "waiting"
    """To be deposited."""
    ACCEPTED = "accepted"
    """The archive answered 250 for these very bytes."""
    OWED = "owed"
    """The message may go first; the copy follows (policy *owe*)."""
    REFUSED = "refused"
    """The archive refuses this message for good; the message waits."""
    RETURNED = "returned"
    """The archive accepted the copy and bounced it later."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    EDITING = "editing"
    ANALYZING = "analyzing"
    READY = "ready"
    """Analysed; nothing has been sent."""
    SCHEDULED = "scheduled"
    SENDING = "sending"
    HELD = "held"
    """Waits for a route and goes on by itself."""
    RETRYING = "retrying"
    """Only deferred messages remain."""
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    """Nothing is left to do; messages in doubt may remain and are shown."""
    FAILED = "failed"


class DeliveryKind(StrEnum):
    """What a delivery is for; frozen at analysis."""

    ORDINARY = "delivery"
    PROOF = "proof"
    """A trial of another delivery's content, to addresses given by hand."""
    TEST = "test"
    """Test SMTP: everything but DATA. Nothing is sent and nothing is copied."""


class Exclusion(StrEnum):
    """Why a targeted person gets no message (reference/adobe-campaign.md, 6.1)."""

    NO_ADDRESS = "no_address"
    DENYLISTED = "denylisted"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    ARCHIVE_ADDRESS = "archive_address"


class Failure(StrEnum):
    """Why a message failed, or was not sent."""

    REFUSED = "refused"
    """The recipients' route refused it for good."""
    PERSONALISATION = "personalisation"
    """Its template could not be rendered for this recipient."""
    NOT_SUPPORTED = "not_supported"
    """The route cannot carry it: too large, or no SMTPUTF8."""
    REVEALS_ARCHIVE = "reveals_archive"
    """It contains the archive address, which no recipient may see (promise P3)."""
    ARCHIVE_REFUSED = "archive_refused"
    """The archive refused its copy until the validity ended."""
    EXPIRED = "expired"
    """The validity ended before it could be sent."""
    TESTED = "tested"
    """Test SMTP: the recipients' route accepted the recipient, and nothing was to be sent."""
    LOST = "lost"
    """It was in doubt, and an operator found out that it never arrived."""


class ArchivePolicy(StrEnum):
    """What happens to a message whose copy the archive does not accept."""

    HOLD = "hold"
    """It waits."""
    OWE = "owe"
    """It goes out, and its copy is delivered later."""
