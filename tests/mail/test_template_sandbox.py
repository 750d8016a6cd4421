from datetime import date

import pytest

from letterbook.mail.errors import PersonalisationError, TemplateError
from letterbook.mail.inspection import inspect
from letterbook.mail.template import Program, RenderClock, Source

FIELDS = {"name": "Ana", "born": date(1999, 12, 31), "points": 7}


def render(text):
    clock = RenderClock()
    compiled = Program(Source("body.html", text), clock)
    clock.start()
    return compiled.text(FIELDS)


def rendered_or_refused(text):
    try:
        return render(text)
    except PersonalisationError as refused:
        return next((why for why in ("unsafe", "no attribute") if why in str(refused)), refused)


@pytest.mark.parametrize(
    "text",
    [
        "{{ recipient.name.__class__ }}",
        "{{ recipient.name._private }}",
        "{{ recipient.name['__class__'] }}",
        "{{ recipient.name|attr('__class__') }}",
        "{{ [recipient.name]|map(attribute='__class__')|join }}",
        "{{ '{0.__class__}'.format(recipient.name) }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ range.__self__ }}",
        "{{ cycler.__init__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ recipient.born.__reduce__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{% macro m() %}{% endmacro %}{{ m.__call__.__func__ }}",
        "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
        "{{ [1]|map('string')|attr('gi_frame') }}",
    ],
)
def test_nothing_private_is_seen(text):
    assert rendered_or_refused(text) in ("", "unsafe", "no attribute")


@pytest.mark.parametrize(
    "text",
    [
        "{{ recipient.name.__class__() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ namespace.__init__.__globals__['os'] }}",
        "{% set l = [1] %}{{ l.append(2) }}",
        "{% set l = [1] %}{{ l.clear() }}",
        "{% set d = {'a': 1} %}{{ d.update(a=2) }}",
        "{% set d = {'a': 1} %}{{ d.pop('a') }}",
        "{{ 2 ** 65 }}",
        "{{ 65 ** 2 }}",
        "{{ 9 ** 64 ** 64 }}",
        "{{ 'x' * 100001 }}",
        "{{ 100001 * 'x' }}",
        "{{ ('x' * 100000) * 100000 }}",
        "{{ ([0] * 1000) * 1000 }}",
        "{{ (0, 1) * 50001 }}",
        "{{ 'x'.encode() * 100001 }}",
        "{{ range(100001)|list }}",
        "{{ range(10 ** 30) }}",
        "{{ [1]|slice(100000000)|list|length }}",
        "{{ [1]|batch(100000000, 'x')|list|length }}",
        "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000)|replace('', 'b' * 100000) }}",
        "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
        "{{ (['a'] * 100000)|join('b' * 100000) }}",
        "{{ (['a' * 100000] * 100000)|join }}",
        "{{ ('b' * 100000).join(['a'] * 100000) }}",
        "{{ ([{'a': 'b' * 100000}] * 100000)|join(attribute='a') }}",
        "{{ ['a' * 100000] * 100000 }}",
        "{{ [['a' * 100000] * 100000] * 100000 }}",
        "{{ ('a\\n' * 50000)|indent(100000) }}",
        "{{ ('a\\n' * 50000)|indent('b' * 100000) }}",
        "{{ ('a ' * 50000)|wordwrap(1, wrapstring='b' * 100000) }}",
        "{{ [1, [2]]|tojson(indent=1000000000) }}",
        "{{ '{0:>{1}}'.format('a', 1000000000) }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%*d'|format(1000000000, 1) }}",
    ],
)
def test_no_mutation_and_nothing_huge(text):
    with pytest.raises(PersonalisationError, match=r"^body.html:1: .*(unsafe|large|big|attribute)"):
        render(text)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ 'ab' * 3 }}", "ababab"),
        ("{{ ('x' * 100000)|length }}", "100000"),
        ("{{ 2 ** 10 }}", "1024"),
        ("{{ 123456789 * 987654321 }}", "121932631112635269"),
        ("{{ 'x' * -1 }}{{ [1] * 2 }}", "[1, 1]"),
        ("{{ 'a-b'|replace('-', '+') }}{{ 'a-b'.replace('-', '+', 1) }}", "a+ba+b"),
        ("{{ [1, 2]|join(', ') }}{{ [{'a': 1}]|join(attribute='a') }}", "1, 21"),
        ("{{ [1, 2, 3]|batch(2, 'x')|list }}", "[[1, 2], [3, 'x']]"),
        ("{{ 'a'|indent(2, first=true) }}{{ 'a b'|wordwrap(1, wrapstring='|') }}", "  aa|b"),
        ("{{ [1]|tojson }}{{ 'a' ~ 'b' ~ 1 }}{{ 1 + 2 }}{{ '' ~ '' }}{{ 0 + 0 }}", "[1]ab130"),
    ],
)
def test_what_is_small_is_allowed(text, rendered):
    assert render(text) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "{{ recipient.born.today() }}",
        "{{ recipient.born.min.today() }}",
        "{{ recipient.born['today']() }}",
        "{{ (recipient.born|attr('today'))() }}",
        "{{ recipient.born.replace(year=2000).today() }}",
        "{{ recipient.born.fromtimestamp(0) }}",
        "{{ [recipient.born]|map(attribute='today')|first() }}",
        "{{ '{0.today}'.format(recipient.born) }}",
    ],
)
def test_there_is_no_clock_even_in_a_date(text):
    assert rendered_or_refused(text) in ("", "unsafe")


@pytest.mark.parametrize(
    "text", ["{{ [1, 2]|random }}", "{% if 1 %}{{ [1, 2]|random }}{% endif %}", "{{ lipsum() }}"]
)
def test_there_is_no_chance(text):
    assert inspect(Source("body.html", text), FIELDS).errors
    with pytest.raises((TemplateError, PersonalisationError)):
        render(text)


@pytest.mark.parametrize(
    "name",
    [
        "a[__import__('os')._exit(3)]",
        "a = __import__('os')._exit(3) #",
        "a\\n    __import__('os')._exit(3)\\n    b",
        "a'",
        "",
        " ",
        "0",
        "class",
        "\\ud800",
    ],
)
def test_the_name_of_a_field_never_becomes_code(name):
    field = f'recipient["{name}"]'
    text = f"{{{{ recipient.a }}}}{{{{ {field} }}}}{{{{ {field} is defined }}}}"
    assert render(text) == "False"
    assert "is unknown" in str(inspect(Source("body.html", text), {"a"}).errors[0])


def test_a_template_cannot_reach_another_file():
    for text in ("{% include 'a' %}", "{% import 'a' as a %}", "{% extends 'a' %}"):
        with pytest.raises(PersonalisationError, match="no loader"):
            render(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ '5'.zfill(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '%1000000000d'|format(1) }}",
    ],
)
def test_a_width_that_would_fill_the_memory_is_refused(text):
    with pytest.raises(PersonalisationError, match=r"too large a value|is unsafe"):
        Program(Source("body.txt", text), RenderClock()).text({})


def test_numbers_are_formatted_as_usual():
    text = "{{ '%.2f' % 3.14159 }} {{ '%05d'|format(42) }} {{ '{:,}'.format(1234567) }}"
    assert Program(Source("body.txt", text), RenderClock()).text({}) == "3.14 00042 1,234,567"


def test_doubling_without_a_loop_ends():
    text = "{% set s = 'x' * 100000 %}" + "{% set s = s ~ s %}" * 30 + "{{ s|length }}"
    with pytest.raises(PersonalisationError, match="more than 50 ms"):
        render(text)
