"""Telling how a file is written, and reading it row by row."""

from pathlib import Path

import pytest

from letterbook.control.recipients.csvfile import Format, detect_format, read_rows
from letterbook.control.recipients.errors import ImportFileError


def write(folder: Path, content: str, encoding: str = "utf-8") -> Path:
    path = folder / "people.csv"
    path.write_bytes(content.encode(encoding))
    return path


def read(path: Path, told: Format | None = None) -> list[tuple[int, list[str]]]:
    rows = read_rows(path, told or detect_format(path), lambda _: None)
    return [(row.line, row.values) for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_file(tmp_path: Path, delimiter: str):
    rows = [["email", "name"], ["ana@example.org", "Ana"], ["bo@example.org", "Bo"]]
    path = write(tmp_path, "".join(delimiter.join(row) + "\n" for row in rows))
    assert detect_format(path).delimiter == delimiter
    assert [values for _, values in read(path)] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_values_full_of_other_delimiters_do_not_mislead(tmp_path: Path, delimiter: str):
    others = "".join(each for each in ",;\t|" if each != delimiter)
    lines = (
        ["email", "name", "note"],
        *([f"user{n}@example.org", f"Doe{others}Jane", others * n] for n in range(1, 5)),
    )
    path = write(tmp_path, "".join(delimiter.join(row) + "\n" for row in lines))
    assert detect_format(path).delimiter == delimiter


def test_delimiters_and_quotes_within_quotes_belong_to_the_value(tmp_path: Path):
    path = write(tmp_path, 'email;name\nana@example.org;"Doe; ""Ana"", née |,"\n')
    assert read(path)[1] == (2, ["ana@example.org", 'Doe; "Ana", née |,'])


def test_a_file_of_one_column_needs_no_delimiter(tmp_path: Path):
    path = write(tmp_path, "email\nana@example.org\nbo@example.org\n")
    assert read(path) == [(1, ["email"]), (2, ["ana@example.org"]), (3, ["bo@example.org"])]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"],
)
@pytest.mark.parametrize("count", [1, 3, 200])
def test_the_encodings_that_spreadsheets_write(tmp_path: Path, encoding: str, count: int):
    names = ["José Núñez;A Coruña", "Begoña Ibáñez;León", "Iñaki Güell;Málaga"]
    text = "email;name;city\n" + "".join(
        f"user{n}@example.org;{names[n % 3]}\n" for n in range(count)
    )
    path = write(tmp_path, text, encoding)
    assert "".join(";".join(values) + "\n" for _, values in read(path)) == text


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_either_byte_order_with_its_mark(tmp_path: Path, mark: str):
    path = write(tmp_path, "\ufeffemail,name\nana@example.org,Ana\n", mark)
    assert [values for _, values in read(path)] == [["email", "name"], ["ana@example.org", "Ana"]]


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1250", ["Małgorzata Wiśniewska", "Łukasz Żółć", "Świętosław Dąbrowski"]),
        ("cp1251", ["Иван Петров", "Мария Кузнецова", "Алексей Смирнов"]),
        ("koi8-r", ["Иван Петров", "Мария Кузнецова", "Алексей Смирнов"]),
        ("cp1252", ["Jürgen Groß", "Käthe Müller", "Günther Schönfeld"]),
        ("cp1252", ["Élodie Lefèvre", "François Hébert", "Gérard Nîmes"]),
        ("cp1252", ["Søren Kjær", "Åse Bjørnsen", "Jørgen Ødegård"]),
        ("cp1252", ["Conceição Araújo", "João Gonçalves", "Mário Antônio"]),
        ("cp1252", ["Þórður Guðmundsson", "Sæunn Þóra", "Ólöf Ýr"]),
        ("cp1252", ["Hervé Lacroix", "Ana Soler", "Bo Öst"]),
        ("cp1252", ["O’Hara – “Red”", "Zoë €uro", "José…"]),
        ("cp1253", ["Γιώργος Παπαδόπουλος", "Ελένη Νικολάου", "Κώστας Μακρής"]),
        ("shift_jis", ["山田太郎", "佐藤花子", "鈴木一郎"]),
        ("gb18030", ["王小明", "李丽", "张伟"]),
    ],
)
def test_other_encodings_are_told_by_their_words(tmp_path: Path, encoding: str, names: list[str]):
    text = "email,name\n" + "".join(f"user{n}@example.org,{names[n % 3]}\n" for n in range(30))
    path = write(tmp_path, text, encoding)
    assert [values[1] for _, values in read(path)][1:4] == names


def test_a_letter_beyond_ascii_may_come_late(tmp_path: Path):
    plain = "".join(f"user{n}@example.org,Plain\n" for n in range(20_000))
    for encoding in ("utf-8", "cp1252"):
        path = write(tmp_path, "email,name\n" + plain + "x@example.org,José Núñez\n", encoding)
        assert read(path)[-1] == (20_002, ["x@example.org", "José Núñez"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path, end: str):
    text = end.join(
        ["email,note", 'a@example.org,"one', "two", 'three"', "", "b@example.org,x", "", "", "c,d"]
    )
    path = write(tmp_path, text)
    assert read(path) == [
        (1, ["email", "note"]),
        (2, ["a@example.org", f"one{end}two{end}three"]),
        (6, ["b@example.org", "x"]),
        (9, ["c", "d"]),
    ]


def test_the_header_may_come_after_many_empty_lines(tmp_path: Path):
    path = write(tmp_path, "\n" * 30 + "email;name\nana@example.org;Ana\n")
    assert read(path) == [(31, ["email", "name"]), (32, ["ana@example.org", "Ana"])]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"   \r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\n\0"],
)
def test_an_empty_file_is_called_empty(tmp_path: Path, content: bytes):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=r"people\.csv is empty"):
        detect_format(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(ImportFileError, match=r"cannot read .*nobody\.csv: No such file"):
        detect_format(tmp_path / "nobody.csv")


def test_a_quote_that_never_ends_names_the_line_it_began_on(tmp_path: Path):
    path = write(tmp_path, 'email,name\na@example.org,Ana\nb@example.org,"Bo\nc@example.org,C\n')
    with pytest.raises(ImportFileError, match="line 3: unexpected end of data"):
        read(path)


def test_octets_that_are_not_in_the_encoding_name_the_place(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_bytes(b"email,name\n" + b"a@example.org,Ana\n" * 3 + b"b@example.org,\xff\xfe\n")
    with pytest.raises(ImportFileError, match=r"people\.csv, near line \d+: not in utf-8"):
        read(path, Format("utf-8", ","))


def test_progress_tells_how_far_the_file_is_read(tmp_path: Path):
    path = write(tmp_path, "email\n" + "".join(f"user{n}@example.org\n" for n in range(50_000)))
    told: list[int] = []
    rows = read_rows(path, detect_format(path), told.append)
    assert sum(1 for _ in rows) == 50_001
    assert told == sorted(told)
    assert len(told) >= 4
    assert 0 < told[0] < told[-1] <= path.stat().st_size


def test_a_stray_quote_spoils_its_own_line_only(tmp_path: Path):
    path = write(tmp_path, 'email,name\na@example.org,"Al" Bo\nb@example.org,"Bo\nB"\n')
    header, stray, good = read_rows(path, Format("utf-8", ","), lambda _: None)
    assert (header.line, header.problem) == (1, None)
    assert (stray.line, stray.values) == (2, ['a@example.org,"Al" Bo'])
    assert stray.problem is not None
    assert stray.problem.startswith("its quotes are wrong: ")
    assert (good.line, good.values, good.problem) == (3, ["b@example.org", "Bo\nB"], None)


def test_a_stray_quote_that_may_have_swallowed_rows_stops_the_import(tmp_path: Path):
    path = write(tmp_path, 'email,name\na@example.org,"Al\nb@example.org,"Bo"\nc@example.org,C\n')
    with pytest.raises(ImportFileError, match="line 2: "):
        list(read_rows(path, Format("utf-8", ","), lambda _: None))
