"""How large a value a template may make.

The time limit comes too late for a single call that fills the memory, so each function that can
make much of little asks here first.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, Final

from jinja2 import filters, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.nodes import EvalContext

LONGEST_REPEAT: Final = 100_000
_LONGEST_TEXT: Final = 1_000_000
_HIGHEST_POWER: Final = 64
_NUMBER: Final = re.compile(r"\d+")
_WIDTH_BY_VALUE: Final = re.compile(r"%[^%a-zA-Z]*\*|\{[^{}]*\{")
"""A width that is itself a value: ``%*d`` or ``{:{}}``."""


def require_small(size: int, most: int = LONGEST_REPEAT) -> None:
    """Raise SecurityError when something of ``size`` would be too large."""
    if size > most:
        raise SecurityError(f"this would make too large a value: {size:,} and at most {most:,}")


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Check ``left operator right``. Raises SecurityError."""
    if operator == "**":
        powers = (abs(each) for each in (left, right) if isinstance(each, int))
        require_small(max(powers, default=0), _HIGHEST_POWER)
    elif operator == "*":
        require_small(_repeated_length(left, right))
    elif operator == "%":
        check_layout(left)


def check_layout(layout: object) -> None:
    """Check a text that is used as a format, which may ask for any width. Raises SecurityError."""
    if isinstance(layout, str):
        if _WIDTH_BY_VALUE.search(layout):
            raise SecurityError("a width that is a value may be too large: write it as a number")
        require_small(max((int(number[:9]) for number in _NUMBER.findall(layout)), default=0))


def check_output(value: object) -> None:
    """Check what is to become text. Raises SecurityError."""
    if isinstance(value, list | tuple | dict):
        require_small(_extent(value, 0), _LONGEST_TEXT)


def check_replace(text: Any, old: Any, new: Any, count: int | None = None) -> None:
    """Check ``text.replace(old, new, count)``. Raises SecurityError."""
    text, old, new = str(text), str(old), str(new)
    times = text.count(old) if old else len(text) + 1
    times = times if count is None or count < 0 else min(times, count)
    require_small(len(text) + times * len(new), _LONGEST_TEXT)


def _check_width(_: object, width: Any = 0, *__: Any, **___: Any) -> None:
    """Check a filter's first argument, a number of columns or items."""
    require_small(int(width or 0))


def _check_indent(text: Any, width: int | str = 4, *_: Any, **__: Any) -> None:
    each = len(width) if isinstance(width, str) else width
    require_small(len(str(text)) + each * (str(text).count("\n") + 1), _LONGEST_TEXT)


def _check_json(_: object, indent: int | None = None) -> None:
    require_small(indent or 0, 16)


def _check_wordwrap(
    text: Any, width: int = 79, _: bool = True, wrapstring: str | None = None, *__: Any
) -> None:
    lines = len(str(text)) // max(width, 1) + str(text).count(" ") + 1
    require_small(len(str(text)) + lines * len(wrapstring or "\n"), _LONGEST_TEXT)


def _bounded(function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """Let ``check`` see what a filter is asked before it does it."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def bounded(*args: Any, **named: Any) -> Any:
        check(*args[skipped:], **named)
        return function(*args, **named)

    return bounded


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    """Jinja2's ``join``, within bounds."""
    items = list(value)
    if attribute is not None:
        items = list(map(filters.make_attrgetter(context.environment, attribute), items))
    require_small(_extent(items, 0) + len(str(d)) * len(items), _LONGEST_TEXT)
    joined: str = filters.sync_do_join(context, items, d)
    return joined


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    check_layout(value)
    return filters.do_format(value, *args, **kwargs)


def _center(value: str, width: int = 80) -> str:
    return str(value).center(min(width, LONGEST_REPEAT))


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "batch": _bounded(filters.do_batch, _check_width),
    "center": _center,
    "format": _format,
    "indent": _bounded(filters.do_indent, _check_indent),
    "join": _join,
    "replace": _bounded(filters.do_replace, check_replace),
    "slice": _bounded(filters.do_slice, _check_width),
    "tojson": _bounded(filters.do_tojson, _check_json),
    "wordwrap": _bounded(filters.do_wordwrap, _check_wordwrap),
}
"""Jinja2's filters that can make much of little, within bounds."""


def _repeated_length(left: object, right: object) -> int:
    """How long ``left * right`` is when one of them is repeated, else 0."""
    for many, times in ((left, right), (right, left)):
        if isinstance(many, Sized) and isinstance(times, int):
            return len(many) * times
    return 0


def _extent(value: object, counted: int) -> int:
    """How long a text of ``value`` is at least, as far as that matters."""
    if isinstance(value, str):
        return counted + len(value)
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if not isinstance(value, list | tuple):
        return counted + 1
    for each in value:
        if counted > _LONGEST_TEXT:
            break
        counted = _extent(each, counted + 2)
    return counted
