"""Importing files of recipients: what is kept, what is rejected, what is left as it was."""

import stat

import pytest

from letterbook.control.kernel.actor import Right
from letterbook.control.kernel.errors import NotAllowedError
from letterbook.control.platform.actions import set_archive_address
from letterbook.control.recipients.actions import opt_out
from letterbook.control.recipients.errors import ImportFileError, MappingError
from letterbook.control.recipients.importing import import_recipients
from letterbook.control.recipients.queries import attribute_types, is_recipient
from tests.control.desk import (
    audit,
    do,
    import_file,
    members,
    people,
    rejects,
    rejects_path,
    without,
)
from tests.house import ACTOR, ARCHIVE_ADDRESS, House


def test_fields_attributes_and_the_list(house: House):
    report = import_file(
        house,
        "Email;First name;Apellidos;Language;Postal code;Points\n"
        " ana@Example.ORG ; Ana ;García;es;08001; 12 \n"
        "bo@example.org;Bo;;;;\n",
        "spring",
        mapping={"points": "int"},
    )
    assert (report.rows, report.new, report.updated, report.merged, report.rejected) == (
        2, 2, 0, 0, 0,
    )  # fmt: skip
    assert (report.encoding, report.delimiter) == ("utf-8", ";")
    assert people(house) == {
        "ana@example.org": {
            "first_name": "Ana",
            "last_name": "García",
            "language": "es",
            "attributes": {"postal_code": "08001", "points": 12},
        },
        "bo@example.org": {
            "first_name": "Bo",
            "last_name": "",
            "language": "",
            "attributes": {},
        },
    }
    assert members(house, "spring") == {"ana@example.org", "bo@example.org"}
    assert do(attribute_types) == {"postal_code": "text", "points": "int"}


def test_attributes_can_be_used_in_templates(house: House):
    import_file(
        house,
        'email,city,points,member,since,score\nana@example.org,Málaga,12,yes,2024-02-29,"1,5"\n',
        mapping={"points": "int", "member": "bool", "since": "date", "score": "float"},
    )
    subject = (
        "{{ recipient.city }} {{ recipient.points + 1 }} {{ recipient.score * 2 }} "
        "{% if recipient.member %}m{% endif %} {{ recipient.since.year }}"
    )
    delivery = house.delivery(house.template(email_bcc=False, subject=subject, html="<p>x</p>"))
    findings = house.analyze(delivery).errors
    assert [each.rule for each in findings] == ["route"]
    ((fields,),) = house.sql("SELECT fields FROM outbox_fields")
    assert fields == {
        "city": "Málaga", "points": 12, "member": True, "since": "2024-02-29", "score": 1.5,
    }  # fmt: skip


def test_addresses_are_brought_into_one_form(house: House):
    import_file(
        house,
        "email\nUser@EXAMPLE.org\nana@müller.example\nñu@example.org\n"
        '"""john.doe""@example.org"\n"""odd name""@example.org"\n',
    )
    assert set(people(house)) == {
        "User@example.org",
        "ana@xn--mller-kva.example",
        "ñu@example.org",
        "john.doe@example.org",
        '"odd name"@example.org',
    }


def test_every_rejected_row_has_its_line_and_its_reason(house: House):
    report = import_file(
        house,
        "email,first_name,points\n"
        "ana@example.org,Ana,1\n"
        "not an address,Bo,2\n"
        ",Nobody,3\n"
        "\n"
        'cy@example.org,"Cy\nthe ""second""",4\n'
        "dee@example.org,Dee\n"
        "eve@example.org,Eve,5,6\n"
        "fay@example.org,Fay,many\n"
        "gus@example.org,G\0us,7\n"
        '"hal@example.org","Hal\n\n\nlast",eight\n'
        "ian@localhost..com,Ian,9\n"
        "jo@example.org,Jo,10\n",
        mapping={"points": "int"},
    )
    assert set(people(house)) == {"ana@example.org", "cy@example.org", "jo@example.org"}
    assert (report.rows, report.new, report.rejected) == (11, 3, 8)
    assert [each.line for each in report.rejects] == [3, 4, 8, 9, 10, 11, 12, 16]
    reasons = {each.line: each.reason for each in report.rejects}
    assert "'not an address' is not an address: " in reasons[3]
    assert reasons[4] == "it has no address"
    assert reasons[8] == "it has 2 values, the header has 3"
    assert reasons[9] == "it has 4 values, the header has 3"
    assert reasons[10] == "points: 'many' is not a whole number"
    assert reasons[11] == "it contains a NUL character"
    assert reasons[12] == "points: 'eight' is not a whole number"
    assert "'ian@localhost..com' is not an address: " in reasons[16]
    assert report.rejects_file == rejects_path(house)
    header, *rows = rejects(house)
    assert header == ["line", "reason", "email", "first_name", "points"]
    assert [(int(row[0]), row[1]) for row in rows] == list(reasons.items())
    assert rows[0][2:] == ["not an address", "Bo", "2"]
    assert rows[2][2:] == ["dee@example.org", "Dee"]
    assert rows[3][2:] == ["eve@example.org", "Eve", "5", "6"]
    assert rows[6][2:] == ["hal@example.org", "Hal\n\n\nlast", "eight"]


def test_rejects_can_be_mended_and_imported_in_turn(house: House):
    import_file(house, "email,city\nana@,Málaga\nbo@example.org,León\n")
    mended = rejects_path(house).read_text(encoding="utf-8").replace("ana@,", "ana@example.org,")
    report = import_file(house, mended)
    assert (report.new, report.rejected) == (1, 0)
    assert people(house)["ana@example.org"]["attributes"]["city"] == "Málaga"


def test_only_the_importer_can_read_the_rejects(house: House):
    content = "email\nnot an address\n"
    import_file(house, content)
    assert stat.S_IMODE(rejects_path(house).stat().st_mode) == 0o600
    # ... even where an older file was open to all.
    rejects_path(house).chmod(0o644)
    import_file(house, content)
    assert stat.S_IMODE(rejects_path(house).stat().st_mode) == 0o600


def test_many_rejects_are_all_in_the_file_and_the_first_in_the_report(house: House):
    report = import_file(house, "email\n" + "nobody\n" * 500)
    assert report.rejected == report.rows == 500
    assert [each.line for each in report.rejects] == list(range(2, 22))
    assert len(rejects(house)) == 501


def test_without_rejects_there_is_no_file_of_them(house: House):
    report = import_file(house, "email\nana@example.org\n")
    assert report.rejects_file is None
    assert not rejects_path(house).exists()
    # A file of an earlier attempt would tell of rows that are no longer rejected.
    import_file(house, "email\nana@\n")
    assert rejects_path(house).exists()
    import_file(house, "email\nana@example.org\n")
    assert not rejects_path(house).exists()


def test_the_file_itself_is_never_overwritten_with_its_rejects(house: House):
    path = house.folder / "people.csv"
    content = b"email\nana@\n"
    path.write_bytes(content)
    (house.folder / "other-name.csv").symlink_to(path)
    for name in ("people.csv", "other-name.csv"):
        with pytest.raises(ImportFileError, match="would overwrite"):
            do(
                import_recipients,
                ACTOR,
                path,
                "all",
                mapping={},
                rejects_file=house.folder / name,
            )
        assert path.read_bytes() == content


def test_rejects_that_cannot_be_written_are_a_plain_error(house: House):
    path = house.folder / "people.csv"
    path.write_bytes(b"email\nana@example.org\nbo@\n")
    with pytest.raises(ImportFileError, match=r"cannot write .*: No such file"):
        do(
            import_recipients,
            ACTOR,
            path,
            "all",
            mapping={},
            rejects_file=house.folder / "nowhere" / "rejects.csv",
        )
    assert people(house) == {}


def test_the_last_row_wins_on_one_address(house: House):
    report = import_file(
        house,
        "email,first_name,city\n"
        "ana@example.org,First,Málaga\n"
        "bo@example.org,Bo,León\n"
        "ANA@example.org,Second,\n"
        "Ana@Example.org,Last,\n",
    )
    assert (report.rows, report.new, report.merged, report.rejected) == (4, 2, 2, 0)
    found = people(house)
    assert set(found) == {"Ana@example.org", "bo@example.org"}
    assert found["Ana@example.org"]["first_name"] == "Last"
    assert found["Ana@example.org"]["attributes"] == {}
    assert members(house) == set(found)


def test_a_rejected_row_does_not_win(house: House):
    report = import_file(
        house,
        "email,points\nana@example.org,1\nana@example.org,many\n",
        mapping={"points": "int"},
    )
    assert (report.new, report.merged, report.rejected) == (1, 0, 1)
    assert people(house)["ana@example.org"]["attributes"] == {"points": 1}


def test_importing_again_updates(house: House):
    import_file(
        house,
        "email,first_name,last_name,language,city,points\n"
        "ana@example.org,Ana,García,es,Málaga,7\n"
        "bo@example.org,Bo,Berg,sv,Lund,8\n",
        mapping={"points": "int"},
    )
    report = import_file(
        house,
        "email,first_name,city,shoe\nANA@example.org,,,39\ncy@example.org,Cy,Rome,40\n",
        "autumn",
    )
    assert (report.new, report.updated) == (1, 1)
    assert people(house) == {
        # What the file lacks is kept; what it has and leaves empty is emptied.
        "ANA@example.org": {
            "first_name": "",
            "last_name": "García",
            "language": "es",
            "attributes": {"points": 7, "shoe": "39"},
        },
        "bo@example.org": {
            "first_name": "Bo",
            "last_name": "Berg",
            "language": "sv",
            "attributes": {"city": "Lund", "points": 8},
        },
        "cy@example.org": {
            "first_name": "Cy",
            "last_name": "",
            "language": "",
            "attributes": {"city": "Rome", "shoe": "40"},
        },
    }
    assert members(house) == {"ANA@example.org", "bo@example.org"}
    assert members(house, "autumn") == {"ANA@example.org", "cy@example.org"}
    import_file(house, "email,last_name,language\nana@example.org,,\n")
    ana = people(house)["ana@example.org"]
    assert (ana["last_name"], ana["language"]) == ("", "")


def test_an_opt_out_survives_every_import(house: House):
    import_file(house, "email,first_name\nana@example.org,Ana\n")
    do(opt_out, ACTOR, "Ana@example.org")
    do(opt_out, ACTOR, "stranger@example.org")
    since = house.sql("SELECT email, denylisted_at FROM recipients_recipient ORDER BY 1")
    report = import_file(
        house, "email,first_name\nANA@example.org,Anna\nstranger@example.org,Str\n"
    )
    assert (report.new, report.updated) == (0, 2)
    assert people(house)["ANA@example.org"]["first_name"] == "Anna"
    after = house.sql("SELECT email, denylisted_at FROM recipients_recipient ORDER BY lower(email)")
    assert [moment for _, moment in after] == [moment for _, moment in since]
    assert all(moment for _, moment in after)


def test_the_archive_address_is_never_imported(house: House):
    house.set_archive()
    do(set_archive_address, ACTOR, "next@vault.example", is_recipient=is_recipient, trust=False)
    report = import_file(
        house, f"email\n{ARCHIVE_ADDRESS.upper()}\nana@example.org\nNext@Vault.example\n"
    )
    assert [each.line for each in report.rejects] == [2, 4]
    assert {each.reason for each in report.rejects} == {
        "this is the archive address, which is never a recipient"
    }
    assert set(people(house)) == {"ana@example.org"}


def test_an_attribute_keeps_the_type_it_had_first(house: House):
    import_file(house, "email,points\nana@example.org,7\n", mapping={"points": "int"})
    with pytest.raises(MappingError, match="points holds values of type int"):
        import_file(house, "email,points\nana@example.org,8\n", mapping={"points": "text"})
    # Unasked, the type of the attribute holds.
    report = import_file(house, "email,points\nana@example.org,9\nbo@example.org,many\n")
    assert report.rejected == 1
    assert people(house)["ana@example.org"]["attributes"] == {"points": 9}
    assert do(attribute_types) == {"points": "int"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("first_name,city\nAna,Málaga\n", "no column is named email"),
        ("email,city,City\na@example.org,x,y\n", "two columns are named city"),
        ("email,city,\na@example.org,x,y\n", "a column cannot be named ''"),
        ('email,city\nnew@example.org,x\nbad@\nbo@example.org,"x\n', "line 4: unexpected end"),
        (
            "email,city\nnew@example.org,x\nbad@\nbo@example.org," + "x" * 200_000 + "\n",
            "line 4: field larger than field limit",
        ),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_changes_nothing(
    house: House, content: str, complaint: str
):
    import_file(house, "email,first_name\nana@example.org,Ana\n")
    before = (people(house), members(house), audit(house), do(attribute_types))
    with pytest.raises(ImportFileError, match=complaint):
        import_file(house, content, "other")
    assert (people(house), members(house), audit(house), do(attribute_types)) == before
    assert house.sql("SELECT name FROM recipients_recipientlist") == [("all",)]
    assert not rejects_path(house).exists()


def test_octets_out_of_their_encoding_change_nothing(house: House):
    # A first block of text that looks like one encoding, and later octets that are not in it.
    lines = b"email;name\n" + "иван@пример.рф;Иван Петров Алексеевич\n".encode("cp1251") * 3000
    with pytest.raises(ImportFileError, match=r"people\.csv, near line \d+: not in cp1251"):
        import_file(house, lines + b"x@example.org;\x98\n")
    assert people(house) == {}


def test_a_header_alone_makes_an_empty_list(house: House):
    report = import_file(house, "email,city\n", "later")
    assert (report.rows, report.new, report.updated, report.merged, report.rejected) == (0,) * 5
    assert members(house, "later") == set()
    assert house.sql("SELECT name FROM recipients_recipientlist") == [("later",)]


@pytest.mark.parametrize("name", ["", "  "])
def test_a_list_needs_a_name(house: House, name: str):
    with pytest.raises(ImportFileError, match="needs a name"):
        import_file(house, "email\nana@example.org\n", name)
    assert house.sql("SELECT * FROM recipients_recipientlist") == []


def test_an_import_is_audited_with_its_numbers(house: House):
    import_file(house, "email\nana@example.org\nbo@\n", "spring")
    assert audit(house)[-1:] == [
        (
            ACTOR.name,
            "import recipients",
            "list spring",
            None,
            {"new": 1, "updated": 0, "rejected": 1},
        )
    ]


def test_an_import_needs_the_right(house: House):
    with pytest.raises(NotAllowedError):
        import_file(house, "email\nana@example.org\n", actor=without(Right.RECIPIENT_IMPORT))
    assert people(house) == {}
    assert audit(house, "import recipients") == []
