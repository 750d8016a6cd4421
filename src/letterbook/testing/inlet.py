"""What an SMTP client says, line by line or chunk by chunk, and what of it has come already."""

import asyncio
from typing import Final

from letterbook.smtp.envelope import parse_rcpt
from letterbook.smtp.errors import BadCommand

_CHUNK: Final = 65_536
_RCPT_PARAMETERS: Final = frozenset(("NOTIFY", "ORCPT"))


class Gone(Exception):  # noqa: N818 - it is no error
    """The other side has closed the connection."""


class Inlet:
    """What a client says, in lines or chunks."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = b""

    @property
    def has_line(self) -> bool:
        """Whether another line has come already."""
        return b"\n" in self._buffer

    @property
    def ahead(self) -> bytes:
        """What has come and was not taken."""
        return self._buffer

    async def line(self) -> bytes:
        """Return the next line with its end. Raises Gone."""
        while not self.has_line:
            self._buffer += await self._read()
        line, end, self._buffer = self._buffer.partition(b"\n")
        return line + end

    async def chunk(self) -> bytes:
        """Return what has come, or comes next. Raises Gone."""
        taken, self._buffer = self._buffer or await self._read(), b""
        return taken

    def give_back(self, data: bytes) -> None:
        """Put back what was taken and is not content."""
        self._buffer = data + self._buffer

    async def _read(self) -> bytes:
        data = await self._reader.read(_CHUNK)
        if not data:
            raise Gone
        return data


def recipient_of(line: bytes) -> str:
    """Return for whom a RCPT line is, and of a copy, for whom the message first was."""
    verb, _, argument = line.decode("utf-8", "replace").strip().partition(" ")
    if verb.upper() != "RCPT":
        return ""
    try:
        recipient = parse_rcpt(argument, _RCPT_PARAMETERS)
    except BadCommand:
        return ""
    return recipient.orcpt[1] if recipient.orcpt else recipient.address


async def pass_on_to(data: bytes, writer: asyncio.StreamWriter) -> None:
    """Write ``data``. Raises Gone."""
    if writer.is_closing():  # uvloop's transports do not bear a write then
        raise Gone
    writer.write(data)
    await writer.drain()
