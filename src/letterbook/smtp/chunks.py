"""What BDAT has brought of a message so far, at the server (RFC 3030, 2)."""

from letterbook.smtp.errors import BadCommand
from letterbook.smtp.intake import Intake, acceptable


class Chunks:
    """The chunks of one message. ``limit``: octets of a message, None: any number."""

    __slots__ = ("_awaited", "_chunks", "_limit", "_size", "argument", "whole")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._awaited: int | None = None  # octets of the chunk that is being read
        self._chunks: list[bytes] = []
        self._size = 0
        self.argument = ""
        """What stood behind the last BDAT."""
        self.whole = False
        """Whether the last chunk has come."""

    @property
    def begun(self) -> bool:
        """Whether there was a chunk."""
        return bool(self.argument)

    @property
    def reading(self) -> bool:
        """Whether a chunk is on its way."""
        return self._awaited is not None

    def begin(self, argument: str) -> None:
        """Await the chunk of ``BDAT argument``. Raises BadCommand."""
        size, _, last = argument.partition(" ")
        if not (size.isascii() and size.isdigit()) or last.upper() not in ("", "LAST"):
            raise BadCommand(501, "5.5.4 BDAT needs a size, and nothing but LAST may follow it")
        self.argument = argument
        self._awaited = int(size)
        self.whole = bool(last)

    def read(self, intake: Intake, *, keep: bool) -> bool:
        """Take the chunk from ``intake``; say whether it was all there."""
        if self._awaited is None:
            return False
        octets = intake.chunk(self._awaited, keep=keep and not self._too_large(self._awaited))
        if octets is None:
            return False
        self._size += self._awaited
        self._chunks.append(octets)
        self._awaited = None
        return True

    def content(self) -> bytes:
        """Return the whole message. Raises BadCommand when it must not be taken."""
        return acceptable(b"".join(self._chunks), too_large=self._too_large(0))

    def _too_large(self, more: int) -> bool:
        return self._limit is not None and self._size + more > self._limit
