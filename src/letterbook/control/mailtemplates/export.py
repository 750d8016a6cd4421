"""Writing a template into a folder, to be edited and added again."""

from pathlib import Path

import msgspec
import tomli_w

from letterbook.control.kernel.errors import ActionError
from letterbook.control.mailtemplates.folder import ATTACHMENTS, TEXT, TOML
from letterbook.control.mailtemplates.queries import blobs, template_named


def export_template(name: str, folder: Path) -> None:
    """Write the template ``name`` into ``folder``, which must not exist yet.

    Raises NotFoundError and ActionError.
    """
    template = template_named(name)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ActionError(f"{folder} exists already; name a new folder") from None
    except OSError as error:
        raise ActionError(f"cannot make {folder}: {error.strerror}") from error
    options = msgspec.to_builtins(template.options)
    given = {key: value for key, value in options.items() if value not in (None, {})}
    document = {"name": template.name, **given}
    (folder / TOML).write_text(tomli_w.dumps(document), encoding="utf-8")
    if template.html_source is not None:
        body = folder / f"body.{template.markup}"
        body.write_text(template.html_source, encoding="utf-8")
    if template.text_source is not None:
        (folder / TEXT).write_text(template.text_source, encoding="utf-8")
    if template.files:
        (folder / ATTACHMENTS).mkdir()
    data = blobs(file["sha256"] for file in template.files)
    for file in template.files:
        (folder / ATTACHMENTS / file["name"]).write_bytes(data[file["sha256"]])
