"""TOML files whose mistakes can be pointed at: file and line."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterbook.errors import LetterbookError


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
        tables, key = list(keys[:-1]), keys[-1]
        current: list[str] = []
        best = 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                current = [part.strip(" \"'") for part in header[1].split(".")]
                if current == list(keys):
                    return number
                if current == tables:
                    best = number
            elif current == tables and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return best


def read_toml(path: Path) -> TomlDocument:
    """Read ``path``. Raises TomlError, or FileNotFoundError when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
        return TomlDocument(path, text, tomllib.loads(text))
    except FileNotFoundError:
        raise
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise TomlError(f"{path} is not in UTF-8 (byte {error.start + 1})") from error
    except OSError as error:
        raise TomlError(f"cannot read {path}: {error.strerror}") from error
