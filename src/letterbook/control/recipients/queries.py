"""What there is to know of recipients and lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from letterbook.control.kernel.errors import NotFoundError
from letterbook.control.recipients.models import (
    Attribute,
    Membership,
    QuarantinedAddress,
    Recipient,
    RecipientList,
)
from letterbook.mail.address import address_key, normalise_address
from letterbook.mail.content import FieldType
from letterbook.mail.status import Exclusion


@dataclass(frozen=True, slots=True)
class ListView:
    """A list and how many are on it."""

    id: int
    name: str
    members: int


def is_recipient(key: str) -> bool:
    """Whether somebody with the address key ``key`` is a recipient."""
    return Recipient.objects.filter(key=key).exists()


def recipient_at(text: str) -> int:
    """Return the id of the recipient whose address is ``text``.

    Raises AddressError and NotFoundError.
    """
    key = address_key(normalise_address(text))
    found = Recipient.objects.filter(key=key).values_list("pk", flat=True).first()
    if found is None:
        raise NotFoundError(f"there is no recipient {text}")
    return int(found)


def why_not_written_to(keys: Sequence[str]) -> dict[str, Exclusion]:
    """Return those of the address keys that must not be written to, and why."""
    quarantined = QuarantinedAddress.objects.filter(key__in=keys)
    denylisted = Recipient.objects.filter(key__in=keys, denylisted_at__isnull=False)
    reasons = {row.key: Exclusion.QUARANTINED for row in quarantined}
    return reasons | {str(row.key): Exclusion.DENYLISTED for row in denylisted}


def list_named(name: str) -> ListView:
    """Return the list ``name``. Raises NotFoundError, naming the lists there are."""
    found = RecipientList.objects.filter(name=name).first()
    if found is None:
        names = ", ".join(RecipientList.objects.order_by("name").values_list("name", flat=True))
        raise NotFoundError(f"there is no list {name!r}; there are: {names or 'none yet'}")
    return ListView(found.pk, found.name, Membership.objects.filter(list=found).count())


def attribute_types() -> Mapping[str, FieldType]:
    """Return the attributes that recipients may have, with their types."""
    rows = Attribute.objects.values_list("name", "type")
    return {name: cast("FieldType", column_type) for name, column_type in rows}
