"""The options that say a route's limits."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

_NO_LIMIT: Final = math.inf
_OPTIONS: Final = (
    ("--connections", "Connections at most, of all workers together."),
    ("--per-connection", "Messages that a connection carries."),
    ("--rate", "Messages a second, of all workers together."),
)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _limit(text: str) -> float:
    """Read a number, or the word none."""
    if text == "none":
        return _NO_LIMIT
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor the word none") from None


def limit_options(command: _Command) -> _Command:
    """Give ``command`` an option for each limit of a route."""
    for name, said in reversed(_OPTIONS):
        command = click.option(name, type=_limit, metavar="N|none", help=said)(command)
    return command


def changes_of(limits: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the limits that were named; None where the word was none."""
    named = {name: value for name, value in limits.items() if value is not None}
    return {name: None if value == _NO_LIMIT else value for name, value in named.items()}


def shown_limit(value: float | None) -> str:
    """Return a limit as people read it."""
    return "none" if value is None else f"{value:g}"
