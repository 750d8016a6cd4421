"""A template as a folder: template.toml, body.html or body.mjml, body.txt, attachments/."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from letterbook.control.mailtemplates.errors import TemplateFolderError
from letterbook.control.mailtemplates.options import OptionError, Options
from letterbook.toml import TomlDocument, TomlError, read_toml

TOML: Final = "template.toml"
HTML: Final = "body.html"
MJML: Final = "body.mjml"
TEXT: Final = "body.txt"
ATTACHMENTS: Final = "attachments"
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WHERE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`")


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A file that goes with every message."""

    name: str
    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TemplateFolder:
    """What a template's folder holds. ``markup`` is html or mjml."""

    name: str
    options: Options
    markup: str
    html_source: str | None
    text_source: str | None
    files: tuple[TemplateFile, ...]


def read_folder(folder: Path) -> TemplateFolder:
    """Read a template's folder. Raises TemplateFolderError, naming file and line."""
    if not folder.is_dir():
        raise TemplateFolderError(f"{folder} is not a folder with a {TOML}")
    try:
        document = read_toml(folder / TOML)
    except FileNotFoundError:
        raise TemplateFolderError(f"{folder} has no {TOML}") from None
    except TomlError as error:
        raise TemplateFolderError(str(error)) from error
    name, options = _read_options(document)
    html, mjml, text = (_read_text(folder / file) for file in (HTML, MJML, TEXT))
    if html is not None and mjml is not None:
        raise TemplateFolderError(f"{folder} has both {HTML} and {MJML}; keep one")
    source = mjml if html is None else html
    if source is None and (text is None or options.format != "text"):
        needed = TEXT if options.format == "text" else f"{HTML} or {MJML}"
        raise TemplateFolderError(f"{folder} has no {needed}, as format {options.format!r} needs")
    return TemplateFolder(
        name=name,
        options=options,
        markup="mjml" if mjml is not None else "html",
        html_source=source,
        text_source=text,
        files=_read_files(folder / ATTACHMENTS),
    )


def require_name(name: object, where: str) -> str:
    """Return ``name`` when it is a slug. Raises TemplateFolderError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TemplateFolderError(
            f"{where}: name must be of lower-case letters, digits and single hyphens, "
            f"such as spring-offer, not {name!r}"
        )
    return name


def _read_options(document: TomlDocument) -> tuple[str, Options]:
    values: dict[str, Any] = dict(document.values)
    if "name" not in values:
        raise TemplateFolderError(f"{document.path}: name is missing")
    where = f"{document.path}, line {document.line(('name',))}"
    name = require_name(values.pop("name"), where)
    values.setdefault("label", name)
    try:
        return name, msgspec.convert(values, Options)
    except msgspec.ValidationError as error:
        raise TemplateFolderError(_explain(document, values, error)) from None


def _explain(
    document: TomlDocument, values: Mapping[str, Any], error: msgspec.ValidationError
) -> str:
    """Say in a TOML author's words, and with the line, what the validation complains of."""
    match = _WHERE.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    keys = [key for key in re.split(r"[.\[\]]+", path) if key and key != "..."]
    if isinstance(error.__cause__, OptionError):
        keys += error.__cause__.keys
    elif path.endswith("[...]"):  # one of the headers, the only table whose keys are free
        keys += [key for key, value in values["headers"].items() if not isinstance(value, str)][:1]
    if unknown := _UNKNOWN.fullmatch(what):
        keys.append(unknown["key"])
        what = f"unknown key {'.'.join(keys)}"
    else:
        what = f"{'.'.join(keys)}: {what}"
    return f"{document.path}, line {document.line(keys)}: {what}"


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise TemplateFolderError(f"{path} is not in UTF-8 (byte {error.start + 1})") from error
    except OSError as error:
        raise TemplateFolderError(f"cannot read {path}: {error.strerror}") from error


def _read_files(folder: Path) -> tuple[TemplateFile, ...]:
    if not folder.is_dir():
        return ()
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_file():
            raise TemplateFolderError(f"{path} is not a file; {ATTACHMENTS}/ holds files only")
        data = path.read_bytes()
        files.append(TemplateFile(path.name, _content_type(path.name, data), data))
    return tuple(files)


def _content_type(name: str, data: bytes) -> str:
    guessed, encoding = mimetypes.guess_type(name)
    if guessed is None or encoding is not None:
        return "application/octet-stream"
    if guessed.startswith("text/") and not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:  # in what else, nobody can tell
            return guessed
        return f"{guessed}; charset=utf-8"
    return guessed
