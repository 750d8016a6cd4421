"""What a template uses and what is wrong with it, found without rendering it."""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from jinja2 import meta, nodes

from letterbook.mail.errors import TemplateError
from letterbook.mail.sandbox import Sandbox, is_empty, make_sandbox
from letterbook.mail.syntax import mistakes_of, position_of
from letterbook.mail.template import (
    SUBJECT,
    FieldFinder,
    Program,
    RenderClock,
    Source,
    variable_of,
)

_UNAVAILABLE: Final = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)

_Complaint: TypeAlias = tuple[tuple[int, int], str]
"""Line and column, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a template uses, and what is wrong with it."""

    fields: frozenset[str]
    errors: tuple[TemplateError, ...]


def inspect(source: Source, known: Collection[str]) -> Inspection:
    """Check ``source`` against the ``known`` fields of recipients, without rendering it."""
    environment = make_sandbox(source.markup)
    finder = FieldFinder()
    try:
        with mistakes_of(source.file):
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


def _unknown_fields(
    uses: list[tuple[str, tuple[int, int]]], known: Collection[str]
) -> Iterator[_Complaint]:
    for name, where in uses:
        if name not in known:
            yield where, f"recipient.{name} is unknown{_did_you_mean(name, known, 'recipient.')}"


def _unknown_names(
    tree: nodes.Template, environment: Sandbox, uses: list[tuple[str, tuple[int, int]]]
) -> Iterator[_Complaint]:
    # Unknown filters and tests are complaints of their own; they must not be in the way here.
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        register = environment.filters if isinstance(each, nodes.Filter) else environment.tests
        register.setdefault(each.name, is_empty)
    declared = {*environment.globals, *(variable_of(name) for name, _ in uses)}
    undeclared = meta.find_undeclared_variables(tree) - declared
    for node in tree.find_all(nodes.Name):
        if node.name == SUBJECT:
            yield (
                position_of(node.lineno),
                "recipient is used by its fields, such as recipient.first_name",
            )
        elif node.name in undeclared and node.ctx == "load":
            yield position_of(node.lineno), f"{node.name} is unknown"


def _unknown_filters(tree: nodes.Template, environment: Sandbox) -> Iterator[_Complaint]:
    for each in tree.find_all(nodes.Filter):
        if each.name not in environment.filters:
            hint = _did_you_mean(each.name, environment.filters)
            yield position_of(each.lineno), f"there is no filter {each.name}{hint}"
    for test in tree.find_all(nodes.Test):
        if test.name not in environment.tests:
            hint = _did_you_mean(test.name, environment.tests)
            yield position_of(test.lineno), f"there is no test {test.name}{hint}"


def _unavailable(tree: nodes.Template) -> Iterator[_Complaint]:
    for node in tree.find_all(_UNAVAILABLE):
        yield position_of(node.lineno), "a template stands alone: it cannot take in another file"


def _did_you_mean(name: str, known: Collection[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""
