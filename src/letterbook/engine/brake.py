"""The brake: when everybody is refused alike, the fault is not the recipients'."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from letterbook.smtp.reply import Reply

_SAME_IN_A_ROW: Final = 50
_FIRST: Final = 300
_SHARE: Final = 0.9
_CODES: Final = re.compile(r"\d{3}(?: \d\.\d{1,3}\.\d{1,3})?")
_ADDRESS: Final = re.compile(r"<?[^\s<>@]+@[^\s<>@]+>?")
_ID: Final = re.compile(r"\b(?=\w*\d)[\w-]{6,}\b|\d{2,}")


@dataclass(slots=True)
class _Run:
    """What a delivery has met with so far."""

    text: str = ""
    in_a_row: int = 0
    seen: int = 0
    refused: int = 0


class Brake:
    """Watches the outcomes of each delivery and pulls when they look like a fault of ours."""

    def __init__(self, pull: Callable[[int, str], None]) -> None:
        """``pull`` is given the delivery and the reason in words."""
        self._pull = pull
        self._runs: dict[int, _Run] = {}

    def note(self, delivery: int, refusal: Reply | None) -> None:
        """Note an outcome: a permanent refusal, or None for any other reply."""
        run = self._runs.setdefault(delivery, _Run())
        run.seen += 1
        if refusal is None:
            run.in_a_row = 0
        else:
            run.refused += 1
            text = normalise(refusal.text)
            run.in_a_row = run.in_a_row + 1 if text == run.text else 1
            run.text = text
        if run.in_a_row >= _SAME_IN_A_ROW:
            self._stop(delivery, f"{run.in_a_row} messages in a row were refused: {run.text}")
        elif run.seen == _FIRST and run.refused >= _SHARE * _FIRST:
            # Their words differ, so they may hold what is personal: only the codes are quoted.
            code = _CODES.match(run.text)
            last = f", the last one with {code[0]}" if code else ""
            reason = f"{run.refused} of the first {_FIRST} messages were refused{last}"
            self._stop(delivery, reason)

    def _stop(self, delivery: int, reason: str) -> None:
        del self._runs[delivery]
        self._pull(delivery, reason)


def normalise(reply: str) -> str:
    """Return a reply without what differs from message to message (reference, 6.2)."""
    codes = _CODES.match(reply)
    kept = codes[0] if codes else ""
    text = reply[len(kept) :]
    return kept + _ID.sub("#xxx#", _ADDRESS.sub("*", text))
