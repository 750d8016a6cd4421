"""The tag lists that DKIM and DMARC records are (RFC 6376, 3.2)."""

import re
from typing import Final

_TAG: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*([!-:<-~\s]*?)\s*")


def read_tags(record: str) -> dict[str, str]:
    """Return the tags of ``record`` by their names. Raises ValueError saying what is wrong."""
    tags: dict[str, str] = {}
    specs = record.split(";")
    if not specs[-1].strip():
        specs.pop()  # a semicolon may end the list
    for spec in specs:
        tag = _TAG.fullmatch(spec)
        if tag is None:
            raise ValueError(f"“{spec.strip()}” is not of the form tag=value")
        if tag[1] in tags:
            raise ValueError(f"the tag {tag[1]} stands twice")
        tags[tag[1]] = tag[2]
    return tags
