"""Whose fault is it? One table (design, section 6) from (stage, reply) to what follows."""

import re
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple

from letterbook.smtp.events import Stage
from letterbook.smtp.reply import Reply


class Verdict(Enum):
    """What a reply means for the message, its copy, or the whole route."""

    ACCEPTED = auto()
    AGAIN = auto()
    """This one, later."""
    REFUSED = auto()
    """This one, for good."""
    ROUTE = auto()
    """Not this one's fault: the route, the sender or the archive as a whole."""


class _Rule(NamedTuple):
    """Matches a reply by any of its stages, codes, and enhanced codes (subject, detail)."""

    verdict: Verdict
    stages: frozenset[Stage] = frozenset(Stage)
    codes: str = r"\d{3}"
    enhanced: frozenset[tuple[int, int] | None] | None = None
    """None: any; a set that holds None: replies without an enhanced code too."""


_BEFORE_RCPT: Final = frozenset(
    (Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH, Stage.MAIL)
)
_UP_TO_RCPT: Final = _BEFORE_RCPT | {Stage.RCPT}
_TOO_LARGE: Final = frozenset(((3, 4), (2, 3)))
_FULL: Final = frozenset(((2, 2), (3, 1)))
_MESSAGE_KIND: Final = frozenset((6, detail) for detail in range(10))

_MESSAGE: Final = (
    _Rule(Verdict.ACCEPTED, frozenset((Stage.CONTENT,)), r"2\d\d"),
    _Rule(Verdict.ROUTE, codes="421"),
    # SIZE and SMTPUTF8 are judged at MAIL already, and concern the message.
    _Rule(Verdict.REFUSED, frozenset((Stage.MAIL,)), r"5\d\d", _TOO_LARGE | _MESSAGE_KIND),
    _Rule(Verdict.ROUTE, _BEFORE_RCPT),
    _Rule(Verdict.AGAIN, codes=r"4\d\d"),
    _Rule(Verdict.REFUSED, codes=r"5\d\d"),
)
_TEST: Final = (_Rule(Verdict.ACCEPTED, frozenset((Stage.RCPT,)), r"2\d\d"), *_MESSAGE[1:])
_COPY: Final = (
    _Rule(Verdict.ACCEPTED, frozenset((Stage.CONTENT,)), r"2\d\d"),
    _Rule(Verdict.ROUTE, codes="421"),
    _Rule(Verdict.ROUTE, enhanced=_FULL),
    # RFC 5321, 4.2.3: a bare 552 says that the storage is exceeded.
    _Rule(Verdict.ROUTE, frozenset((Stage.CONTENT,)), "552", frozenset((None,))),
    _Rule(Verdict.REFUSED, frozenset((Stage.MAIL,)), r"5\d\d", _TOO_LARGE | _MESSAGE_KIND),
    _Rule(Verdict.ROUTE, _UP_TO_RCPT, r"5\d\d"),
    _Rule(Verdict.ROUTE, _BEFORE_RCPT - {Stage.MAIL}),
    _Rule(Verdict.AGAIN, codes=r"4\d\d"),
    _Rule(Verdict.REFUSED, codes=r"5\d\d"),
)


def judge_message(stage: Stage, reply: Reply) -> Verdict:
    """Judge a reply on the recipients' route."""
    return _judge("message", stage, reply.code, reply.enhanced)


def judge_test(stage: Stage, reply: Reply) -> Verdict:
    """Judge a reply on the recipients' route to a test, which ends with the recipient."""
    return _judge("test", stage, reply.code, reply.enhanced)


def judge_copy(stage: Stage, reply: Reply) -> Verdict:
    """Judge a reply on the archive's route."""
    return _judge("copy", stage, reply.code, reply.enhanced)


_TABLES: Final = {"message": _MESSAGE, "test": _TEST, "copy": _COPY}


@lru_cache(maxsize=1024)  # nearly all replies are like the last one
def _judge(table: str, stage: Stage, code: int, enhanced: tuple[int, int, int] | None) -> Verdict:
    kind = enhanced[1:] if enhanced else None
    for rule in _TABLES[table]:
        if (
            stage in rule.stages
            and re.fullmatch(rule.codes, str(code))
            and (rule.enhanced is None or kind in rule.enhanced)
        ):
            return rule.verdict
    return Verdict.ROUTE  # 1xx or 3xx where nobody asked for it: a server to keep away from
