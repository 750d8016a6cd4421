"""Every change of templates."""

import hashlib
from importlib.resources import as_file, files
from pathlib import Path

import msgspec
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from letterbook.control.kernel.actor import SYSTEM, Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError, NotFoundError
from letterbook.control.mailtemplates.errors import NativeTemplateError
from letterbook.control.mailtemplates.folder import (
    TemplateFile,
    TemplateFolder,
    read_folder,
    require_name,
)
from letterbook.control.mailtemplates.models import Blob, Template

NATIVE = "email-delivery"


def add_template(actor: Actor, folder: TemplateFolder) -> int:
    """Add the template, or replace the one of its name; return its version.

    Deliveries made from it before keep what they have. Raises NativeTemplateError.
    """
    actor.require(Right.PREPARE_DELIVERIES)
    with transaction.atomic():
        old = Template.objects.select_for_update().filter(name=folder.name).first()
        if old is not None and old.native:
            raise NativeTemplateError(
                f"{folder.name} is a native template and read-only; duplicate it to change it"
            )
        version = _store(folder, native=False)
        action = "add template" if old is None else "replace template"
        before = {"version": old.version} if old else None
        after = {"version": version}
        record(actor, action, f"template {folder.name}", before=before, after=after)
    return version


def duplicate_template(actor: Actor, name: str, new_name: str) -> None:
    """Make a template ``new_name`` like ``name``. Raises NotFoundError and ActionError."""
    actor.require(Right.PREPARE_DELIVERIES)
    require_name(new_name, "the new template")
    with transaction.atomic():
        template = Template.objects.filter(name=name).first()
        if template is None:
            raise NotFoundError(f"there is no template {name!r}")
        if Template.objects.filter(name=new_name).exists():
            raise ActionError(f"there is a template {new_name!r} already")
        template.pk = None
        template.name = new_name
        template.native = False
        template.version = 1
        template.options = {**template.options, "label": f"{template.options['label']} (copy)"}
        template.save(force_insert=True)
        record(actor, "duplicate template", f"template {new_name}", after={"from": name})


def ensure_native_templates() -> None:
    """Put the templates that are shipped with this release into the database."""
    with as_file(files(__package__).joinpath("native", NATIVE)) as path:
        folder = read_folder(Path(path))
    with transaction.atomic():
        if _same(Template.objects.filter(name=NATIVE, native=True).first(), folder):
            return
        version = _store(folder, native=True)
        record(SYSTEM, "ship template", f"template {NATIVE}", after={"version": version})


def _store(folder: TemplateFolder, *, native: bool) -> int:
    values = {
        "native": native,
        "options": msgspec.to_builtins(folder.options),
        "markup": folder.markup,
        "html_source": folder.html_source,
        "text_source": folder.text_source,
        "files": [_keep(file) for file in folder.files],
        "updated_at": Now(),
    }
    template, _ = Template.objects.update_or_create(
        name=folder.name, defaults={**values, "version": F("version") + 1}, create_defaults=values
    )
    template.refresh_from_db(fields=["version"])
    return template.version


def _keep(file: TemplateFile) -> dict[str, str]:
    described = _described(file)
    Blob.objects.get_or_create(sha256=described["sha256"], defaults={"data": file.data})
    return described


def _described(file: TemplateFile) -> dict[str, str]:
    digest = hashlib.sha256(file.data).hexdigest()
    return {"name": file.name, "content_type": file.content_type, "sha256": digest}


def _same(template: Template | None, folder: TemplateFolder) -> bool:
    return (
        template is not None
        and template.options == msgspec.to_builtins(folder.options)
        and template.markup == folder.markup
        and template.html_source == folder.html_source
        and template.text_source == folder.text_source
        and template.files == [_described(file) for file in folder.files]
    )
