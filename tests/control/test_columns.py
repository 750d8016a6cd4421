"""From the titles of a file to fields and typed attributes."""

from collections.abc import Mapping

import pytest

from letterbook.control.recipients.columns import map_columns, reader_of
from letterbook.control.recipients.errors import ImportFileError, MappingError
from letterbook.mail.content import FieldType


def names(
    *titles: str,
    wanted: Mapping[str, str] | None = None,
    known: Mapping[str, FieldType] | None = None,
) -> list[str]:
    return [column.name for column in map_columns(titles, wanted or {}, known or {})]


def test_fields_are_found_however_their_titles_are_written():
    assert names("email", "first_name", "last_name", "language") == [
        "email",
        "first_name",
        "last_name",
        "language",
    ]
    assert names("E-Mail", "First Name", "LAST-NAME", " Language ") == [
        "email",
        "first_name",
        "last_name",
        "language",
    ]
    assert names("Correo electrónico", "Nombre", "Apellidos", "Idioma") == [
        "email",
        "first_name",
        "last_name",
        "language",
    ]
    for title in ("mail", "e-mail", "Email Address", "E-mail address", "correo"):
        assert names(title) == ["email"]
    assert names("email", "Given name", "Surname", "lang")[1:] == [
        "first_name",
        "last_name",
        "language",
    ]


def test_other_columns_become_attributes_with_a_name_for_templates():
    assert names("email", "City", "Postal Code", "Straße", "2nd line", "Größe (cm)", "ñ") == [
        "email",
        "city",
        "postal_code",
        "straße",
        "_2nd_line",
        "größe_cm",
        "ñ",
    ]
    # The same letter written in two ways is the same name.
    assert names("email", "cafe\u0301") == names("email", "caf\u00e9")


def test_an_attribute_is_text_unless_asked():
    columns = map_columns(["email", "points", "since"], {"points": "int"}, {})
    assert [column.type for column in columns] == ["text", "int", "text"]


@pytest.mark.parametrize("kind", ["text", "int", "float", "bool", "date"])
def test_every_type_can_be_asked_for_by_title_or_name(kind: str):
    for wish in ("Loyalty Points", "loyalty_points", "LOYALTY-points"):
        columns = map_columns(["email", "Loyalty Points"], {wish: kind}, {})
        assert (columns[1].name, columns[1].type) == ("loyalty_points", kind)


def test_a_column_can_be_mapped_to_a_field():
    assert names("Kontakt", "Vorname", wanted={"Kontakt": "email", "vorname": "first_name"}) == [
        "email",
        "first_name",
    ]


def test_a_mapped_field_frees_its_usual_title():
    wanted = {"work": "email", "email": "text", "nombre": "text"}
    columns = map_columns(["work", "nombre"], {"work": "email", "nombre": "text"}, {})
    assert [(column.name, column.is_field) for column in columns] == [
        ("email", True),
        ("nombre", False),
    ]
    with pytest.raises(ImportFileError, match="two columns are named email"):
        names("work", "email", "nombre", wanted=wanted)


def test_a_known_attribute_keeps_its_type():
    columns = map_columns(["email", "points"], {}, {"points": "int"})
    assert columns[1].type == "int"
    columns = map_columns(["email", "points"], {"points": "int"}, {"points": "int"})
    assert columns[1].type == "int"


def test_a_known_attribute_cannot_change_its_type():
    with pytest.raises(MappingError, match="points holds values of type int since an earlier"):
        map_columns(["email", "points"], {"points": "text"}, {"points": "int"})
    # ... but its column can become a field.
    assert names("email", "points", wanted={"points": "language"}, known={"points": "int"}) == [
        "email",
        "language",
    ]


def test_a_mapping_of_a_column_that_is_not_there_is_refused():
    with pytest.raises(MappingError, match="pionts, which the file lacks; it has email"):
        names("email", "points", wanted={"pionts": "int"})


@pytest.mark.parametrize("target", ["number", "INT", "id", "e-mail", "recipient"])
def test_a_mapping_to_neither_type_nor_field_is_refused(target: str):
    with pytest.raises(MappingError, match=f"{target} is neither a type .*int.* nor a field"):
        names("email", "points", wanted={"points": target})


@pytest.mark.parametrize("field", ["first_name", "last_name", "language", "email"])
def test_a_field_has_no_other_type_than_text(field: str):
    titles = tuple(dict.fromkeys(("email", field)))
    assert names(*titles, wanted={field: "text"}) == list(titles)
    with pytest.raises(MappingError, match=f"{field} is a field"):
        names(*titles, wanted={field: "int"})


def test_two_columns_of_one_name_are_refused():
    for titles in (
        ("email", "City", "city"),
        ("email", "Correo"),
        ("email", "nombre", "First name"),
        ("email", "a b", "a-b"),
    ):
        with pytest.raises(ImportFileError, match="line 1: two columns are named"):
            names(*titles)


def test_without_an_address_nothing_can_be_imported():
    with pytest.raises(
        ImportFileError, match=r"no column is named email; the columns are name, city.*--map"
    ):
        names("name", "city")


@pytest.mark.parametrize("title", ["", "   ", "--", "id", "ID", "★"])
def test_a_title_that_gives_no_name_is_refused(title: str):
    with pytest.raises(ImportFileError, match="line 1: a column cannot be named"):
        names("email", title)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "0", 0),
        ("int", "+7", 7),
        ("int", "-42", -42),
        ("int", "0042", 42),
        ("int", "9" * 18, int("9" * 18)),
        ("float", "1.5", 1.5),
        ("float", "1,5", 1.5),
        ("float", "-3", -3.0),
        ("float", "2e3", 2000.0),
        ("bool", "Yes", True),
        ("bool", "SÍ", True),
        ("bool", "1", True),
        ("bool", "no", False),
        ("bool", "False", False),
        ("bool", "0", False),
        ("date", "2026-02-28", "2026-02-28"),
        ("text", "007", "007"),
    ],
)
def test_values_are_read_by_their_type(kind: FieldType, text: str, value: object):
    read = reader_of(kind)(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("int", text) for text in ("", "x", "1.0", "1e3", "1 000", "٣", "9" * 19, "0x10", "--1")),
        *(("float", text) for text in ("", "x", "nan", "inf", "1.2.3", "1,2,3", "9" * 300 + "e99")),
        *(("bool", text) for text in ("", "maybe", "2", "-1")),
        *(("date", text) for text in ("", "2026-02-30", "28/02/2026", "tomorrow", "2026-2-3")),
    ],
)
def test_values_of_another_type_are_refused_with_a_reason(kind: FieldType, text: str):
    with pytest.raises(ValueError, match=r"^is n(ot|either) "):
        reader_of(kind)(text)
