"""The text part of a template that has none: derived from its HTML, Jinja2 and all."""

import re
from typing import Final

from inscriptis import get_text
from inscriptis.model.config import ParserConfig

from letterbook.control.mailtemplates.placeholders import Placeholders
from letterbook.control.mailtemplates.structure import Structure

_CONFIG: Final = ParserConfig(display_links=True)
_ROWS: Final = frozenset(("table", "tbody", "thead", "tfoot"))
_AROUND_LINES: Final = re.compile(r"^[ \t]+|[ \t\u00a0\u200c\u00ad\u034f]+$", re.MULTILINE)
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_ONLY_BLOCKS: Final = re.compile(r"^((?:\{%(?:(?!%\})[^\n])*%\})+)(\n+)", re.MULTILINE)


def derive_text(html: str) -> str:
    """Return a text template that says what the HTML template ``html`` says."""
    structure = Structure(html)
    placeholders = Placeholders()

    def dress(word: str, tag: str, offset: int) -> str:
        """Between rows and cells no text may stand: a tag there gets a row or cell of its own."""
        opened = structure.at(offset)
        if not opened or not tag.startswith("{%"):
            return word
        if opened[-1] in _ROWS:
            return f"<tr><td>{word}</td></tr>"
        return f"<td>{word}</td>" if opened[-1] == "tr" else word

    text = get_text(placeholders.take_out(html, dress), _CONFIG)
    text = _BLANK_LINES.sub("\n\n", _AROUND_LINES.sub("", text)).strip("\n")
    return _ONLY_BLOCKS.sub(_close_up, placeholders.put_back(text) + "\n")


def _close_up(line: re.Match[str]) -> str:
    """A line with nothing but block tags must not leave empty lines in every message.

    It keeps the line ends before it, and of those after it what they are more.
    """
    text = line.string[: line.start()]
    before = len(text) - len(text.rstrip("\n"))
    return line[1] + line[2][before:] if text else line[1]
