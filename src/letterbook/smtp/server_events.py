"""What a server machine offers, and what it tells its caller."""

from dataclasses import dataclass

from letterbook.smtp.envelope import Envelope
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server offers and bears."""

    name: str = "localhost"
    pipelining: bool = True
    size: int | None = 64 * 1024 * 1024  # octets of one content; None: no limit is stated or kept
    eight_bit_mime: bool = True
    smtputf8: bool = True
    dsn: bool = True
    chunking: bool = False
    enhanced_status_codes: bool = True
    starttls: bool = False
    auth: tuple[str, ...] = ()  # of PLAIN and LOGIN
    auth_in_clear: bool = False
    max_line: int = 1_000  # octets with CRLF; where AUTH is offered RFC 4954 (4) asks for 12,288
    max_recipients: int = 1_000

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters of MAIL and RCPT that these extensions bring."""
        brought = {
            "SIZE": self.size is not None,
            "BODY": self.eight_bit_mime,
            "SMTPUTF8": self.smtputf8,
            **dict.fromkeys(("RET", "ENVID", "NOTIFY", "ORCPT"), self.dsn),
        }
        return frozenset(keyword for keyword, is_on in brought.items() if is_on)

    def keywords(self, encrypted: bool) -> tuple[str, ...]:
        """The lines of an EHLO reply after the first."""
        auth = self.auth and (encrypted or self.auth_in_clear)
        lines = {
            "PIPELINING": self.pipelining,
            f"SIZE {self.size}": self.size is not None,
            "8BITMIME": self.eight_bit_mime,
            "SMTPUTF8": self.smtputf8,
            "DSN": self.dsn,
            "CHUNKING": self.chunking,
            "ENHANCEDSTATUSCODES": self.enhanced_status_codes,
            "STARTTLS": self.starttls and not encrypted,
            f"AUTH {' '.join(self.auth)}": auth,
        }
        return tuple(line for line, is_on in lines.items() if is_on)


@dataclass(frozen=True, slots=True)
class Connected:
    """A client is there: greet it."""

    proposed: Reply


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a step of AUTH; ``proposed`` refuses what is wrong or out of order."""

    verb: str
    argument: str
    proposed: Reply


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody says who they are; the machine knows nobody, so it proposes 535."""

    credentials: Credentials
    proposed: Reply


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: exact, un-stuffed, CRLF only, without the final dot."""

    envelope: Envelope
    content: bytes
    proposed: Reply


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A message that must not be taken: too large, or with a bare CR or LF."""

    envelope: Envelope
    proposed: Reply


ServerEvent = Connected | Command | Login | Message | Spoiled
