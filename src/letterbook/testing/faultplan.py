"""Which message, and which connection, meets which fault: decided by a seed and nothing else.

A message's fate on a route depends on (seed, route, its address), a connection's on (seed, route,
its number). A message meets its fault once, the first time that it comes to that point, however
often it comes again; so the same seed gives the same faults, whatever the processes' timing.
How many connections there are does depend on timing, but number n is always treated alike.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import accumulate
from typing import Final


class Deed(StrEnum):
    """What goes wrong."""

    ANSWER = "answer"
    """The server answers in its own words; nothing is passed on."""
    CUT = "cut"
    """The connection is cut instead of an answer; nothing is passed on."""
    LOSE = "lost reply"
    """All is passed on, and the connection is cut instead of the answer."""
    TEAR = "torn"
    """The connection is cut within what is being passed on."""
    MUTE = "silence"
    """Nothing more ever comes back; nothing is passed on."""
    DELAY = "late"
    """The answer takes its time."""
    SPLIT = "split"
    """The answer comes in pieces."""
    MERGE = "merged"
    """The answer comes in one piece with those after it."""
    NO_PIPELINING = "no pipelining"
    """The server does not offer PIPELINING on this connection."""
    FOREIGN = "untrusted certificate"
    """The server's certificate is of another CA."""
    GARBAGE = "garbage"
    """What comes is not TLS."""


BENIGN: Final = frozenset((Deed.DELAY, Deed.SPLIT, Deed.MERGE, Deed.NO_PIPELINING))
"""What a client must bear without anybody noticing."""

SEVERING: Final = frozenset((Deed.CUT, Deed.LOSE, Deed.TEAR, Deed.MUTE))
"""After what a client cannot know what became of the message it wrote last."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A deed at a point: greeting, EHLO, STARTTLS, TLS, MAIL, RCPT, DATA, content or dot.

    ``always``: whenever the message comes, not only once.
    """

    point: str
    deed: Deed
    reply: str = ""
    always: bool = False

    @property
    def name(self) -> str:
        """Its kind, for accounts: ``RCPT 5xx``, ``dot lost reply``."""
        if self.deed is not Deed.ANSWER:
            return f"{self.point} {self.deed}"
        code = self.reply[:3]
        kind = code if code == "421" else f"{code[0]}xx"
        return f"{self.point} {kind}{' always' if self.always else ''}"


class Menu:
    """Faults with their shares, in ten-thousandths of all that come."""

    def __init__(self, offers: Iterable[tuple[int, Fault]]) -> None:
        offers = list(offers)
        self._faults = tuple(fault for _, fault in offers)
        self._ends = list(accumulate(share for share, _ in offers))
        assert sum(share for share, _ in offers) <= 10_000

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is on it."""
        return self._faults

    def pick(self, draw: float) -> Fault | None:
        """Return the fault of a ``draw`` from [0, 1)."""
        place = bisect_right(self._ends, draw * 10_000)
        return self._faults[place] if place < len(self._faults) else None


class FaultPlan:
    """The fates on one route."""

    def __init__(self, seed: int, route: str, messages: Menu, connections: Menu) -> None:
        self._origin = f"{seed} {route}"
        self._messages = messages
        self._connections = connections

    def of_message(self, address: str) -> Fault | None:
        """Return what the message to ``address``, or its copy, will meet with."""
        return self._messages.pick(self.draw("message", address))

    def of_connection(self, number: int) -> Fault | None:
        """Return what connection ``number`` will meet with."""
        return self._connections.pick(self.draw("connection", str(number)))

    def draw(self, *about: str) -> float:
        """Return a number from [0, 1) that depends on the seed, the route and ``about``."""
        text = " ".join((self._origin, *about))
        digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
        return int.from_bytes(digest) / 2**56

    def fates(self, addresses: Iterable[str]) -> Counter[str]:
        """Count what the messages to ``addresses`` are to meet with, by kind."""
        fates = filter(None, map(self.of_message, addresses))
        return Counter(fault.name for fault in fates)


class EachOnce(FaultPlan):
    """A plan for few messages, in which every fault of the menu is met by one of them."""

    def __init__(
        self, seed: int, route: str, messages: Menu, connections: Menu, addresses: Iterable[str]
    ) -> None:
        """``addresses`` are the messages to choose from: at least as many as faults."""
        super().__init__(seed, route, messages, connections)
        chosen = sorted(addresses, key=partial(self.draw, "message"))
        self._fates = dict(zip(chosen, messages.faults, strict=False))
        assert len(self._fates) == len(messages.faults)

    def of_message(self, address: str) -> Fault | None:
        return self._fates.get(address)


def _answers(share: int, reply: str, *points: str) -> list[tuple[int, Fault]]:
    return [(share, Fault(point, Deed.ANSWER, reply)) for point in points]


def _deeds(share: int, deed: Deed, *points: str) -> list[tuple[int, Fault]]:
    return [(share, Fault(point, deed)) for point in points]


_DIALOGUE: Final = ("MAIL", "RCPT", "DATA", "dot")

_BEARABLE: Final = [
    *_deeds(40, Deed.DELAY, *_DIALOGUE),
    *_deeds(40, Deed.SPLIT, *_DIALOGUE),
    *_deeds(60, Deed.MERGE, "MAIL", "dot"),
]

RECIPIENTS: Final = Menu(
    [
        *_BEARABLE,
        *_answers(110, "451 4.7.1 Greylisted, come again", "RCPT", "DATA", "dot"),
        *_answers(80, "550 5.1.1 Nobody of that name", "RCPT", "DATA", "dot"),
        *_answers(20, "552 5.3.4 Too large for this mailbox", "MAIL"),
        *_answers(4, "451 4.3.0 Not now", "MAIL"),
        *_answers(4, "550 5.7.1 We do not know you", "MAIL"),
        *_answers(3, "421 4.3.2 Closing", *_DIALOGUE),
        *_deeds(4, Deed.CUT, "MAIL", "RCPT", "DATA"),
        *_deeds(20, Deed.CUT, "dot"),
        *_deeds(20, Deed.LOSE, "dot"),
        *_deeds(20, Deed.TEAR, "content"),
        *_deeds(2, Deed.MUTE, "RCPT", "DATA"),
        *_deeds(5, Deed.MUTE, "dot"),
    ]
)
ARCHIVE: Final = Menu(
    [
        *_BEARABLE,
        *_answers(50, "451 4.3.0 Try again", *_DIALOGUE),
        *_answers(20, "554 5.6.0 We do not take this", "DATA", "dot"),
        *_answers(10, "552 5.3.4 Too large", "MAIL"),
        (3, Fault("dot", Deed.ANSWER, "554 5.6.1 We never take this", always=True)),
        *_answers(2, "550 5.2.1 Mailbox disabled", "RCPT"),
        *_answers(2, "452 4.3.1 Insufficient system storage", "dot"),
        *_answers(2, "552 5.2.2 Mailbox full", "dot"),
        *_answers(2, "421 4.3.2 Closing", *_DIALOGUE),
        *_deeds(2, Deed.CUT, "MAIL", "RCPT", "DATA"),
        *_deeds(4, Deed.CUT, "dot"),
        *_deeds(5, Deed.LOSE, "dot"),
        *_deeds(4, Deed.TEAR, "content"),
        *_deeds(1, Deed.MUTE, "RCPT", "DATA", "dot"),
    ]
)
CONNECTIONS: Final = Menu(
    [
        *_deeds(800, Deed.NO_PIPELINING, "EHLO"),
        *_deeds(200, Deed.DELAY, "greeting", "EHLO"),
        *_deeds(200, Deed.SPLIT, "greeting", "EHLO"),
        *_answers(30, "421 4.3.2 Too busy", "greeting"),
        *_answers(30, "554 5.3.2 No mail here", "greeting"),
        *_answers(30, "451 4.3.0 Not now", "EHLO"),
        *_answers(30, "550 5.7.1 We do not know you", "EHLO"),
        *_answers(30, "454 4.7.0 TLS not available", "STARTTLS"),
        *_deeds(30, Deed.CUT, "greeting", "EHLO", "STARTTLS", "TLS"),
        *_deeds(10, Deed.MUTE, "greeting", "EHLO", "TLS"),
        *_deeds(30, Deed.FOREIGN, "TLS"),
        *_deeds(30, Deed.GARBAGE, "TLS"),
    ]
)

NOTHING: Final = Menu(())
MENUS: Final = {"recipients": RECIPIENTS, "archive": ARCHIVE}


def full_size_plans(seed: int) -> dict[str, FaultPlan]:
    """Return the plans of both routes for a run of many thousands of messages."""
    return {name: FaultPlan(seed, name, menu, CONNECTIONS) for name, menu in MENUS.items()}


def fair_weather(seed: int) -> dict[str, FaultPlan]:
    """Return plans without faults, for runs in which something else goes wrong."""
    return {name: FaultPlan(seed, name, NOTHING, NOTHING) for name in MENUS}
