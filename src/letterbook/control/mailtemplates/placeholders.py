"""Carrying Jinja2 through tools that know only HTML or MJML.

Each tag of Jinja2 is replaced by a short mark of private-use characters, and put back afterwards.
"""

import re
from collections.abc import Callable
from typing import Final

JINJA: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_MARK: Final = re.compile("\ue000(\\d+)\ue001")


class Placeholders:
    """Takes the tags out of a template and puts them back."""

    def __init__(self) -> None:
        self._tags: list[str] = []

    def take_out(self, source: str, wrap: Callable[[str, int], str] = lambda mark, _: mark) -> str:
        """Return ``source`` with marks. ``wrap`` may dress a mark that stands at an offset."""

        def replace(match: re.Match[str]) -> str:
            if match[0].startswith("{#"):
                return ""
            self._tags.append(match[0])
            return wrap(f"\ue000{len(self._tags) - 1}\ue001", match.start())

        return JINJA.sub(replace, source)

    def put_back(self, text: str) -> str:
        """Return ``text`` with the tags in the place of the marks."""
        return _MARK.sub(lambda match: self._tags[int(match[1])], text)
