"""MJML to HTML, with Jinja2 inside."""

import re
from typing import Final

import mrml

from letterbook.control.mailtemplates.errors import MjmlError
from letterbook.control.mailtemplates.placeholders import Placeholders
from letterbook.control.mailtemplates.structure import Structure

_HOLD_TEXT: Final = frozenset(
    (
        "mj-accordion-text", "mj-accordion-title", "mj-button", "mj-navbar-link", "mj-preview",
        "mj-raw", "mj-social-element", "mj-style", "mj-table", "mj-text", "mj-title",
    )
)  # fmt: skip

_ELEMENT: Final = re.compile(
    r"<(?P<close>/?)(?P<name>mj[a-zA-Z-]*)(?:\"[^\"]*\"|'[^']*'|[^<>\"'])*?(?P<empty>/?)>",
    re.IGNORECASE,
)


def to_html(source: str) -> str:
    """Return the HTML of an MJML template; its Jinja2 tags stay where they are.

    A tag between two elements, such as an ``{% if %}`` around a section, needs no ``mj-raw``
    around it: it gets one. Raises MjmlError.
    """
    structure = Structure(source)
    placeholders = Placeholders()

    def dress(word: str, _: str, offset: int) -> str:
        opened = structure.at(offset)
        if opened is None or _HOLD_TEXT.intersection(opened):
            return word
        return f"<mj-raw>{word}</mj-raw>"

    try:
        html = mrml.to_html(placeholders.take_out(source, dress)).content
    except OSError as error:  # the only kind that mrml raises
        raise MjmlError(f"{_whereabouts(source)} cannot be read as MJML: {error}") from error
    return placeholders.put_back(html)


def _whereabouts(source: str) -> str:
    """Return file, line and the element that is not closed, since mrml tells no place."""
    blank = re.sub(
        r"<!--.*?-->", lambda each: re.sub(r"[^\n]", " ", each[0]), source, flags=re.DOTALL
    )
    opened: list[tuple[str, int]] = []
    for tag in _ELEMENT.finditer(blank):
        name, line = tag["name"].lower(), blank.count("\n", 0, tag.start()) + 1
        if not tag["close"]:
            if not tag["empty"]:
                opened.append((name, line))
        elif opened and opened[-1][0] == name:
            opened.pop()
        else:
            break
    if not opened:
        return "body.mjml"
    name, line = opened[-1]
    return f"body.mjml, line {line}: <{name}> is not closed as it should be; it"
