"""The client machine: one connection, one message after another, pipelined (RFC 2920).

A shell gives it what it reads (``receive``), writes what it says (``take_output``) and acts on
its events. In the steady state there is one wait per message::

    C: content(k) .  MAIL(k+1) RCPT(k+1) DATA(k+1)        one write
    S: 250(k)  250  250  354                              Finished(k), ContentWanted(k+1)

Where the server offers CHUNKING and the caller wants it, up to three messages go unanswered (see
``flight``), once a first recipient was accepted on the connection.

Every transaction that was begun ends in exactly one Finished or Unanswered; one that is
``test_only`` ends in Finished at MAIL or RCPT.
"""

from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

from letterbook.smtp.content import stuff
from letterbook.smtp.errors import ContentWithheld, OutOfTurn, ProtocolViolation
from letterbook.smtp.events import (
    Closing,
    ContentWanted,
    Cut,
    Event,
    Finished,
    Phase,
    Ready,
    Stage,
    TlsWanted,
    Unanswered,
)
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.flight import MOST_UNANSWERED, Flight, bdat_command
from letterbook.smtp.grammar import ehlo_command
from letterbook.smtp.opening import Opening, Say, Step, Tls
from letterbook.smtp.reply import Reply, ReplyReader
from letterbook.smtp.sasl import Credentials
from letterbook.smtp.transaction import Transaction, envelope_commands

_DATA: Final = b"DATA\r\n"
_RSET: Final = b"RSET\r\n"
_DOT: Final = b".\r\n"
_GROUP: Final = ((Stage.MAIL, None), (Stage.RCPT, None), (Stage.DATA, None))


class Client:
    """The client's end of one connection."""

    __slots__ = (
        "_awaited",
        "_chunking",
        "_content_handed_over",
        "_events",
        "_extensions",
        "_flights",
        "_front",
        "_group_open",
        "_last_stage",
        "_later",
        "_mail_stands",
        "_needs_reset",
        "_opening",
        "_output",
        "_phase",
        "_pipelining",
        "_rcpt_stands",
        "_reader",
        "_stuffed",
        "_written",
    )

    def __init__(
        self,
        hello: str,
        *,
        tls: Tls = Tls.NONE,
        credentials: Credentials | None = None,
        clear_text_auth: bool = False,
        pipelining: bool = True,
        chunking: bool = False,
    ) -> None:
        self._opening = Opening(ehlo_command(hello), tls, credentials, clear_text_auth)
        self._pipelining = pipelining
        self._chunking = chunking
        self._extensions = Extensions()
        self._phase = Phase.GREETING
        self._reader = ReplyReader()
        # What is to be answered, and of which flight it is, if of one.
        self._awaited: deque[tuple[Stage, Flight | None]] = deque([(Stage.GREETING, None)])
        self._output: list[bytes] = []
        self._events: list[Event] = []
        # The group MAIL, RCPT, DATA. It stays open until DATA is answered and decided; its
        # transaction leaves the front as soon as a refusal has ended it.
        self._group_open = False
        self._front: Transaction | None = None
        self._last_stage = Stage.DATA  # RCPT, if no content is to follow
        self._stuffed = b""  # its content
        self._mail_stands = False
        self._rcpt_stands = False
        self._needs_reset = False  # the last group left a sender or recipient behind
        self._later: deque[tuple[Stage, bytes]] = deque()  # of the group, without PIPELINING
        # The transaction whose content was sent and whose final reply is awaited.
        self._written: Transaction | None = None
        self._content_handed_over = False
        self._flights: deque[Flight] = deque()

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def extensions(self) -> Extensions:
        """What the server offers, once Ready."""
        return self._extensions

    @property
    def waiting_for(self) -> Stage | None:
        """What the oldest reply to come answers; None while it is the shell's turn."""
        return self._awaited[0][0] if self._awaited else None

    @property
    def can_begin(self) -> bool:
        """Whether ``begin`` may be called: at most one group, and the contents before it."""
        return (
            self._phase is Phase.READY
            and not self._group_open
            and (self._pipelining or not self._awaited)
            and len(self._flights) + (self._written is not None) < MOST_UNANSWERED
        )

    # What the shell tells.

    def receive(self, data: bytes) -> list[Event]:
        """Take what was read; return what it means, in order.

        A violation of the protocol is the event Cut, so that no reply before it is lost.
        """
        try:
            self._read(data)
        except ProtocolViolation as violation:
            self._cut(violation)
        return self._take_events()

    def take_output(self) -> list[bytes]:
        """What is to be written now; it counts as written from here on."""
        output, self._output = self._output, []
        self._content_handed_over = True
        for flight in self._flights:
            flight.handed_over = True
        return output

    def tls_established(self) -> None:
        """TLS is on: greet again and forget what was said in clear (RFC 3207, 4.2)."""
        if self._phase is Phase.CLOSED:
            return
        if self._phase is not Phase.HANDSHAKE:
            raise OutOfTurn("the server awaits no TLS handshake")
        self._open(self._opening.encrypted())

    def begin(self, transaction: Transaction) -> bool:
        """Write MAIL, RCPT and, unless it is a test, DATA for ``transaction``.

        Returns True when its content was written too, so that no ContentWanted will come.
        Raises NotSupported, UnsafeCommand or UnsafeContent, before any byte is written.
        """
        if not self.can_begin:
            raise OutOfTurn("no transaction can begin now; ask can_begin first")
        mail, rcpt = envelope_commands(transaction, self._extensions)
        if self._may_fly and not transaction.test_only:
            self._take_off(transaction, mail + rcpt)
            return True
        if transaction.stuffed is None and not transaction.test_only:
            transaction.stuffed = stuff(transaction.content)
        self._front = transaction
        self._stuffed = transaction.stuffed or b""
        self._last_stage = Stage.RCPT if transaction.test_only else Stage.DATA
        self._group_open = True
        self._mail_stands = self._rcpt_stands = False
        if self._pipelining:
            self._write_group(mail, rcpt)
        else:
            if self._needs_reset:
                self._later.append((Stage.RSET, _RSET))
            self._later += ((Stage.MAIL, mail), (Stage.RCPT, rcpt))
            if not transaction.test_only:
                self._later.append((Stage.DATA, _DATA))
            self._write_next()
        self._needs_reset = False
        return False

    def send_content(self) -> None:
        """After ContentWanted: the content goes. Does nothing if the connection has ended."""
        transaction = self._decide()
        if transaction is None:
            return
        self._front = None
        self._group_open = False
        self._written = transaction
        self._content_handed_over = False
        self._output += (self._stuffed, _DOT)
        self._awaited.append((Stage.CONTENT, None))

    def withhold(self) -> list[Event]:
        """After ContentWanted: the content must not go. SMTP has no cancel here: Cut."""
        if self._decide() is not None:
            self._cut(ContentWithheld("the content was withheld after 354"))
        return self._take_events()

    def quit(self) -> bool:
        """Say QUIT after what is under way; False if it cannot be said: close the connection."""
        idle = self._pipelining or not self._awaited
        if self._phase is Phase.READY:
            can = idle and not self._group_open
        else:
            can = self._phase is Phase.CLOSING and not self._awaited
        if can:
            self._phase = Phase.CLOSING
            self._write(Stage.QUIT, b"QUIT\r\n")
        return can

    def connection_lost(self) -> list[Event]:
        """The connection is gone: every transaction that is left is Unanswered."""
        self._end()
        return self._take_events()

    # How replies find what they answer.

    def _read(self, data: bytes) -> None:
        try:
            replies = self._reader.feed(data)
        except ProtocolViolation as violation:
            for reply in violation.replies:
                self._answered(reply)
            raise
        for reply in replies:
            self._answered(reply)
        if self._phase is Phase.HANDSHAKE and self._reader.pending:
            raise _injected()

    def _answered(self, reply: Reply) -> None:
        if not self._awaited:
            self._unsolicited(reply)
            return
        stage, flight = self._awaited.popleft()
        if reply.code == 421:
            self._service_closing(stage, reply, flight)
        elif flight is not None:
            self._flight_answered(flight, stage, reply)
        else:
            self._HANDLERS[stage](self, reply)

    def _unsolicited(self, reply: Reply) -> None:
        if self._phase is Phase.HANDSHAKE:
            raise _injected()
        if self._phase is Phase.CLOSING or self._phase is Phase.CLOSED:
            return
        if reply.code != 421:
            raise ProtocolViolation(f"the server sent {reply.text!r} without being asked")
        self._service_closing(None, reply)

    def _service_closing(
        self, stage: Stage | None, reply: Reply, flight: Flight | None = None
    ) -> None:
        """421 at any point (RFC 5321, 3.8) answers the oldest command, and closes.

        Commands are answered in their order, so that nothing behind it was taken.
        """
        if flight is not None and stage is not None:
            self._flights.popleft()
            self._events.append(flight.ended_by(stage, reply))
        elif stage is Stage.CONTENT:
            self._finish_written(reply)
        elif stage in (Stage.MAIL, Stage.RCPT, Stage.DATA) and self._front is not None:
            self._finish_front(self._front, stage, reply)
        for behind in self._flights:
            behind.handed_over = False
        self._end()
        self._events.append(Closing(stage, reply, f"the server closes: {reply.text}"))

    # From the greeting to Ready.

    def _opening_answered(self, reply: Reply) -> None:
        self._open(self._opening.answered(reply))

    def _open(self, step: Step) -> None:
        if isinstance(step, Say):
            self._phase = step.phase
            self._write(step.stage, step.line)
            return
        self._events.append(step)
        if isinstance(step, Ready):
            self._phase = Phase.READY
            self._extensions = step.extensions
            self._pipelining = self._pipelining and step.extensions.pipelining
        else:
            self._phase = Phase.HANDSHAKE if isinstance(step, TlsWanted) else Phase.CLOSING

    # A transaction.

    def _mail_answered(self, reply: Reply) -> None:
        if reply.positive:
            self._mail_stands = True
            self._write_next()
        else:
            self._transaction_refused(Stage.MAIL, reply)

    def _rcpt_answered(self, reply: Reply) -> None:
        if reply.positive:
            self._rcpt_stands = True
            if self._last_stage is Stage.RCPT and self._front is not None:
                self._finish_front(self._front, Stage.RCPT, reply)
            self._write_next()
        else:
            self._transaction_refused(Stage.RCPT, reply)
        if self._last_stage is Stage.RCPT:
            self._close_group()

    def _data_answered(self, reply: Reply) -> None:
        if reply.code != 354:
            self._transaction_refused(Stage.DATA, reply)
            self._close_group()
        elif self._front is not None:
            self._events.append(ContentWanted(self._front))
        elif self._rcpt_stands:
            # A lone dot would deliver an empty message to that recipient.
            raise ProtocolViolation("the server wants content for a message whose MAIL it refused")
        else:
            self._group_open = False
            self._write(Stage.EMPTY, _DOT)  # RFC 2920, 3.1: no recipient stands

    def _content_answered(self, reply: Reply) -> None:
        if reply.intermediate or not self._content_handed_over:
            raise ProtocolViolation(f"{reply.text!r} cannot answer the content of a message")
        self._finish_written(reply)

    def _reset_answered(self, reply: Reply) -> None:
        if not reply.positive:
            # The recipient before it may stand still: a lone dot would send it an empty message.
            raise ProtocolViolation(f"the server refused RSET: {reply.text}")
        self._write_next()

    def _empty_answered(self, _reply: Reply) -> None:
        # Its transaction ended when its recipient was refused.
        pass

    def _quit_answered(self, reply: Reply) -> None:
        self._end()
        self._events.append(Closing(Stage.QUIT, reply, "we said QUIT"))

    def _transaction_refused(self, stage: Stage, reply: Reply) -> None:
        """The first refusal ends the transaction; those that follow from it say nothing new."""
        if reply.code < 400:
            raise ProtocolViolation(f"{reply.text!r} cannot answer {stage}")
        if self._front is not None:
            self._finish_front(self._front, stage, reply)
        if self._later:  # one command at a time: the rest of the group is never written
            self._later.clear()
            self._close_group()

    def _close_group(self) -> None:
        """The group ended without content: what stands of it must go before the next MAIL."""
        self._group_open = False
        self._needs_reset = self._mail_stands or self._rcpt_stands

    # A flight.

    @property
    def _may_fly(self) -> bool:
        """Not before a recipient was accepted: a route that refuses everybody gets no content.

        Nor while something may stand at the server: its RSET is to be answered first.
        """
        return (
            self._chunking
            and self._pipelining
            and self._extensions.chunking
            and self._rcpt_stands
            and (bool(self._flights) or not self._needs_reset)
        )

    def _take_off(self, transaction: Transaction, envelope: bytes) -> None:
        flight = Flight(transaction)
        if self._flights:
            self._write(Stage.RSET, _RSET)
        self._output += (envelope, bdat_command(len(transaction.content)), transaction.content)
        stages = (Stage.MAIL, Stage.RCPT, Stage.CONTENT)
        self._awaited += [(stage, flight) for stage in stages]
        self._flights.append(flight)
        self._needs_reset = True  # until it has landed

    def _flight_answered(self, flight: Flight, stage: Stage, reply: Reply) -> None:
        finished = flight.answered(stage, reply)
        if finished is not None:
            self._flights.popleft()
            self._needs_reset = bool(self._flights) or finished.stage is not Stage.CONTENT
            self._events.append(finished)

    def _finish_front(self, front: Transaction, stage: Stage, reply: Reply) -> None:
        self._front = None
        self._events.append(Finished(front, stage, reply))

    def _finish_written(self, reply: Reply) -> None:
        if self._written is not None:
            self._events.append(Finished(self._written, Stage.CONTENT, reply))
            self._written = None

    def _decide(self) -> Transaction | None:
        """The transaction whose content is wanted; None when the connection has ended."""
        if self._phase is Phase.CLOSED:
            return None
        if self._front is None or not self._group_open or self._awaited or self._later:
            raise OutOfTurn("no content is wanted now")
        return self._front

    # Writing and ending.

    def _write(self, stage: Stage, line: bytes) -> None:
        self._output.append(line)
        self._awaited.append((stage, None))

    def _write_group(self, mail: bytes, rcpt: bytes) -> None:
        if self._needs_reset:
            self._write(Stage.RSET, _RSET)
        if self._last_stage is Stage.DATA:
            self._output.append(mail + rcpt + _DATA)
            self._awaited += _GROUP
        else:
            self._output.append(mail + rcpt)
            self._awaited += _GROUP[:2]

    def _write_next(self) -> None:
        if self._later:
            self._write(*self._later.popleft())

    def _cut(self, error: ProtocolViolation | ContentWithheld) -> None:
        if self._phase is not Phase.CLOSED:
            self._end()
            self._events.append(Cut(error))

    def _end(self) -> None:
        """End what is left, in the order it began; nothing is read or written any more."""
        if self._written is not None:
            self._events.append(Unanswered(self._written, self._content_handed_over))
        self._events += [flight.unanswered() for flight in self._flights]
        if self._front is not None:
            self._events.append(Unanswered(self._front, content_written=False))
        self._flights.clear()
        self._written = self._front = None
        self._stuffed = b""
        self._awaited.clear()
        self._later.clear()
        self._output.clear()
        self._phase = Phase.CLOSED

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    _HANDLERS: ClassVar[dict[Stage, Callable[["Client", Reply], None]]] = {
        Stage.GREETING: _opening_answered,
        Stage.EHLO: _opening_answered,
        Stage.STARTTLS: _opening_answered,
        Stage.AUTH: _opening_answered,
        Stage.MAIL: _mail_answered,
        Stage.RCPT: _rcpt_answered,
        Stage.DATA: _data_answered,
        Stage.CONTENT: _content_answered,
        Stage.EMPTY: _empty_answered,
        Stage.RSET: _reset_answered,
        Stage.QUIT: _quit_answered,
    }


def _injected() -> ProtocolViolation:
    return ProtocolViolation(
        "bytes came in clear after the reply to STARTTLS: someone may have put them there"
    )
