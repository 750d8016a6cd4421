"""What there is to know of templates."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from letterbook.control.kernel.errors import NotFoundError
from letterbook.control.mailtemplates.models import Blob, Template
from letterbook.control.mailtemplates.options import Options


@dataclass(frozen=True, slots=True)
class TemplateLine:
    """A template in a list."""

    name: str
    label: str
    native: bool
    email_bcc: bool
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A template, whole. ``files`` are {name, content_type, sha256}."""

    name: str
    native: bool
    version: int
    options: Options
    markup: str
    html_source: str | None
    text_source: str | None
    files: tuple[dict[str, str], ...]


def templates() -> list[TemplateLine]:
    """Return all templates, native ones first."""
    return [
        TemplateLine(
            name=row.name,
            label=row.options["label"],
            native=row.native,
            email_bcc=row.options["email_bcc"],
            version=row.version,
            updated_at=row.updated_at,
        )
        for row in Template.objects.order_by("-native", "name")
    ]


def template_named(name: str) -> TemplateView:
    """Return the template ``name``. Raises NotFoundError, naming the templates there are."""
    row = Template.objects.filter(name=name).first()
    if row is None:
        names = ", ".join(Template.objects.order_by("name").values_list("name", flat=True))
        raise NotFoundError(f"there is no template {name!r}; there are: {names}")
    return TemplateView(
        name=row.name,
        native=row.native,
        version=row.version,
        options=read_options(row.options),
        markup=row.markup,
        html_source=row.html_source,
        text_source=row.text_source,
        files=tuple(row.files),
    )


def read_options(stored: Any) -> Options:
    """Return options as they are kept in the database."""
    return msgspec.convert(stored, Options)


def blobs(digests: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of files by their SHA-256."""
    rows = Blob.objects.filter(sha256__in=list(digests))
    return {row.sha256: bytes(row.data) for row in rows}
