"""Reading a template's folder: every key, and mistakes with their file and line."""

from datetime import timedelta
from pathlib import Path

import pytest

from letterbook.control.mailtemplates.errors import TemplateFolderError
from letterbook.control.mailtemplates.folder import TemplateFile, TemplateFolder, read_folder

# The example of the handbook, whole.
EVERY_KEY = """\
name = "spring-offer"                 # unique, a slug
label = "Spring offer"
subject = "{{ recipient.first_name }}, your spring offer"
email_bcc = true                      # default false
reply_to = "care@example.com"         # optional
format = "multipart"                  # multipart | html | text
list_unsubscribe = "https://example.com/u/{{ recipient.id }}"
error_address = "bounces@example.com"
[from]
name = "Example"
address = "news@example.com"
[retries]                             # optional; defaults shown
period = "1h"
max = 5
[validity]
delivery = "5d"
[headers]                             # optional extra headers, personalisable
X-Brand = "Example"
"""

LEAST = 'name = "least"\n'


def folder(
    tmp_path: Path,
    toml: str | bytes = LEAST,
    /,
    html: str | bytes | None = "<p>x</p>",
    **bodies: str,
) -> Path:
    path = tmp_path / "template"
    path.mkdir()
    files = {"template.toml": toml, "body.html": html, **bodies}
    for name, content in files.items():
        if content is not None:
            octets = content if isinstance(content, bytes) else content.encode()
            (path / name.replace("_", ".")).write_bytes(octets)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(TemplateFolderError) as caught:
        read_folder(path)
    return str(caught.value)


# What is right.


def test_every_key(tmp_path: Path):
    found = read_folder(folder(tmp_path, EVERY_KEY))
    options = found.options
    assert found.name == "spring-offer"
    assert options.label == "Spring offer"
    assert options.subject == "{{ recipient.first_name }}, your spring offer"
    assert options.email_bcc is True
    assert options.reply_to == "care@example.com"
    assert options.format == "multipart"
    assert options.list_unsubscribe == "https://example.com/u/{{ recipient.id }}"
    assert options.error_address == "bounces@example.com"
    assert options.sender is not None
    assert (options.sender.name, options.sender.address) == ("Example", "news@example.com")
    assert options.retries.period_time == timedelta(hours=1)
    assert options.retries.max == 5
    assert options.validity.delivery_time == timedelta(days=5)
    assert options.headers == {"X-Brand": "Example"}


def test_only_the_name_is_needed_and_the_rest_has_its_default(tmp_path: Path):
    found = read_folder(folder(tmp_path))
    options = found.options
    assert (found.name, options.label, options.subject) == ("least", "least", "")
    assert (options.email_bcc, options.sender, options.reply_to) == (False, None, None)
    assert (options.format, options.list_unsubscribe, options.headers) == ("multipart", None, {})
    assert options.retries.period_time == timedelta(hours=1)
    assert options.retries.max == 5
    assert options.validity.delivery_time == timedelta(days=5)


def test_bodies_and_what_they_are(tmp_path: Path):
    found = read_folder(folder(tmp_path, LEAST, "<p>é</p>\n", body_txt="é\n"))
    assert (found.markup, found.html_source, found.text_source) == ("html", "<p>é</p>\n", "é\n")


def test_an_mjml_body(tmp_path: Path):
    found = read_folder(folder(tmp_path, LEAST, None, body_mjml="<mjml></mjml>"))
    assert (found.markup, found.html_source, found.text_source) == ("mjml", "<mjml></mjml>", None)


def test_a_byte_order_mark_is_no_part_of_a_body(tmp_path: Path):
    found = read_folder(folder(tmp_path, LEAST, b"\xef\xbb\xbf<p>x</p>"))
    assert found.html_source == "<p>x</p>"


def test_a_text_alone_is_enough_for_format_text(tmp_path: Path):
    toml = LEAST + 'format = "text"\n'
    found = read_folder(folder(tmp_path, toml, None, body_txt="Hello"))
    assert (found.html_source, found.text_source) == (None, "Hello")


@pytest.mark.parametrize("form", ["text", "html", "multipart"])
def test_html_alone_is_enough_for_every_format(tmp_path: Path, form: str):
    found = read_folder(folder(tmp_path, LEAST + f'format = "{form}"\n'))
    assert (found.html_source, found.text_source) == ("<p>x</p>", None)


def test_attachments_with_their_types(tmp_path: Path):
    path = folder(tmp_path)
    (path / "attachments").mkdir()
    for name in ("logo.png", "terms.pdf", "données.txt", "backup.tar.gz", "odd", ".DS_Store"):
        (path / "attachments" / name).write_bytes(name.encode())
    assert read_folder(path).files == tuple(
        TemplateFile(name, content_type, name.encode())
        for name, content_type in (
            ("backup.tar.gz", "application/octet-stream"),
            ("données.txt", "text/plain; charset=utf-8"),
            ("logo.png", "image/png"),
            ("odd", "application/octet-stream"),
            ("terms.pdf", "application/pdf"),
        )
    )


def test_other_files_in_the_folder_do_not_matter(tmp_path: Path):
    path = folder(tmp_path)
    (path / "notes.md").write_text("mine", encoding="utf-8")
    assert isinstance(read_folder(path), TemplateFolder)


# What is wrong, with file and line.


@pytest.mark.parametrize(
    ("change", "line", "complaint"),
    [
        # Unknown keys.
        (("label =", "labell ="), 2, "unknown key labell"),
        (('[from]\nname = "Example"', '[from]\nnick = "Example"'), 10, "unknown key from.nick"),
        (("max = 5", "maximum = 5"), 14, "unknown key retries.maximum"),
        (("delivery =", "deliveries ="), 16, "unknown key validity.deliveries"),
        (("[retries]", "[retry]"), 12, "unknown key retry"),
        # Wrong types and words.
        (('"Spring offer"', "7"), 2, "label: Expected `str`, got `int`"),
        (("= true ", '= "yes"'), 4, "email_bcc: Expected `bool`, got `str`"),
        (('"multipart"  ', '"mulitpart"'), 6, "format: Invalid enum value 'mulitpart'"),
        (("max = 5", 'max = "5"'), 14, "retries.max: Expected `int`, got `str`"),
        (("max = 5", "max = 5.5"), 14, "retries.max: Expected `int`, got `float`"),
        (('period = "1h"', "period = 3600"), 13, "retries.period: Expected `str`, got `int`"),
        (('X-Brand = "Example"', "X-Brand = 1"), 18, "headers.X-Brand: Expected `str`, got `int`"),
        (('address = "news@example.com"\n', ""), 9, "from: Object missing required"),
        # Addresses.
        (("news@example.com", "news@"), 11, "from.address: 'news@' is not an address: "),
        (("care@example.com", "care"), 5, "reply_to: 'care' is not an address: "),
        (("bounces@example.com", ""), 8, "error_address: '' is not an address: "),
        # Durations and numbers.
        (('"1h"', '"1 hour"'), 13, "retries.period: '1 hour' is not a length of time"),
        (('"5d"', '"forever"'), 16, "validity.delivery: 'forever' is not a length of time"),
        (('"5d"', '"0d"'), 16, "validity.delivery: it must be longer than 0"),
        (('"5d"', '"101y"'), 16, "validity.delivery: '101y' is too long a time"),
        (('"1h"', '"101y"'), 13, "retries.period: '101y' is too long a time"),
        (("max = 5", "max = -1"), 14, "retries.max: it must be from 0 to 100"),
        (("max = 5", "max = 101"), 14, "retries.max: it must be from 0 to 100"),
        # Headers.
        (("X-Brand =", '"X Brand" ='), 18, "headers.X Brand: 'X Brand' is not the name"),
        (("X-Brand =", '"X-Márca" ='), 18, "headers.X-Márca: 'X-Márca' is not the name"),
        (("X-Brand =", "Subject ="), 18, "headers.Subject: the header Subject is Letterbook's own"),
        (("X-Brand =", "bcc ="), 18, "headers.bcc: the header bcc is Letterbook's own"),
        # Names.
        (('"spring-offer"', '"Spring offer"'), 1, "name must be of lower-case letters"),
        (('"spring-offer"', '"spring--offer"'), 1, "name must be of lower-case letters"),
        (('"spring-offer"', '""'), 1, "name must be of lower-case letters"),
        (('"spring-offer"', "7"), 1, "name must be of lower-case letters"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(
    tmp_path: Path, change: tuple[str, str], line: int, complaint: str
):
    assert EVERY_KEY.count(change[0]) == 1
    path = folder(tmp_path, EVERY_KEY.replace(*change))
    assert refusal(path).startswith(f"{path / 'template.toml'}, line {line}: {complaint}")


def test_a_missing_name_names_the_file(tmp_path: Path):
    path = folder(tmp_path, 'label = "x"\n')
    assert refusal(path) == f"{path / 'template.toml'}: name is missing"


@pytest.mark.parametrize(
    ("toml", "where"),
    [
        ('name = "x"\nlabel = \n', "line 2"),
        ('name = "x"\nname = "y"\n', "line 2"),
        ('name = "x"\n[from\n', "line 2"),
    ],
)
def test_what_is_no_toml_names_file_and_line(tmp_path: Path, toml: str, where: str):
    path = folder(tmp_path, toml)
    assert str(path / "template.toml") in refusal(path)
    assert where in refusal(path)


def test_mistakes_in_inline_tables_and_dotted_keys_have_their_line_too(tmp_path: Path):
    toml = LEAST + '\nfrom = { name = "x", address = "nobody" }\n'
    path = folder(tmp_path, toml)
    assert "template.toml, line 3: from.address: 'nobody'" in refusal(path)
    (path / "template.toml").write_text(LEAST + "\nretries.max = -1\n", encoding="utf-8")
    assert "template.toml, line 3: retries.max: " in refusal(path)


def test_files_that_are_not_utf8(tmp_path: Path):
    path = folder(tmp_path, b'name = "least"\nlabel = "\xe9"\n')
    assert refusal(path) == f"{path / 'template.toml'} is not in UTF-8 (byte 25)"
    (path / "template.toml").write_text(LEAST, encoding="utf-8")
    (path / "body.html").write_bytes(b"<p>\xe9</p>")
    assert refusal(path) == f"{path / 'body.html'} is not in UTF-8 (byte 4)"


def test_two_bodies_of_markup_are_one_too_many(tmp_path: Path):
    path = folder(tmp_path, LEAST, body_mjml="<mjml></mjml>")
    assert refusal(path) == f"{path} has both body.html and body.mjml; keep one"


@pytest.mark.parametrize("form", ["html", "multipart"])
def test_no_body_of_markup(tmp_path: Path, form: str):
    path = folder(tmp_path, LEAST + f'format = "{form}"\n', None, body_txt="x")
    assert refusal(path) == f"{path} has no body.html or body.mjml, as format '{form}' needs"


def test_no_body_at_all(tmp_path: Path):
    path = folder(tmp_path, LEAST + 'format = "text"\n', None)
    assert refusal(path) == f"{path} has no body.txt, as format 'text' needs"


def test_no_template_at_all(tmp_path: Path):
    assert "is not a folder with a template.toml" in refusal(tmp_path / "nowhere")
    assert refusal(tmp_path) == f"{tmp_path} has no template.toml"
    (tmp_path / "template.toml").mkdir()
    assert "cannot read" in refusal(tmp_path)


def test_a_folder_among_the_attachments(tmp_path: Path):
    path = folder(tmp_path)
    (path / "attachments" / "more").mkdir(parents=True)
    assert (
        refusal(path)
        == f"{path / 'attachments' / 'more'} is not a file; attachments/ holds files only"
    )
