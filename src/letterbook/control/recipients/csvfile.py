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
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written."""

    encoding: str
    delimiter: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file and the line it begins on, from 1."""

    line: int
    values: list[str]


def detect_format(path: Path) -> Format:
    """Tell the encoding and the delimiter of ``path``. Raises ImportFileError."""
    try:
        with path.open("rb") as file:
            sample = file.read(_SAMPLE)
            encoding = _encoding(file, sample)
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror}") from error
    if not sample.strip():
        raise ImportFileError(f"{path} is empty; it needs a header row and a row a recipient")
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    return Format(encoding, _delimiter(text))


def read_rows(path: Path, file_format: Format, progress: Callable[[int], None]) -> Iterator[Row]:
    """Yield the rows of ``path``, the header first; empty lines are left out.

    ``progress`` is told the octets read so far, now and then. Raises ImportFileError, naming the
    line, when the file cannot be read on.
    """
    with path.open("rb") as octets:
        file = io.TextIOWrapper(octets, encoding=file_format.encoding, newline="")
        reader = csv.reader(file, delimiter=file_format.delimiter, strict=True)
        line = 1
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                raise ImportFileError(f"{path}, line {line}: {error}") from error
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


def _encoding(file: BinaryIO, sample: bytes) -> str:
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)
        while block := file.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        guess = charset_normalizer.from_bytes(_beyond_ascii(file, sample)).best()
        return guess.encoding if guess else "cp1252"
    return "utf-8"


def _beyond_ascii(file: BinaryIO, sample: bytes) -> bytes:
    """Return lines that tell something about the encoding."""
    if not sample.isascii():
        return sample
    file.seek(0)
    telling = (line for line in file if not line.isascii())
    return b"".join(line for line, _ in zip(telling, range(500), strict=False))


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first rows most evenly."""
    lines = text.splitlines()[:20]

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        width = widths[0]
        return (sum(1 for each in widths if each == width) if width > 1 else 0, width)

    return max(_DELIMITERS, key=evenness)
