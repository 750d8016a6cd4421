"""Reading a CSV file of unknown make: its encoding and delimiter are told from the file."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import charset_normalizer

from letterbook.control.recipients.errors import ImportFileError

_BLOCK: Final = 1 << 20
_SAMPLE: Final = 64 * 1024
_DELIMITERS: Final = ",;\t|"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like the next
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STRAY_QUOTE: Final = "expected after"
"""What csv says of text that follows a closing quote."""

_WESTERN: Final = "cp1252"
_EASTERN: Final = ("cp1250", "iso8859_2", "cp1257")
_GUESSES: Final = (
    *_EASTERN, "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp932", "euc_jp", "gb18030",
    "big5", "cp949",
)  # fmt: skip
"""What programs write today; with all that Python knows, short texts look like anything."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written."""

    encoding: str
    delimiter: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file and the line it begins on, from 1.

    With a ``problem`` it could not be taken apart, and its one value is the line as it stands.
    """

    line: int
    values: list[str]
    problem: str | None = None


def detect_format(path: Path) -> Format:
    """Tell the encoding and the delimiter of ``path``. Raises ImportFileError."""
    try:
        with path.open("rb") as file:
            sample = file.read(_SAMPLE)
            encoding = _encoding(file, sample)
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}") from error
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    if not text.strip():
        raise ImportFileError(f"{path} is empty; it needs a header row and a row a recipient")
    return Format(encoding, _delimiter(text))


def read_rows(path: Path, file_format: Format, progress: Callable[[int], None]) -> Iterator[Row]:
    """Yield the rows of ``path``, the header first; empty lines are left out.

    A line with a stray quote is a row with a problem. ``progress`` is told the octets read so far,
    now and then. Raises ImportFileError, naming the line, when the file cannot be read on.
    """
    with path.open("rb") as octets:
        lines = _Lines(io.TextIOWrapper(octets, encoding=file_format.encoding, newline=""))
        reader = csv.reader(lines, delimiter=file_format.delimiter, strict=True)
        line = 1
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                if line == 1 or reader.line_num > line or _STRAY_QUOTE not in str(error):
                    # Nobody can tell where this row ends and what it has swallowed.
                    raise ImportFileError(f"{path}, line {line}: {error}") from error
                yield Row(line, [lines.last.rstrip("\r\n")], f"its quotes are wrong: {error}")
                values = []
            except UnicodeDecodeError as error:
                raise ImportFileError(
                    f"{path}, near line {line}: not in {file_format.encoding}"
                ) from error
            if values is None:
                return
            if values:
                yield Row(line, values)
            line = reader.line_num + 1
            if line % 10_000 == 0:
                progress(octets.tell())


class _Lines:
    """The lines of a file; ``last`` is the one that was read last."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.last = line
            yield line


def _encoding(file: BinaryIO, sample: bytes) -> str:
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    if sample[:2].count(0) == 1:  # the title of a column hardly begins with NUL
        return "utf-16-be" if sample[0] == 0 else "utf-16-le"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)
        while block := file.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _guess(_beyond_ascii(file, sample))
    return "utf-8"


def _guess(octets: bytes) -> str:
    """Return the likeliest encoding.

    Names and towns tell Western from Eastern European badly: it is Western unless that looks worse.
    """
    western, other = (
        charset_normalizer.from_bytes(octets, cp_isolation=list(names)).best()
        for names in ((_WESTERN,), _GUESSES)
    )
    if western and (other is None or (other.encoding in _EASTERN and western.chaos <= other.chaos)):
        return _WESTERN
    return other.encoding if other else _WESTERN


def _beyond_ascii(file: BinaryIO, sample: bytes) -> bytes:
    """Return lines that tell something about the encoding."""
    if not sample.isascii():
        return sample
    file.seek(0)
    telling = (line for line in file if not line.isascii())
    return b"".join(line for line, _ in zip(telling, range(500), strict=False))


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first rows most evenly."""
    lines = [line for line in text.splitlines() if line.strip()][:20]

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        width = widths[0]
        return (sum(1 for each in widths if each == width) if width > 1 else 0, width)

    return max(_DELIMITERS, key=evenness)
