"""Recipients, their attributes, lists, and the addresses that must not be written to."""

from django.db import models
from django.db.models.functions import Now


class Recipient(models.Model):
    """A person. ``key`` is what all spellings of the address have in common."""

    email = models.TextField(null=True)
    key = models.TextField(null=True, unique=True)
    first_name = models.TextField(db_default="")
    last_name = models.TextField(db_default="")
    language = models.TextField(db_default="")
    attributes = models.JSONField(db_default={})
    denylisted_at = models.DateTimeField(null=True)
    """Since when the person no longer wants letters (opt-out)."""
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())


class Attribute(models.Model):
    """A column of an imported file, used in templates as ``recipient.<name>``."""

    name = models.TextField(primary_key=True)
    type = models.TextField()
    """text, int, float, bool or date."""


class RecipientList(models.Model):
    """A named set of recipients."""

    name = models.TextField(unique=True)
    created_at = models.DateTimeField(db_default=Now())


class Membership(models.Model):
    """A recipient is on a list."""

    pk = models.CompositePrimaryKey("list_id", "recipient_id")
    list = models.ForeignKey(RecipientList, models.CASCADE)
    recipient = models.ForeignKey(Recipient, models.CASCADE)


class QuarantinedAddress(models.Model):
    """An address that must not be written to because of its errors (reference, 6.4)."""

    key = models.TextField(primary_key=True)
    reason = models.TextField()
    since = models.DateTimeField(db_default=Now())
