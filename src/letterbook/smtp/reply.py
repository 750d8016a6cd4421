"""Replies (RFC 5321, 4.2) and the reader that finds them in a stream of bytes."""

import re
from dataclasses import dataclass
from typing import Final

from letterbook.smtp.errors import ProtocolViolation, UnsafeCommand

MAX_LINE: Final = 4_096  # octets without the line end; RFC 5321 (4.5.3.1.5) asks for 512
MAX_LINES: Final = 256
_MAX_KNOWN: Final = 32

_CODES: Final = {b"%d" % code: code for code in range(200, 600)}
_ENHANCED: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: |$)")
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), "�")
_CONTROLS[ord("\t")] = " "


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers to one command; ``lines`` are its texts without the code."""

    code: int
    lines: tuple[str, ...] = ("",)

    @property
    def enhanced(self) -> tuple[int, int, int] | None:
        """The status code of RFC 3463, when the first line has one of the reply's class."""
        found = _ENHANCED.match(self.lines[0])
        if found is None or int(found[1]) != self.code // 100:
            return None
        return int(found[1]), int(found[2]), int(found[3])

    @property
    def text(self) -> str:
        """The whole reply in one line, code first, as the ledger keeps it."""
        return " ".join((str(self.code), *filter(None, self.lines)))

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def intermediate(self) -> bool:
        return 300 <= self.code < 400

    @property
    def transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return 500 <= self.code < 600

    def encode(self) -> bytes:
        """The reply as it goes over the wire."""
        *before, last = self.lines
        written = "".join([f"{self.code}-{line}\r\n" for line in before])
        written += f"{self.code} {last}\r\n"
        ends = len(self.lines)
        if written.count("\r") != ends or written.count("\n") != ends or "\0" in written:
            raise UnsafeCommand(f"the reply {self.text!r} has a line end or NUL in its text")
        return written.encode("utf-8", "replace")


class ReplyReader:
    """Finds replies in a stream, however it is cut; holds at most one unfinished reply."""

    __slots__ = ("_code", "_known", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""  # of a line
        self._code = 0  # of the unfinished multi-line reply
        self._lines: list[str] = []
        # Servers say the same few words to every MAIL, RCPT and DATA: read each line once.
        self._known: dict[bytes, Reply] = {}

    @property
    def pending(self) -> bool:
        """Whether an unfinished reply is held."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that ``data`` completes.

        Raises ProtocolViolation, carrying the replies before it; the reader is then spent.
        """
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        replies: list[Reply] = []
        try:
            for line in lines:
                reply = None if self._lines else self._known.get(line)
                if reply is None:
                    reply = self._read(line)
                if reply is not None:
                    replies.append(reply)
            if len(self._rest) > MAX_LINE + 1:  # one more: it may be the CR of the line end
                raise _too_long(self._rest)
        except ProtocolViolation as violation:
            self._rest = b""
            violation.replies = tuple(replies)
            raise
        return replies

    def _read(self, whole: bytes) -> Reply | None:
        line = whole.removesuffix(b"\r")
        if len(line) > MAX_LINE:
            raise _too_long(line)
        code = _CODES.get(line[:3])
        if code is None:
            raise ProtocolViolation(f"the server sent {line[:80]!r}, which is not a reply")
        text = line[4:].decode("utf-8", "replace")
        if not text.isprintable():
            text = text.translate(_CONTROLS)
        if not self._lines and line[3:4] == b" ":
            reply = Reply(code, (text,))
            if len(self._known) < _MAX_KNOWN:
                self._known[whole] = reply
            return reply
        return self._gather(line, code, text)

    def _gather(self, line: bytes, code: int, text: str) -> Reply | None:
        """Add a line to a multi-line reply, or take a bare code for a reply."""
        if line[3:4] not in b"- ":  # an empty end, after a bare code, is in it as well
            raise ProtocolViolation(f"the server sent {line[:80]!r}, which is not a reply")
        if self._lines and code != self._code:
            raise ProtocolViolation(f"the server changed from {self._code} to {code} in one reply")
        if len(self._lines) >= MAX_LINES:
            raise ProtocolViolation(f"the server sent a reply of over {MAX_LINES} lines")
        self._code = code
        self._lines.append(text)
        if line[3:4] == b"-":
            return None
        whole = Reply(code, tuple(self._lines))
        self._lines.clear()
        return whole


def _too_long(line: bytes) -> ProtocolViolation:
    return ProtocolViolation(
        f"the server sent a line of over {MAX_LINE} octets, starting {line[:80]!r}"
    )
