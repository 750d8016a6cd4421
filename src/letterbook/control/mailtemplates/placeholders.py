"""Carrying Jinja2 through tools that know only HTML or MJML.

Each tag of Jinja2 is replaced by a plain word, and put back afterwards.
"""

import re
from collections.abc import Callable
from typing import Final

JINJA: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_WORD: Final = re.compile(r"LetterbookTag(\d+)x")


class Placeholders:
    """Takes the tags out of a template and puts them back."""

    def __init__(self) -> None:
        self._tags: list[str] = []

    def take_out(self, source: str, dress: Callable[[str, str, int], str]) -> str:
        """Return ``source`` with a word for each tag, and without comments.

        ``dress`` is given the word, its tag, and the offset where it stood; what it returns takes
        the tag's place and must hold the word.
        """

        def replace(match: re.Match[str]) -> str:
            tag = match[0]
            if tag.startswith("{#"):
                return ""
            self._tags.append(tag)
            return dress(f"LetterbookTag{len(self._tags) - 1}x", tag, match.start())

        return JINJA.sub(replace, source)

    def put_back(self, text: str) -> str:
        """Return ``text`` with the tags in the place of their words."""
        return _WORD.sub(lambda match: self._tags[int(match[1])], text)
