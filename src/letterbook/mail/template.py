"""Templates: at sending time, functions from a recipient's fields to pieces of text.

A template knows ``recipient`` and nothing else. Its fields become plain variables, and its loops
look at the clock.
"""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Final

from jinja2 import nodes
from jinja2.environment import Template
from jinja2.visitor import NodeTransformer

from letterbook.mail.errors import PersonalisationError
from letterbook.mail.sandbox import make_sandbox
from letterbook.mail.syntax import mistakes_of, position_of

RENDER_LIMIT: Final = 0.050
"""Seconds of processor time that rendering one message may take."""

SUBJECT: Final = "recipient"
_FIELD_PREFIX: Final = "letterbook_recipient_"


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text and the file it came from. ``markup``: values are escaped for HTML."""

    file: str
    text: str
    markup: bool = False


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


class Program:
    """A compiled template."""

    __slots__ = ("_file", "_root", "_template", "_variables", "constants", "fields")

    def __init__(self, source: Source, clock: RenderClock) -> None:
        """Compile ``source``, which ``inspect`` found to be without errors.

        Raises TemplateError when it has some all the same.
        """
        environment = make_sandbox(source.markup)
        environment.tick = clock.check
        finder = FieldFinder()
        with mistakes_of(source.file):
            tree = _LoopGuard().visit(finder.visit(environment.parse(source.text, source.file)))
            code: CodeType = environment.compile(tree, source.file, source.file)
        self._file = source.file
        self._template = Template.from_code(environment, code, environment.globals)
        self._root = self._template.root_render_func
        self.fields = frozenset(name for name, _ in finder.uses)
        """The fields of a recipient that the template uses."""
        self._variables = [(name, variable_of(name)) for name in self.fields]
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


class FieldFinder(NodeTransformer):
    """Turns ``recipient.field`` into a plain variable, and notes where each is used."""

    def __init__(self) -> None:
        self.uses: list[tuple[str, tuple[int, int]]] = []

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        if isinstance(node.node, nodes.Name) and node.node.name == SUBJECT:
            return self._field(node.node, node.attr)
        return self.generic_visit(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        name = node.arg.value if isinstance(node.arg, nodes.Const) else None
        if (
            isinstance(node.node, nodes.Name)
            and node.node.name == SUBJECT
            and isinstance(name, str)
        ):
            return self._field(node.node, name)
        return self.generic_visit(node)

    def _field(self, node: nodes.Expr, name: str) -> nodes.Node:
        self.uses.append((name, position_of(node.lineno)))
        return nodes.Name(variable_of(name), "load", lineno=node.lineno)


def variable_of(field: str) -> str:
    """Return the variable for ``field``, which may be any text: it must not get into the code."""
    return _FIELD_PREFIX + field.encode("utf-8", "surrogatepass").hex()


class _LoopGuard(NodeTransformer):
    """Looks at the clock at each turn of a loop and each call of a macro or block."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self._guard(node)
        if node.test is not None:
            node.test = nodes.Or(_tick(), node.test)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Texts that are doubled again and again need no loop to become huge."""
        return nodes.Or(_tick(), self.generic_visit(node), lineno=node.lineno)

    def visit_Add(self, node: nodes.Add) -> nodes.Node:  # noqa: N802
        return nodes.Or(_tick(), self.generic_visit(node), lineno=node.lineno)

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


def _strings(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _strings(constant)
