"""MJML to HTML with Jinja2 in it: in texts and attributes, and between elements."""

import re

import pytest

from letterbook.control.mailtemplates.errors import MjmlError
from letterbook.control.mailtemplates.mjml import to_html
from tests.control.rendering import mistakes, render, visible

SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"


def page(body: str, head: str = "") -> str:
    return f"<mjml><mj-head>{head}</mj-head><mj-body>{body}</mj-body></mjml>"


def html_of(body: str, head: str = "", /, **values: object) -> str:
    return render(to_html(page(body, head)), markup=True, **values)


def seen(body: str, **values: object) -> str:
    return visible(html_of(body, **values))


def text(content: str) -> str:
    return SECTION.format(f"<mj-text>{content}</mj-text>")


def test_values_and_filters_in_a_text_are_escaped():
    body = text(
        'Dear {{ recipient.first_name|default("friend") }},<br/><b>{{ recipient.city }}</b>'
    )
    assert seen(body, first_name="<Ana>", city="A & B") == "Dear &lt;Ana&gt;, A &amp; B"
    assert seen(body) == "Dear friend,"


@pytest.mark.parametrize(("points", "expected"), [(3, "few"), (9, "many")])
@pytest.mark.parametrize("test", ["recipient.points < 5", "5 > recipient.points", "points <= 4"])
def test_comparisons_are_no_markup(test: str, points: int, expected: str):
    setting = "{% set points = recipient.points %}"
    within = text(f"{{% if {test} %}}few{{% else %}}many{{% endif %}}")
    assert seen(setting + within, points=points) == expected
    around = f"{{% if {test} %}}{text('few')}{{% else %}}{text('many')}{{% endif %}}"
    assert seen(setting + around, points=points) == expected


def test_values_in_attributes():
    html = html_of(
        SECTION.format(
            '<mj-button href="https://example.com/{{ recipient.id }}?a=1&amp;b={{ recipient.city }}'
            '">Go</mj-button><mj-image src="{% if recipient.points %}a{% else %}b{% endif %}.png" '
            'alt="{{ recipient.first_name }}" />'
        ),
        id=5,
        city="León",
        points=1,
        first_name="Ana",
    )
    assert 'href="https://example.com/5?a=1&amp;b=León"' in html
    assert 'src="a.png"' in html
    assert 'alt="Ana"' in html


IF, ELSE, END = "{% if recipient.points %}", "{% else %}", "{% endif %}"
COLUMNS = [f"<mj-column><mj-text>{letter}</mj-text></mj-column>" for letter in "AB"]


def either(one: str, other: str) -> str:
    return IF + one + ELSE + other + END


@pytest.mark.parametrize(
    "body",
    [
        either(text("A"), text("B")),
        f"<mj-raw>{IF}</mj-raw>{text('A')}<mj-raw>{ELSE}</mj-raw>{text('B')}<mj-raw>{END}</mj-raw>",
        f"<mj-section>{either(*COLUMNS)}</mj-section>",
        SECTION.format(either("<mj-text>A</mj-text>", "<mj-text>B</mj-text>")),
        f"<mj-wrapper>{either(text('A'), text('B'))}</mj-wrapper>",
        f"<mj-section><mj-group>{either(*COLUMNS)}</mj-group></mj-section>",
        f"<mj-hero>{either('<mj-text>A</mj-text>', '<mj-text>B</mj-text>')}</mj-hero>",
        text(either("A", "B")),
        SECTION.format(f"<mj-table><tr>{either('<td>A</td>', '<td>B</td>')}</tr></mj-table>"),
    ],
)
def test_conditions_stand_wherever_an_author_puts_them(body: str):
    assert seen(body, points=1) == "A"
    assert seen(body, points="") == "B"


def test_loops_between_elements_and_rows():
    assert (
        seen(SECTION.format("{% for n in range(3) %}<mj-text>{{ n }}</mj-text>{% endfor %}"))
        == "0 1 2"
    )
    assert seen("{% for n in range(2) %}" + text("{{ n }}") + "{% endfor %}") == "0 1"
    table = "<mj-table>{% for n in range(3) %}<tr><td>{{ n }}</td></tr>{% endfor %}</mj-table>"
    assert seen(SECTION.format(table)) == "0 1 2"


def test_the_head_may_be_personal_too():
    html = html_of(
        text("x"),
        "<mj-title>{{ recipient.city }}</mj-title>"
        "<mj-preview>Hi {{ recipient.first_name }}</mj-preview>"
        "<mj-style>.brand { color: {{ recipient.language }}; }</mj-style>",
        city="León",
        first_name="Ana",
        language="red",
    )
    assert "<title>León</title>" in html
    assert "Hi Ana" in html
    assert ".brand { color: red; }" in html


def test_notes_and_comments_leave_nothing_behind():
    body = "{# note1 #}<!-- two -->" + text("{# note2 {{ #}x<!-- three -->") + "{# note3 #}"
    html = to_html(page(body))
    assert "note" not in html
    assert visible(html) == "x"


def test_nothing_of_the_making_is_left():
    html = to_html(page("{% if recipient.points %}" + text("{{ recipient.city }}") + "{% endif %}"))
    assert not re.search(r"<\s*/?\s*mj-|Tag\d|[\ue000-\uf8ff]", html)
    assert html.count("{{ recipient.city }}") == 1


def test_mistakes_in_the_templates_own_tags_stay_to_be_found():
    html = to_html(page(text("{% if recipient.points %}{{ recipient.nonsense }}")))
    assert mistakes(html, markup=True)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "Dear all",
        "<p>Dear all</p>",
        "<mjml>",
        "<mjml><mj-body></mjml>",
        page("<mj-section><mj-column><mj-text>x</mj-column></mj-section>"),
        page(text("a < b")),
        page('<mj-section padding="1px></mj-section>'),
        # Another file is never taken in.
        page('<mj-include path="/etc/passwd" />'),
        page('<mj-include path="file:///etc/passwd" />'),
        page('<mj-include path="https://example.com/part.mjml" />'),
    ],
)
def test_what_is_no_mjml_is_refused(source: str):
    with pytest.raises(MjmlError, match=r"body\.mjml.* cannot be read as MJML: "):
        to_html(source)


def test_an_element_that_is_not_closed_is_named_with_its_line():
    source = "<mjml>\n<mj-body>\n<!-- <mj-text> -->\n<mj-section>\n</mj-body></mjml>"
    with pytest.raises(MjmlError, match=r"^body\.mjml, line 4: <mj-section> is not closed"):
        to_html(source)
