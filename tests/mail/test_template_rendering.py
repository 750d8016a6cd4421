import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.mail.errors import PersonalisationError
from letterbook.mail.template import RENDER_LIMIT, Program, RenderClock, Source


def program(text, *, file="body.html", markup=False):
    """A compiled template whose time is running."""
    clock = RenderClock()
    compiled = Program(Source(file, text, markup), clock)
    clock.start()
    return compiled


def render(text, *, markup=False, **fields):
    return program(text, markup=markup).text(fields)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Hello {{ recipient.name }}!", "Hello Ana!"),
        ("Hello {{ recipient['name'] }}!", "Hello Ana!"),
        ("{{ recipient['two words'] }}", "2"),
        ("{{ recipient.name|upper }}", "ANA"),
        ("{% if recipient.points > 3 %}many{% else %}few{% endif %}", "many"),
        ("{% if recipient.vip %}yes{% endif %}", "yes"),
        ("{% for each in range(2) %}{{ loop.index }}/{{ loop.length }},{% endfor %}", "1/2,2/2,"),
        ("{% for each in range(6) if each is odd %}{{ each }}{% else %}no{% endfor %}", "135"),
        ("{% for each in [] if each %}{% else %}nobody{% endfor %}", "nobody"),
        ("{{ range(3)|map('string')|select('ne', '1')|join(',') }}", "0,2"),
        ("{% for e in [[1, [2]]] recursive %}({{ loop(e) if e is iterable else e }}){% endfor %}",
         "((1)((2)))"),
        ("{% set x = recipient.name ~ '!' %}{{ x }}", "Ana!"),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(1) }}{{ m(2) }}", "<1><2>"),
        ("{% block b %}{{ recipient.name }}{% endblock %}{{ self.b() }}", "AnaAna"),
        ("{{ recipient.points + 1 }} {{ recipient.rate * 2 }}", "8 3.0"),
        ("{{ recipient.born.year }} {{ recipient.born.strftime('%d/%m/%Y') }}", "1999 31/12/1999"),
        ("{{ (recipient.born - recipient.born).days }}", "0"),
        ("{{ recipient.name.encode('utf-8')|length }}", "3"),
        ("{% raw %}{{ recipient.name }}{% endraw %}", "{{ recipient.name }}"),
        ("{{ None }}{{ recipient.name.nothing }}", ""),
    ],
)  # fmt: skip
def test_what_a_template_can_say(text, rendered):
    fields = {"name": "Ana", "points": 7, "vip": True, "rate": 1.5, "born": date(1999, 12, 31)}
    assert render(text, **fields, **{"two words": 2}) == rendered


def test_values_are_escaped_in_html_and_nowhere_else():
    name = "<b>\"Ana\" & 'Eve'</b>"
    assert render("<i>{{ recipient.name }}</i>", name=name) == f"<i>{name}</i>"
    assert render("<i>{{ recipient.name }}</i>", name=name, markup=True) == (
        "<i>&lt;b&gt;&#34;Ana&#34; &amp; &#39;Eve&#39;&lt;/b&gt;</i>"
    )
    assert render("{{ '<' ~ recipient.name }}", name="<", markup=True) == "&lt;&lt;"
    assert render("{{ recipient.name|safe }}", name="<br>", markup=True) == "<br>"


@given(st.text())
def test_no_value_brings_a_tag_into_the_html(value):
    rendered = render("<i>{{ recipient.name }}</i>", name=value, markup=True)
    assert not set("<>\"'") & set(rendered[3:-4])


@given(st.text(st.characters(exclude_characters="{%#}\r")))
def test_a_text_without_tags_comes_out_as_it_went_in(text):
    assert render(text) == text
    assert (
        render(f"{text}{{{{ recipient.name }}}}{text}", name="{{ 1 }}")
        == f"{text}{{{{ 1 }}}}{text}"
    )


@pytest.mark.parametrize("missing", [{}, {"name": ""}])
def test_an_empty_value_is_empty_and_counts_as_missing(missing):
    assert render("<{{ recipient.name }}>", **missing) == "<>"
    assert render("{{ recipient.name|default('friend') }}", **missing) == "friend"
    assert render("{{ recipient.name|d('friend')|upper }}", **missing) == "FRIEND"
    assert render("{{ recipient.name|default }}", **missing) == ""
    assert render(
        "{{ recipient.name is defined }}{{ recipient.name is undefined }}", **missing
    ) == ("FalseTrue")
    assert render("{% if recipient.name %}a{% else %}b{% endif %}", **missing) == "b"
    assert render("{{ recipient.name or 'friend' }}", **missing) == "friend"


@pytest.mark.parametrize("value", [0, False, 0.0, " ", "x"])
def test_a_value_that_is_not_empty_counts(value):
    assert render("{{ recipient.x|default('no') }}", x=value) == str(value)
    assert render("{{ recipient.x is defined }}", x=value) == "True"


def test_the_fields_that_are_used_are_known():
    compiled = program("{{ recipient.a }}{% if recipient['b c'] %}{% endif %}{{ recipient.a.d }}")
    assert compiled.fields == {"a", "b c"}


def test_what_is_the_same_for_everyone_is_a_constant():
    compiled = program("Dear {{ recipient.name }},\nwelcome.\n")
    pieces = compiled.pieces({"name": "Ana"})
    assert [piece for piece in pieces if piece not in compiled.constants] == ["Ana"]


def test_one_rendering_leaves_nothing_for_the_next():
    compiled = program("{% set n = namespace(x=recipient.x or 'none') %}{{ n.x }}{{ recipient.x }}")
    assert compiled.text({"x": "Ana"}) == "AnaAna"
    assert compiled.text({}) == "none"


# What cannot be rendered.


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\n\n{{ recipient.points + 1 }}", "body.html:3: can only concatenate str"),
        ("a\n{% if recipient.points > 1 %}\n{% endif %}", "body.html:2: '>' not supported"),
        ("{% macro m() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ m() }}", "body.html:2: integer"),
        ("\n{{ recipient.points.a.b }}", "body.html:2: 'str object' has no attribute 'a'"),
        ("\n{{ [1].x.y }}", "body.html:2: 'list object' has no attribute 'x'"),
        ("\n{{ recipient.points|tojson|int / 0 }}", "body.html:2: division by zero"),
        ("\n{{ recipient.points.upper }}", "body.html:2: a function is not a text; did you forget"),
        ("\n{{ range }}", "body.html:2: a function is not a text"),
        ("\n{{ [1]|map('string') }}", "body.html:2: a sequence under way is not a text"),
        ("\n{{ cycler(1) }}", "body.html:2: a Cycler is not a text"),
        ("{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", "body.html:1: maximum"),
        ("\n{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "body.html:2: maximum"),
        ("\n{% block a %}{{ self.a() }}{% endblock %}", "body.html:2: maximum recursion depth"),
    ],
)  # fmt: skip
def test_a_failure_names_file_and_line(text, complaint):
    with pytest.raises(PersonalisationError) as failure:
        render(text, markup=True)
    assert str(failure.value).startswith(complaint)


def test_a_failure_names_the_fields_that_are_empty():
    with pytest.raises(PersonalisationError, match=r"\(empty for this recipient: age, points\)$"):
        render("{{ recipient.points + recipient.age + recipient.one }}", one=1, age="")


def test_nothing_with_a_memory_address_is_text():
    for text in (
        "{{ recipient.x.upper }}",
        "{{ 'x'|list|map('upper') }}",
        "{{ [1]|batch(1) }}",
        "{{ joiner() }}",
        "{{ cycler(1) }}",
        "{{ namespace }}",
        "{{ [1]|select }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% for a in [1] %}{{ loop }}{% endfor %}",
    ):
        with pytest.raises(PersonalisationError, match="is not a text"):
            render(text, x="a")


# The time a rendering may take.


LONG = "range(99999)"
LOOPS = f"{{% for a in {LONG} %}}{{% for b in {LONG} %}}{{% endfor %}}{{% endfor %}}"
TREE = (
    "{% if n.d < 60 %}{% set n.d = n.d + 1 %}CALLCALL{% set n.d = n.d - 1 %}{% endif %}"
    "{# each turn has two below it, and none is too deep #}"
)
COUNT = "{% set n = namespace(d=0) %}"


@pytest.mark.parametrize(
    "text",
    [
        f"\n{LOOPS}",
        f"{{% set letterbook_tick = namespace %}}\n{LOOPS}",
        f"\n{{% for a in {LONG} if {LONG}|sum < 0 %}}{{% endfor %}}",
        f"\n{{% for a in {LONG} recursive %}}{{{{loop({LONG}) if loop.depth < 9}}}}{{% endfor %}}",
        f"\n{{{{ {LONG}|map('center', 9999)|map('upper')|list|length }}}}",
        f"\n{{{{ {LONG}|select('in', {LONG}|list)|list|length }}}}",
        COUNT + "{% macro m() %}\n" + TREE.replace("CALL", "{{ m() }}") + "{% endmacro %}{{ m() }}",
        COUNT + "{% block b %}\n" + TREE.replace("CALL", "{{ self.b() }}") + "{% endblock %}",
    ],
)
def test_work_without_end_is_stopped(text):
    started = time.thread_time()
    with pytest.raises(PersonalisationError) as failure:
        render(text)
    assert "rendering takes more than 50 ms for this recipient" in str(failure.value)
    assert str(failure.value).startswith(("body.html:1: ", "body.html:2: "))
    assert time.thread_time() - started < 5


def test_only_this_threads_processor_time_counts(monkeypatch):
    now = 7.0
    monkeypatch.setattr(time, "thread_time", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: pytest.fail("a wall clock was read"))
    clock = RenderClock()
    clock.check()
    clock.start()
    now += RENDER_LIMIT
    clock.check()
    now += 0.001
    with pytest.raises(PersonalisationError, match="more than 50 ms"):
        clock.check()
    clock.start()
    clock.check()


def test_templates_of_one_message_share_the_time(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "thread_time", lambda: now)
    clock = RenderClock()
    text = "{% for a in [1] %}{{ a }}{% endfor %}"
    first, second = (Program(Source(file, text), clock) for file in ("subject", "body.txt"))
    clock.start()
    now = RENDER_LIMIT * 0.9
    assert first.text({}) == "1"
    now = RENDER_LIMIT * 1.1
    with pytest.raises(PersonalisationError, match=r"^body.txt:1: rendering takes"):
        second.text({})
