"""What is measured: seven senders, one base case, and one thing changed at a time."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from letterbook.mail.content import Algorithm

Letter: TypeAlias = Literal["a", "b", "c", "d", "e", "f", "g"]

SENDERS: Final[dict[Letter, str]] = {
    "a": "wire limit: prebuilt bytes, copy first",
    "b": "Letterbook, Email BCC on",
    "c": "Letterbook, Email BCC off",
    "d": "Django EmailMultiAlternatives, bcc=",
    "e": "aiosmtplib, prebuilt bytes, copy first",
    "f": "Postfix relay, always_bcc",
    "g": "smtp-source alone, no copy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The conditions of a measurement. ``connections`` are to each sink, per worker."""

    size: int = 40_000
    """Octets of the HTML template."""
    connections: int = 10
    workers: int = 1
    round_trip: float = 0.0
    """Seconds."""
    chunking: bool = False
    """Whether the sinks offer CHUNKING, which of the senders only ours use."""
    dkim: Algorithm | None = None
    """What Letterbook signs with."""

    @property
    def ceiling(self) -> float:
        """Messages a second that fit on the way when each takes one round trip."""
        if not self.round_trip:
            return float("inf")
        return self.connections * self.workers / self.round_trip


@dataclass(frozen=True, slots=True)
class Line:
    """One case and the senders that it is measured with."""

    name: str
    case: Case
    senders: str

    def only(self, senders: str) -> "Line":
        """The same line with no others than ``senders``."""
        return replace(self, senders="".join(each for each in self.senders if each in senders))


BASE: Final = Case()
_FAR: Final = replace(BASE, round_trip=0.010)

PLAN: Final = (
    Line("base", BASE, "abcdefg"),
    Line("10 KB", replace(BASE, size=10_000), "abcdefg"),
    Line("1 connection", replace(BASE, connections=1), "abcefg"),
    Line("50 connections", replace(BASE, connections=50), "abcefg"),
    Line("1 ms", replace(BASE, round_trip=0.001), "abcdefg"),
    Line("10 ms", _FAR, "abcdefg"),
    Line("10 ms, CHUNKING", replace(_FAR, chunking=True), "ab"),
    Line("2 workers", replace(BASE, workers=2), "abc"),
    Line("DKIM, RSA-2048", replace(BASE, dkim="rsa"), "abc"),
    Line("DKIM, Ed25519", replace(BASE, dkim="ed25519"), "abc"),
    Line("10 ms, 5 connections, 1 worker", replace(_FAR, connections=5), "ab"),
    Line(
        "10 ms, 5 connections, 2 workers",
        replace(_FAR, connections=5, workers=2),
        "ab",
    ),
)

_EXPECTED: Final[dict[str, float]] = {
    "a": 6_000, "b": 2_500, "c": 4_000, "d": 250, "e": 500, "f": 300, "g": 6_000,
}  # fmt: skip
"""Messages a second, roughly: they only decide how many messages make a few seconds."""

_TURNS: Final = {"d": 5, "e": 10, "f": 10, "g": 5}
"""Round trips that a message takes where commands are not pipelined."""

COUNTS: Final = (200, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
WARM_UPS: Final = (20, 100, 500)


def messages_for(sender: str, case: Case, seconds: float) -> int:
    """How many messages make about ``seconds``."""
    connections = replace(case, connections=1) if sender == "d" else case
    ceiling = connections.ceiling / _TURNS.get(sender, 1)
    wanted = min(_EXPECTED[sender], ceiling) * seconds
    return max((count for count in COUNTS if count <= wanted), default=COUNTS[0])


def warm_up_for(messages: int) -> int:
    """How many messages go before those that are measured."""
    return max(count for count in WARM_UPS if count <= max(messages // 10, WARM_UPS[0]))
