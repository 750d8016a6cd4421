"""The text part of a template that has none: derived from its HTML, Jinja2 and all."""

import re
from typing import Final

from inscriptis import get_text
from inscriptis.model.config import ParserConfig

from letterbook.control.mailtemplates.placeholders import Placeholders

_CONFIG: Final = ParserConfig(display_links=True)
_TRAILING_SPACE: Final = re.compile(r"[ \t\u00a0\u200c\u00ad\u034f]+$", re.MULTILINE)
_BLANK_LINES: Final = re.compile(r"\n{3,}")


def derive_text(html: str) -> str:
    """Return a text template that says what the HTML template ``html`` says."""
    placeholders = Placeholders()
    text = get_text(placeholders.take_out(html), _CONFIG)
    text = _BLANK_LINES.sub("\n\n", _TRAILING_SPACE.sub("", text)).strip("\n")
    return placeholders.put_back(text) + "\n"
