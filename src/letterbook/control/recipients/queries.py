"""What there is to know of recipients and lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from letterbook.control.kernel.errors import NotFoundError
from letterbook.control.recipients.models import Attribute, Membership, Recipient, RecipientList
from letterbook.mail.content import FieldType


@dataclass(frozen=True, slots=True)
class ListView:
    """A list and how many are on it."""

    id: int
    name: str
    members: int


def is_recipient(key: str) -> bool:
    """Whether somebody with the address key ``key`` is a recipient."""
    return Recipient.objects.filter(key=key).exists()


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
