"""What a server can do wrong, said in a line each: at a point of the dialogue, an action.

archive.at("dot", "452 4.3.1 Not now", times=1)
recipients.at("RCPT", DROP, whom="user7@")
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from letterbook.smtp.reply import Reply
from letterbook.smtp.server_events import Connected, Login, Message, ServerEvent, Spoiled
from letterbook.testing.sink import Action, Drop, Received, Silence, Sink

DROP = Drop()
SILENCE = Silence()
POINTS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")
"""The points of a dialogue in their order."""

Deed: TypeAlias = str | Action | Callable[[ServerEvent], Action]
"""A reply in words, DROP, SILENCE, or a function of the event."""


def reply(text: str) -> Reply:
    """Read a reply from its text, code first."""
    code, _, rest = text.partition(" ")
    return Reply(int(code), (rest,))


def point_of(event: ServerEvent) -> str:
    """Return the name of the point that ``event`` is."""
    if isinstance(event, Connected):
        return "greeting"
    if isinstance(event, Message | Spoiled):
        return "dot"
    return "AUTH" if isinstance(event, Login) else event.verb


def recipient_of(event: ServerEvent) -> str:
    """Return for whom the message of ``event`` is, and of a copy, for whom it first was."""
    if isinstance(event, Message | Spoiled):
        return " ".join(str((each.address, each.orcpt)) for each in event.envelope.recipients)
    return getattr(event, "argument", "")


@dataclass
class Fault:
    """What a server does at a point: ``times`` times, or until it is mended."""

    point: str
    deed: Deed
    times: int | None
    whom: str | None

    def applies(self, event: ServerEvent) -> bool:
        if self.times == 0 or point_of(event) != self.point:
            return False
        if self.whom is not None and self.whom not in recipient_of(event):
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def act(self, event: ServerEvent) -> Action:
        if isinstance(self.deed, str):
            return reply(self.deed)
        return self.deed(event) if callable(self.deed) else self.deed


class Side(Sink):
    """A sink with faults, which remembers when it met which point."""

    def __init__(self, **more: Any) -> None:
        super().__init__(script=self._play, **more)
        self.faults: list[Fault] = []
        self.met: dict[str, list[float]] = {}
        self.begun_by: dict[str, list[float]] = {}
        """When each client, by its name in EHLO, began a message (MAIL)."""

    def at(self, point: str, deed: Deed, *, times: int | None = None, whom: str | None = None):
        """Do ``deed`` at ``point``, to ``whom`` (a part of the address) or to anybody."""
        self.faults.append(Fault(point, deed, times, whom))

    def mend(self) -> None:
        """Behave from now on."""
        self.faults.clear()

    def count(self, point: str) -> int:
        return len(self.met.get(point, ()))

    def by_id(self) -> dict[str, list[Received]]:
        """What was received, by Message-ID."""
        found: dict[str, list[Received]] = {}
        for each in self.received:
            found.setdefault(each.message_id, []).append(each)
        return found

    def got(self, number: int) -> list[Received]:
        """What was received for ``user<number>``, as message or as copy."""
        address = f"user{number}@example.org"
        return [
            each for each in self.received if address in (each.recipient, each.original_recipient)
        ]

    async def restart(self) -> None:
        """Listen again at the port of before."""
        await self.start(self.port)

    def _play(self, event: ServerEvent) -> Action:
        point, now = point_of(event), time.monotonic()
        self.met.setdefault(point, []).append(now)
        if point == "MAIL":
            self.begun_by.setdefault(self.speaking, []).append(now)
        for fault in self.faults:
            if fault.applies(event):
                return fault.act(event)
        return None
