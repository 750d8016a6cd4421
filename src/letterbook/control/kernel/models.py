"""The audit trail and the version of the schema."""

from django.db import models
from django.db.models.functions import Now


class AuditLine(models.Model):
    """One change: who made it, when, to what, and what it was before and after."""

    at = models.DateTimeField(db_default=Now())
    actor = models.TextField()
    action = models.TextField()
    object = models.TextField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["object", "id"])]


class SchemaVersion(models.Model):
    """The one row that tells every process which schema this database has."""

    version = models.IntegerField()
