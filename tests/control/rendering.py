"""Rendering a template as a message would."""

import re

from letterbook.mail.inspection import inspect
from letterbook.mail.template import Program, RenderClock, Source

KNOWN = ("id", "email", "first_name", "last_name", "language", "city", "points")


def mistakes(text: str, *, markup: bool = False) -> list[str]:
    return [str(error) for error in inspect(Source("body", text, markup=markup), KNOWN).errors]


def render(template: str, *, markup: bool = False, **values: object) -> str:
    """Return the text for a recipient with these fields."""
    assert mistakes(template, markup=markup) == []
    clock = RenderClock()
    program = Program(Source("body", template, markup=markup), clock)
    clock.start()
    return program.text(values)


def visible(html: str) -> str:
    """What a reader sees of an HTML page, on one line."""
    html = re.sub(r"<head.*?</head>|<!--.*?-->", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())
