"""How a connection opens: greeting, EHLO, STARTTLS, AUTH; one command at a time."""

from collections import deque
from enum import Enum, auto
from typing import NamedTuple

from letterbook.smtp.errors import ProtocolViolation
from letterbook.smtp.events import Closing, Phase, Ready, Stage, TlsWanted
from letterbook.smtp.extensions import Extensions, parse_extensions
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import Credentials, start_exchange


class Tls(Enum):
    """How a connection is encrypted."""

    NONE = auto()
    STARTTLS = auto()  # required: without it the connection is of no use
    IMPLICIT = auto()  # from the first byte, by the shell


class Say(NamedTuple):
    """A command to write next, and the phase that it begins."""

    phase: Phase
    stage: Stage
    line: bytes


Step = Say | TlsWanted | Ready | Closing


class Opening:
    """Decides what follows each reply until the connection is ready."""

    __slots__ = (
        "_clear_text_auth",
        "_credentials",
        "_ehlo",
        "_encrypted",
        "_extensions",
        "_responses",
        "_stage",
        "_tls",
    )

    def __init__(
        self, ehlo: bytes, tls: Tls, credentials: Credentials | None, clear_text_auth: bool
    ) -> None:
        self._ehlo = ehlo
        self._tls = tls
        self._encrypted = tls is Tls.IMPLICIT
        self._credentials = credentials
        self._clear_text_auth = clear_text_auth
        self._responses: deque[bytes] = deque()
        self._extensions = Extensions()
        self._stage = Stage.GREETING

    def answered(self, reply: Reply) -> Step:
        """What follows ``reply``, the answer to what was said last."""
        if self._stage is Stage.AUTH and reply.intermediate:
            return self._next_response(reply)
        if not reply.positive:
            reason = f"the server refused {self._stage}: {reply.text}"
            return Closing(self._stage, reply, reason)
        if self._stage is Stage.GREETING:
            return self._greet()
        if self._stage is Stage.EHLO:
            self._extensions = parse_extensions(reply)
            return self._encrypt()
        if self._stage is Stage.STARTTLS:
            return TlsWanted()
        return Ready(self._extensions)

    def encrypted(self) -> Step:
        """TLS is on: greet again; what was said in clear no longer counts (RFC 3207, 4.2)."""
        self._encrypted = True
        return self._greet()

    def _greet(self) -> Step:
        return self._say(Phase.HELLO, Stage.EHLO, self._ehlo)

    def _encrypt(self) -> Step:
        if self._tls is not Tls.STARTTLS or self._encrypted:
            return self._authenticate()
        if not self._extensions.starttls:
            return Closing(Stage.STARTTLS, None, "the server does not offer STARTTLS")
        return self._say(Phase.STARTTLS, Stage.STARTTLS, b"STARTTLS\r\n")

    def _authenticate(self) -> Step:
        if self._credentials is None:
            return Ready(self._extensions)
        if not (self._encrypted or self._clear_text_auth):
            reason = "the password would go in clear: the connection has no TLS"
            return Closing(Stage.AUTH, None, reason)
        exchange = start_exchange(self._credentials, self._extensions.auth)
        if exchange is None:
            offered = ", ".join(sorted(self._extensions.auth)) or "no mechanism"
            reason = f"the server offers {offered} for AUTH; Letterbook knows PLAIN and LOGIN"
            return Closing(Stage.AUTH, None, reason)
        self._responses.extend(exchange.responses)
        return self._say(Phase.AUTH, Stage.AUTH, exchange.command + b"\r\n")

    def _next_response(self, challenge: Reply) -> Step:
        if challenge.code != 334 or not self._responses:
            raise ProtocolViolation(f"the server sent {challenge.text!r} in reply to AUTH")
        return self._say(Phase.AUTH, Stage.AUTH, self._responses.popleft() + b"\r\n")

    def _say(self, phase: Phase, stage: Stage, line: bytes) -> Say:
        self._stage = stage
        return Say(phase, stage, line)
