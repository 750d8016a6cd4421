"""Deriving a text part from HTML that has Jinja2 in it."""

import pytest

from letterbook.control.mailtemplates.plaintext import derive_text
from tests.control.rendering import mistakes, render


def text_of(html: str, **values: object) -> str:
    return render(derive_text(html), **values)


def lines_of(html: str, **values: object) -> list[str]:
    """The words of each line that is not empty."""
    text = text_of(html, **values)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_what_the_html_says_the_text_says():
    html = (
        "<html><head><title>T</title><style>p { color: red }</style></head><body>"
        "<h1>Dear {{ recipient.first_name }}</h1><p>first<br>second</p>"
        "<ul><li>one</li><li>two</li></ul><p>1 &lt; 2 &amp; 3</p></body></html>"
    )
    assert lines_of(html, first_name="Ana") == [
        "Dear Ana",
        "first",
        "second",
        "* one",
        "* two",
        "1 < 2 & 3",
    ]


def test_values_are_not_escaped_in_text():
    assert text_of("<p>{{ recipient.first_name }}</p>", first_name="<Ana> & co") == "<Ana> & co\n"


@pytest.mark.parametrize(
    ("points", "expected"),
    [(7, ["Hello", "You have 7 points.", "Bye"]), ("", ["Hello", "No points.", "Bye"])],
)
def test_conditions_around_paragraphs(points: object, expected: list[str]):
    html = (
        "<p>Hello</p>{% if recipient.points %}<p>You have <b>{{ recipient.points }}</b> points.</p>"
        "{% else %}<p>No points.</p>{% endif %}<p>Bye</p>"
    )
    assert lines_of(html, points=points) == expected


@pytest.mark.parametrize(("points", "expected"), [(3, "few."), (9, "many.")])
def test_conditions_within_a_paragraph(points: int, expected: str):
    html = "<p>{% if recipient.points < 5 %}few{% else %}many{% endif %}.</p>"
    assert text_of(html, points=points) == expected + "\n"


def test_a_line_of_tags_with_text_between_them_stays_a_line():
    html = "{% if recipient.points %}few{% endif %}<br>next"
    assert lines_of(html, points=1) == ["few", "next"]
    html = "<p>{% if recipient.points %}few{% endif %}</p><p>next</p>"
    assert text_of(html, points=1) == "few\n\nnext\n"


def test_a_condition_that_fails_leaves_no_gap():
    html = "<p>a</p>\n{% if recipient.points %}\n<p>b</p>\n{% endif %}\n<p>c</p>"
    assert text_of(html, points="") == "a\n\nc\n"
    assert text_of(html, points=1) == "a\n\nb\n\nc\n"
    html = "{% if recipient.points %}<p>a</p>{% endif %}{% if 1 %}<p>b</p>{% endif %}"
    assert text_of(html, points="") == "b\n\n"
    html = "<ul>{% for n in range(2) %}<li>{{ n }}</li>{% endfor %}</ul><p>end</p>"
    assert text_of(html) == "* 0\n* 1\n\nend\n"


def test_a_loop_over_the_rows_of_a_table():
    html = (
        "<table><thead><tr><th>n</th><th>square</th></tr></thead><tbody>{% for n in range(3) %}"
        "<tr><td>{{ n }}</td><td>{{ n * n }}</td></tr>{% endfor %}</tbody></table><p>end</p>"
    )
    assert lines_of(html) == ["n square", "0 0", "1 1", "2 4", "end"]


def test_a_loop_over_the_cells_of_a_row():
    html = "<table><tr>{% for n in range(3) %}<td>{{ n }}</td>{% endfor %}</tr></table><p>end</p>"
    assert lines_of(html) == ["0 1 2", "end"]


@pytest.mark.parametrize(("points", "expected"), [(7, ["P 7", "C León"]), ("", ["C León"])])
def test_a_condition_around_a_row(points: object, expected: list[str]):
    html = (
        "<table>{% if recipient.points %}<tr><td>P</td><td>{{ recipient.points }}</td></tr>"
        "{% endif %}<tr><td>C</td><td>{{ recipient.city }}</td></tr></table>"
    )
    assert lines_of(html, points=points, city="León") == expected


def test_tables_within_tables_as_letters_have_them():
    html = (
        '<table role="presentation"><tr><td><table><tr><td>{% if recipient.points %}a'
        "{% endif %}</td></tr>{% for n in range(2) %}<tr><td><p>{{ n }}</p></td></tr>{% endfor %}"
        "</table></td></tr></table>"
    )
    assert lines_of(html, points=1) == ["a", "0", "1"]


def test_a_loop_over_the_items_of_a_list():
    html = "<ul>{% for n in range(2) %}<li>item {{ n }}</li>{% endfor %}</ul>"
    assert lines_of(html) == ["* item 0", "* item 1"]


def test_links_keep_their_target():
    html = (
        '<a href="https://example.com/{{ recipient.id }}?a=1&amp;b=2">Go {{ recipient.city }}</a>'
    )
    assert text_of(html, id=5, city="home") == "[Go home](https://example.com/5?a=1&b=2)\n"


def test_a_condition_within_a_link():
    html = (
        '<a href="https://{% if recipient.points %}a{% else %}b{% endif %}.example">'
        "{% if recipient.points %}A{% else %}B{% endif %}</a>"
    )
    assert text_of(html, points=1) == "[A](https://a.example)\n"
    assert text_of(html, points="") == "[B](https://b.example)\n"


def test_what_is_not_shown_is_left_out():
    html = (
        "<head><title>{{ recipient.city }}</title></head><!-- {{ recipient.nonsense }} -->"
        "{# a note {{ #}<style>p { color: {{ recipient.city }} }</style>"
        '<div style="display: none">{{ recipient.first_name }}</div><p>seen</p>'
    )
    assert text_of(html, city="red", first_name="Ana") == "seen\n"


@pytest.mark.parametrize("html", ["", "  \n", "<!-- nothing -->", "{# a note #}", "<img src='a'>"])
def test_what_says_nothing_gives_an_empty_text(html: str):
    assert text_of(html).strip() == ""


def test_filters_tests_and_texts_with_braces_survive():
    html = (
        '<p>{{ recipient.first_name|default("you > me")|upper }} {{ "{{" }} {{ \'<b>\' }}'
        "{% raw %} {{ raw }}{% endraw %} {%- set x = 1 -%} {{ x }}</p>"
    )
    assert text_of(html).split() == ["YOU", ">", "ME", "{{", "<b>", "{{", "raw", "}}1"]


def test_what_cannot_be_derived_is_seen_and_not_sent():
    """A tag in what is left out takes its partner's meaning away; analysis must see that."""
    html = '<div style="display: none">{% if recipient.points %}</div><p>x{% endif %}</p>'
    assert any("endif" in each for each in mistakes(derive_text(html)))
