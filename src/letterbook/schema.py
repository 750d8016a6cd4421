"""The version of the database's schema that this release reads and writes."""

from typing import Final

SCHEMA_VERSION: Final = 1
"""Goes up with every migration; a process that finds another one in the database stops."""
