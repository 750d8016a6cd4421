"""Where in a template something stands: line and column, for every complaint of Jinja2."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from jinja2 import TemplateSyntaxError
from jinja2.lexer import Lexer, newline_re

from letterbook.mail.errors import TemplateError

_STRAY: Final = re.compile(r"(?P<what>unexpected char .*) at \d+")


class _Position(int):
    """A line number that also knows its column, so that every message of Jinja2 can tell it."""

    column: int

    def __new__(cls, line: int, column: int) -> Self:
        position = super().__new__(cls, line)
        position.column = column
        return position


def position_of(line: int) -> tuple[int, int]:
    """Return line and column of a node's or error's ``lineno``."""
    return int(line), getattr(line, "column", 1)


@contextmanager
def mistakes_of(file: str) -> Iterator[None]:
    """Turn what reading and compiling ``file`` raises into a TemplateError."""
    try:
        yield
    except TemplateSyntaxError as error:
        message = error.message or "the template cannot be read"
        if stray := _STRAY.fullmatch(message):
            message = stray["what"]
        line, column = position_of(error.lineno)
        raise TemplateError(message, file=file, line=line, column=column) from error
    except Exception as error:  # Python's own limits: nesting, arguments, digits
        message = f"the template cannot be compiled: {getattr(error, 'msg', error)}"
        raise TemplateError(message, file=file, line=1) from error


class PositionLexer(Lexer):
    """Tells where in its line each token stands."""

    def tokeniter(
        self,
        source: str,
        name: str | None,
        filename: str | None = None,
        state: str | None = None,
    ) -> Iterator[tuple[int, str, str]]:
        text = newline_re.sub("\n", source)
        offset = 0

        def position(line: int, start: int) -> _Position:
            return _Position(line, start - text.rfind("\n", 0, start))

        try:
            for line, token, value in super().tokeniter(text, name, filename, state):
                # What the lexer leaves out between two tokens is white space, so the next
                # occurrence of a token's text is the token.
                start = max(text.find(value, offset), offset)
                yield position(line, start), token, value
                offset = start + len(value)
        except TemplateSyntaxError as error:
            error.lineno = position(error.lineno, offset)  # what comes next cannot be read
            raise
