"""The server machine: the other end of one connection, whose every reply is the caller's to give.

Each event proposes a reply. One event is out at a time, and what a client pipelined waits behind
it, so that the caller may answer at once, later, or with anything it likes::

    server.receive(data)
    while (event := server.next_event()) is not None:
        server.respond()                            # as proposed
        server.respond(Reply(451, ("4.3.0 No",)))   # or not
    write(server.take_output())
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from letterbook.smtp.chunks import Chunks
from letterbook.smtp.envelope import (
    Envelope,
    Recipient,
    Sender,
    parse_mail,
    parse_rcpt,
    require_ascii,
)
from letterbook.smtp.errors import BadCommand, OutOfTurn
from letterbook.smtp.grammar import split_command
from letterbook.smtp.intake import Intake
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import (
    PASSWORD_CHALLENGE,
    USERNAME_CHALLENGE,
    Credentials,
    read_login,
    read_plain,
)
from letterbook.smtp.server_events import (
    Command,
    Connected,
    Login,
    Message,
    ServerEvent,
    ServerOptions,
    Spoiled,
)

_MAX_AUTH_LINE: Final = 12_288  # RFC 4954, 4

_Proposal = Reply | Login
_Effect = Callable[[Reply], None]


class Server:
    """The server's end of one connection."""

    __slots__ = (
        "_auth_step",
        "_authenticated",
        "_chunks",
        "_current",
        "_effect",
        "_encrypted",
        "_ended",
        "_greeted",
        "_in_content",
        "_intake",
        "_options",
        "_output",
        "_parameters",
        "_recipients",
        "_said_hello",
        "_sender",
        "_wants_tls",
    )

    def __init__(self, options: ServerOptions | None = None, *, encrypted: bool = False) -> None:
        self._options = options or ServerOptions()
        self._intake = Intake()
        self._output: list[bytes] = []
        self._encrypted = encrypted
        self._wants_tls = False
        self._ended = False
        self._greeted = False
        # The event that is out, and what changes when it is answered. Handlers set the change
        # before they look at the order of things, so that it also comes to a caller who insists.
        self._current: ServerEvent | None = None
        self._effect: _Effect | None = None
        self._forget()

    def _forget(self) -> None:
        self._said_hello = False
        self._parameters: frozenset[str] = frozenset()
        self._authenticated = False
        self._auth_step: Callable[[bytes], _Proposal] | None = None
        self._in_content = False
        self._reset()

    def _reset(self) -> None:
        self._chunks = Chunks(self._options.size)
        self._sender: Sender | None = None
        self._recipients: list[Recipient] = []

    @property
    def wants_tls(self) -> bool:
        """STARTTLS was answered: establish TLS, then call ``tls_established``."""
        return self._wants_tls

    @property
    def ended(self) -> bool:
        """QUIT or 421 was said: close the connection once the output is written."""
        return self._ended

    @property
    def backlog(self) -> int:
        """Octets that wait to be read; a caller that answers late should stop reading for it."""
        return len(self._intake)

    # What the caller tells.

    def receive(self, data: bytes) -> None:
        """Take what was read. What comes in clear once TLS is due is dropped (CVE-2011-0411)."""
        if not self._wants_tls and not self._ended:
            self._intake.feed(data)

    def next_event(self) -> ServerEvent | None:
        """What to answer next; None while an answer is due or more must be read."""
        if self._current is None and not self._wants_tls and not self._ended:
            self._current = self._read()
            return self._current
        return None

    def respond(self, reply: Reply | None = None) -> None:
        """Answer the event that is out, as it proposes or otherwise."""
        if self._current is None:
            raise OutOfTurn("no event awaits a reply")
        reply = reply or self._current.proposed
        self._output.append(reply.encode())
        effect, self._effect, self._current = self._effect, None, None
        if effect is not None:
            effect(reply)
        if reply.code == 421:
            self._ended = True

    def take_output(self) -> bytes:
        """What is to be written now."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def tls_established(self) -> None:
        """TLS is on: what was said in clear is forgotten (RFC 3207, 4.2)."""
        if not self._wants_tls:
            raise OutOfTurn("no STARTTLS was answered")
        self._wants_tls = False
        self._encrypted = True
        self._forget()

    # How input becomes events.

    def _read(self) -> ServerEvent | None:
        if not self._greeted:
            self._greeted = True
            return Connected(Reply(220, (f"{self._options.name} ESMTP",)))
        if self._chunks.reading:
            return self._read_chunk()
        return self._read_content() if self._in_content else self._read_command()

    def _read_content(self) -> ServerEvent | None:
        envelope = Envelope(self._sender, tuple(self._recipients))
        try:
            content = self._intake.content(self._options.size)
        except BadCommand as error:
            self._effect = self._content_answered
            return Spoiled(envelope, self._propose(error.code, error.text))
        if content is None:
            return None
        self._effect = self._content_answered
        if not self._recipients:
            return Message(envelope, content, self._propose(554, "5.5.1 No valid recipients"))
        return Message(envelope, content, self._propose(250, "2.0.0 Ok"))

    def _content_answered(self, _reply: Reply) -> None:
        self._in_content = False
        self._reset()

    def _read_command(self) -> ServerEvent | None:
        options = self._options
        limit = max(options.max_line, _MAX_AUTH_LINE) if options.auth else options.max_line
        verb = argument = ""
        try:
            line = self._intake.line(limit)
            if line is None:
                return None
            if self._auth_step is not None:
                verb = "AUTH"
                proposal = self._next_auth_step(line)
            else:
                verb, argument = split_command(line)
                if verb == "BDAT" and self._options.chunking:
                    return self._begin_chunk(argument)
                proposal = self._VERBS.get(verb, Server._unknown)(self, argument)
        except BadCommand as error:
            self._auth_step = None
            proposal = self._propose(error.code, error.text)
        if isinstance(proposal, Login):
            return proposal
        return Command(verb, "" if verb == "AUTH" else argument, proposal)

    def _propose(self, code: int, text: str) -> Reply:
        if not self._options.enhanced_status_codes:
            text = text.partition(" ")[2]
        return Reply(code, (text,))

    # The greeting, TLS and AUTH.

    def _ehlo(self, name: str) -> Reply:
        self._require_name(name)
        self._effect = partial(self._hello_answered, self._options.parameters)
        return Reply(250, (self._options.name, *self._options.keywords(self._encrypted)))

    def _helo(self, name: str) -> Reply:
        self._require_name(name)
        self._effect = partial(self._hello_answered, frozenset())
        return Reply(250, (self._options.name,))

    def _require_name(self, name: str) -> None:
        if not name:
            raise BadCommand(501, "5.5.4 Say who you are")

    def _hello_answered(self, parameters: frozenset[str], reply: Reply) -> None:
        if reply.positive:
            self._said_hello = True
            self._parameters = parameters
            self._reset()

    def _starttls(self, argument: str) -> Reply:
        self._effect = self._starttls_answered
        if not self._options.starttls or self._encrypted:
            raise BadCommand(502, "5.5.1 STARTTLS is not offered")
        if argument or len(self._intake):
            raise BadCommand(501, "5.5.4 STARTTLS stands alone, and nothing follows it")
        return self._propose(220, "2.0.0 Go ahead")

    def _starttls_answered(self, reply: Reply) -> None:
        if reply.positive:
            self._wants_tls = True
            self._intake.clear()

    def _auth(self, argument: str) -> _Proposal:
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        self._require_auth(mechanism)
        step = self._plain if mechanism == "PLAIN" else self._username
        if initial:
            return step(initial.encode())
        self._effect = partial(self._challenged, step)
        return Reply(334, ("" if mechanism == "PLAIN" else USERNAME_CHALLENGE,))

    def _require_auth(self, mechanism: str) -> None:
        if not self._options.auth:
            raise BadCommand(502, "5.5.1 AUTH is not offered")
        if not self._encrypted and not self._options.auth_in_clear:
            raise BadCommand(538, "5.7.11 AUTH needs TLS here")
        if self._authenticated or self._sender is not None or not self._said_hello:
            raise BadCommand(503, "5.5.1 AUTH comes once, after EHLO and before MAIL")
        if mechanism not in self._options.auth:
            raise BadCommand(504, "5.5.4 This mechanism is not offered")

    def _next_auth_step(self, line: bytes) -> _Proposal:
        step, self._auth_step = self._auth_step, None
        if step is None or line == b"*":
            raise BadCommand(501, "5.7.0 AUTH is cancelled")
        return step(line)

    def _plain(self, response: bytes) -> Login:
        return self._login(read_plain(response))

    def _username(self, response: bytes) -> Reply:
        self._effect = partial(self._challenged, partial(self._password, read_login(response)))
        return Reply(334, (PASSWORD_CHALLENGE,))

    def _password(self, username: str, response: bytes) -> Login:
        return self._login(Credentials(username, read_login(response)))

    def _login(self, credentials: Credentials) -> Login:
        self._effect = partial(self._challenged, self._plain)
        return Login(credentials, self._propose(535, "5.7.8 Nobody is known here"))

    def _challenged(self, step: Callable[[bytes], _Proposal], reply: Reply) -> None:
        self._auth_step = step if reply.intermediate else None
        self._authenticated = self._authenticated or reply.positive

    # A transaction.

    def _mail(self, argument: str) -> Reply:
        sender = parse_mail(argument, self._parameters)
        self._effect = partial(self._mail_answered, sender)
        if not self._said_hello or self._sender is not None:
            raise BadCommand(503, "5.5.1 MAIL comes once, after EHLO")
        limit = self._options.size
        if limit is not None and sender.size is not None and sender.size > limit:
            raise BadCommand(552, "5.3.4 The message is larger than SIZE says")
        return self._propose(250, "2.1.0 Ok")

    def _mail_answered(self, sender: Sender, reply: Reply) -> None:
        if reply.positive:
            self._reset()
            self._sender = sender

    def _rcpt(self, argument: str) -> Reply:
        recipient = parse_rcpt(argument, self._parameters)
        self._effect = partial(self._rcpt_answered, recipient)
        if self._sender is None:
            raise BadCommand(503, "5.5.1 RCPT comes after MAIL")
        if len(self._recipients) >= self._options.max_recipients:
            raise BadCommand(452, "4.5.3 No more recipients in one message")
        require_ascii(recipient.address, self._sender)
        return self._propose(250, "2.1.5 Ok")

    def _rcpt_answered(self, recipient: Recipient, reply: Reply) -> None:
        if reply.positive:
            self._recipients.append(recipient)

    def _data(self, argument: str) -> Reply:
        self._effect = self._data_answered
        if argument:
            raise BadCommand(501, "5.5.4 DATA stands alone")
        if not self._recipients or self._chunks.begun:
            raise BadCommand(503, "5.5.1 DATA comes after a recipient was accepted, not after BDAT")
        return Reply(354, ("End data with <CR><LF>.<CR><LF>",))

    def _data_answered(self, reply: Reply) -> None:
        if reply.intermediate:
            self._in_content = True
            self._intake.begin_content()

    # Chunks (RFC 3030, 2).

    def _begin_chunk(self, argument: str) -> ServerEvent | None:
        self._chunks.begin(argument)
        return self._read_chunk()

    def _read_chunk(self) -> ServerEvent | None:
        chunks = self._chunks
        if not chunks.read(self._intake, keep=bool(self._recipients)):
            return None
        if not self._recipients:
            proposed = self._propose(503, "5.5.1 BDAT comes after a recipient was accepted")
            return Command("BDAT", chunks.argument, proposed)
        if not chunks.whole:
            return Command("BDAT", chunks.argument, self._propose(250, "2.0.0 Ok"))
        self._effect = self._content_answered
        envelope = Envelope(self._sender, tuple(self._recipients))
        try:
            content = chunks.content()
        except BadCommand as error:
            return Spoiled(envelope, self._propose(error.code, error.text))
        return Message(envelope, content, self._propose(250, "2.0.0 Ok"))

    # The rest.

    def _rset(self, _argument: str) -> Reply:
        self._effect = self._rset_answered
        return self._propose(250, "2.0.0 Ok")

    def _rset_answered(self, reply: Reply) -> None:
        if reply.positive:
            self._reset()

    def _noop(self, _argument: str) -> Reply:
        return self._propose(250, "2.0.0 Ok")

    def _vrfy(self, _argument: str) -> Reply:
        return self._propose(252, "2.5.0 Send a message and see")

    def _quit(self, _argument: str) -> Reply:
        self._effect = self._quit_answered
        return self._propose(221, "2.0.0 Bye")

    def _quit_answered(self, reply: Reply) -> None:
        self._ended = reply.positive

    def _unknown(self, _argument: str) -> Reply:
        raise BadCommand(500, "5.5.1 This command is not known here")

    _VERBS: ClassVar[dict[str, Callable[["Server", str], _Proposal]]] = {
        "EHLO": _ehlo,
        "HELO": _helo,
        "STARTTLS": _starttls,
        "AUTH": _auth,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "RSET": _rset,
        "NOOP": _noop,
        "VRFY": _vrfy,
        "QUIT": _quit,
    }
