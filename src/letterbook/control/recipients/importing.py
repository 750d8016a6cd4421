"""Importing a file of recipients: streamed into PostgreSQL, merged set-wise."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TextIO

import msgspec
from django.db import transaction

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.platform import queries as platform
from letterbook.control.recipients.columns import Column, map_columns, reader_of
from letterbook.control.recipients.csvfile import Row, detect_format, read_rows
from letterbook.control.recipients.errors import ImportFileError
from letterbook.control.recipients.models import Attribute, RecipientList
from letterbook.control.recipients.queries import attribute_types
from letterbook.mail.address import address_key, normalise_address
from letterbook.mail.errors import AddressError

_COPY: Final = (
    "COPY recipients_staging (line, key, email, first_name, last_name, language, attributes) "
    "FROM STDIN"
)
_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported. ``line`` counts from 1, the header included."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the rows of a file.

    ``new`` + ``updated`` people were imported from ``rows`` - ``rejected`` rows; ``merged`` rows
    fell on an address that a later row of the file had too.
    """

    rows: int
    new: int
    updated: int
    merged: int
    rejected: int
    rejects: tuple[Reject, ...]
    rejects_file: Path | None
    encoding: str
    delimiter: str


class RowError(ValueError):
    """A row cannot be imported."""


def import_recipients(
    actor: Actor,
    path: Path,
    list_name: str,
    *,
    mapping: Mapping[str, str],
    rejects_file: Path,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Import ``path`` into the list ``list_name``, which is made when it does not exist.

    All or nothing, but for rows that are rejected: they are written to ``rejects_file`` with
    their line and reason. Memory stays constant. ``progress`` is told the octets read. Raises
    ImportFileError and MappingError.
    """
    actor.require(Right.RECIPIENT_IMPORT)
    if not list_name.strip():
        raise ImportFileError("the list that the people go into needs a name")
    if rejects_file.exists() and path.exists() and rejects_file.samefile(path):
        raise ImportFileError(f"rejects written to {rejects_file} would overwrite the file itself")
    file_format = detect_format(path)
    rows = read_rows(path, file_format, progress)
    header = next(rows, None)
    if header is None:
        raise ImportFileError(f"{path} is empty; it needs a header row and a row a recipient")
    columns = map_columns(header.values, mapping, attribute_types())
    archive = platform.archive()
    forbidden = {address_key(each) for each in (archive.address, archive.pending) if each}
    with transaction.atomic(), _Rejects(rejects_file, header.values) as rejects:
        staged = _stage(rows, _RowReader(columns, forbidden), rejects)
        new, updated = _merge(columns, _list_id(list_name))
        _remember_attributes(columns)
        report = ImportReport(
            rows=staged + rejects.count,
            new=new,
            updated=updated,
            merged=staged - new - updated,
            rejected=rejects.count,
            rejects=tuple(rejects.first),
            rejects_file=rejects_file if rejects.count else None,
            encoding=file_format.encoding,
            delimiter=file_format.delimiter,
        )
        record(
            actor,
            "import recipients",
            f"list {list_name}",
            after={"new": new, "updated": updated, "rejected": rejects.count},
        )
    return report


class _RowReader:
    """Turns the values of a row into a row of the staging table."""

    def __init__(self, columns: Sequence[Column], forbidden: set[str]) -> None:
        position = {column.name: index for index, column in enumerate(columns)}
        self._width = len(columns)
        self._email = position["email"]
        self._person = [position.get(name) for name in ("first_name", "last_name", "language")]
        self._attributes = [
            (index, column.name, None if column.type == "text" else reader_of(column.type))
            for index, column in enumerate(columns)
            if not column.is_field
        ]
        self._forbidden = forbidden

    def read(self, row: Row) -> tuple[object, ...]:
        """Return the row for COPY. Raises RowError."""
        values = row.values
        if row.problem is not None:
            raise RowError(row.problem)
        if len(values) != self._width:
            raise RowError(f"it has {len(values)} values, the header has {self._width}")
        if "\0" in "".join(values):
            raise RowError("it contains a NUL character")
        email = self._address(values[self._email])
        key = address_key(email)
        if key in self._forbidden:
            raise RowError("this is the archive address, which is never a recipient")
        person = [None if at is None else values[at].strip() for at in self._person]
        return (row.line, key, email, *person, _encode_json(self._typed(values)).decode())

    def _address(self, text: str) -> str:
        if not text.strip():
            raise RowError("it has no address")
        try:
            return normalise_address(text)
        except AddressError as error:
            raise RowError(f"{text.strip()!r} is not an address: {error}") from None

    def _typed(self, values: Sequence[str]) -> dict[str, object]:
        typed: dict[str, object] = {}
        for index, name, read in self._attributes:
            text = values[index].strip()
            if not text:
                continue
            try:
                typed[name] = read(text) if read else text
            except ValueError as error:
                raise RowError(f"{name}: {text!r} {error}") from None
        return typed


class _Rejects:
    """The rejects file, which exists only when there is something in it.

    A file that an earlier import left goes too: its rows may be imported by now.
    """

    _SHOWN: Final = 20

    def __init__(self, path: Path, titles: Sequence[str]) -> None:
        self._path = path
        self._titles = titles
        self._file: TextIO | None = None
        self._writer: Any = None
        self.count = 0
        self.first: list[Reject] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if (failure is None) == (self._file is None):  # nothing rejected, or nothing imported
            with suppress(OSError):
                self._remove()

    def add(self, row: Row, reason: str) -> None:
        if self._file is None:
            self._file = self._open()
            self._writer = csv.writer(self._file)
            self._writer.writerow(["line", "reason", *self._titles])
        self._writer.writerow([row.line, reason, *row.values])
        self.count += 1
        if len(self.first) < self._SHOWN:
            self.first.append(Reject(row.line, reason))

    def _open(self) -> TextIO:
        """Open a new file: its personal data is for the one who imports only."""
        try:
            self._remove()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ImportFileError(f"cannot write {self._path}: {error.strerror}") from error
        return os.fdopen(descriptor, "w", encoding="utf-8", newline="")

    def _remove(self) -> None:
        if self._path.is_file():
            self._path.unlink()


def _stage(rows: Iterator[Row], reader: _RowReader, rejects: _Rejects) -> int:
    staged = 0
    with cursor() as db:
        db.execute(statement("recipients", "stage"))
        with db.copy(_COPY) as copy:
            for row in rows:
                try:
                    copy.write_row(reader.read(row))
                    staged += 1
                except RowError as error:
                    rejects.add(row, str(error))
    return staged


def _merge(columns: Sequence[Column], list_id: int) -> tuple[int, int]:
    names = {column.name for column in columns}
    with cursor() as db:
        db.execute(
            statement("recipients", "merge"),
            {
                "list": list_id,
                "has_first_name": "first_name" in names,
                "has_last_name": "last_name" in names,
                "has_language": "language" in names,
                "columns": [column.name for column in columns if not column.is_field],
            },
        )
        new, updated = db.fetchone()
    return new, updated


def _list_id(name: str) -> int:
    recipient_list, _ = RecipientList.objects.get_or_create(name=name)
    return recipient_list.pk


def _remember_attributes(columns: Sequence[Column]) -> None:
    Attribute.objects.bulk_create(
        [Attribute(name=each.name, type=each.type) for each in columns if not each.is_field],
        ignore_conflicts=True,
    )
