"""What a client has sent and nobody has read yet, cut into command lines and contents.

Only CRLF ends a line and only CRLF.CRLF ends a content (RFC 5321, 4.1.1.4): whoever takes less
for an end lets one message be smuggled inside another.
"""

from typing import Final

from letterbook.smtp.content import is_canonical, unstuff
from letterbook.smtp.errors import BadCommand

_END: Final = b"\r\n.\r\n"


class Intake:
    """A buffer that forgets what is too long, and says so once its end has come."""

    __slots__ = ("_buffer", "_dropped", "_searched", "_skipped")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no end begins before it
        self._dropped = False  # the front of what is being read
        self._skipped = 0  # octets of the chunk that is being read

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        self._buffer.clear()
        self._searched = self._skipped = 0
        self._dropped = False

    def line(self, limit: int) -> bytes | None:
        """The next line without its CRLF; ``limit`` counts it.

        Raises BadCommand for a line that is too long or has a bare CR, a bare LF or NUL.
        """
        line = self._until(b"\r\n", keep=0, bear=limit)
        if line is None:
            return None
        if self._was_dropped() or len(line) + 2 > limit:
            raise BadCommand(500, "5.5.2 This line is too long")
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadCommand(500, "5.5.2 Lines end in CRLF; no bare CR, bare LF or NUL is taken")
        return line

    def begin_content(self) -> None:
        """Read a content next. CRLF before it lets a dot on its first line be like any other."""
        self._buffer[:0] = b"\r\n"
        self._searched = 0

    def content(self, limit: int | None) -> bytes | None:
        """The next content, un-stuffed and without its final dot.

        Raises BadCommand for a content that is larger than ``limit`` or has a bare CR or LF.
        """
        # Stuffing at most doubles a content. Beyond that it is dropped as it comes.
        stuffed = self._until(_END, keep=2, bear=None if limit is None else 2 * limit + 8)
        if stuffed is None:
            return None
        content = unstuff(stuffed)[2:]
        too_large = self._was_dropped() or (limit is not None and len(content) > limit)
        return acceptable(content, too_large=too_large)

    def chunk(self, size: int, *, keep: bool) -> bytes | None:
        """The next ``size`` octets (RFC 3030, 2); empty unless they are to be kept."""
        if not keep:
            skipped = min(size - self._skipped, len(self._buffer))
            del self._buffer[:skipped]
            self._skipped += skipped
            if self._skipped < size:
                return None
            self._skipped = 0
            return b""
        if len(self._buffer) < size:
            return None
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[:size]
        return taken

    def _until(self, end: bytes, *, keep: int, bear: int | None) -> bytes | None:
        """Take what comes before ``end``, with the first ``keep`` octets of it."""
        found = self._buffer.find(end, self._searched)
        if found < 0:
            # An end may have begun in the last octets.
            self._searched = max(0, len(self._buffer) - len(end) + 1)
            if bear is not None and len(self._buffer) > bear:
                del self._buffer[: self._searched]
                self._searched = 0
                self._dropped = True
            return None
        with memoryview(self._buffer) as view:
            taken = bytes(view[: found + keep])
        del self._buffer[: found + len(end)]
        self._searched = 0
        return taken

    def _was_dropped(self) -> bool:
        dropped, self._dropped = self._dropped, False
        return dropped


def acceptable(content: bytes, *, too_large: bool) -> bytes:
    """Return ``content``. Raises BadCommand when it is too large, or has a bare CR or LF."""
    if too_large:
        raise BadCommand(552, "5.3.4 The message is larger than SIZE says")
    if not is_canonical(content):
        raise BadCommand(554, "5.6.0 Lines end in CRLF; no bare CR or bare LF is taken")
    return content
