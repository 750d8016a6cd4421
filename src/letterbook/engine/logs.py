"""The worker's log: structured lines on standard error. No personal data is ever in them.

Our own lines hold numbers and our own words. What an error or a library says may quote a row of
the database or a server: of those, the kind and the place are told, and never the words.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Final

import structlog

from letterbook.settings import Settings

_PLACES: Final = 5
"""Innermost frames of an error to tell."""

_log = structlog.get_logger(__name__)


def configure_logging(settings: Settings) -> None:
    """Let everything that this process logs, and its last words, be structured lines."""
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)
    sys.excepthook = _crash


class _Library(logging.Handler):
    """What libraries log, without their words."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        place = f"{record.module}:{record.lineno}"
        level = record.levelname.lower()
        getattr(_log, level)("library", logger=record.name, at=place, **_described(error))


def _crash(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    _log.critical("crashed", **_described(error))


def _described(error: BaseException | None) -> dict[str, str]:
    """The kinds of an error, of those in it and of what led to it, and where it arose."""
    if error is None:
        return {}
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
    return {"error": _kinds(error), "where": " > ".join(places)}


def _kinds(error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        kind += f"[{', '.join(map(_kinds, error.exceptions))}]"
    cause = error.__cause__
    return f"{kind} from {_kinds(cause)}" if cause is not None else kind
