"""Jinja2 without clock, chance, other files and endless work."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Final

from jinja2 import Undefined, nodes, pass_eval_context
from jinja2.filters import do_default
from jinja2.lexer import Lexer
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from letterbook.mail.bounds import (
    FILTERS,
    check_layout,
    check_operation,
    check_output,
    check_replace,
)
from letterbook.mail.syntax import PositionLexer

_CHANCE: Final = ("random",)
_CLOCKS: Final = ("today", "fromtimestamp")
"""What a date tells of the present and of this host's time zone."""

_BARE_REPR: Final[object] = object.__repr__
_WIDENERS: Final = frozenset(("center", "expandtabs", "join", "ljust", "rjust", "zfill"))
"""Methods of texts that make them as long as asked; the filters of these names are bounded."""

_TEXTS: Final = (str, Undefined)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all our templates."""

    intercepted_binops = frozenset({"*", "**", "%"})

    tick: Callable[[], None] = staticmethod(lambda: None)
    """Called again and again while a template is rendered; raises when the time is over."""

    @property
    def lexer(self) -> Lexer:
        return PositionLexer(self)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(called, "__self__", None)
        if isinstance(owner, str) and called.__name__ == "replace":
            check_replace(owner, *args, **kwargs)
        return super().call(context, called, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            check_layout(value.__self__)
        return wrapped

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, date) and attr in _CLOCKS:
            return False
        if isinstance(obj, str) and attr in _WIDENERS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_filter(self, *args: Any, **kwargs: Any) -> Any:
        """Apply a filter to one item of many, as ``map`` does."""
        self.tick()
        return super().call_filter(*args, **kwargs)

    def call_test(self, *args: Any, **kwargs: Any) -> Any:
        """Apply a test to one item of many, as ``select`` does."""
        self.tick()
        return super().call_test(*args, **kwargs)


def make_sandbox(markup: bool) -> Sandbox:
    """Return an environment; ``markup``: values are escaped for HTML."""
    environment = Sandbox(autoescape=markup, finalize=_finalize, keep_trailing_newline=True)
    del environment.globals["lipsum"]
    for name in _CHANCE:
        del environment.filters[name]
    environment.filters.update(FILTERS)
    environment.filters["default"] = environment.filters["d"] = _default
    environment.tests["defined"] = lambda value: not is_empty(value)
    environment.tests["undefined"] = is_empty
    return environment


def is_empty(value: object) -> bool:
    """Whether ``value`` counts as missing."""
    return isinstance(value, Undefined) or value is None or value == ""


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Jinja2's ``default``, for which an empty field counts as missing."""
    return do_default(Undefined() if is_empty(value) else value, default_value, boolean)


@pass_eval_context
def _finalize(_: nodes.EvalContext, value: Any) -> Any:
    """Refuse what has no text of its own. (The context keeps constants from escaping the check.)

    Its text would hold a memory address, which differs from process to process.
    """
    if isinstance(value, _TEXTS):
        return value
    if callable(value):
        raise TypeError("a function is not a text; did you forget its parentheses?")
    if isinstance(value, Iterator):
        raise TypeError("a sequence under way is not a text; did you forget join or list?")
    if type(value).__repr__ is _BARE_REPR:
        raise TypeError(f"a {type(value).__name__} is not a text")
    check_output(value)
    return "" if value is None else value
