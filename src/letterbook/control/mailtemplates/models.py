"""Templates and the files that go with them."""

from django.db import models
from django.db.models.functions import Now


class Blob(models.Model):
    """The bytes of a file, kept once however many templates and deliveries have it."""

    sha256 = models.TextField(primary_key=True)
    data = models.BinaryField()


class Template(models.Model):
    """What deliveries are made from."""

    class Markup(models.TextChoices):
        HTML = "html"
        MJML = "mjml"

    name = models.TextField(unique=True)
    native = models.BooleanField(default=False)
    version = models.IntegerField(default=1)
    options = models.JSONField()
    """See ``Options``."""
    markup = models.TextField(choices=Markup.choices, default=Markup.HTML)
    html_source = models.TextField(null=True)
    text_source = models.TextField(null=True)
    """None: derived from the HTML."""
    files = models.JSONField(default=list)
    """A list of {name, content_type, sha256}."""
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
