"""Routes, archive addresses, policy, secrets, DKIM keys, alert channels."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Route(models.Model):
    """An SMTP server that letters leave through: ``recipients`` or ``archive``."""

    name = models.TextField(primary_key=True)
    security = models.TextField()
    """none, starttls or tls."""
    host = models.TextField()
    port = models.IntegerField()
    username = models.TextField(null=True)
    sealed_password = models.BinaryField(null=True)
    ca = models.TextField(null=True)
    """Certificates (PEM) to trust instead of the system's."""
    insecure = models.BooleanField()
    """The administrator's word that this route needs no TLS, or no valid certificate."""
    connections = models.IntegerField(null=True)
    """Connections at most, of all workers together; null: no limit."""
    per_connection = models.IntegerField(null=True)
    """Messages a connection; null: no limit."""
    rate = models.FloatField(null=True)
    """Messages a second, of all workers together; null: no limit."""
    limited_at = models.DateTimeField(db_default=Now())
    """When the limits last changed."""
    size_limit = models.BigIntegerField(null=True)
    """Octets, as the server's SIZE said at the last probe."""
    extensions = ArrayField(models.TextField(), default=list)
    probed_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(db_default=Now())


class ArchiveAddress(models.Model):
    """A version of the platform's one archive address.

    At most one is active and at most one is pending: the database sees to it.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        ACTIVE = "active"
        REPLACED = "replaced"

    version = models.BigAutoField(primary_key=True)
    address = models.TextField()
    state = models.TextField(choices=State.choices)
    code_hash = models.BinaryField(null=True)
    set_by = models.TextField()
    set_at = models.DateTimeField(db_default=Now())
    confirmed_by = models.TextField(null=True)
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state__in=("pending", "active")),
                name="one_archive_address",
            )
        ]


class ArchivePolicy(models.Model):
    """The one row that says what happens when the archive does not accept: hold or owe."""

    policy = models.TextField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_archive_policy")]


class Secret(models.Model):
    """A key that all hosts share, sealed."""

    name = models.TextField(primary_key=True)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())


class DkimKey(models.Model):
    """A key that signs messages of a domain. Retired, it signs on for who froze it before."""

    domain = models.TextField()
    selector = models.TextField()
    algorithm = models.TextField()
    """rsa or ed25519."""
    sealed = models.BinaryField()
    """The private half."""
    record = models.TextField()
    """The public half, as the DNS must say it."""
    created_at = models.DateTimeField(db_default=Now())
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "selector"], name="one_dkim_key_a_name")
        ]


class AlertChannel(models.Model):
    """Where alerts go: one mail address, one webhook, one command."""

    kind = models.TextField(primary_key=True)
    """mail, webhook or command."""
    shown = models.TextField()
    """The target as it may be shown: a webhook's URL may be a secret."""
    sealed = models.BinaryField()
    changed_at = models.DateTimeField(db_default=Now())
