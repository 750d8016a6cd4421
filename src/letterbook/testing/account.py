"""The account: what the ledger says of each message against what both servers really got."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from letterbook.mail.status import CopyStatus, MessageStatus
from letterbook.testing.sink import Received

_PROMISES: Final = (
    "doubled", "lost", "ahead", "differing", "unrecorded", "without_copy", "leaked", "unsettled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the ledger; ``sha256`` in hexadecimal."""

    message_id: str
    address: str
    status: MessageStatus
    copy: CopyStatus
    failure: str | None
    sha256: str | None


@dataclass(slots=True, kw_only=True)
class Account:
    """Messages by what became of them. From ``doubled`` on, everything must be 0.

    ``failed`` is by reason. ``repeated`` counts copies that the archive got once more.
    ``lost``: sent, says the ledger, and not there; a copy that was acknowledged and is not there
    counts too. ``unrecorded``: there, and the ledger says neither sent nor in doubt.
    ``unsettled``: nobody has said yet what became of it.
    """

    messages: int
    exactly_one: int
    in_doubt: int
    in_doubt_arrived: int
    failed: dict[str, int]
    copies: int
    repeated: int
    doubled: int
    lost: int
    ahead: int
    differing: int
    unrecorded: int
    without_copy: int
    leaked: int
    unsettled: int

    @property
    def broken(self) -> dict[str, int]:
        """The promises that were broken, and how often."""
        counts = {name: getattr(self, name) for name in _PROMISES}
        accounted = self.exactly_one + self.in_doubt + sum(self.failed.values())
        counts["unaccounted"] = self.messages - accounted
        return {name: count for name, count in counts.items() if count}

    def lines(self) -> list[tuple[str, str]]:
        """Return the account as a person reads it: what, and how many."""
        found = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(value.items()))
                value, reasons = sum(value.values()), f" ({reasons})" if reasons else ""
                found.append((field.name, f"{value:,}{reasons}"))
            else:
                found.append((field.name.replace("_", " "), f"{value:,}"))
        return found


def balance(
    entries: Iterable[Entry],
    recipients: Sequence[Received],
    archive: Sequence[Received],
    *,
    began: Mapping[str, float],
    answered: Mapping[str, float],
    leaked: int = 0,
) -> Account:
    """Compare message by message, by Message-ID and by bytes.

    ``began`` and ``answered`` are seen by address (see proxy.Proxy): a message whose content only
    began, and never arrived, must not have been ahead of its copy either.
    """
    known = {entry.message_id: entry for entry in entries}
    arrived, copied = _by_id(recipients), _by_id(archive)
    status = Counter(entry.status for entry in known.values())
    sent = [each for each in known.values() if each.status is MessageStatus.SENT]
    doubts = [each for each in known.values() if each.status is MessageStatus.IN_DOUBT]
    failed = [each for each in known.values() if each.status is MessageStatus.FAILED]
    lost_copies = [
        each
        for each in known.values()
        if each.copy is CopyStatus.ACCEPTED and each.message_id not in copied
    ]
    settled = (MessageStatus.SENT, MessageStatus.IN_DOUBT, MessageStatus.FAILED)
    return Account(
        messages=len(known),
        exactly_one=sum(len(arrived.get(each.message_id, ())) == 1 for each in sent),
        in_doubt=len(doubts),
        in_doubt_arrived=sum(each.message_id in arrived for each in doubts),
        failed=dict(Counter(each.failure or "unknown" for each in failed)),
        copies=len(copied),
        repeated=len(archive) - len(copied),
        doubled=sum(len(got) > 1 for got in arrived.values()),
        lost=sum(each.message_id not in arrived for each in sent) + len(lost_copies),
        ahead=sum(answered.get(address, at) >= at for address, at in began.items()),
        differing=sum(_differs(known.get(each.message_id), each, copied) for each in recipients),
        unrecorded=sum(_is_unrecorded(known.get(name)) for name in arrived),
        without_copy=sum(name not in copied for name in arrived),
        leaked=leaked,
        unsettled=sum(count for each, count in status.items() if each not in settled),
    )


def _by_id(received: Iterable[Received]) -> dict[str, list[Received]]:
    found = defaultdict(list)
    for each in received:
        found[each.message_id].append(each)
    return dict(found)


def _is_unrecorded(entry: Entry | None) -> bool:
    return entry is None or entry.status not in (MessageStatus.SENT, MessageStatus.IN_DOUBT)


def _differs(entry: Entry | None, message: Received, copied: Mapping[str, list[Received]]) -> bool:
    """Whether other bytes arrived than the ledger has the hash of, or than any copy has."""
    if entry is None or entry.sha256 != message.sha256 or entry.address != message.recipient:
        return True
    return all(copy.sha256 != message.sha256 for copy in copied.get(message.message_id, ()))
