"""A template's options, as ``template.toml`` declares them and deliveries copy them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal

import msgspec

from letterbook.control.mailtemplates.waves import parse_waves
from letterbook.duration import parse_duration
from letterbook.mail.address import normalise_address
from letterbook.mail.headers import check_extra_header

_LONGEST: Final = timedelta(days=100 * 365)


PRIORITIES: Final = {"very low": -2, "low": -1, "normal": 0, "high": 1, "very high": 2}
"""Campaign's five, as numbers: the higher goes first."""


class OptionError(ValueError):
    """An option has a value that cannot be used; ``keys`` lead to it."""

    def __init__(self, keys: tuple[str, ...], what: str) -> None:
        super().__init__(what)
        self.keys = keys


def _check(check: Callable[[str], object], value: str | None, *keys: str) -> None:
    try:
        if value is not None:
            check(value)
    except ValueError as error:
        raise OptionError(keys, str(error)) from None


def _address(text: str) -> None:
    try:
        normalise_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address: {error}") from None


def _duration(text: str) -> None:
    if parse_duration(text) > _LONGEST:
        raise ValueError(f"{text!r} is too long a time; 100y is the longest")


class Sender(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the letter is from."""

    address: str
    name: str = ""

    def __post_init__(self) -> None:
        _check(_address, self.address, "address")


class Retries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max`` times, at least ``period`` apart; then daily until the validity ends."""

    period: str = "1h"
    max: int = 5

    def __post_init__(self) -> None:
        _check(_duration, self.period, "period")
        if not 0 <= self.max <= 100:
            raise OptionError(("max",), "it must be from 0 to 100")

    @property
    def period_time(self) -> timedelta:
        return parse_duration(self.period)


class Validity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long after its start a delivery may still send."""

    delivery: str = "5d"

    def __post_init__(self) -> None:
        _check(_duration, self.delivery, "delivery")
        if not self.delivery_time:
            raise OptionError(("delivery",), "it must be longer than 0s")

    @property
    def delivery_time(self) -> timedelta:
        return parse_duration(self.delivery)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of a template but its texts and files."""

    label: str
    subject: str = ""
    email_bcc: bool = False
    test_smtp: bool = False
    sender: Sender | None = msgspec.field(name="from", default=None)
    reply_to: str | None = None
    error_address: str | None = None
    format: Literal["multipart", "html", "text"] = "multipart"
    list_unsubscribe: str | None = None
    retries: Retries = Retries()
    validity: Validity = Validity()
    priority: Literal["very low", "low", "normal", "high", "very high"] = "normal"
    waves: str | None = None
    in_doubt: Literal["show", "resend"] = "show"
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        _check(_address, self.reply_to, "reply_to")
        _check(_address, self.error_address, "error_address")
        _check(parse_waves, self.waves, "waves")
        for name in self.headers:
            _check(check_extra_header, name, "headers", name)

    @property
    def makes_copies(self) -> bool:
        """Whether each message is copied: a test sends none, so there is nothing to copy."""
        return self.email_bcc and not self.test_smtp
