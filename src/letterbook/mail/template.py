"""Templates: Jinja2, sandboxed, without clock and without chance.

A template knows ``recipient`` and nothing else. Its names are checked when a delivery is
analysed; at sending time it is a function from a recipient's fields to pieces of text.
"""

import difflib
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, Self, TypeAlias

from jinja2 import TemplateSyntaxError, Undefined, meta, nodes, pass_eval_context
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.filters import do_default
from jinja2.lexer import Lexer
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from letterbook.mail.errors import PersonalisationError, TemplateError

RENDER_LIMIT: Final = 0.050
"""Seconds of processor time that rendering one message may take."""

_SUBJECT_NAME: Final = "recipient"
_FIELD_PREFIX: Final = "letterbook_recipient_"
_TICK: Final = "letterbook_tick"
_LONGEST_REPEAT: Final = 100_000
_HIGHEST_POWER: Final = 64
_STRAY: Final = re.compile(r"(?P<what>unexpected char .*) at (?P<offset>\d+)")
_CHANCE: Final = ("random",)
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
    try:
        tree = environment.parse(source.text, source.file)
    except TemplateSyntaxError as error:
        return Inspection(frozenset(), (_syntax_error(error, source),))
    finder = _FieldFinder()
    tree = finder.visit(tree)
    complaints = [
        *_unknown_fields(finder.uses, known),
        *_unknown_names(tree, environment),
        *_unknown_filters(tree, environment),
        *_unavailable(tree),
    ]
    errors = [
        TemplateError(message, file=source.file, line=line, column=column)
        for (line, column), message in sorted(complaints)
    ]
    return Inspection(frozenset(name for name, _ in finder.uses), tuple(errors))


class Program:
    """A compiled template."""

    __slots__ = ("_file", "_root", "_template", "constants", "fields")

    def __init__(self, source: Source, clock: RenderClock) -> None:
        """Compile ``source``, which ``inspect`` found to be without errors.

        Raises TemplateError when it has some all the same.
        """
        environment = _environment(source.markup)
        environment.globals[_TICK] = clock.check
        try:
            finder = _FieldFinder()
            tree = _LoopGuard().visit(finder.visit(environment.parse(source.text, source.file)))
            code: CodeType = environment.compile(tree, source.file, source.file)
        except TemplateSyntaxError as error:
            raise _syntax_error(error, source) from error
        self._file = source.file
        self._template = Template.from_code(environment, code, environment.globals)
        self._root = self._template.root_render_func
        self.fields = frozenset(name for name, _ in finder.uses)
        """The fields of a recipient that the template uses."""
        self.constants = frozenset(_strings(code))
        """The pieces that are the same for everyone (among other strings of the code)."""

    def pieces(self, values: Mapping[str, object]) -> list[str]:
        """Render for the recipient whose fields are ``values``; a missing one is empty.

        Raises PersonalisationError, naming file and line.
        """
        context = self._template.new_context(
            {_FIELD_PREFIX + name: values.get(name, "") for name in self.fields}
        )
        try:
            return list(self._root(context))
        except Exception as error:  # a template can raise whatever its values can
            where = f"{self._file}:{self._line(error)}"
            raise PersonalisationError(f"{where}: {error}{self._hint(values)}") from error

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


def _syntax_error(error: TemplateSyntaxError, source: Source) -> TemplateError:
    message = error.message or "the template cannot be read"
    line, column = _position(error.lineno)
    if stray := _STRAY.fullmatch(message):
        # The one complaint that the lexer makes itself: it knows an offset, not a column.
        message, offset = stray["what"], int(stray["offset"])
        column = offset - "\n".join(source.text.splitlines()).rfind("\n", 0, offset)
    return TemplateError(message, file=source.file, line=line, column=column)


class _PositionLexer(Lexer):
    """Tells where in its line each token stands."""

    def tokeniter(
        self,
        source: str,
        name: str | None,
        filename: str | None = None,
        state: str | None = None,
    ) -> Iterator[tuple[int, str, str]]:
        text = "\n".join(source.splitlines())
        offset = 0
        for line, token, value in super().tokeniter(text, name, filename, state):
            # What the lexer leaves out between two tokens is white space, so the next
            # occurrence of a token's text is the token.
            start = max(text.find(value, offset), offset)
            yield _Position(line, start - text.rfind("\n", 0, start)), token, value
            offset = start + len(value)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 without clock, chance, other files and endless work."""

    intercepted_binops = frozenset({"*", "**"})

    @property
    def lexer(self) -> Lexer:
        return _PositionLexer(self)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        repeats = isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple)
        if operator == "**" or repeats:
            size = max((abs(each) for each in (left, right) if isinstance(each, int)), default=0)
            if size > (_HIGHEST_POWER if operator == "**" else _LONGEST_REPEAT):
                raise SecurityError(f"{operator} with {size} would make too large a value")
        return super().call_binop(context, operator, left, right)


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
    """Refuse what has no text of its own. (The context keeps constants from escaping the check.)"""
    if callable(value) and not isinstance(value, Undefined):
        # Its text would hold a memory address, which differs from process to process.
        raise TypeError("a function is not a text; did you forget its parentheses?")
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
        return nodes.Name(_FIELD_PREFIX + name, "load", lineno=node.lineno)


class _LoopGuard(NodeTransformer):
    """Looks at the clock at each turn of a loop and each call of a macro."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        return self._guard(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._guard(node)

    def _guard(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        tick = nodes.Call(nodes.Name(_TICK, "load"), [], [], None, None)
        node.body.insert(0, nodes.ExprStmt(tick, lineno=node.lineno))
        return node


_Complaint: TypeAlias = tuple[tuple[int, int], str]
"""Line and column, and what is wrong there."""


def _unknown_fields(
    uses: list[tuple[str, tuple[int, int]]], known: Collection[str]
) -> Iterator[_Complaint]:
    for name, where in uses:
        if name not in known:
            yield where, f"recipient.{name} is unknown{_did_you_mean(name, known, 'recipient.')}"


def _unknown_names(tree: nodes.Template, environment: _Sandbox) -> Iterator[_Complaint]:
    undeclared = {
        name
        for name in meta.find_undeclared_variables(tree)
        if name not in environment.globals and not name.startswith(_FIELD_PREFIX)
    }
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
