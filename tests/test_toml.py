import pytest

from letterbook.toml import TomlError, read_toml

TEMPLATE = """\
# A template.
name = "spring-offer"
"label" = 'from = "x"'
subject.en = "Hello"
'reply_to' = "care@example.com"

[from]   # whom it is from
name = "Example"
address = "news@example.com"

[retries.daily]
max=5

[ "headers" ]
X-Brand = "\u2028 Example"
"X-Quoted" = "x"
list = [
  ["max = 1"],
]
validity = { delivery = "5d", none = 1 }

[[rules]]
kind = "a"
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "template.toml"
    path.write_text(TEMPLATE, encoding="utf-8")
    return read_toml(path)


def line_with(text):
    return next(
        n for n, line in enumerate(TEMPLATE.split("\n"), 1) if line.strip().startswith(text)
    )


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["name"], 'name = "spring-offer"'),
        (["label"], '"label"'),
        (["subject"], "subject.en"),
        (["subject", "en"], "subject.en"),
        (["reply_to"], "'reply_to'"),
        (["from"], "[from]"),
        (["from", "name"], 'name = "Example"'),
        (["from", "address"], "address"),
        (["retries"], "[retries.daily]"),
        (["retries", "daily"], "[retries.daily]"),
        (["retries", "daily", "max"], "max=5"),
        (["headers"], '[ "headers" ]'),
        (["headers", "X-Brand"], "X-Brand"),
        (["headers", "X-Quoted"], '"X-Quoted"'),
        (["headers", "validity"], "validity"),
        (["rules"], "[[rules]]"),
        (["rules", "kind"], "kind"),
    ],
)
def test_the_line_of_a_key(document, keys, text):
    assert document.line(keys) == line_with(text)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["headers", "validity", "delivery"], "validity"),
        (["from", "missing"], "[from]"),
        (["retries", "daily", "missing"], "[retries.daily]"),
    ],
)
def test_the_line_of_what_is_in_a_line_or_missing_is_its_tables(document, keys, text):
    assert document.line(keys) == line_with(text)


def test_the_line_of_what_is_nowhere_is_the_first(document):
    assert document.line(["missing"]) == document.line(["missing", "too"]) == 1


def test_values_are_tomls(document):
    assert document.values["from"] == {"name": "Example", "address": "news@example.com"}
    assert document.path.name == "template.toml"


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"a = 1\nb = = 2\n", r"template.toml: .*line 2, column 5"),
        (b"a = 1\na = 2\n", r"template.toml: Cannot overwrite a value .*line 2"),
        (b"a = 'x\n", r"template.toml: .*\(at end of document\)"),
        (b"a = 1\nb = '\xe9'\n", r"template.toml is not in UTF-8 \(byte 12\)"),
        (b"a = " + b"9" * 5000, r"template.toml: Exceeds the limit"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, r"template.toml: maximum recursion depth"),
    ],
)
def test_what_is_not_toml_is_told_with_file_and_line(tmp_path, octets, complaint):
    path = tmp_path / "template.toml"
    path.write_bytes(octets)
    with pytest.raises(TomlError, match=complaint):
        read_toml(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(TomlError, match=r"^cannot read .*: Is a directory"):
        read_toml(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "none.toml")
