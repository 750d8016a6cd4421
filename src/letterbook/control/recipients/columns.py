"""From the header row of a file to fields and typed attributes."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, get_args

from letterbook.control.recipients.errors import ImportFileError, MappingError
from letterbook.mail.content import LEDGER_FIELDS, PERSON_FIELDS, FieldType

FIELDS: Final = ("email", *PERSON_FIELDS)
TYPES: Final[tuple[FieldType, ...]] = get_args(FieldType)

_ALIASES: Final[Mapping[str, str]] = {
    "e_mail": "email",
    "mail": "email",
    "email_address": "email",
    "e_mail_address": "email",
    "correo": "email",
    "correo_electrónico": "email",
    "firstname": "first_name",
    "given_name": "first_name",
    "nombre": "first_name",
    "lastname": "last_name",
    "surname": "last_name",
    "family_name": "last_name",
    "apellidos": "last_name",
    "apellido": "last_name",
    "lang": "language",
    "idioma": "language",
}
_TRUE: Final = frozenset(("true", "yes", "y", "1", "t", "sí", "si", "verdadero"))
_FALSE: Final = frozenset(("false", "no", "n", "0", "f", "falso"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file. ``name`` is a field, or an attribute of type ``type``."""

    title: str
    name: str
    type: FieldType

    @property
    def is_field(self) -> bool:
        return self.name in FIELDS


def map_columns(
    titles: Sequence[str], wanted: Mapping[str, str], known: Mapping[str, FieldType]
) -> list[Column]:
    """Give each column of the header row its meaning.

    ``wanted`` maps a title or name to a type or a field (``--map``); ``known`` are the types of
    attributes that exist already. Raises ImportFileError and MappingError.
    """
    wishes = {attribute_name(column): target for column, target in wanted.items()}
    columns = [_column(title, wishes, known) for title in titles]
    names = [column.name for column in columns]
    if unknown := set(wishes) - {attribute_name(title) for title in titles}:
        raise MappingError(
            f"--map names the column {', '.join(sorted(unknown))}, which the file lacks; "
            f"it has {', '.join(titles)}"
        )
    if twice := {name for name in names if names.count(name) > 1}:
        raise ImportFileError(f"line 1: two columns are named {', '.join(sorted(twice))}")
    if "email" not in names:
        raise ImportFileError(
            f"line 1: no column is named email; the columns are {', '.join(titles)}. "
            "Say which one holds the address with --map COLUMN:email"
        )
    return columns


def attribute_name(title: str) -> str:
    """Return the name under which a template knows the column ``title``."""
    text = unicodedata.normalize("NFKC", title).strip().lower()
    name = re.sub(r"\W+", "_", text).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def reader_of(column_type: FieldType) -> Callable[[str], object]:
    """Return the function that reads a value of ``column_type``; it raises ValueError."""
    return _READERS[column_type]


def _column(title: str, wishes: Mapping[str, str], known: Mapping[str, FieldType]) -> Column:
    name = attribute_name(title)
    if not name.isidentifier() or (name in LEDGER_FIELDS and name != "email"):
        raise ImportFileError(f"line 1: a column cannot be named {title!r}")
    wish = wishes.get(name)
    if wish in FIELDS:
        return Column(title, wish, "text")
    field = _ALIASES.get(name, name)
    if field in FIELDS and wish is None:
        return Column(title, field, "text")
    column_type = next((each for each in TYPES if each == wish), None)
    if wish is not None and column_type is None:
        raise MappingError(
            f"--map {title}:{wish}: {wish} is neither a type ({', '.join(TYPES)}) "
            f"nor a field ({', '.join(FIELDS)})"
        )
    if name in FIELDS and column_type != "text":
        raise MappingError(f"--map {title}:{wish}: {name} is a field, and fields are text")
    if column_type and known.get(name, column_type) != column_type:
        raise MappingError(
            f"{name} holds values of type {known[name]} since an earlier import; import it as "
            f"{known[name]}, or give the column another name"
        )
    return Column(title, name, column_type or known.get(name, "text"))


def _int(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError("is not a whole number")
    return int(text)


def _float(text: str) -> float:
    if not re.fullmatch(r"[+-]?\d{1,300}([.,]\d+)?([eE][+-]?\d{1,2})?", text, re.ASCII):
        raise ValueError("is not a number")
    number = float(text.replace(",", "."))
    if not math.isfinite(number):
        raise ValueError("is not a number that can be kept")
    return number


def _bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("is neither true nor false")
    return word in _TRUE


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is not a date of the form 2026-12-31") from None


_READERS: Final[Mapping[FieldType, Callable[[str], object]]] = {
    "text": str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "date": _date,
}
