"""Client machine against server machine over a wire that cuts the bytes as it likes.

The server answers from a script and tags each reply with a serial number, so that a test can ask
of every ending which event of the server it answers.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, cycle

from letterbook.smtp.client import Client
from letterbook.smtp.events import Closing, ContentWanted, Cut, Event
from letterbook.smtp.reply import Reply
from letterbook.smtp.server import Server
from letterbook.smtp.server_events import Command, Message, ServerEvent, ServerOptions
from letterbook.smtp.transaction import Transaction

Action = int | str | None  # a code, "cut", "silence" (cut after the work is done), or as proposed


@dataclass(kw_only=True)
class Plan:
    """What will happen to a connection."""

    script: list[Action]  # for each event of the server after EHLO
    withheld: set[int] = field(default_factory=set)  # numbers of letters
    late: set[int] = field(default_factory=set)  # letters that begin one round late
    client_pipelines: bool = True
    chunking: bool = False
    server_pipelines: bool = True
    cut_after: int | None = None  # octets that reach the server
    chunks: list[int] = field(default_factory=lambda: [1 << 20])


@dataclass(slots=True)
class Answered:
    """One event of the server and the reply it got."""

    event: ServerEvent
    reply: Reply


class Wire:
    def __init__(self, letters: list[Transaction], plan: Plan) -> None:
        self.plan = plan
        self.letters = deque(letters)
        self.begun: list[Transaction] = []
        self.client = Client(
            "client.example", pipelining=plan.client_pipelines, chunking=plan.chunking
        )
        options = ServerOptions(pipelining=plan.server_pipelines, chunking=plan.chunking)
        self.server = Server(options)
        self.script = chain(plan.script, iter(lambda: None, 0))
        self.events: list[Event] = []
        self.log: list[Answered] = []
        self.writes: list[bytes] = []
        self.arrived = b""  # at the server
        self.is_cut = False
        self._late = set(plan.late)
        self._sizes = cycle(plan.chunks)

    def run(self) -> "Wire":
        self._serve(b"")
        while not self.is_cut:
            before = self._progress()
            self._client_reads(self.server.take_output())
            self._client_writes()
            if self._progress() == before:
                break
        self.events += self.client.connection_lost()
        return self

    def _progress(self) -> tuple[int, ...]:
        return len(self.events), len(self.log), len(self.arrived), len(self._late)

    def _client_reads(self, data: bytes) -> None:
        for chunk in self._cut_up(data):
            events = self.client.receive(chunk)
            self.events += events
            for event in events:
                self._act(event)

    def _act(self, event: Event) -> None:
        if isinstance(event, ContentWanted):
            if event.transaction.subject in self.plan.withheld:
                self.events += self.client.withhold()
                self.is_cut = True
            else:
                self.client.send_content()
        elif isinstance(event, Cut) or (isinstance(event, Closing) and not self.client.quit()):
            self.is_cut = True

    def _client_writes(self) -> None:
        for _ in range(3 if self.plan.chunking else 1):
            if self.client.can_begin:
                self._begin_or_quit()
        data = b"".join(self.client.take_output())
        if not data or self.is_cut:
            return
        self.writes.append(data)
        if self.plan.cut_after is not None:
            data = data[: self.plan.cut_after - len(self.arrived)]
        for chunk in self._cut_up(data):
            if not self.is_cut:
                self._serve(chunk)
        if self.plan.cut_after == len(self.arrived):
            self._client_reads(self.server.take_output())
            self.is_cut = True

    def _begin_or_quit(self) -> None:
        if not self.letters:
            if self.client.waiting_for is None:
                self.client.quit()
        elif self.letters[0].subject in self._late:
            self._late.remove(self.letters[0].subject)
        else:
            self.begun.append(self.letters.popleft())
            self.client.begin(self.begun[-1])

    def _serve(self, data: bytes) -> None:
        self.arrived += data
        self.server.receive(data)
        while (event := self.server.next_event()) is not None:
            action = next(self.script) if len(self.log) >= 2 else None  # greeting and EHLO
            reply = event.proposed
            if isinstance(action, int):
                reply = Reply(action, ("",))
            if len(self.log) >= 2:
                reply = Reply(reply.code, (f"event {len(self.log)}",))
            if action == "cut":
                self.is_cut = True
                return
            self.log.append(Answered(event, reply))
            if action == "silence":
                self.is_cut = True
                return
            self.server.respond(reply)

    def _cut_up(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = next(self._sizes)
            yield data[:size]
            data = data[size:]

    # What a test asks.

    def commands(self) -> str:
        """What the server saw after EHLO, a letter each; B is a content."""
        initials = {"MAIL": "M", "RCPT": "C", "DATA": "D", "RSET": "R", "QUIT": "Q", "BDAT": "X"}
        return "".join(
            initials.get(each.event.verb, "?") if isinstance(each.event, Command) else "B"
            for each in self.log[2:]
        )

    def messages(self) -> list[tuple[Message, Reply]]:
        return [(each.event, each.reply) for each in self.log if isinstance(each.event, Message)]
