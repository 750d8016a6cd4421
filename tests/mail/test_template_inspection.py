import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.errors import TemplateError
from letterbook.mail.inspection import inspect
from letterbook.mail.template import Program, RenderClock, Source

KNOWN = frozenset({"id", "email", "first_name", "points", "city"})


def mistakes(text, known=KNOWN):
    return [str(each) for each in inspect(Source("body.html", text), known).errors]


def test_a_template_without_mistakes_tells_its_fields():
    text = """Hello {{ recipient.first_name }},
{% if recipient.points > 3 %}{{ recipient['city'] }}{% else %}{{ recipient.points }}{% endif %}
{% for each in range(recipient.points) %}{{ loop.index }}{{ each }}{% endfor %}
{% set x = recipient.email|default("nobody")|upper %}{{ x }}
{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call m(1) %}{{ x }}{% endcall %}
{% block b %}{{ self.b is defined }}{% endblock %}{% filter lower %}A{% endfilter %}
{{ cycler("a").next() }}{{ namespace(a=1).a }}{{ dict(a=1).a }}{% raw %}{{ nothing }}{% endraw %}
{# {{ nothing }} #}"""
    inspection = inspect(Source("body.html", text), KNOWN)
    assert inspection.errors == ()
    assert inspection.fields == {"first_name", "points", "city", "email"}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        # syntax
        ("{{ }}", "1:4: Expected an expression, got 'end of print statement'"),
        ("Hello\n  {{ recipient. }}", "2:17: expected name or number"),
        ("{% bogus %}", "1:4: Encountered unknown tag 'bogus'."),
        ("a\n{% endif %}", "2:4: Encountered unknown tag 'endif'."),
        ("{% trans %}a{% endtrans %}", "1:4: Encountered unknown tag 'trans'."),
        ("{{ 1 ~~ }}", "1:7: unexpected '~'"),
        ("{{ '\\x' }}", "1:4: truncated \\xXX escape"),
        ("{% block a %}{% endblock %}\n {% block a %}{% endblock %}", "2:5: block 'a' defined"),
        ("{% for loop in [1] %}{% endfor %}", "1:8: Can't assign to special loop variable"),
        # what the lexer itself complains of
        ("x\n {{ a } }", "2:7: unexpected '}'"),
        ("{{ (1] }}", "1:6: unexpected ']', expected ')'"),
        ("{{ 1) }}", "1:5: unexpected ')'"),
        ("a\n{{ 'b }}", "2:4: unexpected char \"'\""),
        ("a\n\n  {{ 1 § 2 }}", "3:8: unexpected char '§'"),
        ("a\n {# b", "2:4: Missing end of comment tag"),
        # names
        ("{{ recipient.citty }}", "1:4: recipient.citty is unknown; did you mean recipient.city?"),
        ("{{ recipient.zzz }}", "1:4: recipient.zzz is unknown"),
        ("{{ recipient['zzz'] }}", "1:4: recipient.zzz is unknown"),
        ("{{ recipient['a b'] }}", "1:4: recipient.a b is unknown"),
        ("a\n b {{ first_name }}", "2:7: first_name is unknown"),
        ("{% if x %}{% endif %}", "1:7: x is unknown"),
        ("{{ lipsum() }}", "1:4: lipsum is unknown"),
        ("{{ now() }}", "1:4: now is unknown"),
        ("{{ loop.index }}", "1:4: loop is unknown"),
        ("{{ recipient }}", "1:4: recipient is used by its fields"),
        ("{{ recipient[0] }}", "1:4: recipient is used by its fields"),
        ("{% for recipient in [1] %}{% endfor %}", "1:8: recipient is used by its fields"),
        ("{% set recipient = 1 %}", "1:8: recipient is used by its fields"),
        ("{{ letterbook_tick }}", "1:4: letterbook_tick is unknown"),
        ("{{ letterbook_recipient_email }}", "1:4: letterbook_recipient_email is unknown"),
        # filters and tests
        ("{{ recipient.city|uper }}", "1:19: there is no filter uper; did you mean upper?"),
        ("{% if 1 %}{{ 1|qqq }}{% endif %}", "1:16: there is no filter qqq"),
        ("{% filter qqq %}{% endfilter %}", "1:11: there is no filter qqq"),
        ("{{ [1]|random }}", "1:8: there is no filter random"),
        ("\n{{ 1 is evn }}", "2:6: there is no test evn; did you mean even?"),
        # other files
        ("{% include 'a.html' %}", "1:4: a template stands alone"),
        ("{% extends 'a.html' %}", "1:4: a template stands alone"),
        ("{% import 'a.html' as a %}", "1:4: a template stands alone"),
        ("{% from 'a.html' import a %}", "1:4: a template stands alone"),
        # what Python cannot compile
        ("{% macro m(a, a) %}{% endmacro %}", "1:1: the template cannot be compiled: duplicate"),
        ("{% for a in [1] %}" * 30 + "{% endfor %}" * 30, "1:1: the template cannot be compiled: "),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "1:1: the template cannot be compiled: maximum"),
        ("{{ " + "1+" * 5000 + "1 }}", "1:1: the template cannot be compiled: maximum recursion"),
        ("{{ " + "9" * 5000 + " }}", "1:1: the template cannot be compiled: Exceeds the limit"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_and_column(text, mistake):
    (told,) = mistakes(text)
    assert told.startswith(f"body.html:{mistake}")
    assert len(told) < 250


def test_every_mistake_is_told_in_the_order_of_the_text():
    text = "{{ a|qqq }}\n{% include 'x' %}{{ recipient.zzz is evn }}\n{{ a }}"
    assert [told.split(": ")[0] for told in mistakes(text)] == [
        "body.html:1:4",
        "body.html:1:6",
        "body.html:2:4",
        "body.html:2:21",
        "body.html:2:35",
        "body.html:3:4",
    ]


@pytest.mark.parametrize(
    ("before", "position"),
    [
        ("one\r\ntwo\r\n", "3:4"),
        ("one\rtwo\r", "3:4"),
        ("one\n\n\n", "4:4"),
        ("no break\u2028 no\x85 no\x0c no\x1c", "1:25"),
        ("{% if 1 -%}   \n\n {% endif %}", "3:16"),
        ("{#- a\nb -#}\n\n", "4:4"),
        ("{% raw %}{{\n{% endraw %}", "2:16"),
        ("{{ 'a\nb' }}", "2:9"),
        ("é😀 ", "1:7"),
    ],
)
def test_lines_are_counted_as_an_editor_counts_them(before, position):
    assert mistakes(before + "{{ nothing }}") == [f"body.html:{position}: nothing is unknown"]


def test_a_mistake_knows_its_place():
    (error,) = inspect(Source("body.txt", "\n {{ x }}"), ()).errors
    assert (error.file, error.line, error.column, error.message) == (
        "body.txt",
        2,
        5,
        "x is unknown",
    )


def test_a_template_with_a_mistake_cannot_be_compiled_either():
    for text in ("{{ }}", "{{ 1|qqq }}", "{% for a in [1] %}" * 30 + "{% endfor %}" * 30):
        with pytest.raises(TemplateError, match=r"^body.html:1:\d+: "):
            Program(Source("body.html", text), RenderClock())


TOKENS = """{{ }} {% %} {# #} - recipient . first_name zzz | upper qqq if endif for in endfor
    set = ( ) [ ] ' " \\ is defined 1 * ~ macro endmacro block endblock raw endraw é loop else not
    , : { }"""
tokens = st.sampled_from([*TOKENS.split(), "\n", "\r\n", "\u2028", "\0", " "])


@given(st.lists(tokens, max_size=25).map(" ".join) | st.lists(tokens, max_size=25).map("".join))
@examples(max_examples=400)
def test_any_text_is_inspected_without_a_crash(text):
    inspection = inspect(Source("body.html", text, markup=True), KNOWN)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for error in inspection.errors:
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
    if not inspection.errors:
        Program(Source("body.html", text, markup=True), RenderClock())
