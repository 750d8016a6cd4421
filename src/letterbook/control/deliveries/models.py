"""Deliveries and their targets."""

from django.db import models
from django.db.models.functions import Now

from letterbook.control.recipients.models import RecipientList
from letterbook.mail.status import DeliveryState


class Delivery(models.Model):
    """One send: what a template was when the delivery was made from it, and how far it has got."""

    label = models.TextField()
    state = models.TextField(default=DeliveryState.EDITING)
    held_route = models.TextField(null=True)
    """The route that a held delivery waits for."""
    because = models.TextField(null=True)
    """Why it is held or paused, in words."""

    template_name = models.TextField()
    template_version = models.IntegerField()
    options = models.JSONField()
    """The template's, copied."""
    overrides = models.JSONField(default=dict)
    """What this delivery says differently."""
    markup = models.TextField()
    html_source = models.TextField(null=True)
    text_source = models.TextField(null=True)
    files = models.JSONField(default=list)

    created_by = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    analyzed_at = models.DateTimeField(null=True)
    started_by = models.TextField(null=True)
    scheduled_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in DeliveryState]),
                name="delivery_state_known",
            )
        ]


class Target(models.Model):
    """A list that a delivery goes to."""

    pk = models.CompositePrimaryKey("delivery_id", "list_id")
    delivery = models.ForeignKey(Delivery, models.CASCADE)
    list = models.ForeignKey(RecipientList, models.PROTECT)


class Proof(models.Model):
    """What makes a delivery a proof of another: whom it is written as, and where it goes."""

    delivery = models.OneToOneField(Delivery, models.CASCADE, primary_key=True)
    parent = models.ForeignKey(Delivery, models.CASCADE, related_name="proofs")
    number = models.IntegerField()
    """From 1, for each parent."""
    recipient_id = models.BigIntegerField()
    """Whose data the content shows; no foreign key, as in the ledger, which outlives people."""
    addresses = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["parent", "number"], name="proof_number_unique")
        ]
