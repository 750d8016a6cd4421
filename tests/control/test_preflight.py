"""The rules of preflight, one by one: what keeps a delivery from starting, and what only warns."""

from collections.abc import Callable
from typing import Any

import pytest

from letterbook.control.mailtemplates.folder import TemplateFile
from letterbook.control.outbox.analysis import AnalysisReport
from letterbook.control.outbox.preflight import Finding
from letterbook.control.platform.actions import note_probe, set_archive_address
from tests.control.desk import do, import_file
from tests.house import ACTOR, ARCHIVE_ADDRESS, House

FINE = {"html": "<p>Dear {{ recipient.first_name }}, unsubscribe</p>", "subject": "Hello"}
PENDING_ADDRESS = "next@vault.example"


@pytest.fixture
def analysed(house: House) -> Callable[..., AnalysisReport]:
    """Analyse a delivery whose only fault is the one that a test plants."""
    house.set_route("recipients", 25)
    house.set_route("archive", 26)
    house.set_archive()
    import_file(
        house,
        "email,first_name,points\nana@example.org,Ana,7\nbo@example.org,,\ncy@example.org,Cy,1\n",
        mapping={"points": "int"},
    )

    def analyse(**options: Any) -> AnalysisReport:
        return house.analyze(house.delivery(house.template(**(FINE | options))))

    return analyse


def planted(report: AnalysisReport) -> list[tuple[str, str]]:
    assert report.warnings == []
    return [(each.rule, each.message) for each in report.errors]


def test_a_delivery_without_fault(analysed: Callable[..., AnalysisReport]):
    report = analysed()
    assert (report.errors, report.warnings, report.messages) == ([], [], 3)
    report = analysed(format="text", html="<p>unsubscribe</p>", email_bcc=False)
    assert (report.errors, report.warnings, report.messages) == ([], [], 3)


# The platform.


def test_email_bcc_needs_a_confirmed_archive_address(
    house: House, analysed: Callable[..., AnalysisReport]
):
    message = (
        "Email BCC is on, but the platform has no confirmed archive address: "
        "`letterbook archive set ADDRESS`"
    )
    expected = [("archive address", message)]
    house.sql("DELETE FROM platform_archiveaddress")
    assert planted(analysed()) == expected
    # One that waits for its code does not count.
    do(set_archive_address, ACTOR, PENDING_ADDRESS, is_recipient=lambda _: False, trust=False)
    assert planted(analysed()) == expected
    assert planted(analysed(email_bcc=False)) == []


@pytest.mark.parametrize(
    ("route", "email_bcc", "errors"),
    [
        ("recipients", True, 1),
        ("recipients", False, 1),
        ("archive", True, 1),
        ("archive", False, 0),
    ],
)
def test_a_route_is_missing(
    house: House,
    analysed: Callable[..., AnalysisReport],
    route: str,
    email_bcc: bool,
    errors: int,
):
    house.sql("DELETE FROM platform_route WHERE name = %s", route)
    found = planted(analysed(email_bcc=email_bcc))
    assert [rule for rule, _ in found] == ["route"] * errors
    assert all(f"`letterbook routes set {route}`" in message for _, message in found)


# What a letter needs.


def test_the_sender_is_missing(analysed: Callable[..., AnalysisReport]):
    assert planted(analysed(**{"from": None})) == [
        ("sender", "the sender is missing: set [from] address in the template")
    ]


@pytest.mark.parametrize("subject", ["", "  \n"])
def test_the_subject_is_missing(analysed: Callable[..., AnalysisReport], subject: str):
    assert planted(analysed(subject=subject)) == [("subject", "the subject is missing")]


def test_nobody_is_left(house: House, analysed: Callable[..., AnalysisReport]):
    house.sql("UPDATE recipients_recipient SET denylisted_at = now()")
    report = analysed()
    assert planted(report) == [("target", "nobody is left to write to")]
    assert (report.target, report.messages, report.estimated_bytes) == (3, 0, 0)
    assert report.excluded == {"denylisted": 3}


def test_no_way_to_unsubscribe_is_a_warning(house: House, analysed: Callable[..., AnalysisReport]):
    html = "<p>Dear reader</p>"
    for fault in ({}, {"text": "x"}, {"format": "html"}, {"list_unsubscribe": ""}):
        report = analysed(html=html, **fault)
        assert report.errors == []
        assert report.warnings == [
            Finding(
                "warning", "unsubscribe", "there is no unsubscribe link and no list_unsubscribe"
            )
        ]
    # A warning keeps nobody from starting.
    assert set(house.sql("SELECT state FROM deliveries_delivery")) == {("ready",)}


def test_ways_to_unsubscribe(analysed: Callable[..., AnalysisReport]):
    for way in (
        {"list_unsubscribe": "https://example.com/u/{{ recipient.id }}"},
        {"list_unsubscribe": "mailto:leave@example.com"},
        {"html": '<a href="https://example.com/UNSUBSCRIBE/1">Leave</a>'},
        {"html": "<p>Darse de baja</p>"},
        {"text": "To opt-out: https://example.com"},
    ):
        report = analysed(**({"html": "<p>Dear reader</p>"} | way))
        assert (report.errors, report.warnings) == ([], [])


# Templates.


MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"subject": "Hi {{ recipient.nope }}"}, ["template.toml, subject:1:7: recipient.nope is"]),
    ({"subject": "Hi {{ name }}"}, ["template.toml, subject:1:7: name is unknown"]),
    ({"subject": "Hi {% if %}"}, ["template.toml, subject:1:10: Expected an expression"]),
    (
        {"list_unsubscribe": "https://example.com/{{ recipient.uid }}"},
        ["template.toml, list_unsubscribe:1:24: recipient.uid is unknown"],
    ),
    (
        {"headers": {"X-A": "a", "X-B": "{{ now }}"}},
        ["template.toml, headers.X-B:1:4: now is unknown"],
    ),
    (
        {"html": "<p>unsubscribe</p>\n\n<p>{{ recipient.frist_name }}</p>", "text": "x"},
        ["body.html:3:7: recipient.frist_name is unknown; did you mean recipient.first_name?"],
    ),
    (
        {"html": "<p>unsubscribe {{ recipient.nope }}</p>", "format": "html"},
        ["body.html:1:19: recipient.nope is unknown"],
    ),
    ({"html": "<p>unsubscribe {% if %}</p>"}, ["body.html:1:22: Expected an expression"]),
    (
        {"text": "unsubscribe\n  {{ recipient.nope|nofilter }}"},
        ["body.txt:2:6: recipient.nope is unknown", "body.txt:2:21: there is no filter nofilter"],
    ),
    ({"text": '{% include "other.txt" %}unsubscribe'}, ["body.txt:1:4: a template stands alone"]),
]


def test_mistakes_in_templates_name_file_line_and_column(
    analysed: Callable[..., AnalysisReport],
):
    for fault, places in MISTAKES:
        found = planted(analysed(**fault))
        assert [rule for rule, _ in found] == ["template"] * len(places)
        for (_, message), place in zip(found, places, strict=True):
            assert message.startswith(place)


MJML = """<mjml><mj-body>
<mj-section><mj-column><mj-text>{{ recipient.nope }} unsubscribe</mj-text></mj-column></mj-section>
</mj-body></mjml>"""


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (
            "<mjml><mj-body>",
            "body.mjml, line 1: <mj-body> is not closed as it should be; it cannot be read",
        ),
        (
            MJML,
            "body.mjml:2:36: recipient.nope is unknown",
        ),
    ],
)
def test_mistakes_in_mjml(
    house: House, analysed: Callable[..., AnalysisReport], source: str, complaint: str
):
    template = house.template(**(FINE | {"html": source, "text": "unsubscribe"}))
    house.sql("UPDATE mailtemplates_template SET markup = 'mjml' WHERE name = 'offer'")
    found = planted(house.analyze(house.delivery(template)))
    assert [rule for rule, _ in found] == ["template"]
    assert found[0][1].startswith(complaint)


def test_a_text_that_cannot_be_derived(analysed: Callable[..., AnalysisReport]):
    html = (
        '<p>unsubscribe</p><div style="display: none">{% if recipient.points %}</div>'
        "<p>x</p>{% endif %}"
    )
    ((rule, message),) = planted(analysed(html=html))
    assert rule == "template"
    assert message.startswith("no text part can be derived (the derived text:")
    assert message.endswith("; write a body.txt")
    assert planted(analysed(html=html, text="unsubscribe")) == []
    assert planted(analysed(html=html, format="html")) == []


# The sample.


@pytest.mark.parametrize(
    ("subject", "level", "failures"),
    [
        # Of Ana with 7 points, Bo with none, and Cy with 1:
        ("{{ 6 // recipient.points }}", "warning", 1),
        ("{{ 6 // (recipient.points - 1) }}", "error", 2),
        ("{{ recipient.first_name.nope.nope }}", "error", 3),
        ("{% for n in range(9**5) %}{{ 'x' * 9 ** 5 }}{% endfor %}", "error", 3),
    ],
)  # fmt: skip
def test_a_sample_of_recipients_is_tried(
    analysed: Callable[..., AnalysisReport], subject: str, level: str, failures: int
):
    report = analysed(subject=subject)
    (finding,) = report.errors + report.warnings
    assert (finding.level, finding.rule) == (level, "personalisation")
    assert finding.message.startswith(f"{failures} of 3 sampled recipients cannot be rendered, ")
    assert "bo@example.org: " in finding.message
    assert report.messages == 3


def test_the_sample_reaches_over_the_whole_audience(house: House):
    house.set_route("recipients", 25)
    rows = "".join(f"user{n}@example.org,{'x' if n < 400 else ''}\n" for n in range(800))
    import_file(house, "email,name\n" + rows)
    subject = "{{ 1 // recipient.name|length }}"
    report = house.analyze(
        house.delivery(house.template(**(FINE | {"subject": subject, "email_bcc": False})))
    )
    (finding,) = report.errors + report.warnings
    assert finding.rule == "personalisation"
    assert finding.level == "warning"


def test_an_unsubscribe_address_that_no_header_can_carry(
    analysed: Callable[..., AnalysisReport],
):
    ((rule, message),) = planted(analysed(list_unsubscribe="example.com/{{ recipient.id }}"))
    assert rule == "personalisation"
    assert "list_unsubscribe must give an https: or mailto: address" in message


# Size.


@pytest.mark.parametrize("route", ["recipients", "archive"])
def test_a_message_larger_than_a_route_takes(
    house: House, analysed: Callable[..., AnalysisReport], route: str
):
    for name in ("recipients", "archive"):
        do(note_probe, name, size_limit=10_000 if name == route else 100_000, extensions=())
    assert planted(analysed()) == []
    ((rule, message),) = planted(analysed(html="<p>unsubscribe</p>" + "x" * 12_000))
    assert rule == "size"
    assert f"the {route} route takes 10,000 at most" in message
    attachment = TemplateFile("terms.pdf", "application/pdf", bytes(9_000))
    assert [rule for rule, _ in planted(analysed(files=[attachment]))] == ["size"]
    # The archive's limit counts for copies only.
    errors = planted(analysed(files=[attachment], email_bcc=False))
    assert len(errors) == (1 if route == "recipients" else 0)


def test_a_route_without_a_limit_takes_any_size(
    house: House, analysed: Callable[..., AnalysisReport]
):
    for limit in (None, 0):
        do(note_probe, "recipients", size_limit=limit, extensions=())
        assert planted(analysed(html="<p>unsubscribe</p>" + "x" * 100_000)) == []


# The archive address (promise P3): nobody may see it, whether copies are made or not.


REVEALING: list[tuple[dict[str, Any], str]] = [
    (
        {"from": {"address": "{}"}, "error_address": "bounces@example.com"},
        "the sender is the archive address",
    ),
    ({"reply_to": "{}"}, "reply_to is the archive address"),
    ({"error_address": "{}"}, "the error address is the archive address"),
    (
        {"from": {"address": "a@example.com", "name": "via {}"}},
        "template.toml, from.name contains the archive address",
    ),
    ({"subject": "copy to {}"}, "template.toml, subject contains the archive address"),
    ({"html": "<p>unsubscribe {}</p>", "text": "x"}, "body.html contains the archive address"),
    ({"text": "unsubscribe {}"}, "body.txt contains the archive address"),
    ({"headers": {"X-Copy": "{}"}}, "template.toml, headers.X-Copy contains the archive address"),
    (
        {"list_unsubscribe": "mailto:{}"},
        "template.toml, list_unsubscribe contains the archive address",
    ),
]


@pytest.mark.parametrize("email_bcc", [True, False])
@pytest.mark.parametrize("address", [ARCHIVE_ADDRESS, PENDING_ADDRESS])
def test_the_archive_address_is_nowhere_in_a_letter(
    house: House, analysed: Callable[..., AnalysisReport], address: str, email_bcc: bool
):
    do(set_archive_address, ACTOR, PENDING_ADDRESS, is_recipient=lambda _: False, trust=False)

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(each) for key, each in value.items()}
        return value.replace("{}", address.upper())

    for fault, what in REVEALING:
        ((rule, message),) = planted(analysed(**fill(fault), email_bcc=email_bcc))
        assert rule == "archive address"
        assert message.startswith(what)


def test_the_platforms_error_address_is_not_the_archives(
    house: House, analysed: Callable[..., AnalysisReport]
):
    house.with_settings(error_address=ARCHIVE_ADDRESS)
    ((rule, message),) = planted(analysed())
    assert (rule, message.partition(",")[0]) == (
        "archive address",
        "the error address is the archive address",
    )
    assert planted(analysed(error_address="bounces@example.com")) == []
