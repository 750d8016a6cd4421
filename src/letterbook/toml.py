"""TOML files whose mistakes can be pointed at: file and line."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from letterbook.errors import LetterbookError

_KEY: Final = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_PATH: Final = rf"(?P<path>{_KEY}(?:\s*\.\s*{_KEY})*)"
_HEADER: Final = re.compile(rf"\s*\[{{1,2}}\s*{_PATH}\s*\]{{1,2}}\s*(?:#.*)?")
_ENTRY: Final = re.compile(rf"\s*{_PATH}\s*=")


class TomlError(LetterbookError):
    """A file cannot be read as TOML."""


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """The values of a TOML file, and its text to find them in."""

    path: Path
    text: str
    values: dict[str, Any]

    def line(self, keys: Sequence[str]) -> int:
        """Return the line, from 1, on which ``keys`` (``("retries", "max")``) stands, or 1."""
        wanted = tuple(keys)
        table: tuple[str, ...] = ()
        best, depth = 1, 0
        for number, line in enumerate(self.text.split("\n"), 1):
            if header := _HEADER.fullmatch(line):
                found = table = _parts(header["path"])
            elif entry := _ENTRY.match(line):
                found = (*table, *_parts(entry["path"]))
            else:
                continue
            if found[: len(wanted)] == wanted:
                return number
            if len(found) > depth and wanted[: len(found)] == found:  # an outer or inline table
                best, depth = number, len(found)
        return best


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, path))


def read_toml(path: Path) -> TomlDocument:
    """Read ``path``. Raises TomlError, or FileNotFoundError when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
        return TomlDocument(path, text, tomllib.loads(text))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise TomlError(f"{path} is not in UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:  # bad TOML; too many digits; too deep
        raise TomlError(f"{path}: {error}") from error
    except OSError as error:
        raise TomlError(f"cannot read {path}: {error.strerror}") from error
