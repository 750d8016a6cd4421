"""The sink of every row: takes all mail, keeps nothing, counts, and is as far away as wanted.

It runs in a process of its own (``python -m bench.sink COUNTERS DELAY CHUNKING``) and prints its
port. What it counts lies in a small file that the bench maps into memory too, so that to look costs
nobody anything. No asyncio and no protocol machine: on two cores, what the sink uses is what the
sender lacks.
"""

import mmap
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

_CRLF: Final = b"\r\n"
_END: Final = b"\r\n.\r\n"
_KEEP: Final = len(_END) - 1
_READ: Final = 262_144
_GREETING: Final = b"220 sink.example ESMTP\r\n"
_EHLO: Final = (
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n250-8BITMIME\r\n"
    b"250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"
)
_CHUNKING: Final = b"250-CHUNKING\r\n250 ENHANCED"
_REPLIES: Final = {
    b"EHLO": _EHLO,
    b"HELO": b"250 sink.example\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
_TAKEN: Final = b"250 2.0.0 Ok: taken\r\n"
_UNKNOWN: Final = b"500 5.5.1 This command is not known here\r\n"


class Counters:
    """What a sink has taken so far, shared between two processes."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 16)).cast("q")

    def add(self, octets: int) -> None:
        self._numbers[0] += 1
        self._numbers[1] += octets

    @property
    def messages(self) -> int:
        return self._numbers[0]

    @property
    def octets(self) -> int:
        """Octets of content, dot-stuffed as they came."""
        return self._numbers[1]


class _Connection:
    """One client: turns what it sends into what is to be answered."""

    __slots__ = ("_counters", "_due", "_in_content", "_octets", "_rest", "ended", "socket")

    def __init__(self, client: socket.socket, counters: Counters) -> None:
        self.socket = client
        self.ended = False
        self._counters = counters
        self._in_content = False
        self._due = 0  # octets of a chunk
        self._octets = 0
        self._rest = b""

    def answer(self, buffer: bytearray, octets: int) -> bytes:
        """Take what was read into ``buffer``; return all replies to it, as one chunk.

        ``octets`` were read, behind _KEEP that are free for those which came before.
        """
        until = _KEEP + octets
        if self._due:
            return self._chunk(buffer, until)
        if not self._in_content:
            return self._commands(self._rest + buffer[_KEEP:until])
        buffer[:_KEEP] = self._rest
        # From the end, where it nearly always is; only one content can be on its way.
        end = buffer.rfind(_END, 0, until)
        if end < 0:
            self._octets += octets
            self._rest = bytes(buffer[octets:until])
            return b""
        self._counters.add(self._octets + end + len(_CRLF) - _KEEP)
        self._in_content = False
        return _TAKEN + self._commands(bytes(buffer[end + len(_END) : until]))

    def _chunk(self, buffer: bytearray, until: int) -> bytes:
        taken = min(until - _KEEP, self._due)
        self._due -= taken
        if self._due:
            return b""
        self._counters.add(self._octets)
        return _TAKEN + self._commands(bytes(buffer[_KEEP + taken : until]))

    def _commands(self, data: bytes) -> bytes:
        answers = []
        begin = 0
        self._rest = b""
        while (end := data.find(_CRLF, begin)) >= 0:
            line, begin = data[begin:end], end + len(_CRLF)
            verb = line[:4].upper()
            if verb == b"BDAT":
                self._octets = int(line.split()[1])
                self._due = max(0, self._octets - (len(data) - begin))
                begin += self._octets
                if self._due:
                    return b"".join(answers)
                self._counters.add(self._octets)
                answers.append(_TAKEN)
                continue
            answers.append(_REPLIES.get(verb, _UNKNOWN))
            if verb == b"DATA":
                self._in_content = True
                self._octets = 0
                self._rest = b"\0\0\r\n"  # the end may come at once
                return b"".join(answers)
            if verb == b"QUIT":
                self.ended = True
        self._rest = data[begin:]
        return b"".join(answers)


class _Server:
    """All connections of one sink; what is to be written waits in line for its time."""

    def __init__(self, listener: socket.socket, counters: Counters, delay: float) -> None:
        self._listener = listener
        self._counters = counters
        self._delay = delay
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._buffer = bytearray(_KEEP + _READ)  # one, for new memory costs more than reading
        self._free = memoryview(self._buffer)[_KEEP:]
        self._line: deque[tuple[float, _Connection, bytes]] = deque()

    def run(self) -> None:
        while True:
            for number, _ in self._wait():
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._read(self._connections[number])

    def _wait(self) -> list[tuple[int, int]]:
        """Wait for input, or for the time of the first in line: to the microsecond, as epoll
        by itself cannot."""
        if self._delay:
            self._write_due()
            left = max(0.0, self._line[0][0] - time.monotonic()) if self._line else None
            select.select([self._epoll], (), (), left)
            self._write_due()
            return self._epoll.poll(0)
        return self._epoll.poll()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, self._counters)
        self._connections[client.fileno()] = connection
        self._epoll.register(client, select.EPOLLIN)
        self._answer(connection, _GREETING)

    def _read(self, connection: _Connection) -> None:
        try:
            octets = connection.socket.recv_into(self._free)
        except ConnectionError:
            octets = 0
        if not octets:
            self._close(connection)
            return
        answer = connection.answer(self._buffer, octets)
        if answer:
            self._answer(connection, answer)

    def _answer(self, connection: _Connection, answer: bytes) -> None:
        if self._delay:
            self._line.append((time.monotonic() + self._delay, connection, answer))
        else:
            self._write(connection, answer)

    def _write_due(self) -> None:
        now = time.monotonic()
        while self._line and self._line[0][0] <= now:
            _, connection, answer = self._line.popleft()
            self._write(connection, answer)

    def _write(self, connection: _Connection, answer: bytes) -> None:
        if connection.socket.fileno() < 0:
            return
        try:
            connection.socket.sendall(answer)
        except ConnectionError:
            self._close(connection)
            return
        if connection.ended:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._epoll.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()


class Sink:
    """A sink that is running, as the bench sees it."""

    def __init__(self, port: int, process: int, counters: Counters) -> None:
        self.port = port
        self.process = process
        self._counters = counters
        self._seen = (0, 0)

    def reset(self) -> Self:
        """Count from here on."""
        self._seen = self._counters.messages, self._counters.octets
        return self

    @property
    def messages(self) -> int:
        """Messages taken since ``reset``."""
        return self._counters.messages - self._seen[0]

    @property
    def octets(self) -> int:
        return self._counters.octets - self._seen[1]


@contextmanager
def running_sink(delay: float = 0.0, *, chunking: bool = False) -> Iterator[Sink]:
    """A sink ``delay`` seconds of round trip away, in a process of its own."""
    with tempfile.NamedTemporaryFile(prefix="letterbook-sink-") as file:
        file.write(bytes(16))
        file.flush()
        command = [sys.executable, "-m", "bench.sink", file.name, str(delay), str(int(chunking))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                port = int(process.stdout.readline())
                yield Sink(port, process.pid, Counters(Path(file.name)))
            finally:
                process.terminate()


def main() -> None:
    """Listen on a free port of loopback, print it, and take mail until ended."""
    counters, delay, chunking = sys.argv[1:]
    if int(chunking):
        _REPLIES[b"EHLO"] = _EHLO.replace(b"250 ENHANCED", _CHUNKING)
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        print(listener.getsockname()[1], flush=True)
        _Server(listener, Counters(Path(counters)), float(delay)).run()


if __name__ == "__main__":
    main()
