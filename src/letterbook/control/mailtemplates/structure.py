"""Which elements are open at a place of an HTML or MJML text that has Jinja2 in it."""

import re
from bisect import bisect_right
from typing import Final

from letterbook.control.mailtemplates.placeholders import JINJA

_TAG: Final = re.compile(
    r"<!--.*?-->|<(?P<close>/?)(?P<name>[a-zA-Z][\w-]*)[^<>]*?(?P<empty>/?)>", re.DOTALL
)
_VOID: Final = frozenset(
    (
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
        "track", "wbr",
    )
)  # fmt: skip


class Structure:
    """The open elements at each offset of a text, outermost first, in lower case."""

    def __init__(self, source: str) -> None:
        self._starts: list[int] = [0]
        self._open: list[tuple[str, ...] | None] = [()]
        stack: list[str] = []
        # A comparison within a tag of Jinja2 must not look like the end of an element.
        for tag in _TAG.finditer(JINJA.sub(lambda each: "x" * len(each[0]), source)):
            self._note(tag.start(), None)
            if tag["name"]:
                _change(stack, tag["name"].lower(), bool(tag["close"]), bool(tag["empty"]))
            self._note(tag.end(), tuple(stack))

    def at(self, offset: int) -> tuple[str, ...] | None:
        """Return the elements open at ``offset``; None within a tag or a comment."""
        return self._open[bisect_right(self._starts, offset) - 1]

    def _note(self, offset: int, opened: tuple[str, ...] | None) -> None:
        self._starts.append(offset)
        self._open.append(opened)


def _change(stack: list[str], name: str, closes: bool, empty: bool) -> None:
    if closes:
        if name in stack:
            del stack[len(stack) - 1 - stack[::-1].index(name) :]
    elif not empty and name not in _VOID:
        stack.append(name)
