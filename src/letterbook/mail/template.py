"""Templates: Jinja2, sandboxed, without clock and without chance.

A template knows ``recipient`` and nothing else. Its names are checked when a delivery is
analysed; at sending time it is a function from a recipient's fields to pieces of text.
"""

import difflib
import gc
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from types import CodeType
from typing import Any, Final, Self, TypeAlias

from jinja2 import TemplateSyntaxError, Undefined, meta, nodes, pass_eval_context
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.filters import do_default
from jinja2.lexer import Lexer, newline_re
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from letterbook.mail.errors import PersonalisationError, TemplateError

RENDER_LIMIT: Final = 0.050
"""Seconds of processor time that rendering one message may take."""

_SUBJECT_NAME: Final = "recipient"
_FIELD_PREFIX: Final = "letterbook_recipient_"
_LONGEST_REPEAT: Final = 100_000
_HIGHEST_POWER: Final = 64
_STRAY: Final = re.compile(r"(?P<what>unexpected char .*) at \d+")
_CHANCE: Final = ("random",)
_CLOCKS: Final = ("today", "fromtimestamp")
"""What a date tells of the present and of this host's time zone."""
_BARE_REPR: Final[object] = object.__repr__
_TEXTS: Final = (str, Undefined)

_UNAVAILABLE: Final = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text and the file it came from. ``markup``: values are escaped for HTML."""

    file: str
    text: str
    markup: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a template uses, and what is wrong with it."""

    fields: frozenset[str]
    errors: tuple[TemplateError, ...]


class RenderClock:
    """Counts the processor time of one message over all its templates.

    Processor time, because a busy machine is not the template's fault.
    """

    __slots__ = ("_deadline",)

    def __init__(self) -> None:
        self._deadline = float("inf")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of one message. Raises PersonalisationError when it was too long.

        The garbage collector waits meanwhile: its work is not the template's fault either.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            self.start()
            yield
            self.check()
        finally:
            if collecting:
                gc.enable()

    def start(self) -> None:
        self._deadline = time.thread_time() + RENDER_LIMIT

    def check(self) -> None:
        """Raise PersonalisationError when the time is over."""
        if time.thread_time() > self._deadline:
            raise PersonalisationError(
                f"rendering takes more than {RENDER_LIMIT * 1000:.0f} ms for this recipient"
            )


def inspect(source: Source, known: Collection[str]) -> Inspection:
    """Check ``source`` against the ``known`` fields of recipients, without rendering it."""
    environment = _environment(source.markup)
    finder = _FieldFinder()
    try:
        with _mistakes_of(source):
            tree = finder.visit(environment.parse(source.text, source.file))
            complaints = [
                *_unknown_fields(finder.uses, known),
                *_unknown_filters(tree, environment),
                *_unknown_names(tree, environment, finder.uses),
                *_unavailable(tree),
            ]
        if not complaints:
            Program(source, RenderClock())
    except TemplateError as error:
        return Inspection(frozenset(), (error,))
    errors = [
        TemplateError(message, file=source.file, line=line, column=column)
        for (line, column), message in sorted(complaints)
    ]
    return Inspection(frozenset(name for name, _ in finder.uses), tuple(errors))


class Program:
    """A compiled template."""

    __slots__ = ("_file", "_root", "_template", "_variables", "constants", "fields")

    def __init__(self, source: Source, clock: RenderClock) -> None:
        """Compile ``source``, which ``inspect`` found to be without errors.

        Raises TemplateError when it has some all the same.
        """
        environment = _environment(source.markup)
        environment.tick = clock.check
        finder = _FieldFinder()
        with _mistakes_of(source):
            tree = _LoopGuard().visit(finder.visit(environment.parse(source.text, source.file)))
            code: CodeType = environment.compile(tree, source.file, source.file)
        self._file = source.file
        self._template = Template.from_code(environment, code, environment.globals)
        self._root = self._template.root_render_func
        self.fields = frozenset(name for name, _ in finder.uses)
        """The fields of a recipient that the template uses."""
        self._variables = [(name, _variable(name)) for name in self.fields]
        self.constants = frozenset(_strings(code))
        """The pieces that are the same for everyone (among other strings of the code)."""

    def pieces(self, values: Mapping[str, object]) -> list[str]:
        """Render for the recipient whose fields are ``values``; a missing one is empty.

        Raises PersonalisationError, naming file and line.
        """
        context = self._template.new_context(
            {variable: values.get(name, "") for name, variable in self._variables}
        )
        try:
            return list(self._root(context))
        except Exception as error:  # a template can raise whatever its values can
            where = f"{self._file}:{self._line(error)}"
            what = str(error) or type(error).__name__
            raise PersonalisationError(f"{where}: {what}{self._hint(values)}") from error

    def text(self, values: Mapping[str, object]) -> str:
        """Render as one text."""
        return "".join(self.pieces(values))

    def _hint(self, values: Mapping[str, object]) -> str:
        empty = sorted(name for name in self.fields if values.get(name, "") == "")
        return f" (empty for this recipient: {', '.join(empty)})" if empty else ""

    def _line(self, error: Exception) -> int:
        line, trace = 1, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._file:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


class _Position(int):
    """A line number that also knows its column, so that every message of Jinja2 can tell it."""

    column: int

    def __new__(cls, line: int, column: int) -> Self:
        position = super().__new__(cls, line)
        position.column = column
        return position


def _position(line: int) -> tuple[int, int]:
    return int(line), getattr(line, "column", 1)


@contextmanager
def _mistakes_of(source: Source) -> Iterator[None]:
    """Turn what reading and compiling ``source`` raises into a TemplateError."""
    try:
        yield
    except TemplateSyntaxError as error:
        message = error.message or "the template cannot be read"
        if stray := _STRAY.fullmatch(message):
            message = stray["what"]
        line, column = _position(error.lineno)
        raise TemplateError(message, file=source.file, line=line, column=column) from error
    except Exception as error:  # Python's own limits: nesting, arguments, digits
        message = f"the template cannot be compiled: {getattr(error, 'msg', error)}"
        raise TemplateError(message, file=source.file, line=1) from error


class _PositionLexer(Lexer):
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


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 without clock, chance, other files and endless work."""

    intercepted_binops = frozenset({"*", "**"})

    tick: Callable[[], None] = staticmethod(lambda: None)
    """Called again and again while a template is rendered; raises when the time is over."""

    @property
    def lexer(self) -> Lexer:
        return _PositionLexer(self)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            size = max((abs(each) for each in (left, right) if isinstance(each, int)), default=0)
        else:
            size = _repeated_length(left, right)
        if size > (_HIGHEST_POWER if operator == "**" else _LONGEST_REPEAT):
            raise SecurityError(f"{operator} with {size} would make too large a value")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, date) and attr in _CLOCKS:
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


def _repeated_length(left: object, right: object) -> int:
    """How long ``left * right`` is when one of them is repeated, else 0."""
    for many, times in ((left, right), (right, left)):
        if isinstance(many, Sized) and isinstance(times, int):
            return len(many) * times
    return 0


def _environment(markup: bool) -> _Sandbox:
    environment = _Sandbox(autoescape=markup, finalize=_finalize, keep_trailing_newline=True)
    del environment.globals["lipsum"]
    for name in _CHANCE:
        del environment.filters[name]
    environment.filters["default"] = environment.filters["d"] = _default
    environment.tests["defined"] = lambda value: not _is_empty(value)
    environment.tests["undefined"] = _is_empty
    return environment


def _is_empty(value: object) -> bool:
    return isinstance(value, Undefined) or value is None or value == ""


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Jinja2's ``default``, for which an empty field counts as missing."""
    return do_default(Undefined() if _is_empty(value) else value, default_value, boolean)


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
    return "" if value is None else value


class _FieldFinder(NodeTransformer):
    """Turns ``recipient.field`` into a plain variable, and notes where each is used."""

    def __init__(self) -> None:
        self.uses: list[tuple[str, tuple[int, int]]] = []

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        if isinstance(node.node, nodes.Name) and node.node.name == _SUBJECT_NAME:
            return self._field(node.node, node.attr)
        return self.generic_visit(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        name = node.arg.value if isinstance(node.arg, nodes.Const) else None
        if (
            isinstance(node.node, nodes.Name)
            and node.node.name == _SUBJECT_NAME
            and isinstance(name, str)
        ):
            return self._field(node.node, name)
        return self.generic_visit(node)

    def _field(self, node: nodes.Expr, name: str) -> nodes.Node:
        self.uses.append((name, _position(node.lineno)))
        return nodes.Name(_variable(name), "load", lineno=node.lineno)


def _variable(field: str) -> str:
    """Return the variable for ``field``, which may be any text: it must not get into the code."""
    return _FIELD_PREFIX + field.encode("utf-8", "surrogatepass").hex()


class _LoopGuard(NodeTransformer):
    """Looks at the clock at each turn of a loop and each call of a macro or block."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self._guard(node)
        if node.test is not None:
            node.test = nodes.Or(_tick(), node.test)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._guard(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:  # noqa: N802
        return self._guard(node)

    def _guard(self, node: nodes.For | nodes.Macro | nodes.Block) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(), lineno=node.lineno))
        return node


def _tick() -> nodes.Call:
    """A call that no variable of a template can stand in the way of; it returns None."""
    return nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)


_Complaint: TypeAlias = tuple[tuple[int, int], str]
"""Line and column, and what is wrong there."""


def _unknown_fields(
    uses: list[tuple[str, tuple[int, int]]], known: Collection[str]
) -> Iterator[_Complaint]:
    for name, where in uses:
        if name not in known:
            yield where, f"recipient.{name} is unknown{_did_you_mean(name, known, 'recipient.')}"


def _unknown_names(
    tree: nodes.Template, environment: _Sandbox, uses: list[tuple[str, tuple[int, int]]]
) -> Iterator[_Complaint]:
    # Unknown filters and tests are complaints of their own; they must not be in the way here.
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        register = environment.filters if isinstance(each, nodes.Filter) else environment.tests
        register.setdefault(each.name, _is_empty)
    declared = {*environment.globals, *(_variable(name) for name, _ in uses)}
    undeclared = meta.find_undeclared_variables(tree) - declared
    for node in tree.find_all(nodes.Name):
        if node.name == _SUBJECT_NAME:
            yield (
                _position(node.lineno),
                "recipient is used by its fields, such as recipient.first_name",
            )
        elif node.name in undeclared and node.ctx == "load":
            yield _position(node.lineno), f"{node.name} is unknown"


def _unknown_filters(tree: nodes.Template, environment: _Sandbox) -> Iterator[_Complaint]:
    for each in tree.find_all(nodes.Filter):
        if each.name not in environment.filters:
            hint = _did_you_mean(each.name, environment.filters)
            yield _position(each.lineno), f"there is no filter {each.name}{hint}"
    for test in tree.find_all(nodes.Test):
        if test.name not in environment.tests:
            hint = _did_you_mean(test.name, environment.tests)
            yield _position(test.lineno), f"there is no test {test.name}{hint}"


def _unavailable(tree: nodes.Template) -> Iterator[_Complaint]:
    for node in tree.find_all(_UNAVAILABLE):
        yield _position(node.lineno), "a template stands alone: it cannot take in another file"


def _did_you_mean(name: str, known: Collection[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _strings(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _strings(constant)
