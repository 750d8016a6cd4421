"""A template's options, as ``template.toml`` declares them and deliveries copy them."""

from datetime import timedelta
from typing import Literal

import msgspec

from letterbook.duration import parse_duration
from letterbook.mail.address import normalise_address
from letterbook.mail.headers import check_extra_header


class Sender(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the letter is from."""

    address: str
    name: str = ""

    def __post_init__(self) -> None:
        _check_address("address", self.address)


class Retries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max`` times, at least ``period`` apart; then daily until the validity ends."""

    period: str = "1h"
    max: int = 5

    def __post_init__(self) -> None:
        parse_duration(self.period)
        if not 0 <= self.max <= 100:
            raise ValueError("max must be from 0 to 100")

    @property
    def period_time(self) -> timedelta:
        return parse_duration(self.period)


class Validity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long after its start a delivery may still send."""

    delivery: str = "5d"

    def __post_init__(self) -> None:
        parse_duration(self.delivery)

    @property
    def delivery_time(self) -> timedelta:
        return parse_duration(self.delivery)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of a template but its texts and files."""

    label: str
    subject: str = ""
    email_bcc: bool = False
    sender: Sender | None = msgspec.field(name="from", default=None)
    reply_to: str | None = None
    error_address: str | None = None
    format: Literal["multipart", "html", "text"] = "multipart"
    list_unsubscribe: str | None = None
    retries: Retries = Retries()
    validity: Validity = Validity()
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        _check_address("reply_to", self.reply_to)
        _check_address("error_address", self.error_address)
        for name in self.headers:
            check_extra_header(name)


def _check_address(name: str, address: str | None) -> None:
    if address is None:
        return
    try:
        normalise_address(address)
    except ValueError as error:
        raise ValueError(f"{name}: {address!r} is not an address: {error}") from None
