"""MJML to HTML, with Jinja2 inside."""

import re
from bisect import bisect_right
from typing import Final

import mrml

from letterbook.control.mailtemplates.errors import MjmlError
from letterbook.control.mailtemplates.placeholders import JINJA, Placeholders

_ELEMENT: Final = re.compile(
    r"<!--.*?-->|<(?P<close>/?)(?P<name>mj[\w-]*)[^<>]*?(?P<empty>/?)>", re.DOTALL
)
_TEXT_ELEMENTS: Final = frozenset(
    (
        "mj-accordion-text", "mj-accordion-title", "mj-button", "mj-navbar-link", "mj-preview",
        "mj-raw", "mj-social-element", "mj-style", "mj-table", "mj-text", "mj-title",
    )
)  # fmt: skip


def to_html(source: str) -> str:
    """Return the HTML of an MJML template; its Jinja2 tags stay where they are.

    A tag between two elements, such as an ``{% if %}`` around a section, needs no ``mj-raw``
    around it: it gets one. Raises MjmlError.
    """
    structure = _Structure(source)
    placeholders = Placeholders()
    marked = placeholders.take_out(
        source,
        lambda mark, at: mark if structure.holds_text(at) else f"<mj-raw>{mark}</mj-raw>",
    )
    try:
        html = mrml.to_html(marked).content
    except OSError as error:  # the only kind that mrml raises
        raise MjmlError(f"body.mjml cannot be read as MJML: {error}") from error
    return placeholders.put_back(html)


class _Structure:
    """Tells for each offset of an MJML text whether text may stand there."""

    def __init__(self, source: str) -> None:
        self._starts: list[int] = [0]
        self._text: list[bool] = [False]
        stack: list[str] = []
        # A comparison within a Jinja2 tag must not look like the end of an element.
        for tag in _ELEMENT.finditer(JINJA.sub(lambda each: "x" * len(each[0]), source)):
            self._add(tag.start(), text=True)  # within a tag or comment: an attribute's value
            if tag["name"] and not tag["empty"]:
                if tag["close"]:
                    if tag["name"] in stack:
                        del stack[len(stack) - 1 - stack[::-1].index(tag["name"]) :]
                else:
                    stack.append(tag["name"])
            self._add(tag.end(), text=any(name in _TEXT_ELEMENTS for name in stack))

    def holds_text(self, offset: int) -> bool:
        return self._text[bisect_right(self._starts, offset) - 1]

    def _add(self, offset: int, *, text: bool) -> None:
        self._starts.append(offset)
        self._text.append(text)
